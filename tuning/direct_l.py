"""DIRECT-L: global search by trisecting rectangles, asked for points in batches.

Gablonsky and Kelley, "A Locally-Biased form of the DIRECT Algorithm", Journal of Global
Optimization 21 (2001), https://doi.org/10.1023/A:1017930332101. The original DIRECT
(`locally_biased=False`): Jones, Perttunen and Stuckman, "Lipschitzian Optimization
Without the Lipschitz Constant", JOTA 79 (1993), https://doi.org/10.1007/BF00941892.
"""

from __future__ import annotations

import bisect
import collections
import dataclasses
import math
import numbers
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any, Self

# A third of smaller sides comes too close to the rounding of coordinates.
_SMALLEST_SIDE = 3.0**-30

# Values this close are equal to the original DIRECT, as in Gablonsky's program.
_TIE = 1e-13


@dataclasses.dataclass(slots=True, eq=False)
class _Rectangle:
    center: tuple[float, ...]
    parent: _Rectangle | None = None
    trisections: list[int] | None = None  # of each axis; None until the batch is told
    axes: tuple[int, ...] = ()  # along which it can be divided
    value: float | None = None  # what the search sees; failures get a stand-in
    failed: bool = False

    @property
    def longest_side(self):
        return max((3.0 ** -self.trisections[axis] for axis in self.axes), default=0.0)


class Cube:
    """What DIRECT-L searches: a cube on which all points differ.

    A subclass may know points that are the same, as where a coordinate stands for a
    choice among few values.
    """

    def key(self, point: Sequence[float]) -> Hashable:
        """Returns what is equal for points that are the same."""
        return point

    def axes(
        self,
        lower: tuple[float, ...],
        upper: tuple[float, ...],
        known: Collection[Hashable],
    ) -> tuple[int, ...]:
        """Returns the axes along which the points of a rectangle differ.

        Args:
            lower, upper: tuples of floats, its corners.
            known: the keys of all points that were sampled.

        Returns:
            Tuple of ints. A rectangle without an axis is not divided again.
        """
        return tuple(range(len(lower)))


def value_between(
    low: float, high: float, coordinate: float, log: bool = False
) -> float:
    """Maps [0, 1] to a range, and 1/2 exactly to its middle.

    Args:
        low, high: floats, the bounds.
        coordinate: float in [0, 1].
        log: bool, whether equal parts of [0, 1] are equal ratios.
    """
    if log:
        # From the middle outwards, for the middle of reciprocal bounds to be exactly 1.
        value = math.sqrt(low * high) * (high / low) ** (coordinate - 0.5)
    else:
        value = (1 - coordinate) * low + coordinate * high
    return min(max(value, low), high)


