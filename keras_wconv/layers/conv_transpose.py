"""Weighted transposed convolutions in one, two and three dimensions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from .._types import Identifier, Sizes, Tensor
from ..densities import DensityLike
from .base import WeightedConvolution


class WeightedConvolutionTranspose(WeightedConvolution):
    """The family of transposed convolutions."""

    density_channel_axis = -2  # A kernel is `kernel_size + (filters, channels)`.

    if TYPE_CHECKING:  # At run time, each class has the signature of its Keras class.

        def __init__(
            self,
            filters: int,
            kernel_size: Sizes,
            strides: Sizes = 1,
            padding: str = "valid",
            *,  # The 3D layer of Keras has the next two in the other order.
            output_padding: Sizes | None = None,
            data_format: str | None = None,
            dilation_rate: Sizes = 1,
            activation: Identifier = None,
            use_bias: bool = True,
            kernel_initializer: Identifier = "glorot_uniform",
            bias_initializer: Identifier = "zeros",
            kernel_regularizer: Identifier = None,
            bias_regularizer: Identifier = None,
            activity_regularizer: Identifier = None,
            kernel_constraint: Identifier = None,
            bias_constraint: Identifier = None,
            density: DensityLike = None,
            normalize_density: bool | None = None,
            density_trainable: bool = False,
            density_per_channel: bool = False,
            density_regularizer: Identifier = None,
            density_constraint: Identifier = None,
            **kwargs: Any,
        ) -> None: ...

    def convolution_op(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        return ops.conv_transpose(
            inputs,
            kernel,
            strides=list(self.strides),
            padding=self.padding,
            output_padding=self.output_padding,
            dilation_rate=self.dilation_rate,
            data_format=self.data_format,
        )


@keras.saving.register_keras_serializable(package="keras_wconv")
class WeightedConv1DTranspose(
    WeightedConvolutionTranspose, keras.layers.Conv1DTranspose
):
    """1D transposed convolution whose kernel is multiplied by a spatial density.

    Example:

    >>> import numpy as np
    >>> from keras_wconv import WeightedConv1DTranspose
    >>> layer = WeightedConv1DTranspose(4, 3, strides=2, density=0.7)
    >>> layer(np.ones((2, 8, 3), "float32")).shape == (2, 17, 4)
    True

    Source: https://arxiv.org/abs/2505.24558; this family is an extension.
    """


@keras.saving.register_keras_serializable(package="keras_wconv")
class WeightedConv2DTranspose(
    WeightedConvolutionTranspose, keras.layers.Conv2DTranspose
):
    """2D transposed convolution whose kernel is multiplied by a spatial density.

    Example:

    >>> import numpy as np
    >>> from keras_wconv import WeightedConv2DTranspose
    >>> layer = WeightedConv2DTranspose(4, 4, strides=2, padding="same", density=0.7)
    >>> layer(np.ones((2, 8, 8, 3), "float32")).shape == (2, 16, 16, 4)
    True
    >>> layer.density_profiles[0].tolist()
    [0.7, 1.0, 1.0, 0.7]

    Source: https://arxiv.org/abs/2505.24558; this family is an extension.
    """


@keras.saving.register_keras_serializable(package="keras_wconv")
class WeightedConv3DTranspose(
    WeightedConvolutionTranspose, keras.layers.Conv3DTranspose
):
    """3D transposed convolution whose kernel is multiplied by a spatial density.

    Example:

    >>> import numpy as np
    >>> from keras_wconv import WeightedConv3DTranspose
    >>> layer = WeightedConv3DTranspose(2, 3, density=0.8)
    >>> layer(np.ones((1, 4, 4, 4, 2), "float32")).shape == (1, 6, 6, 6, 2)
    True

    Source: https://arxiv.org/abs/2505.24558; this family is an extension.
    """
