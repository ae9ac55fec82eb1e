"""NAFNet: image restoration without activation functions.

Chen et al., "Simple Baselines for Image Restoration", ECCV 2022,
https://arxiv.org/abs/2204.04676
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import keras
from keras import layers, ops
from keras.initializers import VarianceScaling

from .._density_choice import ModelDensity
from .._types import DensityOptions, Tensor
from ._builder import (
    Convolutions,
    NetworkArguments,
    Shape,
    Weights,
    channel_axis,
    check_levels,
    forwards_to,
    image_shape,
    make_model,
    normalize,
    obtain_input,
    scale,
)


def NAFNet(
    width: int = 32,
    encoder_blocks: Sequence[int] = (2, 2, 4, 8),
    middle_blocks: int = 12,
    decoder_blocks: Sequence[int] = (2, 2, 2, 2),
    channels: int = 3,
    weights: Weights = None,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: Shape | None = None,
    name: str = "nafnet",
    density: ModelDensity = None,
    **density_options: Unpack[DensityOptions],
) -> keras.Model:
    """Builds a NAFNet, which returns its input plus a correction.

    A U-shaped network of blocks that multiply the two halves of their channels (simple
    gate) and scale each channel by a linear map of all their means (simplified channel
    attention).

    Args:
        width: int, channels at full resolution.
        encoder_blocks: ints, number of blocks of each level on the way down.
        middle_blocks: int, number of blocks at the lowest resolution.
        decoder_blocks: ints, number of blocks of each level on the way up.
        channels: int, of the images.
        weights: `None`, or the path of a file that this network saved.
        input_tensor: optional Keras tensor to use as the image.
        input_shape: optional shape without the batch axis. By default images of any
            height and width; those that the levels do not divide are padded.
        name: str, of the model.
        density: of the layers, see `keras_wconv.applications`; `None` for the standard
            network. All kernels of 3 take part: the first, the last and the depthwise
            one of each block. The 2x2 kernels of the downsampling, which have no
            coefficients, stay plain.
        **density_options: of the weighted layers, see `keras_wconv.applications`.

    Input and output shape:
        `(batch, height, width, channels)`, or channels first if that is
        `keras.config.image_data_format()`.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: If an argument does not suit the network.

    Example:

    >>> from keras_wconv import applications
    >>> model = applications.NAFNet(
    ...     width=8,
    ...     encoder_blocks=(1, 1),
    ...     middle_blocks=1,
    ...     decoder_blocks=(1, 1),
    ...     density=0.7,
    ... )
    >>> type(model.get_layer("encoder1_block1_depthwise")).__name__
    'WeightedDepthwiseConv2D'
    """
    check_levels(encoder_blocks=encoder_blocks, decoder_blocks=decoder_blocks)
    inputs = obtain_input(
        input_tensor,
        input_shape,
        default_shape=image_shape((None, None), channels),
        channels=channels,
    )
    conv = Convolutions(2, density, **density_options)

    padded = PadToMultiple(2 ** len(encoder_blocks), name="pad")(inputs)
    x = _convolve(padded, conv, width, 3, "intro")
    skips = []
    for level, repeats in enumerate(encoder_blocks, start=1):
        for i in range(1, repeats + 1):
            x = _block(x, conv, f"encoder{level}_block{i}")
        skips.append(x)
        width *= 2
        x = layers.Conv2D(
            width,
            2,
            strides=2,
            kernel_initializer=_initializer(),
            name=f"encoder{level}_down",
        )(x)
    for i in range(1, middle_blocks + 1):
        x = _block(x, conv, f"middle_block{i}")
    for level, repeats in enumerate(decoder_blocks, start=1):
        x = _convolve(x, conv, 2 * width, 1, f"decoder{level}_up", use_bias=False)
        x = PixelShuffle(2, name=f"decoder{level}_shuffle")(x)
        width //= 2
        x = layers.Add(name=f"decoder{level}_skip")([x, skips.pop()])
        for i in range(1, repeats + 1):
            x = _block(x, conv, f"decoder{level}_block{i}")
    x = _convolve(x, conv, channels, 3, "ending")
    x = layers.Add(name="restored")([x, padded])
    outputs = CropTo(name="crop")(x, inputs)
    return make_model(inputs, outputs, conv, weights, name)


class NAFNetArguments(NetworkArguments, total=False):
    """Arguments of the builders of one NAFNet besides `name`."""

    channels: int


@forwards_to(NAFNet)
def NAFNetSIDD(
    width: int = 32, *, name: str = "nafnet_sidd", **kwargs: Unpack[NAFNetArguments]
) -> keras.Model:
    """Builds the NAFNet that denoises photographs: `NAFNet` has the arguments."""
    return NAFNet(width, (2, 2, 4, 8), 12, (2, 2, 2, 2), name=name, **kwargs)


@forwards_to(NAFNet)
def NAFNetGoPro(
    width: int = 32, *, name: str = "nafnet_gopro", **kwargs: Unpack[NAFNetArguments]
) -> keras.Model:
    """Builds the NAFNet that deblurs photographs: `NAFNet` has the arguments."""
    return NAFNet(width, (1, 1, 1, 28), 1, (1, 1, 1, 1), name=name, **kwargs)


def _block(x, conv, name):
    width = x.shape[channel_axis()]

    y = normalize(x, f"{name}_norm1")
    y = _convolve(y, conv, 2 * width, 1, f"{name}_conv1")
    y = conv.depthwise(
        3,
        # Keras takes the fan-in of a depthwise kernel for its fan-out.
        depthwise_initializer=_initializer("fan_out"),
        name=f"{name}_depthwise",
    )(y)
    y = SimpleGate(axis=channel_axis(), name=f"{name}_gate1")(y)
    attention = layers.GlobalAveragePooling2D(
        keepdims=True, name=f"{name}_attention_pool"
    )(y)
    attention = _convolve(attention, conv, width, 1, f"{name}_attention_conv")
    y = layers.Multiply(name=f"{name}_attention")([y, attention])
    y = _convolve(y, conv, width, 1, f"{name}_conv2")
    x = layers.Add(name=f"{name}_add1")([x, scale(y, f"{name}_beta", 0.0)])

    y = normalize(x, f"{name}_norm2")
    y = _convolve(y, conv, 2 * width, 1, f"{name}_conv3")
    y = SimpleGate(axis=channel_axis(), name=f"{name}_gate2")(y)
    y = _convolve(y, conv, width, 1, f"{name}_conv4")
    return layers.Add(name=f"{name}_add2")([x, scale(y, f"{name}_gamma", 0.0)])


def _initializer(mode="fan_in"):
    """The start of the published network, which is PyTorch's default."""
    return VarianceScaling(1 / 3, mode=mode, distribution="uniform")


