"""A learned density's own optimizer."""

from __future__ import annotations

import numbers
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import keras

from ._types import Tensor

# The names that `layers.LearnedDensity` gives its weights. The name of the layer alone
# is not enough: a layer of the user may be called "density" too.
_DENSITY_WEIGHTS = re.compile(r".*/density/(coefficients(_\d+)?|map|(log|raw)_\w+)")


def published_optimizer(steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """Optimizer with which the authors learn a density: their recipe as it is.

    AdamW at 1e-4 for the kernels and at 1e-2 for the densities, weight decay of 1e-2 on
    both, and a cosine that starts anew every ten epochs. The authors begin at
    `density=[0.27, 0.17, 0.54]` with kernels of 7. The decay pulls the coefficients to
    0, which `density_optimizer` does not.

    Args:
        steps_per_epoch: batches in an epoch, ten of which are one cosine.

    Returns:
        A `keras.optimizers.Optimizer`, as `density_optimizer` does.

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
    """Optimizer that trains learned densities apart from all other weights.

    A density has few coefficients, next to 1, and learns at a larger rate than the
    kernels do. It gets no weight decay unless its own optimizer has one: decay pulls
    coefficients to 0, which is no neutral value (1 is).

    The `learning_rate` of the result is that of the kernels: callbacks such as
    `keras.callbacks.ReduceLROnPlateau` read and set it, and the density keeps its own.
    So it is with `weight_decay`, `clipnorm`, `clipvalue` and `global_clipnorm`.
    `exclude_from_weight_decay` counts for both. Each optimizer clips, averages and
    accumulates the gradients of its own weights.

    Args:
        kernel_optimizer: optimizer of every other weight: a `keras.optimizers`
            instance, name or config.
        density_optimizer: optimizer of the densities: an instance, or a learning rate
            or schedule for Adam without weight decay.

    Returns:
        A `keras.optimizers.Optimizer`, to be given to `model.compile`. Its attributes
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
            "`density_optimizer` must be another instance than `kernel_optimizer`: "
            f"an optimizer has one learning rate. Received twice: {kernels}"
        )
    if densities.name == kernels.name:
        # Variables of both are saved by their paths, which begin with the name.
        warnings.warn(
            "Both optimizers are called "
            f"{kernels.name!r}. That of the densities is replaced by a copy called "
            f"'density_{densities.name}', made from its config. Give one of them "
            "another `name`.",
            stacklevel=2,
        )
        config = {**densities.get_config(), "name": f"density_{densities.name}"}
        densities = type(densities).from_config(config)
    return DensityOptimizer(kernels, densities)


def _of_the_kernels(name):
    """A setting that is read and set as that of the kernels' optimizer."""

    def get(self) -> Any:
        return getattr(self.kernel_optimizer, name)

    def set_(self, value: Any) -> None:
        if "kernel_optimizer" in vars(self):  # The base class sets its own defaults.
            setattr(self.kernel_optimizer, name, value)

    return property(get, set_)


@keras.saving.register_keras_serializable("keras_wconv")
class DensityOptimizer(keras.optimizers.Optimizer):
    """What `density_optimizer` returns: two optimizers that share out the weights."""

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
                    f"`{argument}` must not scale the loss: the loss is one for both. "
                    "Wrap the result in the `LossScaleOptimizer` instead; "
                    "`model.compile` does so under mixed_float16. "
                    f"Received: {argument}={given}"
                )
        self.kernel_optimizer = kernel_optimizer
        self.density_optimizer = density_optimizer
        density_optimizer.loss_scale_factor = kernel_optimizer.loss_scale_factor

    @property
    def _both(self):
        # Not `optimizers`: Keras's callbacks set the rate of each that they find there.
        return [self.kernel_optimizer, self.density_optimizer]

    @property
    def loss_scale_factor(self) -> float | None:
        return self.kernel_optimizer.loss_scale_factor

    @loss_scale_factor.setter
    def loss_scale_factor(self, value: float | None) -> None:
        if "density_optimizer" in vars(self):
            for optimizer in self._both:  # One loss has one scale.
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
                    f"Gradients do not exist for any of the {kind} when minimizing "
                    "the loss: their optimizer makes no step.",
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
    """Splits things, one for each variable, into the kernels' and the densities'."""
    parts = [], []
    for variable, thing in zip(variables, things, strict=True):
        is_density = _DENSITY_WEIGHTS.fullmatch(variable.path) is not None
        parts[is_density].append(thing)
    return parts
