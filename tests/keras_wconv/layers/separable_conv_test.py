import keras
import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st
from layer_checks import (
    BACKEND,
    DATA_FORMATS,
    assert_matches,
    assert_same_bits,
    configurations,
    make,
    normal,
    random_configurations,
    to_numpy,
)

import keras_wconv

CLASSES = {
    1: (keras_wconv.WeightedSeparableConv1D, keras.layers.SeparableConv1D),
    2: (keras_wconv.WeightedSeparableConv2D, keras.layers.SeparableConv2D),
}


@pytest.mark.parametrize("data_format", DATA_FORMATS)
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(
    "arguments",
    [
        {"kernel_size": 3},
        {"kernel_size": 4, "depth_multiplier": 2, "use_bias": False},
        {"kernel_size": 3, "strides": 2, "activation": "relu"},
        {"kernel_size": 2, "dilation_rate": 2},
    ],
    ids=str,
)
@pytest.mark.parametrize("rank", [1, 2])
def test_density_none_is_the_layer_of_keras(rank, arguments, padding, data_format):
    assert_same_bits(
        *CLASSES[rank],
        spatial=(7, 6)[:rank],
        filters=3,
        padding=padding,
        data_format=data_format,
        **arguments,
    )


@pytest.mark.parametrize("rank", [1, 2])
@random_configurations
@given(data=st.data())
def test_matches_numpy(rank, data):
    arguments, phi, spatial = data.draw(configurations(rank))
    if BACKEND == "tensorflow":  # its depthwise kernels take one stride only
        arguments["strides"] = (max(arguments["strides"]),) * rank
    channels = data.draw(st.integers(1, 3))
    multiplier = data.draw(st.integers(1, 2))
    layer = make(CLASSES[rank][0], filters=3, depth_multiplier=multiplier, **arguments)

    def convolve(inputs, depthwise_kernel, pointwise_kernel):
        between = reference.depthwise_conv(
            inputs, depthwise_kernel, layer.strides, layer.padding, layer.dilation_rate
        )
        return between @ pointwise_kernel.reshape(-1, 3)

    terms = phi.size + channels * multiplier
    assert_matches(layer, phi, spatial, channels, terms, convolve)


def test_the_pointwise_kernel_is_not_weighted():
    layer = keras_wconv.WeightedSeparableConv2D(4, 3, density=np.zeros((3, 3)))
    inputs = normal((1, 5, 5, 2))
    assert not np.any(to_numpy(layer(inputs)))
    assert layer.effective_kernel.shape == layer.depthwise_kernel.shape
    assert np.any(to_numpy(layer.pointwise_kernel))
