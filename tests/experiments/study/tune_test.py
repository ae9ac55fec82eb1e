"""Tuning: how runs are spent, and what is never chosen. No network is trained."""

import math

import keras_tuner as kt
import numpy as np
import pytest
from made_study import Stripes, candidate, functional

from keras_wconv import tuning
from keras_wconv.experiments import compare
from keras_wconv.experiments.study import tune


class Task:
    monitor, direction, folds = "accuracy", "max", None


def space(**ranges):
    hp = kt.HyperParameters()
    for name, (low, high) in ranges.items():
        hp.Float(name, low, high, sampling="log")
    return hp


def tuned(score, trials, hp=None, direction="max", folds=None):
    """Returns what `tune` does where `score(values, seed)` is the result of a run."""
    task = Task()
    task.direction, task.folds = direction, folds
    runs = []

    def run(one):
        runs.append(one)
        value = score(one.values, one.seed)
        failed = value is None or value <= 0
        return {"validation": {"accuracy": value}, "failed_validation": failed}

    result = tune.tune(run, task, None, hp or space(x=(0.1, 10)), trials)
    return *result, runs


@pytest.mark.parametrize("trials", [1, 2, 5, 6, 9, 18, 36])
def test_no_more_runs_than_were_given(trials):
    _, _, count, runs = tuned(lambda values, seed: values["x"], trials)
    assert count == len(runs) == trials


def test_the_first_runs_are_those_of_direct_l():
    hp = space(x=(0.1, 10), y=(1, 100))
    *_, runs = tuned(lambda values, seed: values["x"] / values["y"], 5, hp)
    points = tuning.DirectLSearch(2).ask()
    expected = [{"x": 0.1 * 100**a, "y": 1 * 100**b} for a, b in points]
    for run, values in zip(runs, expected, strict=False):
        assert run.values == pytest.approx(values)


def test_a_lucky_seed_is_not_chosen():
    def score(values, seed):
        lucky = abs(values["x"] - 10 ** (2 / 3)) < 0.1 and seed == tune.SEED
        return 0.99 if lucky else 0.5 + 0.1 * (abs(math.log(values["x"])) < 0.1)

    values, reached, *_ = tuned(score, 18)
    assert values["x"] == pytest.approx(1)
    assert reached == pytest.approx(-0.6)


