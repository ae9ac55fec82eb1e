"""KerasTuner's search spaces as a cube, and densities in them."""

import dataclasses
import itertools
import math
from collections.abc import Sequence

import keras_tuner as kt
from keras_tuner.engine.hyperparameters import Boolean, Fixed, Float, Int

from .. import densities
from .direct_l import Cube

# By the number of coefficients, outermost first: what the authors of
# https://arxiv.org/abs/2505.24558 suggest for kernels of 3, 5 and 7.
PUBLISHED_RANGES = {
    1: [(0.5, 1.5)],
    2: [(0.05, 1.0), (0.5, 1.5)],
    3: [(0.05, 0.5), (0.15, 1.0), (0.25, 1.5)],
}
FAMILIES = ("coefficients", "gaussian")


def density(
    hp: kt.HyperParameters,
    kernel_size: int | Sequence[int],
    name: str = "density",
    ranges: Sequence | None = None,
    causal: bool = False,
    family: str | None = None,
    per_axis: bool = False,
) -> list | densities.Gaussian:
    """Declares a density as hyperparameters: its coefficients, or its width.

    Coefficients are an `hp.Float` each, called `{name}_{kernel size}_{number}`, the
    outermost being number 1. The width of a Gaussian is an `hp.Float` on a logarithmic
    scale, `{name}_{kernel size}_sigma`. Densities of several kernel sizes may have one
    name. A stage of a network that is to have a density of its own gets a name of its
    own.

    Args:
        hp: `keras_tuner.HyperParameters`.
        kernel_size: Integer, or a tuple of them, one for each axis.
        name: String, the first part of the hyperparameters' names.
        ranges: For coefficients a list of `(low, high)`, one for each of them,
            outermost first; for a tuple of kernel sizes a list of such lists. By
            default the published ones, which there are for up to three coefficients.
            For a Gaussian one `(low, high)` of sigma, or with `per_axis` a list of
            them. By default from half a tap, which leaves the neighbors of the center
            an eighth of its weight, to the size of the kernel, which is all but flat.
        causal: Boolean, whether the layers are `padding="causal"`.
        family: `"coefficients"`, `"gaussian"` or `None`: coefficients for kernels of
            up to 7 whose ranges are published, and wherever `ranges` are given; a
            Gaussian for all larger ones.
        per_axis: Boolean, whether every axis of a tuple has a sigma of its own.
            Coefficients always are of one axis if `kernel_size` is a tuple.

    Returns:
        What the `density` argument of a layer takes: a list of floats, a list of lists
        of floats, or a `keras_wconv.densities.Gaussian`.

    Raises:
        ValueError: If a kernel has nothing to weight, or an argument does not suit it.

    Example:

    >>> import keras_tuner
    >>> from keras_wconv import tuning
    >>> hp = keras_tuner.HyperParameters()
    >>> tuning.density(hp, kernel_size=3)
    [1.0]
    >>> tuning.density(hp, kernel_size=(3, 5), name="stem")
    [[1.0], [1.0, 1.0]]
    >>> tuning.density(hp, kernel_size=32)
    Gaussian(sigma=4.0)
    >>> list(hp.values)
    ['density_3_1', 'stem_axis0_3_1', 'stem_axis1_5_1', 'stem_axis1_5_2',
     'density_32_sigma']

    For a network with kernels of 3 and 15, and one with a density for each stage:

    >>> by_size = {size: tuning.density(hp, size) for size in (3, 15)}
    >>> def by_stage(layer_name, kernel_size):
    ...     stage = layer_name.partition("_")[0]
    ...     return tuning.density(hp, kernel_size[0], name=stage)

    Source: the ranges of the coefficients are suggested by the authors of
        https://arxiv.org/abs/2505.24558.
    """
    is_number = isinstance(kernel_size, int)
    sizes = (kernel_size,) if is_number else tuple(kernel_size)
    counts = [densities.num_coefficients(size, causal) for size in sizes]
    if not any(counts):
        raise ValueError(
            "`kernel_size` must have taps beside its center for a density to weight. "
            f"Received: kernel_size={kernel_size}"
        )
    if family is None:
        are_published = {0, *PUBLISHED_RANGES}.issuperset(counts) and max(sizes) <= 7
        by_coefficients = ranges is not None or are_published
        family = "coefficients" if by_coefficients else "gaussian"
    if family not in FAMILIES:
        raise ValueError(f"`family` must be one of {FAMILIES}. Received: {family!r}")
    if per_axis and is_number:
        raise ValueError(
            "`per_axis` needs the sizes of the axes. Expected a tuple for "
            f"`kernel_size`, for instance {(kernel_size,) * 2}. Received: "
            f"kernel_size={kernel_size}"
        )
    if family == "gaussian":
        return _gaussian(hp, name, sizes, ranges, causal, per_axis)
    if is_number:
        return _coefficients(hp, f"{name}_{kernel_size}", counts[0], ranges)
    ranges = _of_each_axis(ranges, sizes)
    return [
        _coefficients(hp, f"{name}_axis{axis}_{size}", count, ranges[axis])
        for axis, (size, count) in enumerate(zip(sizes, counts, strict=True))
    ]


