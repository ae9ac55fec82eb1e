import hypothesis
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
    1: (keras_wconv.WeightedConv1DTranspose, keras.layers.Conv1DTranspose),
    2: (keras_wconv.WeightedConv2DTranspose, keras.layers.Conv2DTranspose),
    3: (keras_wconv.WeightedConv3DTranspose, keras.layers.Conv3DTranspose),
}


@pytest.mark.parametrize("data_format", DATA_FORMATS)
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(
    "arguments",
    [
        {"kernel_size": 3},
        {"kernel_size": 4, "strides": 2, "use_bias": False, "activation": "relu"},
        {"kernel_size": 3, "strides": 2, "output_padding": 1},
        pytest.param(
            {"kernel_size": 3, "dilation_rate": 2},
            marks=pytest.mark.skipif(
                BACKEND == "tensorflow", reason="TensorFlow on a CPU cannot dilate it"
            ),
        ),
    ],
    ids=str,
)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_density_none_is_the_layer_of_keras(rank, arguments, padding, data_format):
    assert_same_bits(
        *CLASSES[rank],
        spatial=(4, 3, 5)[:rank],
        filters=3,
        padding=padding,
        data_format=data_format,
        **arguments,
    )


@pytest.mark.parametrize("rank", [1, 2, 3])
@random_configurations
@given(data=st.data())
def test_matches_numpy(rank, data):
    arguments, phi, spatial = data.draw(configurations(rank))
    output_padding = data.draw(
        st.none() | st.tuples(*(st.integers(0, s - 1) for s in arguments["strides"]))
    )
    if BACKEND == "tensorflow":  # what it cannot do, on a CPU
        arguments["dilation_rate"] = (1,) * rank
        if arguments["padding"] == "same" and output_padding is not None:
            sizes = zip(arguments["kernel_size"], output_padding, strict=True)
            hypothesis.assume(all(k % 2 + extra for k, extra in sizes))
    channels = data.draw(st.integers(1, 3))
    layer = make(
        CLASSES[rank][0], filters=2, output_padding=output_padding, **arguments
    )

    def convolve(inputs, kernel):
        return reference.conv_transpose(
            inputs,
            kernel,
            layer.strides,
            layer.padding,
            layer.dilation_rate,
            output_padding,
        )

    terms = phi.size * channels
    assert_matches(layer, phi, spatial, channels, terms, convolve)