def _convolve(x, conv, filters, kernel_size, name, **kwargs):
    return conv(
        filters, kernel_size, kernel_initializer=_initializer(), name=name, **kwargs
    )(x)


@keras.saving.register_keras_serializable(package="keras_wconv")
class SimpleGate(layers.Layer):
    """Multiplies the first half of the channels by the second.

    Args:
        axis: int, of the channels.

    Example:

    >>> import numpy as np
    >>> from keras_wconv.applications.nafnet import SimpleGate
    >>> SimpleGate()(np.ones((1, 8, 8, 6))).shape[-1]
    3
    """

    def __init__(self, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = axis

    def call(self, inputs: Tensor) -> Tensor:
        first, second = ops.split(inputs, 2, axis=self.axis)
        return ops.multiply(first, second)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis}


class _Resize(layers.Layer):
    """A layer that changes height and width, and has a factor and a data format."""

    def __init__(
        self, factor: int, data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.factor = factor
        self.data_format = data_format or keras.config.image_data_format()

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "factor": self.factor,
            "data_format": self.data_format,
        }


@keras.saving.register_keras_serializable(package="keras_wconv")
class PixelShuffle(_Resize):
    """Spreads `factor ** 2` channels over a square of pixels.

    Shi et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient
    Sub-Pixel Convolutional Neural Network", CVPR 2016, equation 4.

    Args:
        factor: int, by which height and width grow.
        data_format: `None`, `"channels_last"` or `"channels_first"`.

    Example:

    >>> import numpy as np
    >>> from keras_wconv.applications.nafnet import PixelShuffle
    >>> shuffle = PixelShuffle(2, data_format="channels_last")
    >>> shuffle(np.zeros((1, 3, 5, 8))).shape[1:] == (6, 10, 2)
    True
    """

    def call(self, inputs: Tensor) -> Tensor:
        r = self.factor
        if self.data_format == "channels_first":
            batch, channels, height, width = ops.shape(inputs)
            split = (batch, channels // r**2, r, r, height, width)
            merged = (batch, channels // r**2, height * r, width * r)
        else:
            batch, height, width, channels = ops.shape(inputs)
            split = (batch, height, width, channels // r**2, r, r)
            merged = (batch, height * r, width * r, channels // r**2)
        x = ops.transpose(ops.reshape(inputs, split), (0, 1, 4, 2, 5, 3))
        return ops.reshape(x, merged)


@keras.saving.register_keras_serializable(package="keras_wconv")
class PadToMultiple(_Resize):
    """Pads height and width with zeros, at their ends, to a multiple of `factor`.

    Args:
        factor: int, of which the sizes become multiples.
        data_format: `None`, `"channels_last"` or `"channels_first"`.

    Example:

    >>> import numpy as np
    >>> from keras_wconv.applications.nafnet import PadToMultiple
    >>> pad = PadToMultiple(4, data_format="channels_last")
    >>> pad(np.zeros((1, 5, 8, 3))).shape[1:] == (8, 8, 3)
    True
    """

    @property
    def _spatial(self):
        return (2, 3) if self.data_format == "channels_first" else (1, 2)

    def call(self, inputs: Tensor) -> Tensor:
        shape = ops.shape(inputs)
        padding = [(0, 0)] * 4
        for axis in self._spatial:
            padding[axis] = (0, -shape[axis] % self.factor)
        return ops.pad(inputs, padding)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        shape = list(input_shape)
        for axis in self._spatial:
            if shape[axis] is not None:
                shape[axis] += -shape[axis] % self.factor
        return tuple(shape)


@keras.saving.register_keras_serializable(package="keras_wconv")
class CropTo(layers.Layer):
    """Crops a tensor at the ends of its axes to the shape of another.

    Example:

    >>> import numpy as np
    >>> from keras_wconv.applications.nafnet import CropTo
    >>> CropTo()(np.zeros((1, 8, 8, 3)), np.zeros((1, 5, 8, 3))).shape[1:] == (5, 8, 3)
    True
    """

    def call(self, inputs: Tensor, reference: Tensor) -> Tensor:
        return inputs[tuple(slice(size) for size in ops.shape(reference))]

    def compute_output_shape(
        self, inputs_shape: Shape, reference_shape: Shape
    ) -> Shape:
        return reference_shape
