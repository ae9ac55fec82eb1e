"""The 1-D residual network that is the strong baseline of time series classification.

Wang, Yan and Oates, "Time Series Classification from Scratch with Deep Neural
Networks: A Strong Baseline", IJCNN 2017, https://arxiv.org/abs/1611.06455
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
    classify,
    image_shape,
    make_model,
    obtain_input,
)


def TimeSeriesResNet(
    filters: Sequence[int] = (64, 128, 128),
    kernel_sizes: Sequence[int] = (8, 5, 3),
    include_top: bool = True,
    weights: Weights = None,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: Shape | None = None,
    pooling: str | None = None,
    classes: int = 2,
    classifier_activation: Identifier = "softmax",
    name: str = "time_series_resnet",
    density: ModelDensity = None,
    **density_options: Unpack[DensityOptions],
) -> keras.Model:
    """Builds the 1-D ResNet for time series.

    Args:
        filters: ints, channels of each residual block.
        kernel_sizes: ints, of the convolutions of every block.
        include_top, input_tensor, input_shape, pooling, classes,
        classifier_activation, name: as in `keras.applications`, for time series. By
            default of any length and with one channel.
        weights: `None`, or the path of a file that this network saved.
        density: of the layers, see `keras_wconv.applications`; `None` for the standard
            network.
        **density_options: of the weighted layers, see `keras_wconv.applications`.

    Input shape:
        `(batch, steps, channels)`, or channels first if that is
        `keras.config.image_data_format()`.

    Output shape:
        `(batch, classes)`, or the features if `include_top` is `False`.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: If an argument does not suit the network.

    Example:

    >>> from keras_wconv import applications
    >>> model = applications.TimeSeriesResNet(
    ...     density={8: [0.2, 0.5, 0.8], 5: [0.2, 0.8], 3: [0.7]}
    ... )
    >>> model.get_layer("block1_conv1").density_profiles[0].tolist()
    [0.2, 0.5, 0.8, 1.0, 1.0, 0.8, 0.5, 0.2]
    """
    inputs = obtain_input(
        input_tensor, input_shape, default_shape=image_shape((None,), 1)
    )
    conv = Convolutions(1, density, **density_options)

    x = inputs
    for block, block_filters in enumerate(filters, start=1):
        y = x
        for i, kernel_size in enumerate(kernel_sizes, start=1):
            y = conv(block_filters, kernel_size, name=f"block{block}_conv{i}")(y)
            y = batch_norm(f"block{block}_bn{i}")(y)
            if i < len(kernel_sizes):
                y = layers.ReLU(name=f"block{block}_relu{i}")(y)
        if x.shape[channel_axis()] != block_filters:
            x = conv(block_filters, 1, name=f"block{block}_shortcut_conv")(x)
        x = batch_norm(f"block{block}_shortcut_bn")(x)
        x = layers.Add(name=f"block{block}_add")([x, y])
        x = layers.ReLU(name=f"block{block}_out")(x)
    x = classify(x, include_top, pooling, classes, classifier_activation)
    return make_model(inputs, x, conv, weights, name)
