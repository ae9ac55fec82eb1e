"""DirectLSearch against the published table, against NLopt, and as ask and tell."""

import functools
import itertools
import json
import math
import operator
import random

import nlopt
import numpy as np
import pytest

from benchmarks.functions import PUBLISHED
from keras_wconv.tuning import DirectLSearch


def total(values):
    """A sum that is the same on every Python: from 3.12 on, `sum` is compensated.

    The coordinates of NLopt differ from ours in the last bit. Where two values nearly
    tie, that bit decides, and so does the rounding of a sum.
    """
    return functools.reduce(operator.add, values, 0.0)


@pytest.fixture(autouse=True)
def clean_keras_state():
    """Nothing here has a state in Keras to be cleaned."""


def run(search, function, evaluations):
    """Returns the points of the first `evaluations`, in order."""
    points = []
    while not search.done and len(points) < evaluations:
        for point in search.ask():
            points.append(point)
            search.tell(point, function(point))
    return points[:evaluations]


def waves(point):
    """Differs in every coordinate and has many local minima."""
    return total(
        (axis + 1) * (x - 0.17 - 0.11 * axis) ** 2
        + 0.2 * math.cos((9 + 2 * axis) * x + axis)
        for axis, x in enumerate(point)
    )


def ridge(x):
    return abs(x[0] - 0.3) + 0.2 * math.sin(25 * x[0])


def valley(x):
    return (x[0] - 0.7 * x[1] ** 2) ** 2 + 0.05 * (1 - x[1])


def pit(x):
    return -math.exp(-8 * total((xi - 0.21) ** 2 for xi in x)) + 0.3 * x[0] * x[2]


def product(x):
    return math.prod(math.cos(5 * xi + i) for i, xi in enumerate(x)) + 0.1 * total(x)


def roots(x):
    return total(math.sqrt(abs(xi - 0.1 * (i + 2))) / (i + 1) for i, xi in enumerate(x))


FUNCTIONS = [(ridge, 1), (valley, 2), (pit, 3), (product, 4), (roots, 5), (waves, 6)]


@pytest.mark.parametrize("function", PUBLISHED, ids=lambda function: function.name)
def test_evaluations_equal_the_published_table(function):
    search = DirectLSearch(len(function.bounds), min_side=None)
    evaluations = 0
    while search.best() is None or function.percent_error(search.best()[1]) >= 0.01:
        for point in search.ask():
            search.tell(point, function.on_unit_cube(point))
            evaluations += 1
    assert evaluations == function.evaluations


@pytest.mark.parametrize("function, dimensions", FUNCTIONS)
@pytest.mark.parametrize("locally_biased", [True, False])
def test_points_equal_those_of_nlopt(function, dimensions, locally_biased):
    algorithm = nlopt.GN_ORIG_DIRECT_L if locally_biased else nlopt.GN_ORIG_DIRECT
    expected = []

    def recorded(x, gradient):
        expected.append(tuple(map(float, x)))
        return function(x)

    optimizer = nlopt.opt(algorithm, dimensions)
    optimizer.set_lower_bounds([0.0] * dimensions)
    optimizer.set_upper_bounds([1.0] * dimensions)
    optimizer.set_min_objective(recorded)
    optimizer.set_maxeval(500)
    optimizer.optimize([0.5] * dimensions)

    search = DirectLSearch(
        dimensions, epsilon=0, min_side=None, locally_biased=locally_biased
    )
    points = run(search, function, 500)
    # Coordinates are sums of thirds, which may be rounded differently.
    np.testing.assert_allclose(points, expected[:500], rtol=0, atol=1e-14)


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_order_of_tell_does_not_matter(dimensions):
    orderly = run(DirectLSearch(dimensions, min_side=None), waves, 300)
    for seed in range(3):
        search, points = DirectLSearch(dimensions, min_side=None), []
        while len(points) < 300:
            batch = search.ask()
            points += batch
            random.Random(seed).shuffle(batch)
            for point in batch:
                search.tell(point, waves(point))
        assert points[:300] == orderly
        assert search.best()[1] <= min(map(waves, orderly))


def test_points_are_open_until_told():
    search = DirectLSearch(2)
    batch = search.ask()
    assert batch[0] == (0.5, 0.5)
    assert len(batch) == 5
    search.tell(list(batch[2]), 1.0)
    assert search.ask() == [*batch[:2], *batch[3:]]
    assert search.best() == (batch[2], 1.0)


def test_best_of_equal_values_is_the_first_sampled():
    search = DirectLSearch(1)
    for point in reversed(search.ask()):
        search.tell(point, 3.0)
    assert search.best() == ((0.5,), 3.0)


