"""Optimizers that train learned densities apart from the other weights."""

from __future__ import annotations

import numbers
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import keras

from ._types import Tensor

# The names that `layers.LearnedDensity` gives its weights. The layer's name is not
# enough, because a user's layer may also be called "density".
_DENSITY_WEIGHTS = re.compile(r".*/density/(coefficients(_\d+)?|map|(log|raw)_\w+)")


def published_optimizer(steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """Returns the optimizer with which the authors learn a density.

    It is AdamW, at 1e-4 for the kernels and at 1e-2 for the densities, with a weight
    decay of 1e-2 for both and a cosine schedule that restarts every ten epochs. The
    authors begin at `density=[0.27, 0.17, 0.54]` with kernels of 7. Unlike with
    `density_optimizer`, the decay pulls the coefficients to 0.

    Args:
        steps_per_epoch: the number of batches in an epoch.

    Returns:
        A `keras.optimizers.Optimizer` like that of `density_optimizer`.

    Raises:
        ValueError: If `steps_per_epoch` is not a positive int.

    Example:

    >>> from keras_wconv.optimizers import published_optimizer
    >>> optimizer = published_optimizer(steps_per_epoch=500)
    >>> both = optimizer.kernel_optimizer, optimizer.density_optimizer
    >>> [round(float(each.learning_rate), 4) for each in both]
    [0.0001, 0.01]

    Source: the authors of https://arxiv.org/abs/2505.24558.
    """
    if not isinstance(steps_per_epoch, numbers.Integral) or steps_per_epoch < 1:
        raise ValueError(
            "`steps_per_epoch` must be the number of batches in an epoch, a positive "
            f"int. Received: steps_per_epoch={steps_per_epoch!r}"
        )

    def adamw(rate, name):
        restarts = keras.optimizers.schedules.CosineDecayRestarts(
            rate, 10 * int(steps_per_epoch), t_mul=1.0
        )
        return keras.optimizers.AdamW(restarts, weight_decay=1e-2, name=name)

    return density_optimizer(adamw(1e-4, "adamw"), adamw(1e-2, "density_adamw"))


def density_optimizer(
    kernel_optimizer: keras.optimizers.Optimizer | str | dict[str, Any],
    density_optimizer: keras.optimizers.Optimizer | float | object = 1e-2,
) -> keras.optimizers.Optimizer:
    """Returns an optimizer that trains learned densities apart from all other weights.

    A density has few coefficients, which are near 1 and need a larger learning rate
    than the kernels. It has no weight decay unless its optimizer has one, because decay
    pulls coefficients to 0, and the neutral value is 1.

    The `learning_rate` of the result is that of the kernels: callbacks such as
    `keras.callbacks.ReduceLROnPlateau` read and set it, and leave that of the density.
    The same holds for `weight_decay`, `clipnorm`, `clipvalue` and `global_clipnorm`.
    `exclude_from_weight_decay` acts on both. Each optimizer clips, averages and
    accumulates the gradients of its own weights.

    Args:
        kernel_optimizer: optimizer of every other weight: a `keras.optimizers`
            instance, name or config.
        density_optimizer: optimizer of the densities: an instance, or a learning rate
            or schedule for Adam without weight decay.

    Returns:
        A `keras.optimizers.Optimizer` for `model.compile`. Its attributes
        `kernel_optimizer` and `density_optimizer` are the two.

    Raises:
        ValueError: If both are the same instance, or one is a
            `keras.optimizers.LossScaleOptimizer`.

    Example:

    >>> import keras
    >>> import keras_wconv
    >>> optimizer = keras_wconv.optimizers.density_optimizer(
    ...     keras.optimizers.AdamW(1e-4),
    ...     keras.optimizers.schedules.CosineDecayRestarts(1e-2, 1000),
    ... )
    >>> model = keras.Sequential([
    ...     keras.Input((8, 8, 1)),
    ...     keras_wconv.WeightedConv2D(4, 3, density=[0.7], density_trainable=True),
    ... ])
    >>> model.compile(optimizer, "mse")
    >>> optimizer.learning_rate = 5e-5
    >>> print(f"{float(optimizer.kernel_optimizer.learning_rate):.0e}")
    5e-05

    Source: the recipe of the authors of https://arxiv.org/abs/2505.24558, who train
    the density at 1e-2 with warm restarts and the kernels at 1e-4.
    """
    kernels = keras.optimizers.get(kernel_optimizer)
    if isinstance(density_optimizer, keras.optimizers.Optimizer):
        densities = density_optimizer
    else:
        densities = keras.optimizers.Adam(density_optimizer, name="density_adam")
    if densities is kernels:
        raise ValueError(
            "`density_optimizer` must be another instance than `kernel_optimizer`, "
            "because an optimizer has only one learning rate. Received for both: "
            f"{kernels}"
        )
    if densities.name == kernels.name:
        # Variables are saved by their paths, which begin with the optimizer's name.
        name = f"density_{densities.name}"
        warnings.warn(
            f"Both optimizers are called {kernels.name!r}. A copy called {name!r}, "
            "made from its config, replaces the optimizer of the densities. Give one "
            "of them another `name`.",
            stacklevel=2,
        )
        config = {**densities.get_config(), "name": name}
        densities = type(densities).from_config(config)
    return DensityOptimizer(kernels, densities)


def _of_the_kernels(name):
    """Returns a property that reads and sets an attribute of the kernels' optimizer."""

    def get(self) -> Any:
        return getattr(self.kernel_optimizer, name)

    def set_(self, value: Any) -> None:
        if "kernel_optimizer" in vars(self):  # The base class sets defaults first.
            setattr(self.kernel_optimizer, name, value)

    return property(get, set_)


@keras.saving.register_keras_serializable("keras_wconv")
class DensityOptimizer(keras.optimizers.Optimizer):
    """The result of `density_optimizer`: two optimizers that divide the weights."""

    learning_rate = _of_the_kernels("learning_rate")
    weight_decay = _of_the_kernels("weight_decay")
    clipnorm = _of_the_kernels("clipnorm")
    clipvalue = _of_the_kernels("clipvalue")
    global_clipnorm = _of_the_kernels("global_clipnorm")

    def __init__(
        self,
        kernel_optimizer: keras.optimizers.Optimizer,
        density_optimizer: keras.optimizers.Optimizer,
        name: str | None = None,
    ) -> None:
        super().__init__(learning_rate=0.0, name=name)
        for argument, given in (
            ("kernel_optimizer", kernel_optimizer),
            ("density_optimizer", density_optimizer),
        ):
            if isinstance(given, keras.optimizers.LossScaleOptimizer):
                raise ValueError(
                    f"`{argument}` must not scale the loss, because both optimizers "
                    "share it. Wrap the result in the `LossScaleOptimizer` instead; "
                    "`model.compile` does so with mixed_float16. "
                    f"Received: {argument}={given}"
                )
        self.kernel_optimizer = kernel_optimizer
        self.density_optimizer = density_optimizer
        density_optimizer.loss_scale_factor = kernel_optimizer.loss_scale_factor

    @property
    def _both(self):
        # Keras's callbacks would set the rates of all in an attribute `optimizers`.
        return [self.kernel_optimizer, self.density_optimizer]

    @property
    def loss_scale_factor(self) -> float | None:
        return self.kernel_optimizer.loss_scale_factor

    @loss_scale_factor.setter
    def loss_scale_factor(self, value: float | None) -> None:
        if "density_optimizer" in vars(self):
            for optimizer in self._both:  # They share the loss.
                optimizer.loss_scale_factor = value

    @property
    def variables(self) -> list[keras.Variable]:
        own = super().variables
        return [*own, *(v for one in self._both for v in one.variables)]

    def exclude_from_weight_decay(
        self,
        var_list: Sequence[keras.Variable] | None = None,
        var_names: Sequence[str] | None = None,
    ) -> None:
        for optimizer in self._both:
            optimizer.exclude_from_weight_decay(var_list, var_names)

    def build(self, variables: Sequence[keras.Variable]) -> None:
        if self.built:
            return
        self._positions = share_out(variables, range(len(variables)))
        parts = share_out(variables, variables)
        for optimizer, part in zip(self._both, parts, strict=True):
            optimizer.build(part)
        super().build(variables)

    def apply(
        self,
        grads: Sequence[Tensor],
        trainable_variables: Sequence[keras.Variable] | None = None,
    ) -> None:
        grads = list(grads)
        if trainable_variables is not None:
            trainable_variables = list(trainable_variables)
            self.build(trainable_variables)
            parts = share_out(trainable_variables, grads)
            variables = share_out(trainable_variables, trainable_variables)
        elif self.built:
            parts = [[grads[i] for i in positions] for positions in self._positions]
            variables = None, None
        else:
            raise ValueError(
                "`trainable_variables` must be given to an optimizer that is not "
                "built. Call `optimizer.build(trainable_variables)` first. Received: "
                "trainable_variables=None"
            )
        if grads and all(grad is None for grad in grads):
            raise ValueError("No gradients provided for any variable.")
        for optimizer, part, own in zip(self._both, parts, variables, strict=True):
            if any(grad is not None for grad in part):
                optimizer.apply(part, own)
            elif part:
                kind = ("kernels", "densities")[optimizer is self.density_optimizer]
                warnings.warn(
                    f"Gradients do not exist for any of the {kind}: their optimizer "
                    "makes no step.",
                    stacklevel=2,
                )
        self.iterations.assign_add(1)

    def finalize_variable_values(self, var_list: Sequence[keras.Variable]) -> None:
        parts = share_out(var_list, var_list)
        for optimizer, part in zip(self._both, parts, strict=True):
            optimizer.finalize_variable_values(part)

    def set_weights(self, weights: Sequence[Tensor]) -> None:
        for variable, value in zip(self.variables, weights, strict=True):
            variable.assign(value)

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return {
            "name": self.name,
            "kernel_optimizer": serialize(self.kernel_optimizer),
            "density_optimizer": serialize(self.density_optimizer),
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Mapping[str, type] | None = None
    ) -> Self:
        kernels, densities = (
            keras.saving.deserialize_keras_object(config[name], custom_objects)
            for name in ("kernel_optimizer", "density_optimizer")
        )
        return cls(kernels, densities, name=config["name"])


def share_out(
    variables: Iterable[keras.Variable], things: Iterable[Any]
) -> tuple[list[Any], list[Any]]:
    """Divides things, one for each variable, into the kernels' and the densities'."""
    parts = [], []
    for variable, thing in zip(variables, things, strict=True):
        is_density = _DENSITY_WEIGHTS.fullmatch(variable.path) is not None
        parts[is_density].append(thing)
    return parts