@pytest.mark.parametrize(("trials", "points"), [(4, 1), (35, 6), (36, 6), (56, 11)])
def test_a_trial_is_the_mean_of_its_folds(trials, points):
    def score(values, seed):
        return values["x"] + (seed - tune.SEED)

    values, reached, count, runs = tuned(score, trials, folds=4)
    first = [one.seed - tune.SEED for one in runs if one.seed < tune.SEED + 4]
    fresh = [one.seed - tune.SEED for one in runs[len(first) :]]
    assert count == len(runs) <= trials
    assert first == [0, 1, 2, 3] * points
    assert fresh == [4, 5, 6, 7] * (len(fresh) // 4)
    mean = 5.5 if fresh else 1.5
    assert reached == pytest.approx(-(values["x"] + mean))


@pytest.mark.parametrize("best", [1, 2, 4])
def test_who_fails_on_a_fresh_seed_makes_room_for_the_next(best):
    """The best of the first seed fail on every other one; five can be tried again."""
    *_, runs = tuned(lambda values, seed: values["x"], 18)
    ranked = sorted((one.values["x"] for one in runs[:12]), reverse=True)

    def score(values, seed):
        lucky = values["x"] in ranked[:best] and seed != tune.SEED
        return None if lucky else values["x"]

    values, reached, count, _ = tuned(score, 18)
    assert values["x"] == ranked[best]
    assert reached == pytest.approx(-ranked[best])
    assert 18 - 1 <= count <= 18


def test_if_all_that_are_tried_again_fail_the_next_is_taken():
    def score(values, seed):
        return values["x"] if seed == tune.SEED else None

    values, reached, count, runs = tuned(score, 18)
    again = [one.values["x"] for one in runs[12:]]
    assert values["x"] not in again
    assert (reached, count) == (math.inf, 17)


def test_failed_runs_are_never_the_best():
    def score(values, seed):
        return None if values["x"] > 1.5 else 0.5 if values["x"] > 0.9 else 0.2

    values, *_ = tuned(score, 18)
    assert values["x"] == pytest.approx(1)
    values, reached, *_ = tuned(lambda values, seed: None, 6)
    assert reached == math.inf and set(values) == {"x"}


def test_a_metric_that_is_less_is_minimized():
    values, *_ = tuned(
        lambda v, s: abs(np.log10(v["x"]) - 0.5) + 0.1, 18, direction="min"
    )
    assert np.log10(values["x"]) == pytest.approx(0.5, abs=0.2)


def test_a_finite_space_ends_early():
    hp = kt.HyperParameters()
    hp.Choice("size", [3, 5])
    values, _, count, _ = tuned(lambda v, s: v["size"] / 10, 18, hp)
    assert values == {"size": 5} and count < 18


def test_edges_are_named():
    hp = space(x=(0.1, 10), y=(1, 100))
    assert tune.at_edges(hp, {"x": 9.5, "y": 10}) == ["x"]
    assert tune.at_edges(hp, {"x": 1, "y": 1.1}) == ["y"]
    assert tune.at_edges(hp, {"x": 1, "y": 10}) == []


def test_the_ends_of_choices_and_short_ranges_are_edges():
    hp = kt.HyperParameters()
    hp.Choice("kernel_size", [3, 5, 9])
    hp.Choice("activation", ["relu", "selu", "gelu"])
    hp.Int("layers", 1, 3)
    hp.Int("blocks", 1, 2)
    hp.Boolean("bias")
    values = {"activation": "relu", "blocks": 2, "bias": True}
    for size, layers in ((3, 1), (9, 3)):
        at_ends = values | {"kernel_size": size, "layers": layers}
        assert tune.at_edges(hp, at_ends) == ["kernel_size", "layers"]
    assert tune.at_edges(hp, values | {"kernel_size": 5, "layers": 2}) == []


def test_what_failed_is_not_tried_again_nor_taken_in_place_of_what_trained():
    """One value of three trains, on the first seed alone; the middle is tried first."""

    def score(values, seed):
        return 0.5 if values["size"] == 5 and seed == tune.SEED else None

    hp = kt.HyperParameters()
    hp.Choice("size", [3, 5, 7])
    values, reached, count, runs = tuned(score, 18, hp)
    assert values == {"size": 5} and reached == math.inf
    assert count == len(runs) == 4


def test_what_too_few_runs_never_try_is_named():
    hp = kt.HyperParameters()
    hp.Float("rate", 0.1, 1.0)
    hp.Choice("sigma", list(np.linspace(1, 3, 3)))  # Scalars of NumPy.
    hp.Int("layers", 2, 2)
    hp.Boolean("bias")
    hp.Fixed("size", 3)
    fixed = {"layers": 2, "bias": False, "size": 3}
    tried = [{"rate": rate, "sigma": 2.0, **fixed} for rate in (0.1, 0.5)]
    expected = ["sigma 1.0", "sigma 3.0", "bias True"]
    assert tune.never_tried(hp, tried) == expected
    for sigma in (1.0, 3.0):
        tried.append({"rate": 0.5, "sigma": sigma, **fixed, "bias": True})
    assert tune.never_tried(hp, tried) == tune.never_tried(hp, []) == []


def test_the_tuning_of_a_comparison_tells_what_it_never_tried(tmp_path):
    def build(hp):
        hp.Choice("width", list(np.linspace(1, 3, 3)))
        return functional(hp)

    sides = candidate("one"), candidate("two", build, tune="learning_rate")
    results = compare(Stripes(), tmp_path, *sides, trials=3, seeds=(0, 1))
    assert results.never_tried("two") == ["width 1.0", "width 3.0"]
    assert "Never tried by the tuning: two (width 1.0, width 3.0)" in results.verdict()


def test_sizes_that_a_search_of_a_choice_skips_are_named():
    """Of six sizes, 30 runs tried three, and the report called one of them the best."""
    hp = kt.HyperParameters()
    hp.Choice("kernel_size", [3, 5, 9, 17, 33, 65])
    hp.Float("rate", 0.1, 1.0)

    def score(values, seed):
        return abs(values["kernel_size"] - 17) + values["rate"]

    *_, runs = tuned(score, 9, hp)
    named = tune.never_tried(hp, [run.values for run in runs])
    assert named == [
        f"kernel_size {size}"
        for size in (3, 5, 9, 17, 33, 65)
        if size not in {run.values["kernel_size"] for run in runs}
    ]
    assert len(named) == 3


def test_of_many_values_that_were_not_tried_some_are_named():
    hp = kt.HyperParameters()
    hp.Choice("rate", list(range(30)))
    named = tune.never_tried(hp, [{"rate": 0}])
    assert named == [*(f"rate {value}" for value in range(1, 6)), "24 more of rate"]
