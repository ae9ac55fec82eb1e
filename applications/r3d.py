"""R3D: residual networks with convolutions in space and time.

Tran et al., "A Closer Look at Spatiotemporal Convolutions for Action Recognition",
CVPR 2018, https://arxiv.org/abs/1711.11248
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

import keras

from .._density_choice import ModelDensity
from .._types import DensityOptions, Identifier
from ._builder import (
    ClassifierArguments,
    Convolutions,
    Shape,
    Weights,
    check_levels,
    classify,
    forwards_to,
    image_shape,
    make_model,
    obtain_input,
)
from .resnet import basic_block, convolve, project, residual_stages


def R3D(
    blocks: Sequence[int],
    filters: Sequence[int] = (64, 128, 256, 512),
    include_top: bool = True,
    weights: Weights = None,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: Shape | None = None,
    pooling: str | None = None,
    classes: int = 400,
    classifier_activation: Identifier = "softmax",
    name: str = "r3d",
    density: ModelDensity = None,
    **density_options: Unpack[DensityOptions],
) -> keras.Model:
    """Builds a ResNet for videos, with convolutions in space and time.

    Its first kernel is 3x7x7, along time, height and width; all others are 3x3x3.

    Args:
        blocks: ints, number of residual blocks of each stage. Every stage but the
            first halves the video along its three axes.
        filters: ints, channels of each stage, as many as `blocks`.
        include_top, input_tensor, input_shape, pooling, classes,
        classifier_activation, name: as in `keras.applications.ResNet50`, for videos.
            By default of 16 pictures of 112x112 pixels with the top, of any size
            without. 400 classes are those of Kinetics.
        weights: `None`, or the path of a file that this network saved.
        density: of the layers, see `keras_wconv.applications`; `None` for the standard
            network.
        **density_options: of the weighted layers, see `keras_wconv.applications`.

    Input shape:
        `(batch, time, height, width, channels)`, or channels first if that is
        `keras.config.image_data_format()`.

    Output shape:
        `(batch, classes)`, or the features if `include_top` is `False`.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: If an argument does not suit the network.

    Example:

    >>> from keras_wconv import applications
    >>> model = applications.R3D(
    ...     blocks=(1, 1),
    ...     filters=(4, 8),
    ...     density={3: [0.8], (3, 7, 7): [[0.8], [0.2, 0.4, 0.8], [0.2, 0.4, 0.8]]},
    ... )
    >>> model.get_layer("conv1_conv").density_map.shape
    (3, 7, 7)
    """
    check_levels(blocks=blocks, filters=filters)
    inputs = obtain_input(
        input_tensor,
        input_shape,
        default_shape=image_shape((16, 112, 112) if include_top else (None,) * 3, 3),
    )
    conv = Convolutions(3, density, **density_options)
    x = convolve(inputs, conv, filters[0], (3, 7, 7), "conv1", strides=(1, 2, 2))
    x = residual_stages(x, conv, blocks, filters, basic_block, project)
    x = classify(x, include_top, pooling, classes, classifier_activation)
    return make_model(inputs, x, conv, weights, name)


class R3DArguments(ClassifierArguments, total=False):
    """Arguments of the builders of one R3D besides `name`."""

    classes: int
    filters: Sequence[int]


@forwards_to(R3D)
def R3D18(*, name: str = "r3d18", **kwargs: Unpack[R3DArguments]) -> keras.Model:
    """Builds the R3D of 18 layers, known as `r3d_18`: `R3D` has the arguments."""
    return R3D((2, 2, 2, 2), name=name, **kwargs)
