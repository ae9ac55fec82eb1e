"""Weighted convolutions in one, two and three dimensions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from .._types import Identifier, Sizes, Tensor
from ..densities import DensityLike
from .base import WeightedConvolution


class WeightedDenseConvolution(WeightedConvolution):
    """The family of convolutions whose kernels connect all channels of a group."""

    if TYPE_CHECKING:  # At run time, each class has the signature of its Keras class.

        def __init__(
            self,
            filters: int,
            kernel_size: Sizes,
            strides: Sizes = 1,
            padding: str = "valid",
            data_format: str | None = None,
            dilation_rate: Sizes = 1,
            groups: int = 1,
            activation: Identifier = None,
            use_bias: bool = True,
            kernel_initializer: Identifier = "glorot_uniform",
            bias_initializer: Identifier = "zeros",
            kernel_regularizer: Identifier = None,
            bias_regularizer: Identifier = None,
            activity_regularizer: Identifier = None,
            kernel_constraint: Identifier = None,
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


@keras.saving.register_keras_serializable(package="keras_wconv")
class WeightedConv1D(WeightedDenseConvolution, keras.layers.Conv1D):
    """1D convolution whose kernel is multiplied by a spatial density.

    With `padding="causal"` the reference sample is the last tap, and the profile has
    one side: `kernel_size - 1` coefficients, oldest sample first, then 1.

    Example:

    >>> import numpy as np
    >>> from keras_wconv import WeightedConv1D
    >>> layer = WeightedConv1D(4, 3, padding="causal", density=[0.25, 0.5])
    >>> layer(np.ones((2, 16, 1), "float32")).shape == (2, 16, 4)
    True
    >>> layer.density_map.tolist()
    [0.25, 0.5, 1.0]

    Source: https://arxiv.org/abs/2505.24558; causal profiles are an extension.
    """

    def convolution_op(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        padding = self.padding
        if padding == "causal":
            past = self.dilation_rate[0] * (self.kernel_size[0] - 1)
            steps = -2 if self.data_format == "channels_last" else -1
            pad_width = [[0, 0], [0, 0], [0, 0]]
            pad_width[steps] = [past, 0]
            inputs, padding = ops.pad(inputs, pad_width), "valid"
        return ops.conv(
            inputs,
            kernel,
            strides=list(self.strides),
            padding=padding,
            dilation_rate=self.dilation_rate,
            data_format=self.data_format,
        )


@keras.saving.register_keras_serializable(package="keras_wconv")
class WeightedConv2D(WeightedDenseConvolution, keras.layers.Conv2D):
    """2D convolution whose kernel is multiplied by a spatial density.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> from keras_wconv import WeightedConv2D
    >>> model = keras.Sequential([WeightedConv2D(8, 5, density=[0.2, 0.8])])
    >>> model(np.ones((2, 16, 16, 3), "float32")).shape == (2, 12, 12, 8)
    True
    >>> model.count_params() == 5 * 5 * 3 * 8 + 8
    True
    >>> model.layers[0].density_profiles[0].tolist()
    [0.2, 0.8, 1.0, 0.8, 0.2]

    Source: https://arxiv.org/abs/2505.24558.
    """


@keras.saving.register_keras_serializable(package="keras_wconv")
class WeightedConv3D(WeightedDenseConvolution, keras.layers.Conv3D):
    """3D convolution whose kernel is multiplied by a spatial density.

    Example:

    >>> import numpy as np
    >>> from keras_wconv import WeightedConv3D
    >>> layer = WeightedConv3D(4, 3, padding="same", density=0.8)
    >>> layer(np.ones((1, 6, 6, 6, 2), "float32")).shape == (1, 6, 6, 6, 4)
    True
    >>> layer.density_map[0, 0].round(3).tolist()
    [0.512, 0.64, 0.512]

    Source: https://arxiv.org/abs/2505.24558.
    """
