"""VGG: stacks of 3x3 convolutions and a fully connected classifier.

Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
Recognition", ICLR 2015, https://arxiv.org/abs/1409.1556
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

import keras
from keras import layers
from keras.applications.vgg16 import preprocess_input

from .._density_choice import ModelDensity
from .._types import DensityOptions, Identifier
from ._builder import (
    ClassifierArguments,
    Convolutions,
    Shape,
    Weights,
    batch_norm,
    check_levels,
    forwards_to,
    image_shape,
    make_model,
    obtain_input,
    pool,
)

__all__ = ["VGG", "VGG11", "VGG13", "VGG16", "VGG19", "preprocess_input"]


def VGG(
    convolutions: Sequence[int],
    filters: Sequence[int] = (64, 128, 256, 512, 512),
    batch_normalization: bool = False,
    hidden_units: Sequence[int] = (4096, 4096),
    dropout: float = 0.0,
    include_top: bool = True,
    weights: Weights = None,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: Shape | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Identifier = "softmax",
    name: str = "vgg",
    density: ModelDensity = None,
    **density_options: Unpack[DensityOptions],
) -> keras.Model:
    """Builds a VGG, with the layer names and the weights of `keras.applications`.

    Args:
        convolutions: ints, number of convolutions of each block.
        filters: ints, channels of each block, as many as `convolutions`.
        batch_normalization: bool, whether each convolution is followed by one.
        hidden_units: ints, of the layers before the classifier. On 32x32 images,
            `()` gives the usual CIFAR network with one linear layer.
        dropout: float, rate after each hidden layer. The paper trained with 0.5.
        include_top, input_tensor, input_shape, pooling, classes,
        classifier_activation, name: as in `keras.applications.VGG16`. The input can be
            of any size from 32, and any fixed one with `include_top`.
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
    >>> model = applications.VGG16(
    ...     density={3: [0.7]},
    ...     batch_normalization=True,
    ...     hidden_units=(),
    ...     input_shape=(32, 32, 3),
    ...     classes=10,
    ... )
    >>> model.get_layer("block1_conv1").density_profiles[0].tolist()
    [0.7, 1.0, 0.7]
    """
    check_levels(convolutions=convolutions, filters=filters)
    inputs = obtain_input(
        input_tensor,
        input_shape,
        default_shape=image_shape((224, 224) if include_top else (None, None), 3),
        min_size=2 ** len(convolutions),
        static=include_top,
    )
    conv = Convolutions(2, density, **density_options)

    x = inputs
    for block, (repeats, block_filters) in enumerate(
        zip(convolutions, filters, strict=True), start=1
    ):
        for i in range(1, repeats + 1):
            conv_name = f"block{block}_conv{i}"
            if batch_normalization:
                x = conv(block_filters, 3, name=conv_name)(x)
                x = batch_norm(f"block{block}_bn{i}")(x)
                x = layers.ReLU(name=f"block{block}_relu{i}")(x)
            else:
                x = conv(block_filters, 3, activation="relu", name=conv_name)(x)
        x = layers.MaxPooling2D(2, strides=2, name=f"block{block}_pool")(x)

    if include_top:
        x = layers.Flatten(name="flatten")(x)
        for i, units in enumerate(hidden_units, start=1):
            x = layers.Dense(units, activation="relu", name=f"fc{i}")(x)
            if dropout:
                x = layers.Dropout(dropout, name=f"fc{i}_dropout")(x)
        x = layers.Dense(classes, activation=classifier_activation, name="predictions")(
            x
        )
    else:
        x = pool(x, pooling)
    return make_model(inputs, x, conv, weights, name)


class VGGArguments(ClassifierArguments, total=False):
    """Arguments of the builders of one VGG besides `name`."""

    classes: int
    filters: Sequence[int]
    batch_normalization: bool
    hidden_units: Sequence[int]
    dropout: float


@forwards_to(VGG)
def VGG11(*, name: str = "vgg11", **kwargs: Unpack[VGGArguments]) -> keras.Model:
    """Builds the VGG with 11 layers with weights: `VGG` has the arguments."""
    return VGG((1, 1, 2, 2, 2), name=name, **kwargs)


@forwards_to(VGG)
def VGG13(*, name: str = "vgg13", **kwargs: Unpack[VGGArguments]) -> keras.Model:
    """Builds the VGG with 13 layers with weights: `VGG` has the arguments."""
    return VGG((2, 2, 2, 2, 2), name=name, **kwargs)


@forwards_to(VGG)
def VGG16(*, name: str = "vgg16", **kwargs: Unpack[VGGArguments]) -> keras.Model:
    """Builds the VGG with 16 layers with weights: `VGG` has the arguments."""
    return VGG((2, 2, 3, 3, 3), name=name, **kwargs)


@forwards_to(VGG)
def VGG19(*, name: str = "vgg19", **kwargs: Unpack[VGGArguments]) -> keras.Model:
    """Builds the VGG with 19 layers with weights: `VGG` has the arguments."""
    return VGG((2, 2, 4, 4, 4), name=name, **kwargs)
