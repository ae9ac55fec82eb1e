"""A price on the size of kernels whose density is learned."""

from __future__ import annotations

import math
import numbers
from typing import Any

import keras
from keras import ops

from ._types import Tensor


@keras.saving.register_keras_serializable(package="keras_wconv")
class KernelSize(keras.regularizers.Regularizer):
    """A regularizer that charges the effective number of taps of a density.

    It is for the `density_regularizer` of a layer whose density is learned, and adds
    `strength * (sum |Φ|)² / sum Φ²` to the loss, the mean over the channels where they
    have densities of their own. The fraction is the number of taps where Φ is the same
    on all that are not 0, and a smooth count of them elsewhere: a Gaussian on a long
    axis counts `3.54 sigma` taps. A common factor of Φ changes nothing, so that it is
    the same with and without normalization.

    Unlike Keras's regularizers it is given the map Φ, whatever the density is made of,
    and not the weights. A subclass that counts in another way is given the map, too.

    Args:
        strength: the price of one tap, in units of the loss.

    Raises:
        ValueError: If `strength` is negative or not finite.

    Example:

    >>> import numpy as np
    >>> import keras_wconv
    >>> price = keras_wconv.regularizers.KernelSize(0.1)
    >>> two_of_five_taps = np.reshape([0.0, 3.0, 0.0, 3.0, 0.0], (5, 1, 1))
    >>> round(float(price(two_of_five_taps)), 6)
    0.2
    >>> layer = keras_wconv.WeightedConv1D(
    ...     8, 15, density="gaussian", density_trainable=True,
    ...     density_regularizer=price)
    >>> layer.build((None, None, 1))
    >>> len(layer.losses)
    1
    """

    def __init__(self, strength: float = 1e-3) -> None:
        is_number = isinstance(strength, numbers.Real)
        if not (is_number and math.isfinite(strength) and strength >= 0):
            raise ValueError(
                "`strength` must be the price of one tap, a finite number that is not "
                f"negative. Received: strength={strength!r}"
            )
        self.strength = float(strength)

    def __call__(self, phi: Tensor) -> Tensor:
        """Returns the price of a map.

        Args:
            phi: tensor of shape `kernel_size + (channels, filters)`, either of which
                may be 1.
        """
        spatial = tuple(range(len(phi.shape) - 2))
        total = ops.sum(ops.absolute(phi), axis=spatial)
        squares = ops.sum(ops.square(phi), axis=spatial) + keras.config.epsilon() ** 2
        return self.strength * ops.mean(ops.square(total) / squares)

    def get_config(self) -> dict[str, Any]:
        return {"strength": self.strength}
