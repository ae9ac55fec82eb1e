"""Regularizers and constraints of the effective kernel."""

from __future__ import annotations

import copy
from typing import Any, Self

import keras
from keras import constraints, ops, regularizers

from .._types import Identifier, Tensor
from .layer_density import FixedDensity, LayerDensity


@keras.saving.register_keras_serializable(package="keras_wconv")
class EffectiveKernelRegularizer(keras.regularizers.Regularizer):
    """Regularizer of the effective kernel Φ · W instead of the kernel W.

    It is for the `kernel_regularizer` (`depthwise_regularizer`) of a weighted
    convolution. Without a density, it acts like the given regularizer.

    Args:
        regularizer: a regularizer, its name or config.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> import keras_wconv
    >>> layer = keras_wconv.WeightedConv1D(
    ...     1, 3, density=[0.5], kernel_initializer="ones",
    ...     kernel_regularizer=keras_wconv.layers.EffectiveKernelRegularizer(
    ...         keras.regularizers.L2(1.0)))
    >>> layer.build((None, 8, 1))
    >>> float(layer.losses[0])  # 0.25 + 1 + 0.25
    1.5
    """

    _density: LayerDensity | None = None

    def __init__(self, regularizer: Identifier) -> None:
        self.regularizer = regularizers.get(regularizer)

    def __call__(self, kernel: Tensor) -> Tensor:
        if self._density is not None:
            kernel = self._density.multiply(kernel)
        return self.regularizer(kernel)

    def under(self, density: LayerDensity) -> Self:
        """Returns the regularizer of a kernel W that has this density."""
        bound = copy.copy(self)
        bound._density = density
        return bound

    def get_config(self) -> dict[str, Any]:
        return {"regularizer": regularizers.serialize(self.regularizer)}


@keras.saving.register_keras_serializable(package="keras_wconv")
class EffectiveKernelConstraint(keras.constraints.Constraint):
    """Constraint of the effective kernel Φ · W instead of the kernel W.

    It is for the `kernel_constraint` (`depthwise_constraint`) of a weighted convolution
    with a fixed density. The kernel becomes the constrained Φ · W, divided by Φ; it
    does not change where Φ is 0. Without a density, it acts like the given constraint.

    Args:
        constraint: a constraint, its name or config.

    Raises:
        ValueError: If the density of the layer is learned, when the layer is built.

    Example:

    >>> import keras
    >>> import keras_wconv
    >>> layer = keras_wconv.WeightedConv1D(
    ...     1, 3, density=[0.5], kernel_initializer="ones",
    ...     kernel_constraint=keras_wconv.layers.EffectiveKernelConstraint(
    ...         keras.constraints.MaxNorm(0.5)))
    >>> layer.build((None, 8, 1))
    >>> kernel = layer.kernel.constraint(layer.kernel)
    >>> [round(float(k), 4) for k in keras.ops.ravel(kernel)]
    [0.4082, 0.4082, 0.4082]
    """

    _density: LayerDensity | None = None

    def __init__(self, constraint: Identifier) -> None:
        self.constraint = constraints.get(constraint)

    def __call__(self, kernel: Tensor) -> Tensor:
        if self._density is None:
            return self.constraint(kernel)
        kernel = ops.convert_to_tensor(kernel)
        phi = ops.cast(self._density.map(), kernel.dtype)
        is_zero = ops.equal(phi, 0)
        divided = self.constraint(self._density.multiply(kernel)) / ops.where(
            is_zero, ops.ones_like(phi), phi
        )
        return ops.where(is_zero, kernel, divided)

    def under(self, density: LayerDensity) -> Self:
        """Returns the constraint of a kernel W that has this density."""
        if not isinstance(density, FixedDensity):
            # A compiled training step would use the density as it was when traced.
            raise ValueError(
                "A constraint of the effective kernel needs a density that is fixed. "
                "Expected density_trainable=False, or a constraint of the kernel. "
                f"Received: density={density}, constraint={self.constraint}"
            )
        bound = copy.copy(self)
        bound._density = density
        return bound

    def get_config(self) -> dict[str, Any]:
        return {"constraint": constraints.serialize(self.constraint)}
