"""Weighted separable convolutions in one and two dimensions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from .._types import Identifier, Sizes, Tensor
from ..densities import DensityLike
from .base import WeightedConvolution


class WeightedSeparableConvolution(WeightedConvolution):
    """The family of separable convolutions."""

    weighted_kernel = "depthwise_kernel"
    density_channel_axis = -2

    if TYPE_CHECKING:  # At run time, each class has the signature of its Keras class.

        def __init__(
            self,
            filters: int,
            kernel_size: Sizes,
            strides: Sizes = 1,
            padding: str = "valid",
            data_format: str | None = None,
            dilation_rate: Sizes = 1,
            depth_multiplier: int = 1,
            activation: Identifier = None,
            use_bias: bool = True,
            depthwise_initializer: Identifier = "glorot_uniform",
            pointwise_initializer: Identifier = "glorot_uniform",
            bias_initializer: Identifier = "zeros",
            depthwise_regularizer: Identifier = None,
            pointwise_regularizer: Identifier = None,
            bias_regularizer: Identifier = None,
            activity_regularizer: Identifier = None,
            depthwise_constraint: Identifier = None,
            pointwise_constraint: Identifier = None,
            bias_constraint: Identifier = None,
            *,
            density: DensityLike = None,
            normalize_density: bool | None = None,
            density_trainable: bool = False,
            density_per_channel: bool = False,
            density_regularizer: Identifier = None,
            density_constraint: Identifier = None,
            **kwargs: Any,
        ) -> None: ...

    def convolution_op(self, inputs: Tensor, kernel: Tensor) -> Tensor:
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

    The pointwise kernel has one tap, its center, and nothing to weight.

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

    The pointwise kernel has one tap, its center, and nothing to weight.

    Example:

    >>> import numpy as np
    >>> from keras_wconv import WeightedSeparableConv2D
    >>> layer = WeightedSeparableConv2D(4, 3, density="gaussian")
    >>> layer(np.ones((2, 16, 16, 3), "float32")).shape == (2, 14, 14, 4)
    True

    Source: https://arxiv.org/abs/2505.24558; this family is an extension.
    """
