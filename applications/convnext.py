"""ConvNeXt: depthwise convolutions with large kernels.

Liu et al., "A ConvNet for the 2020s", CVPR 2022, https://arxiv.org/abs/2201.03545. The
small sizes, Atto to Nano: Woo et al., "ConvNeXt V2", CVPR 2023,
https://arxiv.org/abs/2301.00808, here with the blocks of the first paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

import keras
import numpy as np
from keras import layers
from keras.initializers import TruncatedNormal

from .._density_choice import ModelDensity
from .._types import DensityOptions, Identifier
from ._builder import (
    ClassifierArguments,
    Convolutions,
    Shape,
    Weights,
    check_levels,
    forwards_to,
    image_shape,
    make_model,
    normalize,
    obtain_input,
    pool,
    scale,
)


def ConvNeXt(
    depths: Sequence[int],
    widths: Sequence[int],
    kernel_size: int | tuple[int, int] = 7,
    patch_size: int = 4,
    drop_path_rate: float = 0.0,
    layer_scale: float = 1e-6,
    include_top: bool = True,
    weights: Weights = None,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: Shape | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Identifier = "softmax",
    name: str = "convnext",
    density: ModelDensity = None,
    **density_options: Unpack[DensityOptions],
) -> keras.Model:
    """Builds a ConvNeXt, with the weights of `keras.applications` in another form.

    Its inputs must be normalized: there is no preprocessing layer.

    Args:
        depths: ints, number of blocks of each stage.
        widths: ints, channels of each stage, as many as `depths`.
        kernel_size: int or tuple of ints, of the depthwise convolutions.
        patch_size: int, the side in pixels of the patches into which the stem divides
            the image. Smaller patches suit small images.
        drop_path_rate: float, rate of stochastic depth at the last block, to which it
            grows linearly.
        layer_scale: float, initial factor of each block's channels.
        include_top, input_tensor, input_shape, pooling, classes,
        classifier_activation, name: as in `keras.applications.ConvNeXtTiny`.
        weights: `None`, or the path of a file that this network saved.
        density: of the depthwise layers, see `keras_wconv.applications`; `None` for the
            standard network. The convolutions of the stem and between the stages, whose
            patches do not overlap, stay plain.
        **density_options: of the weighted layers, see `keras_wconv.applications`.
            `density_per_channel=True` learns one density for each channel.

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
    >>> from keras_wconv.densities import Gaussian
    >>> model = applications.ConvNeXt(
    ...     (1, 1),
    ...     (8, 16),
    ...     kernel_size=15,
    ...     input_shape=(32, 32, 3),
    ...     classes=10,
    ...     density=Gaussian(3.0),
    ... )
    >>> type(model.get_layer("stage1_block1_depthwise")).__name__
    'WeightedDepthwiseConv2D'
    """
    check_levels(depths=depths, widths=widths)
    inputs = obtain_input(
        input_tensor,
        input_shape,
        default_shape=image_shape((224, 224) if include_top else (None, None), 3),
        min_size=patch_size * 2 ** (len(depths) - 1),
    )
    conv = Convolutions(2, density, **density_options)
    rates = iter(np.linspace(0.0, drop_path_rate, sum(depths)).tolist())

    x = _convolve_patches(inputs, widths[0], patch_size, "stem")
    x = normalize(x, "stem_norm")
    for stage, (depth, width) in enumerate(zip(depths, widths, strict=True), start=1):
        if stage > 1:
            x = normalize(x, f"stage{stage}_down_norm")
            x = _convolve_patches(x, width, 2, f"stage{stage}_down")
        for i in range(1, depth + 1):
            block = f"stage{stage}_block{i}"
            x = _block(x, conv, width, kernel_size, layer_scale, next(rates), block)
    x = normalize(pool(x, "avg" if include_top else pooling), "norm")
    if include_top:
        x = layers.Dense(
            classes,
            activation=classifier_activation,
            kernel_initializer=_initializer(),
            name="predictions",
        )(x)
    return make_model(inputs, x, conv, weights, name)


class ConvNeXtArguments(ClassifierArguments, total=False):
    """Arguments of the builders of one ConvNeXt besides `name`."""

    classes: int
    kernel_size: int | tuple[int, int]
    patch_size: int
    drop_path_rate: float
    layer_scale: float


@forwards_to(ConvNeXt)
def ConvNeXtAtto(
    *, name: str = "convnext_atto", **kwargs: Unpack[ConvNeXtArguments]
) -> keras.Model:
    """Builds the ConvNeXt with 3.7 million weights: `ConvNeXt` has the arguments."""
    return ConvNeXt((2, 2, 6, 2), (40, 80, 160, 320), name=name, **kwargs)


@forwards_to(ConvNeXt)
def ConvNeXtFemto(
    *, name: str = "convnext_femto", **kwargs: Unpack[ConvNeXtArguments]
) -> keras.Model:
    """Builds the ConvNeXt with 5.2 million weights: `ConvNeXt` has the arguments."""
    return ConvNeXt((2, 2, 6, 2), (48, 96, 192, 384), name=name, **kwargs)


@forwards_to(ConvNeXt)
def ConvNeXtPico(
    *, name: str = "convnext_pico", **kwargs: Unpack[ConvNeXtArguments]
) -> keras.Model:
    """Builds the ConvNeXt with 9.0 million weights: `ConvNeXt` has the arguments."""
    return ConvNeXt((2, 2, 6, 2), (64, 128, 256, 512), name=name, **kwargs)


@forwards_to(ConvNeXt)
def ConvNeXtNano(
    *, name: str = "convnext_nano", **kwargs: Unpack[ConvNeXtArguments]
) -> keras.Model:
    """Builds the ConvNeXt with 15.6 million weights: `ConvNeXt` has the arguments."""
    return ConvNeXt((2, 2, 8, 2), (80, 160, 320, 640), name=name, **kwargs)


@forwards_to(ConvNeXt)
def ConvNeXtTiny(
    *, name: str = "convnext_tiny", **kwargs: Unpack[ConvNeXtArguments]
) -> keras.Model:
    """Builds the ConvNeXt with 28.6 million weights: `ConvNeXt` has the arguments."""
    return ConvNeXt((3, 3, 9, 3), (96, 192, 384, 768), name=name, **kwargs)


@forwards_to(ConvNeXt)
def ConvNeXtSmall(
    *, name: str = "convnext_small", **kwargs: Unpack[ConvNeXtArguments]
) -> keras.Model:
    """Builds the ConvNeXt with 50.2 million weights: `ConvNeXt` has the arguments."""
    return ConvNeXt((3, 3, 27, 3), (96, 192, 384, 768), name=name, **kwargs)


@forwards_to(ConvNeXt)
def ConvNeXtBase(
    *, name: str = "convnext_base", **kwargs: Unpack[ConvNeXtArguments]
) -> keras.Model:
    """Builds the ConvNeXt with 88.6 million weights: `ConvNeXt` has the arguments."""
    return ConvNeXt((3, 3, 27, 3), (128, 256, 512, 1024), name=name, **kwargs)


def _block(x, conv, width, kernel_size, layer_scale, drop_rate, name):
    y = conv.depthwise(
        kernel_size, depthwise_initializer=_initializer(), name=f"{name}_depthwise"
    )(x)
    y = normalize(y, f"{name}_norm")
    y = _convolve_patches(y, 4 * width, 1, f"{name}_expand")
    y = layers.Activation("gelu", name=f"{name}_gelu")(y)
    y = _convolve_patches(y, width, 1, f"{name}_project")
    y = scale(y, f"{name}_scale", layer_scale)
    if drop_rate:
        y = layers.Dropout(drop_rate, (None, 1, 1, 1), name=f"{name}_drop_path")(y)
    return layers.Add(name=f"{name}_add")([x, y])


def _convolve_patches(x, filters, size, name):
    return layers.Conv2D(
        filters, size, strides=size, kernel_initializer=_initializer(), name=name
    )(x)


def _initializer():
    """The start of the published network."""
    return TruncatedNormal(stddev=0.02)
