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

    It is the `density_regularizer` of a layer that learns its density, and adds
    `strength * (sum |Φ|)² / sum Φ²` to the loss, averaged over channels with separate
    densities. The fraction is a smooth count of taps: it is the number of nonzero taps
    if Φ is the same on all of them, and `3.54 sigma` for a Gaussian on a long axis. It
    does not depend on the scale of Φ, so normalization does not change it.

    Unlike Keras's regularizers, it is called with the map Φ and not with the weights.
    So are its subclasses, which may count in another way.

    Args:
        strength: the price of one tap, in units of the loss. With cross-entropy, 1e-2
            made kernels of 65 about as small as the best standard size, and no loss of
            accuracy was shown, on two sets of time series. In two dimensions the taps
            grow with the square of the width, so their price must be lower: 1e-3 made
            a ConvNeXt of 31 x 31 much worse (`docs/does_it_help.md`).

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
                "`strength` must be the price of one tap, a finite number of at least "
                f"0. Received: strength={strength!r}"
            )
        self.strength = float(strength)

    def __call__(self, phi: Tensor) -> Tensor:
        """Returns the price of a map.

        Args:
            phi: tensor of shape `kernel_size + (channels, filters)`, either of which
                may be 1.
        """
        return self.strength * ops.mean(effective_taps(phi, len(phi.shape) - 2))

    def get_config(self) -> dict[str, Any]:
        return {"strength": self.strength}


def effective_taps(phi: Tensor, rank: int) -> Tensor:
    """Returns `(sum |Φ|)² / sum Φ²` of each channel; 0 if Φ is 0 on all taps.

    Args:
        phi: tensor with axes of taps, then axes of channels.
        rank: int, the number of axes of taps.

    Example:

    >>> import numpy as np
    >>> from keras_wconv.regularizers import effective_taps
    >>> two_channels = np.array([[1.0, 0.0], [-1.0, 2.0]])
    >>> [round(float(taps), 6) for taps in effective_taps(two_channels, rank=1)]
    [2.0, 1.0]
    """
    # The squares are beyond float16, which ends at 65,504.
    phi = ops.cast(phi, keras.backend.result_type(phi.dtype, "float32"))
    axes = tuple(range(rank))
    total = ops.sum(ops.absolute(phi), axis=axes)
    squares = ops.sum(ops.square(phi), axis=axes) + keras.config.epsilon() ** 2
    return ops.square(total) / squares
