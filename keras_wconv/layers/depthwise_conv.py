"""Weighted depthwise convolutions in one and two dimensions."""

import keras
from keras import ops

from .base import WeightedConvolution


class WeightedDepthwiseConvolution(WeightedConvolution):
    """What the depthwise family does with a kernel."""

    density_channel_axis = -2

    def convolution_op(self, inputs, kernel):
        return ops.depthwise_conv(
            inputs,
            kernel,
            strides=self.strides,
            padding=self.padding,
            dilation_rate=self.dilation_rate,
            data_format=self.data_format,
        )


@keras.saving.register_keras_serializable(package="keras_wconv")
class WeightedDepthwiseConv1D(
    WeightedDepthwiseConvolution, keras.layers.DepthwiseConv1D
):
    """1D depthwise convolution whose kernel is multiplied by a spatial density.

    The layer computes `y = activation((Φ · W) * x + b)`, where `*` is the depthwise
    convolution of `keras.layers.DepthwiseConv1D` and the density Φ of shape
    `kernel_size` multiplies every channel of the kernel W, `kernel_size + (channels,
    depth_multiplier)`.

    Input shape: `(batch, steps, channels)`. Output shape: `(batch, new_steps,
    channels * depth_multiplier)`. With `data_format="channels_first"` the channels
    come second.

    Raises:
        ValueError: If the density does not fit `kernel_size`, and as
            `keras.layers.DepthwiseConv1D` does.

    Example:

    >>> import numpy as np
    >>> from keras_wconv import WeightedDepthwiseConv1D
    >>> layer = WeightedDepthwiseConv1D(3, depth_multiplier=2, density=0.7)
    >>> layer(np.ones((2, 16, 3), "float32")).shape == (2, 14, 6)
    True

    Source: https://arxiv.org/abs/2505.24558; this family is an extension.
    """


@keras.saving.register_keras_serializable(package="keras_wconv")
class WeightedDepthwiseConv2D(
    WeightedDepthwiseConvolution, keras.layers.DepthwiseConv2D
):
    """2D depthwise convolution whose kernel is multiplied by a spatial density.

    The layer computes `y = activation((Φ · W) * x + b)`, where `*` is the depthwise
    convolution of `keras.layers.DepthwiseConv2D` and the density Φ of shape
    `kernel_size` multiplies every channel of the kernel W, `kernel_size + (channels,
    depth_multiplier)`.

    Input shape: `(batch, height, width, channels)`. Output shape: `(batch,
    new_height, new_width, channels * depth_multiplier)`. With
    `data_format="channels_first"` the channels come second.

    Raises:
        ValueError: If the density does not fit `kernel_size`, and as
            `keras.layers.DepthwiseConv2D` does.

    Example:

    >>> import numpy as np
    >>> from keras_wconv import WeightedDepthwiseConv2D
    >>> layer = WeightedDepthwiseConv2D((3, 5), density=[[0.7], [0.2, 0.8]])
    >>> layer(np.ones((2, 16, 16, 3), "float32")).shape == (2, 14, 12, 3)
    True

    Source: https://arxiv.org/abs/2505.24558; this family is an extension.
    """
