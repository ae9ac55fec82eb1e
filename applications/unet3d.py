"""3-D U-Net: a class for every voxel of a volume.

Çiçek et al., "3D U-Net: Learning Dense Volumetric Segmentation from Sparse
Annotation", MICCAI 2016, https://arxiv.org/abs/1606.06650
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

import keras
from keras import layers

from .._density_choice import ModelDensity
from .._types import DensityOptions, Identifier
from ._builder import (
    Convolutions,
    Shape,
    Weights,
    batch_norm,
    channel_axis,
    image_shape,
    make_model,
    obtain_input,
    over_channels,
)


def UNet3D(
    filters: Sequence[int] = (32, 64, 128, 256),
    weights: Weights = None,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: Shape | None = None,
    classes: int = 3,
    classifier_activation: Identifier = "softmax",
    name: str = "unet3d",
    density: ModelDensity = None,
    **density_options: Unpack[DensityOptions],
) -> keras.Model:
    """Builds the 3-D U-Net, padded so that the output has the size of the input.

    The paper does not pad and loses the border; the weights are the same.

    Args:
        filters: ints, channels of the first convolution of each level; the second
            doubles them.
        weights: `None`, or the path of a file that this network saved.
        input_tensor: optional Keras tensor to use as the volume.
        input_shape: optional shape without the batch axis. By default volumes of any
            size with three channels. Sizes are multiples of 8 (of 2 for each level
            below the first).
        classes: int, number of classes of a voxel.
        classifier_activation: activation of the output. `None` gives the logits.
        name: str, of the model.
        density: of the layers, see `keras_wconv.applications`; `None` for the standard
            network. The 2x2x2 up-convolutions, which have no coefficients, stay plain.
        **density_options: of the weighted layers, see `keras_wconv.applications`.

    Input shape:
        `(batch, depth, height, width, channels)`, or channels first if that is
        `keras.config.image_data_format()`.

    Output shape:
        The input's, with `classes` channels.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: If an argument does not suit the network.

    Example:

    >>> from keras_wconv import applications
    >>> model = applications.UNet3D(filters=(4, 8), density=[0.8])
    >>> model.output_shape
    (None, None, None, None, 3)
    """
    inputs = obtain_input(
        input_tensor,
        input_shape,
        default_shape=image_shape((None, None, None), 3),
        multiple=2 ** (len(filters) - 1),
    )
    conv = Convolutions(3, density, **density_options)

    def convolve_twice(x, first, second, name):
        for i, channels in ((1, first), (2, second)):
            x = conv(channels, 3, name=f"{name}_conv{i}")(x)
            x = batch_norm(f"{name}_bn{i}")(x)
            x = layers.ReLU(name=f"{name}_relu{i}")(x)
        return x

    x = inputs
    skips = []
    for level, channels in enumerate(filters, start=1):
        if level > 1:
            skips.append(x)
            x = layers.MaxPooling3D(2, name=f"encoder{level}_pool")(x)
        x = convolve_twice(x, channels, 2 * channels, f"encoder{level}")
    for level in range(len(skips), 0, -1):
        skip = skips.pop()
        channels = 2 * filters[level - 1]
        x = layers.Conv3DTranspose(
            x.shape[channel_axis()], 2, strides=2, name=f"decoder{level}_up"
        )(x)
        x = layers.Concatenate(axis=channel_axis(), name=f"decoder{level}_skip")(
            [skip, x]
        )
        x = convolve_twice(x, channels, channels, f"decoder{level}")
    x = conv(classes, 1, name="logits")(x)
    # Softmax, and what is like it, acts on the last axis.
    predict = layers.Activation(classifier_activation, name="predictions")
    return make_model(inputs, over_channels(predict, x), conv, weights, name)