def _of_each_axis(ranges, sizes):
    if ranges is None:
        ranges = [None] * len(sizes)
    if len(ranges) != len(sizes):
        raise ValueError(
            f"`ranges` must have a list of ranges for each axis of "
            f"kernel_size={sizes}. Received: {ranges}"
        )
    return ranges


def _gaussian(hp, name, sizes, ranges, causal, per_axis):
    if not per_axis:
        text = "x".join(map(str, dict.fromkeys(sizes)))
        sigma = _sigma(hp, f"{name}_{text}_sigma", max(sizes), ranges, causal)
        return densities.Gaussian(sigma)
    ranges = _of_each_axis(ranges, sizes)
    return densities.Gaussian(
        [
            # An axis of one tap, its center, has nothing to search.
            _sigma(hp, f"{name}_axis{axis}_{size}_sigma", size, ranges[axis], causal)
            if size > 1
            else 1.0
            for axis, size in enumerate(sizes)
        ]
    )


def _sigma(hp, name, size, given, causal):
    # What a causal kernel sees is on one side, and twice as far.
    given = (0.5, 2.0 * size if causal else float(size)) if given is None else given
    try:
        low, high = map(float, given)
    except (TypeError, ValueError):
        low, high = 0.0, 0.0
    if not 0 < low < high < math.inf:
        raise ValueError(
            f"`ranges` of {name!r} must be one (low, high) of sigma, in taps, with "
            f"0 < low < high. Received: {given}"
        )
    own = float(densities.Gaussian().parameters((size,), causal)["sigma"])
    default = min(max(own, low), high)
    return hp.Float(name, low, high, sampling="log", default=default)


def _coefficients(hp, prefix, count, ranges):
    if ranges is None and count > 0:
        if count not in PUBLISHED_RANGES:
            raise ValueError(
                f"No ranges are published for {count} coefficients. Pass `ranges`, a "
                "list of (low, high) for each of them, outermost first, or "
                "family='gaussian', which has one width."
            )
        ranges = PUBLISHED_RANGES[count]
    ranges = list(ranges or [])
    if len(ranges) != count:
        raise ValueError(
            f"`ranges` must have a (low, high) for each of the {count} coefficients "
            f"of {prefix!r}, outermost first. Received: {ranges}"
        )
    return [
        # The standard convolution where that is possible.
        hp.Float(f"{prefix}_{number}", low, high, default=min(max(1.0, low), high))
        for number, (low, high) in enumerate(ranges, start=1)
    ]


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
        return cls(hp, None if is_range(hp) else list(hp.values))

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
    if hp.sampling == "linear":
        value = (1 - coordinate) * low + coordinate * high
    elif hp.sampling == "log":
        value = _geometric(low, high, coordinate)
    else:
        value = low + high - _geometric(low, high, 1 - coordinate)
    return min(max(value, low), high)


def _geometric(low, high, coordinate):
    # From the middle outwards, for the middle of reciprocal bounds to be exactly 1.
    return math.sqrt(low * high) * (high / low) ** (coordinate - 0.5)
