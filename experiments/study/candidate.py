"""Candidates of a comparison: functions that build a Keras model."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras

from ..._optional import require

if TYPE_CHECKING:
    import keras_tuner as kt

    from ..tasks.task import Task

FACTORS = (1 / 10, 10)  # Of the recipe's value: wide enough to be seldom best.
WEIGHT_DECAYS = (1e-5, 1e-1)  # Where the recipe has none.
RECIPE = ("learning_rate", "weight_decay", "start")


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A Keras model to compare, and what is tuned first.

    Attributes:
        name: str, in words, unique in a comparison.
        build: function of `keras_tuner.HyperParameters` that returns a Keras model,
            not compiled. Whatever it asks `hp` for is tuned: a density, a kernel size,
            a width. Of an `hp.Choice`, three values are tried first; what must be tried
            is a candidate of its own. For values that make no network it may raise
            `keras_tuner.errors.FailedTrialError`.
        tune: what is tuned of the task's recipe: `"learning_rate"` and `"weight_decay"`
            (from a tenth to ten times the recipe's value; 1e-5 to 1e-1 for a recipe
            without weight decay), and `"start"` (one factor of all initial convolution
            kernels, from 0.1 to 10).
        initial: name of a Keras initializer for all convolution kernels, or None for
            those of the model.

    Raises:
        ValueError: If an attribute is wrong.

    Example:

    >>> import keras
    >>> from keras_wconv.experiments import Candidate
    >>> def build(hp):
    ...     size = hp.Choice("kernel_size", [3, 5, 7])
    ...     return keras.Sequential([keras.layers.Conv2D(8, size, padding="same")])
    >>> Candidate("kernel size tuned", build, tune=("learning_rate",)).initial
    """

    name: str
    build: Callable[[kt.HyperParameters], keras.Model]
    tune: str | Sequence[str] = ()
    initial: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise ValueError(
                f"`name` must be a string that is not empty. Received: {self.name!r}"
            )
        if not callable(self.build):
            raise ValueError(
                "`build` must be a function of hyperparameters that returns a Keras "
                f"model, such as `lambda hp: make_model()`. Received: {self.build!r}"
            )
        if isinstance(self.tune, str):
            object.__setattr__(self, "tune", (self.tune,))
        unknown = sorted(set(self.tune) - set(RECIPE))
        if unknown:
            raise ValueError(
                f"`tune` must be of {RECIPE}. Received: {unknown}. To tune the network "
                "itself, ask `hp` for values in `build`."
            )
        if self.initial is not None:
            keras.initializers.get(self.initial)  # Raises if it is wrong.

    def space(self, task: Task) -> kt.HyperParameters:
        """Returns everything that is tuned, a `keras_tuner.HyperParameters`."""
        hp = require("keras_tuner", extra="tuning").HyperParameters()
        centers = {"learning_rate": task.learning_rate, "start": 1.0}
        if task.weight_decay:
            centers["weight_decay"] = task.weight_decay
        ranges = {
            name: [x * factor for factor in FACTORS] for name, x in centers.items()
        }
        for name in self.tune:
            low, high = ranges.get(name, WEIGHT_DECAYS)
            hp.Float(name, low, high, sampling="log")
        self._explore(hp)
        return hp

    def _explore(self, hp):
        """Finds what is asked under a condition: builds the model for each choice."""
        self.model(hp)
        found_at = [{} for _ in hp.space]
        for one, found in zip(hp.space, found_at, strict=False):  # Both grow.
            met = {condition.name: condition.values[0] for condition in one.conditions}
            for value in _choices(one):
                asked = with_values(hp, {**found, **met, one.name: value})
                with contextlib.suppress(no_network()):
                    self.model(asked)
                hp.merge(asked, overwrite=False)
                new = len(hp.space) - len(found_at)
                found_at += [dict(asked.values) for _ in range(new)]

    def model(self, hp: kt.HyperParameters) -> keras.Model:
        """Builds the model for the values that `hp` holds."""
        asked = dict(hp.values)
        try:
            model = self.build(hp)
        except Exception as error:
            error.add_note(f"In `build` of the candidate {self.name!r}, for {asked}.")
            raise
        if not isinstance(model, keras.Model):
            raise ValueError(
                f"`build` of the candidate {self.name!r} must return a `keras.Model`. "
                f"Received: {model!r} of type {type(model).__name__}"
            )
        if model.compiled:
            raise ValueError(
                f"`build` of the candidate {self.name!r} must return a model that is "
                "not compiled: the task compiles all candidates. Remove `compile` from "
                "`build`."
            )
        return model


def _choices(one):
    """Returns values of a hyperparameter that may decide what else is asked.

    Of numbers these are both ends: `range(hp.Int("layers", 1, 3))` asks most at 3. The
    default is left out where it was tried when the hyperparameter was found.
    """
    values = one.values if not hasattr(one, "min_value") else ()
    if isinstance(one.default, int) or getattr(one, "step", None) is not None:
        values = values or (one.min_value, one.max_value)
    if one.conditions:
        return {one.default: None, **dict.fromkeys(values)}
    return [value for value in values if value != one.default]


def no_network() -> type[Exception]:
    """Returns what `build` raises for values that make no network."""
    return require("keras_tuner", extra="tuning").errors.FailedTrialError


def with_values(
    space: kt.HyperParameters, values: Mapping[str, Any]
) -> kt.HyperParameters:
    """Returns the hyperparameters of a space with the given values."""
    hp = space.copy()
    hp.values = dict(values)
    for one in hp.space:
        if hp.is_active(one):
            hp.values.setdefault(one.name, one.default)
    return hp