class DirectLSearch:
    """Search for the minimum of a function on the unit cube, as ask and tell.

    The points of one iteration do not depend on each other's values: they are a batch
    that may be evaluated in parallel and told in any order.

    Args:
        dimensions: Integer, the number of coordinates of a point.
        epsilon: Float, the relative improvement on the best value that a rectangle
            must promise to be divided. 0 searches most locally.
        min_side: Float or `None`. Rectangles whose longest side is at most this are
            not divided, and once no other is left the search is done. `None` divides
            as long as floats can tell the points apart.
        locally_biased: Boolean. `True` is DIRECT-L, which measures a rectangle by its
            longest side and divides one of each size. `False` is the original DIRECT,
            which measures it by its diagonal and divides those that tie as well.
        space: `Cube` that says which points are the same. A point that is the same as
            an earlier one has its value and is not asked for.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    >>> from keras_wconv.tuning import DirectLSearch
    >>> search = DirectLSearch(dimensions=2)
    >>> search.ask()[0]
    (0.5, 0.5)
    >>> for _ in range(10):
    ...     for x, y in search.ask():
    ...         search.tell((x, y), (x - 0.3) ** 2 + (y - 0.8) ** 2)
    >>> (x, y), value = search.best()
    >>> abs(x - 0.3) < 0.02 and abs(y - 0.8) < 0.02
    True
    """

    def __init__(
        self,
        dimensions: int,
        epsilon: float = 1e-4,
        min_side: float | None = 0.01,
        locally_biased: bool = True,
        space: Cube | None = None,
    ) -> None:
        if not isinstance(dimensions, numbers.Integral) or dimensions < 1:
            raise ValueError(
                f"`dimensions` must be an integer of at least 1. "
                f"Received: {dimensions!r}"
            )
        if not 0 <= epsilon < math.inf:
            raise ValueError(
                f"`epsilon` must be a finite number of at least 0. Received: {epsilon}"
            )
        if min_side is not None and not 0 < min_side < 1:
            raise ValueError(
                "`min_side` is a part of the cube's side: expected a number between 0 "
                f"and 1, or None for no floor. Received: {min_side}"
            )
        # Numbers of Python: JSON does not take those of NumPy.
        self.dimensions = int(dimensions)
        self.epsilon = float(epsilon)
        self.min_side = None if min_side is None else float(min_side)
        self.locally_biased: bool = bool(locally_biased)
        self._space = space or Cube()

        self._by_size = collections.defaultdict(list)  # each in ascending order
        self._indivisible = []  # rectangles without an axis
        self._asked = {}  # point: rectangle, in the order of sampling
        self._first = {}  # key: the first rectangle whose center has it
        self._repeated = []  # (rectangle, first one) of the batch
        self._open = {}  # those of them that are not told yet
        self._told = []  # (point, value or None), in the order of telling
        self._failures = []  # those of the batch that have no value yet
        self._all_failed = True
        center = self._sample((0.5,) * dimensions)
        center.trisections = [0] * dimensions
        self._set_axes(center)
        self._divisions = [(center, self._sample_around(center))]

    @property
    def done(self) -> bool:
        """Whether every rectangle is at the floor, so that no point is left."""
        return not self._open

    def ask(self) -> list[tuple[float, ...]]:
        """Returns the points of the batch that have not been told yet.

        Returns:
            List of tuples of floats in [0, 1]. It is empty only if the search is done.
        """
        return list(self._open)

    def tell(self, point: Sequence[float], value: float | None) -> None:
        """Takes the function's value at a point of the batch.

        Args:
            point: Sequence of floats, one that `ask` returned.
            value: Float. `None`, infinity and NaN say that the evaluation failed: the
                search goes on and never reports this point as the best.

        Raises:
            ValueError: If the point is not an open one.
        """
        point = tuple(point)
        if point not in self._open:
            seen = "told already" if point in self._asked else "never asked"
            raise ValueError(
                "`point` must be one of those that `ask` returns. "
                f"Received: {point}, which was {seen}"
            )
        value = math.nan if value is None else float(value)
        rectangle = self._open.pop(point)
        if math.isfinite(value):
            rectangle.value = value
        else:
            value, rectangle.failed = None, True
            self._failures.append(rectangle)
        self._told.append((point, value))
        while not self._open and self._divisions:
            self._finish_iteration()

    def best(self) -> tuple[tuple[float, ...], float] | None:
        """Returns `(point, value)` of the lowest value told, or `None` before one is.

        Of equal values it is the one sampled first.
        """
        succeeded = (
            (rectangle.center, rectangle.value)
            for rectangle in self._asked.values()
            if rectangle.value is not None and not rectangle.failed
        )
        return min(succeeded, key=lambda result: result[1], default=None)

    def get_state(self) -> dict[str, Any]:
        """Returns what restores the search: its arguments and what it was told.

        Returns:
            Dictionary that `json.dumps` takes and gives back exactly.
        """
        return {
            "dimensions": self.dimensions,
            "epsilon": self.epsilon,
            "min_side": self.min_side,
            "locally_biased": self.locally_biased,
            "told": [[list(point), value] for point, value in self._told],
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any], space: Cube | None = None) -> Self:
        """Restores a search by running it again with the values it was told.

        Args:
            state: Dictionary from `get_state`.
            space: The `Cube` that the search had.

        Raises:
            ValueError: If the search asks for other points than the saved one did.
        """
        arguments = dict(state)
        told = arguments.pop("told")
        search = cls(**arguments, space=space)
        for point, value in told:
            if tuple(point) not in search._open:
                raise ValueError(
                    f"`state` is not that of a search with {arguments}: it was told "
                    f"the point {point}, where this one asks for {search.ask()}"
                )
            search.tell(point, value)
        return search

    def _finish_iteration(self):
        for rectangle, first in self._repeated:
            rectangle.failed = first.failed
            if first.failed:
                self._failures.append(rectangle)
            else:
                rectangle.value = first.value
        self._repeated.clear()
        self._stand_in_for_failures()
        for rectangle, pairs in self._divisions:
            self._divide(rectangle, pairs)
        self._divisions = [
            (rectangle, self._sample_around(rectangle))
            for rectangle in self._potentially_optimal()
        ]

    def _stand_in_for_failures(self):
        """Gives failed points the value next to them, a little worse.

        That is their parent's value. While nothing has succeeded it is that of the
        lowest point in the first batch where something does.
        """
        if self._all_failed:
            values = [r.value for r in self._asked.values() if not r.failed]
            self._all_failed = not values
            lowest = min(values, default=0.0)
            for rectangle in self._asked.values():
                if rectangle.failed:
                    rectangle.value = _slightly_above(lowest)
        else:
            for rectangle in self._failures:
                rectangle.value = _slightly_above(rectangle.parent.value)
        self._failures.clear()

    def _sample(self, center, parent=None):
        self._asked[center] = rectangle = _Rectangle(center, parent)
        first = self._first.setdefault(self._space.key(center), rectangle)
        if first is rectangle:
            self._open[center] = rectangle
        else:
            self._repeated.append((rectangle, first))
        return rectangle

    def _sample_around(self, rectangle):
        """Asks for the centers of the outer thirds along every longest axis."""
        pairs = []
        side = rectangle.longest_side
        for axis in rectangle.axes:
            if 3.0 ** -rectangle.trisections[axis] == side:
                plus, minus = list(rectangle.center), list(rectangle.center)
                plus[axis] += side / 3
                minus[axis] -= side / 3
                plus = self._sample(tuple(plus), rectangle)
                minus = self._sample(tuple(minus), rectangle)
                pairs.append((axis, plus, minus))
        return pairs

    def _divide(self, rectangle, pairs):
        """Trisects along the best axis first, whose children stay the largest."""
        for axis, plus, minus in sorted(
            pairs, key=lambda pair: min(pair[1].value, pair[2].value)
        ):
            rectangle.trisections[axis] += 1
            plus.trisections = list(rectangle.trisections)
            minus.trisections = list(rectangle.trisections)
        for _, plus, minus in pairs:
            self._insert(plus)
            self._insert(minus)
        self._insert(rectangle)

    def _set_axes(self, rectangle):
        halves = [3.0**-trisections / 2 for trisections in rectangle.trisections]
        lower, upper = (
            tuple(
                center + sign * half
                for center, half in zip(rectangle.center, halves, strict=True)
            )
            for sign in (-1, 1)
        )
        rectangle.axes = self._space.axes(lower, upper, self._first)

    def _insert(self, rectangle):
        self._set_axes(rectangle)
        if not rectangle.axes:
            self._indivisible.append(rectangle)
            return
        same_size = self._by_size[self._size(rectangle)]
        bisect.insort(same_size, rectangle, key=_value)

    def _size(self, rectangle):
        """The longest side, or of the original DIRECT half the diagonal."""
        if self.locally_biased:
            return rectangle.longest_side
        # Sorted, so that rectangles of one shape have one size to the last bit.
        trisections = sorted(rectangle.trisections[axis] for axis in rectangle.axes)
        squares = 0.0
        for count in trisections:  # From Python 3.12 on, `sum` rounds otherwise.
            squares += 9.0**-count
        return math.sqrt(squares) / 2

    def _potentially_optimal(self):
        """Takes out the rectangles to divide, largest first.

        They are on the lower right convex hull of (size, value): `value - K * size` is
        the lowest there is for some slope K > 0, and at the largest such K is an
        improvement on the best value by `epsilon` (definition 3.1 of the paper).
        """
        floor = max(self.min_side or 0.0, _SMALLEST_SIDE)
        candidates = [
            (size, rectangles[0])
            for size, rectangles in sorted(self._by_size.items())
            if rectangles and rectangles[0].longest_side > floor
        ]
        heads = [rects[0] for rects in self._by_size.values() if rects]
        best = min(rectangle.value for rectangle in heads + self._indivisible)
        target = best - self.epsilon * abs(best)
        chosen = []
        for index, (size, head) in enumerate(candidates):
            largest_k = min(
                (
                    (other.value - head.value) / (larger - size)
                    for larger, other in candidates[index + 1 :]
                ),
                default=math.inf,
            )
            smallest_k = max(
                (
                    (head.value - other.value) / (size - smaller)
                    for smaller, other in chosen
                ),
                default=0.0,
            )
            if (
                largest_k > 0
                and smallest_k <= largest_k
                and head.value - largest_k * size <= target
            ):
                chosen.append((size, head))
        sizes = [size for size, _ in reversed(chosen)]
        heads = [self._by_size[size].pop(0) for size in sizes]
        if self.locally_biased:
            return heads
        return heads + [
            rectangle
            for size, head in zip(sizes, heads, strict=True)
            for rectangle in self._take_ties(size, head.value)
        ]

    def _take_ties(self, size, value):
        rectangles = self._by_size[size]
        end = bisect.bisect_right(rectangles, value + _TIE, key=_value)
        ties, self._by_size[size] = rectangles[:end], rectangles[end:]
        return ties


def _value(rectangle):
    return rectangle.value


def _slightly_above(value):
    return value + 1e-6 * abs(value)
