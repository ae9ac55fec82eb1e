import keras
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
    random_configurations,
)

import keras_wconv

CLASSES = {
    1: (keras_wconv.WeightedDepthwiseConv1D, keras.layers.DepthwiseConv1D),
    2: (keras_wconv.WeightedDepthwiseConv2D, keras.layers.DepthwiseConv2D),
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
    layer = make(CLASSES[rank][0], depth_multiplier=multiplier, **arguments)

    def convolve(inputs, kernel):
        return reference.depthwise_conv(
            inputs, kernel, layer.strides, layer.padding, layer.dilation_rate
        )

    assert_matches(layer, phi, spatial, channels, phi.size, convolve)
