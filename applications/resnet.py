"""ResNet: convolutions that learn what to add to their input.

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016,
https://arxiv.org/abs/1512.03385. A bottleneck strides in its 3x3 convolution and no
convolution has a bias, as in the usual implementations after the paper (`v1.5`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Unpack

import keras
from keras import layers
from keras.applications.imagenet_utils import preprocess_input as _preprocess_input

from .._density_choice import ModelDensity
from .._types import DensityOptions, Identifier, Sizes, Tensor
from ._builder import (
    ClassifierArguments,
    Convolutions,
    Shape,
    Weights,
    batch_norm,
    channel_axis,
    check_levels,
    classify,
    forwards_to,
    image_shape,
    make_model,
    obtain_input,
)


def ResNet(
    blocks: Sequence[int],
    filters: Sequence[int] = (64, 128, 256, 512),
    bottleneck: bool = False,
    stem: str = "imagenet",
    shortcut: str = "projection",
    include_top: bool = True,
    weights: Weights = None,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: Shape | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Identifier = "softmax",
    name: str = "resnet",
    density: ModelDensity = None,
    **density_options: Unpack[DensityOptions],
) -> keras.Model:
    """Builds a ResNet for images.

    Args:
        blocks: ints, number of residual blocks of each stage. Every stage but the
            first halves the image.
        filters: ints, channels of each stage (a bottleneck puts out four times that),
            as many as `blocks`.
        bottleneck: bool, for blocks of 1x1, 3x3 and 1x1 convolutions; otherwise they
            are of two 3x3 convolutions.
        stem: `"imagenet"` for a 7x7 convolution and a pooling, both with strides of
            2; `"cifar"` for a 3x3 convolution.
        shortcut: where a block changes the shape, `"projection"` for a 1x1
            convolution, `"padding"` for subsampling and channels of zeros, which has
            no weights (option A of the paper).
        include_top, input_tensor, input_shape, pooling, classes,
        classifier_activation, name: as in `keras.applications.ResNet50`.
        weights: `None`, or the path of a file that this network saved.
        density: of the layers, see `keras_wconv.applications`; `None` for the standard
            network.
        **density_options: of the weighted layers, see `keras_wconv.applications`.

    Input shape:
        `(batch, height, width, channels)`, or channels first if that is
        `keras.config.image_data_format()`.

    Output shape:
        `(batch, classes)`, or the features if `include_top` is `False`.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: If an argument does not suit the network.

    Example:

    >>> from keras_wconv import applications
    >>> model = applications.ResNet20(density=0.7, classes=100)
    >>> model.output_shape
    (None, 100)
    >>> type(model.get_layer("conv2_block1_1_conv")).__name__
    'WeightedConv2D'
    """
    if stem not in ("imagenet", "cifar"):
        raise ValueError(f'`stem` must be "imagenet" or "cifar". Received: {stem!r}')
    if shortcut not in ("projection", "padding"):
        raise ValueError(
            f'`shortcut` must be "projection" or "padding". Received: {shortcut!r}'
        )
    check_levels(blocks=blocks, filters=filters)
    if shortcut == "padding" and list(filters) != sorted(filters):
        raise ValueError(
            '`filters` must not decrease with shortcut="padding", which only adds '
            f'channels. Use shortcut="projection". Received: filters={filters}'
        )
    size, stem_strides = (224, 4) if stem == "imagenet" else (32, 1)
    inputs = obtain_input(
        input_tensor,
        input_shape,
        default_shape=image_shape((size, size) if include_top else (None, None), 3),
        min_size=stem_strides * 2 ** (len(blocks) - 1),
    )
    conv = Convolutions(2, density, **density_options)

    if stem == "imagenet":
        x = convolve(inputs, conv, filters[0], 7, "conv1", strides=2)
        x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
        x = layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)
    else:
        x = convolve(inputs, conv, filters[0], 3, "conv1")
    x = residual_stages(
        x,
        conv,
        blocks,
        filters,
        bottleneck_block if bottleneck else basic_block,
        project if shortcut == "projection" else subsample_and_pad,
    )
    x = classify(x, include_top, pooling, classes, classifier_activation)
    return make_model(inputs, x, conv, weights, name)


def residual_stages(
    x: Tensor,
    conv: Convolutions,
    blocks: Sequence[int],
    filters: Sequence[int],
    block: Callable[..., Tensor],
    shortcut: Callable[..., Tensor],
) -> Tensor:
    """Applies the blocks of all stages; `shortcut` is for changes of the shape."""
    for stage, (repeats, stage_filters) in enumerate(
        zip(blocks, filters, strict=True), start=2
    ):
        for i in range(1, repeats + 1):
            name = f"conv{stage}_block{i}"
            strides = 2 if i == 1 and stage > 2 else 1
            y = block(x, conv, stage_filters, strides, name)
            channels = y.shape[channel_axis()]
            if strides > 1 or x.shape[channel_axis()] != channels:
                x = shortcut(x, conv, channels, strides, f"{name}_0")
            x = layers.Add(name=f"{name}_add")([x, y])
            x = layers.ReLU(name=f"{name}_out")(x)
    return x


def basic_block(
    x: Tensor, conv: Convolutions, filters: int, strides: int, name: str
) -> Tensor:
    x = convolve(x, conv, filters, 3, f"{name}_1", strides)
    return convolve(x, conv, filters, 3, f"{name}_2", relu=False)


def bottleneck_block(
    x: Tensor, conv: Convolutions, filters: int, strides: int, name: str
) -> Tensor:
    x = convolve(x, conv, filters, 1, f"{name}_1")
    x = convolve(x, conv, filters, 3, f"{name}_2", strides)
    return convolve(x, conv, 4 * filters, 1, f"{name}_3", relu=False)


def project(
    x: Tensor, conv: Convolutions, channels: int, strides: int, name: str
) -> Tensor:
    return convolve(x, conv, channels, 1, name, strides, relu=False)


def subsample_and_pad(
    x: Tensor, conv: Convolutions, channels: int, strides: int, name: str
) -> Tensor:
    x = layers.MaxPooling2D(1, strides=strides, name=f"{name}_pool")(x)
    before = (channels - x.shape[channel_axis()]) // 2
    after = channels - x.shape[channel_axis()] - before
    # Keras pads the two axes that it takes for spatial. Told the other data format,
    # it takes the channels for one.
    if channel_axis() == 1:
        padding, data_format = ((before, after), (0, 0)), "channels_last"
    else:
        padding, data_format = ((0, 0), (before, after)), "channels_first"
    return layers.ZeroPadding2D(padding, data_format, name=f"{name}_pad")(x)


def convolve(
    x: Tensor,
    conv: Convolutions,
    filters: int,
    kernel_size: Sizes,
    name: str,
    strides: int = 1,
    relu: bool = True,
) -> Tensor:
    """Convolves, normalizes and, if `relu`, rectifies."""
    padding = "same"
    if strides != 1 and kernel_size != 1:
        # The published networks pad both ends; "same" pads an even size at one.
        padding = "valid"
        margins = tuple(size // 2 for size in conv.sizes(kernel_size))
        pad = getattr(layers, f"ZeroPadding{conv.rank}D")
        x = pad(margins, name=f"{name}_pad")(x)
    x = conv(
        filters,
        kernel_size,
        strides=strides,
        padding=padding,
        use_bias=False,
        name=f"{name}_conv",
    )(x)
    x = batch_norm(f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x) if relu else x


def preprocess_input(x: Tensor, data_format: str | None = None) -> Tensor:
    """Scales pixels from [0, 255] by the ImageNet mean and standard deviation.

    Args:
        x: array or tensor of RGB images.
        data_format: `None`, `"channels_last"` or `"channels_first"`.

    Example:

    >>> import numpy as np
    >>> from keras_wconv.applications.resnet import preprocess_input
    >>> preprocess_input(np.zeros((1, 2, 2, 3)))[0, 0, 0].round(3).tolist()
    [-2.118, -2.036, -1.804]
    """
    return _preprocess_input(x, data_format=data_format, mode="torch")


class ResNetArguments(ClassifierArguments, total=False):
    """Arguments of the builders of one ResNet besides `name`."""

    classes: int
    filters: Sequence[int]
    stem: str
    shortcut: str


@forwards_to(ResNet)
def ResNet18(
    *, name: str = "resnet18", **kwargs: Unpack[ResNetArguments]
) -> keras.Model:
    """Builds the ResNet of 18 layers for ImageNet: `ResNet` has the arguments."""
    return ResNet((2, 2, 2, 2), name=name, **kwargs)


@forwards_to(ResNet)
def ResNet34(
    *, name: str = "resnet34", **kwargs: Unpack[ResNetArguments]
) -> keras.Model:
    """Builds the ResNet of 34 layers for ImageNet: `ResNet` has the arguments."""
    return ResNet((3, 4, 6, 3), name=name, **kwargs)


@forwards_to(ResNet)
def ResNet50(
    *, name: str = "resnet50", **kwargs: Unpack[ResNetArguments]
) -> keras.Model:
    """Builds the ResNet of 50 layers for ImageNet: `ResNet` has the arguments."""
    return ResNet((3, 4, 6, 3), bottleneck=True, name=name, **kwargs)


@forwards_to(ResNet)
def ResNet101(
    *, name: str = "resnet101", **kwargs: Unpack[ResNetArguments]
) -> keras.Model:
    """Builds the ResNet of 101 layers for ImageNet: `ResNet` has the arguments."""
    return ResNet((3, 4, 23, 3), bottleneck=True, name=name, **kwargs)


@forwards_to(ResNet)
def ResNet152(
    *, name: str = "resnet152", **kwargs: Unpack[ResNetArguments]
) -> keras.Model:
    """Builds the ResNet of 152 layers for ImageNet: `ResNet` has the arguments."""
    return ResNet((3, 8, 36, 3), bottleneck=True, name=name, **kwargs)


@forwards_to(ResNet)
def ResNet20(
    *, name: str = "resnet20", classes: int = 10, **kwargs: Unpack[ClassifierArguments]
) -> keras.Model:
    """Builds the ResNet of 20 layers for CIFAR: `ResNet` has the arguments."""
    return _cifar_resnet(3, classes=classes, name=name, **kwargs)


@forwards_to(ResNet)
def ResNet32(
    *, name: str = "resnet32", classes: int = 10, **kwargs: Unpack[ClassifierArguments]
) -> keras.Model:
    """Builds the ResNet of 32 layers for CIFAR: `ResNet` has the arguments."""
    return _cifar_resnet(5, classes=classes, name=name, **kwargs)


@forwards_to(ResNet)
def ResNet44(
    *, name: str = "resnet44", classes: int = 10, **kwargs: Unpack[ClassifierArguments]
) -> keras.Model:
    """Builds the ResNet of 44 layers for CIFAR: `ResNet` has the arguments."""
    return _cifar_resnet(7, classes=classes, name=name, **kwargs)


@forwards_to(ResNet)
def ResNet56(
    *, name: str = "resnet56", classes: int = 10, **kwargs: Unpack[ClassifierArguments]
) -> keras.Model:
    """Builds the ResNet of 56 layers for CIFAR: `ResNet` has the arguments."""
    return _cifar_resnet(9, classes=classes, name=name, **kwargs)


def _cifar_resnet(blocks: int, **kwargs: Any) -> keras.Model:
    return ResNet(
        (blocks,) * 3,
        filters=(16, 32, 64),
        stem="cifar",
        shortcut="padding",
        **kwargs,
    )
