"""What every weighted layer owes: a table of the families, the same tests for all."""

import dataclasses
import functools
from collections.abc import Callable

import hypothesis
import keras
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st
from keras_versions import KERAS
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


def draw_conv(data, rank, layer_class):
    paddings = ["valid", "same", "causal"] if rank == 1 else ["valid", "same"]
    arguments, phi, spatial = data.draw(configurations(rank, paddings))
    groups = data.draw(st.sampled_from([1, 2]))
    channels = 2 * data.draw(st.integers(1, 2))
    layer = make(layer_class, filters=4, groups=groups, **arguments)

    def convolve(inputs, kernel):
        return reference.conv(
            inputs, kernel, layer.strides, layer.padding, layer.dilation_rate, groups
        )

    return layer, phi, spatial, channels, phi.size * channels // groups, convolve


@functools.cache
def least_output_padding():
    """Returns 1 where Keras refuses 0, as 3.10 does."""
    try:
        keras.layers.Conv1DTranspose(1, 1, output_padding=0)
    except ValueError:
        return 1
    return 0


def draw_transpose(data, rank, layer_class):
    arguments, phi, spatial = data.draw(configurations(rank))
    output_paddings = st.none()
    least = least_output_padding()
    if all(stride > least for stride in arguments["strides"]):
        output_paddings |= st.tuples(
            *(st.integers(least, stride - 1) for stride in arguments["strides"])
        )
    output_padding = data.draw(output_paddings)
    if BACKEND == "tensorflow":  # what it cannot do, on a CPU
        arguments["dilation_rate"] = (1,) * rank
        if arguments["padding"] == "same" and output_padding is not None:
            sizes = zip(arguments["kernel_size"], output_padding, strict=True)
            hypothesis.assume(all(k % 2 + extra for k, extra in sizes))
    if BACKEND == "torch" and KERAS < (3, 15):
        # Keras pads both sides alike there: it refuses even kernels with strides of 1,
        # and computes something else than other backends elsewhere, with a warning.
        arguments["padding"] = "valid"
    channels = data.draw(st.integers(1, 3))
    layer = make(layer_class, filters=2, output_padding=output_padding, **arguments)

    def convolve(inputs, kernel):
        return reference.conv_transpose(
            inputs,
            kernel,
            layer.strides,
            layer.padding,
            layer.dilation_rate,
            output_padding,
        )

    return layer, phi, spatial, channels, phi.size * channels, convolve


def draw_depthwise(data, rank, layer_class, **more):
    arguments, phi, spatial = data.draw(configurations(rank))
    if BACKEND == "tensorflow":  # its depthwise kernels take one stride only
        arguments["strides"] = (max(arguments["strides"]),) * rank
    channels = data.draw(st.integers(1, 3))
    multiplier = data.draw(st.integers(1, 2))
    layer = make(layer_class, depth_multiplier=multiplier, **arguments, **more)

    def convolve(inputs, kernel):
        return reference.depthwise_conv(
            inputs, kernel, layer.strides, layer.padding, layer.dilation_rate
        )

    return layer, phi, spatial, channels, phi.size, convolve


def draw_separable(data, rank, layer_class):
    layer, phi, spatial, channels, terms, depthwise = draw_depthwise(
        data, rank, layer_class, filters=3
    )

    def convolve(inputs, depthwise_kernel, pointwise_kernel):
        between = depthwise(inputs, depthwise_kernel)
        return between @ pointwise_kernel.reshape(-1, 3)

    terms += channels * layer.depth_multiplier
    return layer, phi, spatial, channels, terms, convolve


@dataclasses.dataclass
class Family:
    layer: str  # with its rank in place of {}
    ranks: tuple
    arguments: list  # of the comparison with Keras
    spatial: tuple  # sizes of its input
    draw: Callable  # a random layer, its density, its input, and the convolution
    required: dict = dataclasses.field(default_factory=dict)

    def classes(self, rank):
        name = self.layer.format(rank)
        return getattr(keras_wconv, f"Weighted{name}"), getattr(keras.layers, name)


not_dilated = pytest.mark.skipif(
    BACKEND == "tensorflow", reason="TensorFlow on a CPU cannot dilate it"
)
DEPTHWISE_ARGUMENTS = [
    {"kernel_size": 3},
    {"kernel_size": 4, "depth_multiplier": 2, "use_bias": False},
    {"kernel_size": 3, "strides": 2, "activation": "relu"},
    {"kernel_size": 2, "dilation_rate": 2},
]
FAMILIES = [
    Family(
        "Conv{}D",
        (1, 2, 3),
        [
            {"kernel_size": 3},
            {"kernel_size": 4, "use_bias": False, "activation": "relu"},
            {"kernel_size": 3, "strides": 2},
            {"kernel_size": 2, "dilation_rate": 2},
            {"kernel_size": 3, "groups": 2, "strides": 2},
        ],
        (6, 7, 5),
        draw_conv,
        {"filters": 4},
    ),
    Family(
        "Conv{}DTranspose",
        (1, 2, 3),
        [
            {"kernel_size": 3},
            {"kernel_size": 4, "strides": 2, "use_bias": False, "activation": "relu"},
            {"kernel_size": 3, "strides": 2, "output_padding": 1},
            pytest.param({"kernel_size": 3, "dilation_rate": 2}, marks=not_dilated),
        ],
        (4, 3, 5),
        draw_transpose,
        {"filters": 3},
    ),
    Family("DepthwiseConv{}D", (1, 2), DEPTHWISE_ARGUMENTS, (7, 6), draw_depthwise),
    Family(
        "SeparableConv{}D",
        (1, 2),
        DEPTHWISE_ARGUMENTS,
        (7, 6),
        draw_separable,
        {"filters": 3},
    ),
]


def each_argument():
    for family in FAMILIES:
        for rank in family.ranks:
            for case in family.arguments:
                arguments = case if isinstance(case, dict) else case.values[0]
                marks = () if isinstance(case, dict) else case.marks
                label = ",".join(f"{k}={v}" for k, v in arguments.items())
                yield pytest.param(
                    family,
                    rank,
                    arguments,
                    marks=marks,
                    id=f"{family.layer.format(rank)}-{label}",
                )


@pytest.mark.parametrize("data_format", DATA_FORMATS)
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("family", "rank", "arguments"), each_argument())
def test_density_none_is_the_layer_of_keras(
    family, rank, arguments, padding, data_format
):
    assert_same_bits(
        *family.classes(rank),
        spatial=family.spatial[:rank],
        padding=padding,
        data_format=data_format,
        **family.required,
        **arguments,
    )


@pytest.mark.parametrize(
    ("family", "rank"),
    [
        pytest.param(family, rank, id=family.layer.format(rank))
        for family in FAMILIES
        for rank in family.ranks
    ],
)
@random_configurations
@given(data=st.data())
def test_matches_numpy(family, rank, data):
    assert_matches(*family.draw(data, rank, family.classes(rank)[0]))
