"""Weighted separable convolutions in one and two dimensions."""

import keras
from keras import ops

from .base import WeightedConvolution


class WeightedSeparableConvolution(WeightedConvolution):
    """What the separable family does with its depthwise kernel."""

    weighted_kernel = "depthwise_kernel"
    density_channel_axis = -2

    def convolution_op(self, inputs, kernel):
        return ops.separable_conv(
            inputs,
            kernel,
            self.pointwise_kernel,
            strides=self.strides,
            padding=self.padding,
            dilation_rate=self.dilation_rate,
            data_format=self.data_format,
        )


@keras.saving.register_keras_serializable(package="keras_wconv")
class WeightedSeparableConv1D(
    WeightedSeparableConvolution, keras.layers.SeparableConv1D
):
    """1D separable convolution whose depthwise kernel is multiplied by a density.

    The layer computes `y = activation(V * ((Φ · W) * x) + b)`, with the depthwise and
    the pointwise convolution of `keras.layers.SeparableConv1D`. The density Φ of
    shape `kernel_size` multiplies every channel of the depthwise kernel W,
    `kernel_size + (channels, depth_multiplier)`. The pointwise kernel V has one tap,
    its center, and nothing to weight.

    Input shape: `(batch, steps, channels)`. Output shape: `(batch, new_steps,
    filters)`. With `data_format="channels_first"` the channels come second.

    Raises:
        ValueError: If the density does not fit `kernel_size`, and as
            `keras.layers.SeparableConv1D` does.

    Example:

    >>> import numpy as np
    >>> from keras_wconv import WeightedSeparableConv1D
    >>> layer = WeightedSeparableConv1D(4, 3, density=0.7)
    >>> layer(np.ones((2, 16, 3), "float32")).shape == (2, 14, 4)
    True

    Source: https://arxiv.org/abs/2505.24558; this family is an extension.
    """


@keras.saving.register_keras_serializable(package="keras_wconv")
class WeightedSeparableConv2D(
    WeightedSeparableConvolution, keras.layers.SeparableConv2D
):
    """2D separable convolution whose depthwise kernel is multiplied by a density.

    The layer computes `y = activation(V * ((Φ · W) * x) + b)`, with the depthwise and
    the pointwise convolution of `keras.layers.SeparableConv2D`. The density Φ of
    shape `kernel_size` multiplies every channel of the depthwise kernel W,
    `kernel_size + (channels, depth_multiplier)`. The pointwise kernel V has one tap,
    its center, and nothing to weight.

    Input shape: `(batch, height, width, channels)`. Output shape: `(batch,
    new_height, new_width, filters)`. With `data_format="channels_first"` the channels
    come second.

    Raises:
        ValueError: If the density does not fit `kernel_size`, and as
            `keras.layers.SeparableConv2D` does.

    Example:

    >>> import numpy as np
    >>> from keras_wconv import WeightedSeparableConv2D
    >>> layer = WeightedSeparableConv2D(4, 3, density="gaussian")
    >>> layer(np.ones((2, 16, 16, 3), "float32")).shape == (2, 14, 14, 4)
    True

    Source: https://arxiv.org/abs/2505.24558; this family is an extension.
    """
