"""Weighted separable convolutions in one and two dimensions."""

import keras
from keras import ops

from .base import WeightedConvolution


class WeightedSeparableConvolution(WeightedConvolution):
    """What the separable family does with its depthwise kernel."""

    weighted_kernel = "depthwise_kernel"

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

    The pointwise kernel has one tap, the centre, and nothing to weight.

    Shapes, arguments and errors are those of `keras.layers.SeparableConv1D`; a
    density that does not fit `kernel_size` raises a `ValueError`.

    Example:

    >>> import numpy as np
    >>> from keras_wconv import WeightedSeparableConv1D
    >>> layer = WeightedSeparableConv1D(4, 3, density=0.7)
    >>> layer(np.ones((2, 16, 3), "float32")).shape == (2, 14, 4)
    True

    Args: those of `keras.layers.SeparableConv1D`, and
    """


@keras.saving.register_keras_serializable(package="keras_wconv")
class WeightedSeparableConv2D(
    WeightedSeparableConvolution, keras.layers.SeparableConv2D
):
    """2D separable convolution whose depthwise kernel is multiplied by a density.

    The pointwise kernel has one tap, the centre, and nothing to weight.

    Shapes, arguments and errors are those of `keras.layers.SeparableConv2D`; a
    density that does not fit `kernel_size` raises a `ValueError`.

    Example:

    >>> import numpy as np
    >>> from keras_wconv import WeightedSeparableConv2D
    >>> layer = WeightedSeparableConv2D(4, 3, density="gaussian")
    >>> layer(np.ones((2, 16, 16, 3), "float32")).shape == (2, 14, 14, 4)
    True

    Args: those of `keras.layers.SeparableConv2D`, and
    """
