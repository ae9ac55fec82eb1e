"""Weighted depthwise convolutions in one and two dimensions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from .._types import Identifier, Sizes, Tensor
from ..densities import DensityLike
from .base import WeightedConvolution


class WeightedDepthwiseConvolution(WeightedConvolution):
    """The family of depthwise convolutions."""

    density_channel_axis = -2

    if TYPE_CHECKING:  # At run time, each class has the signature of its Keras class.

        def __init__(
            self,
            kernel_size: Sizes,
            strides: Sizes = 1,
            padding: str = "valid",
            depth_multiplier: int = 1,
            data_format: str | None = None,
            dilation_rate: Sizes = 1,
            activation: Identifier = None,
            use_bias: bool = True,
            depthwise_initializer: Identifier = "glorot_uniform",
            bias_initializer: Identifier = "zeros",
            depthwise_regularizer: Identifier = None,
            bias_regularizer: Identifier = None,
            activity_regularizer: Identifier = None,
            depthwise_constraint: Identifier = None,
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

    Example:

    >>> import numpy as np
    >>> from keras_wconv import WeightedDepthwiseConv2D
    >>> layer = WeightedDepthwiseConv2D((3, 5), density=[[0.7], [0.2, 0.8]])
    >>> layer(np.ones((2, 16, 16, 3), "float32")).shape == (2, 14, 12, 3)
    True

    Source: https://arxiv.org/abs/2505.24558; this family is an extension.
    """