@pytest.mark.parametrize("locally_biased", [True, False])
def test_floor_exhausts_the_grid(locally_biased):
    search = DirectLSearch(2, min_side=1 / 9, locally_biased=locally_biased)
    points = run(search, waves, 1000)
    assert search.done
    assert search.ask() == []
    # Sides above 1 / 9 are cut down to it: every cell of a 9 x 9 grid has its center.
    assert len(points) == len(set(points)) == 81
    assert search.best()[1] == min(map(waves, points))


def test_default_floor_keeps_points_apart():
    points = sorted(x for (x,) in run(DirectLSearch(1), waves, 10_000))
    assert len(points) == 243
    assert min(b - a for a, b in itertools.pairwise(points)) > 0.004


def test_without_a_floor_no_point_is_asked_twice():
    search = DirectLSearch(1, epsilon=0, min_side=None)
    points = run(search, lambda x: x[0], 5000)
    assert len(set(points)) == len(points) == 5000
    assert all(0 < x < 1 for (x,) in points)


def test_failures_are_passed_over():
    failures = itertools.cycle([None, math.nan, math.inf, -math.inf])

    def function(point):
        failed = int(1e6 * sum(point)) % 10 < 3
        return next(failures) if failed else waves(point)

    search = DirectLSearch(2)
    values = list(map(function, run(search, function, 200)))
    succeeded = [v for v in values if v is not None and math.isfinite(v)]
    assert 100 < len(succeeded) < 170
    assert search.best()[1] == min(succeeded)


def lowest_on_a_grid(function, x_end=1.0):
    grid = np.linspace(0, 1, 100)
    return min(function((x, y)) for x in grid[grid < x_end] for y in grid)


def test_failures_do_not_lead_the_search():
    """With more than half of the cube failing, the rest is searched all the same."""
    search = DirectLSearch(2)
    run(search, lambda x: None if x[0] > 0.45 else waves(x), 150)
    expected = lowest_on_a_grid(waves, x_end=0.45)
    assert search.best()[1] == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("failures", [1, 5, 9])
def test_first_evaluations_failing(failures):
    values = itertools.chain([None] * failures, itertools.repeat(1))
    search = DirectLSearch(2)
    run(search, lambda x: next(values) and 7 + waves(x), 100)
    assert search.best()[1] == pytest.approx(7 + lowest_on_a_grid(waves), abs=0.01)


def test_all_failing():
    search = DirectLSearch(2, min_side=1 / 9)
    points = run(search, lambda point: None, 1000)
    assert search.best() is None
    assert search.done
    assert len(set(points)) == 81


@pytest.mark.parametrize("locally_biased", [True, False])
def test_state_restores_the_search_at_every_moment(locally_biased):
    def function(point):
        return None if sum(point) % 0.1 < 0.02 else waves(point)

    def step(search):
        point = random.Random(0).choice(search.ask())
        search.tell(point, function(point))
        return point

    search = DirectLSearch(2, 1e-3, 0.02, locally_biased)
    states = []
    for _ in range(60):
        states.append(json.dumps(search.get_state()))
        step(search)
    for state in states:
        restored = DirectLSearch.from_state(json.loads(state))
        assert json.dumps(restored.get_state()) == state
        while len(restored.get_state()["told"]) < 60:
            step(restored)
        assert restored.get_state() == search.get_state()
        assert restored.ask() == search.ask()
        assert restored.best() == search.best()


def test_numbers_may_be_those_of_numpy():
    search = DirectLSearch(np.int64(2), np.float32(0.5), np.float64(0.25))
    state = json.loads(json.dumps(search.get_state()))
    assert state == DirectLSearch(2, 0.5, 0.25).get_state()


def test_state_of_another_search_is_refused():
    search = DirectLSearch(2)
    run(search, waves, 50)
    state = search.get_state()
    with pytest.raises(ValueError, match="`state` is not that of a search"):
        DirectLSearch.from_state({**state, "dimensions": 3})
    state["told"][0][0][1] += 1e-15
    with pytest.raises(ValueError, match="it was told the point"):
        DirectLSearch.from_state(state)


def test_bad_arguments():
    for dimensions in (0, -1, 1.5, "2"):
        with pytest.raises(ValueError, match="`dimensions` must be an integer"):
            DirectLSearch(dimensions)
    for epsilon in (-1e-4, math.nan, math.inf):
        with pytest.raises(ValueError, match="`epsilon` must be a finite number"):
            DirectLSearch(1, epsilon=epsilon)
    for min_side in (0, 1, -0.1, math.nan):
        with pytest.raises(ValueError, match="`min_side` is a part of"):
            DirectLSearch(1, min_side=min_side)


def test_bad_points():
    search = DirectLSearch(1)
    with pytest.raises(ValueError, match="never asked"):
        search.tell((0.4,), 1.0)
    search.tell((0.5,), 1.0)
    with pytest.raises(ValueError, match="told already"):
        search.tell((0.5,), 1.0)
