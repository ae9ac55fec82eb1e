"""KerasTuner's search spaces as a cube."""

import dataclasses
import itertools
import math

from .._optional import require
from .direct_l import Cube, value_between

require("keras_tuner", extra="tuning")

from keras_tuner.engine.hyperparameters import (  # noqa: E402 - named first if absent
    Boolean,
    Choice,
    Fixed,
    Float,
    Int,
)


@dataclasses.dataclass(frozen=True)
class _Parameter:
    """A hyperparameter, and its values in the order of its axis.

    `values` is None where they are not listed: for ranges, and for very many integers.
    """

    hp: object
    values: list | None

    @classmethod
    def of(cls, hp):
        if isinstance(hp, Fixed):
            return cls(hp, [hp.value])
        if isinstance(hp, Boolean):
            return cls(hp, [False, True])
        if isinstance(hp, Int) and hp.step is None:
            values = range(hp.min_value, hp.max_value + 1)
            return cls(hp, list(values) if len(values) <= 1000 else None)
        if is_range(hp):
            return cls(hp, None)
        # KerasTuner computes integers on a logarithmic scale as floats.
        return cls(hp, [int(v) if isinstance(hp, Int) else v for v in hp.values])

    @property
    def is_constant(self):
        return self.values is not None and len(self.values) == 1

    def is_active(self, values):
        return all(condition.is_active(values) for condition in self.hp.conditions)

    def may_be_active(self, options):
        """Returns whether it is active for some of the values by name."""
        for condition in self.hp.conditions:
            parents = options.get(condition.name, [])
            if parents is not None and not set(parents) & set(condition.values):
                return False
        return True

    def between(self, low, high):
        """Returns the values on a part of the axis, None if they are not listed."""
        if self.values is None:
            return None
        # Coordinates are rounded; a part must not reach into the next one by that.
        ends = (_value_at(self.hp, c) for c in (low + 1e-9, high - 1e-9))
        first, last = sorted(map(self.values.index, ends))
        return self.values[first : last + 1]


class Space(Cube):
    """The search space of KerasTuner as a cube with an axis for each hyperparameter.

    Args:
        hyperparameters: `keras_tuner.HyperParameters`.

    Attributes:
        dimensions: int, the number of axes.
    """

    def __init__(self, hyperparameters):
        self._parameters = [_Parameter.of(hp) for hp in hyperparameters.space]
        self.dimensions = sum(not one.is_constant for one in self._parameters)

    def values(self, point):
        """Returns the values of the active hyperparameters at a point, by name."""
        coordinates = iter(point)
        values = {}
        for one in self._parameters:
            coordinate = None if one.is_constant else next(coordinates)
            if one.is_active(values):
                values[one.hp.name] = (
                    one.values[0] if one.is_constant else _value_at(one.hp, coordinate)
                )
        return values

    def key(self, point):
        return tuple(self.values(point).items())

    def axes(self, lower, upper, known):
        options = {}  # the values of the rectangle by name; None where not listed
        axes = []
        ends = enumerate(zip(lower, upper, strict=True))
        for one in self._parameters:
            found = one.values
            if not one.is_constant:
                axis, (low, high) = next(ends)
                found = one.between(low, high)
            if not one.may_be_active(options):
                continue
            if found is None or options.get(one.hp.name, []) is None:
                options[one.hp.name] = None
            else:
                options[one.hp.name] = options.get(one.hp.name, []) + found
            if found is None or len(found) > 1:
                axes.append(axis)
        if None not in options.values() and self._are_known(options, known):
            return ()
        return tuple(axes)

    def _are_known(self, options, known):
        """Returns whether no combination of a few values is new."""
        if math.prod(map(len, options.values())) > 1000:
            return False
        for combination in itertools.product(*options.values()):
            chosen = dict(zip(options, combination, strict=True))
            values = {}
            for one in self._parameters:
                if one.hp.name in chosen and one.is_active(values):
                    values[one.hp.name] = chosen[one.hp.name]
            if tuple(values.items()) not in known:
                return False
        return True


def is_range(hp):
    return isinstance(hp, Float) and hp.step is None


def check_searchable(hp):
    if isinstance(hp, Choice) and len(set(hp.values)) < len(hp.values):
        raise ValueError(
            f"DIRECT-L needs distinct values. Received: {hp}. Give each value once."
        )
    if is_range(hp):
        advice = None
        if not (math.isfinite(hp.min_value) and math.isfinite(hp.max_value)):
            advice = "Give it finite bounds."
        elif hp.min_value == hp.max_value:
            advice = "Its range is empty: use `hp.Fixed`."
        if advice is not None:
            raise ValueError(
                f"DIRECT-L searches finite ranges. Received: {hp}. {advice}"
            )


def _value_at(hp, coordinate):
    """Maps [0, 1] to the values of a hyperparameter, and 1/2 exactly to the middle."""
    if not is_range(hp):
        return hp.prob_to_value(coordinate)
    low, high = hp.min_value, hp.max_value
    if hp.sampling == "reverse_log":
        value = low + high - value_between(low, high, 1 - coordinate, log=True)
        return min(max(value, low), high)
    return value_between(low, high, coordinate, log=hp.sampling == "log")
