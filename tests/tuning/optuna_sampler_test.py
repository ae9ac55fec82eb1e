"""DirectLSampler against Optuna's checks, NLopt, the oracle, and in hard use."""

import collections
import datetime
import itertools
import json
import math
import os
import random
import subprocess
import sys
import warnings
from pathlib import Path

import keras
import keras_tuner as kt
import nlopt
import numpy as np
import optuna
import pytest
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    RelativeSamplerTestCase,
    SingleOnlySamplerTestCase,
)
from optuna.trial import TrialState

from benchmarks.functions import PUBLISHED
from keras_wconv.tuning import DirectLOracle, DirectLSampler, DirectLSearch, density

optuna.logging.set_verbosity(optuna.logging.WARNING)

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow",
    reason="nothing is computed with the backend: once is enough",
)


@pytest.fixture(autouse=True)
def clean_keras_state():
    """Nothing here has a state in Keras to be cleaned."""


# === What Optuna checks of its own samplers ===


@pytest.mark.filterwarnings("ignore:.* is not searched:UserWarning")
class TestOptunasOwnChecks(
    BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase
):
    @pytest.fixture
    def sampler(self):
        return DirectLSampler

    @pytest.mark.parametrize(
        ("suggest", "count"),
        [
            (lambda t: t.suggest_float("x", 0, 10), 10),
            (lambda t: t.suggest_int("x", 0, 10), 10),
            (lambda t: t.suggest_float("x", 0, 10, step=0.5), 10),
            (lambda t: t.suggest_float("x", 1e-7, 10, log=True), 10),
            (lambda t: t.suggest_int("x", 1, 10, log=True), 10),
            # Optuna expects 10 of these, too; here a study ends when all are tried.
            (lambda t: t.suggest_categorical("x", [0, 1, 2]), 3),
        ],
    )
    def test_single_parameter_objective(self, sampler, suggest, count):
        study = optuna.create_study(sampler=sampler())
        study.optimize(suggest, n_trials=10)
        assert len(study.trials) == count
        assert {trial.state for trial in study.trials} == {TrialState.COMPLETE}


# === The points ===


def points(trials):
    """Returns the values of trials, without those that were tried before."""
    return list(dict.fromkeys(tuple(trial.params.values()) for trial in trials))


@pytest.mark.parametrize("function", PUBLISHED, ids=lambda function: function.name)
def test_points_equal_those_of_nlopt(function):
    evaluations = 120
    expected = []

    def recorded(x, gradient):
        expected.append(tuple(map(float, x)))
        return function.function(*x)

    lower, upper = zip(*function.bounds, strict=True)
    optimizer = nlopt.opt(nlopt.GN_ORIG_DIRECT_L, len(lower))
    optimizer.set_lower_bounds(list(map(float, lower)))
    optimizer.set_upper_bounds(list(map(float, upper)))
    optimizer.set_min_objective(recorded)
    optimizer.set_maxeval(evaluations)
    optimizer.optimize([(a + b) / 2 for a, b in function.bounds])

    def objective(trial):
        x = (
            trial.suggest_float(str(axis), *ends)
            for axis, ends in enumerate(function.bounds)
        )
        return function.function(*x)

    study = optuna.create_study(sampler=DirectLSampler(epsilon=0, min_side=None))
    study.optimize(objective, n_trials=evaluations)
    # NLopt maps sums of thirds to the bounds in another order of operations.
    np.testing.assert_allclose(
        points(study.trials), expected[:evaluations], rtol=0, atol=1e-12
    )


SPACE = {
    "rate": FloatDistribution(1e-4, 1e-1, log=True),
    "density": FloatDistribution(0.5, 1.5),
    "dropout": FloatDistribution(0.0, 0.5, step=0.25),
    "filters": IntDistribution(8, 64, step=8),
    "depth": IntDistribution(1, 30, log=True),
    "optimizer": CategoricalDistribution(["sgd", "adam", "rmsprop"]),
    "bias": CategoricalDistribution([False, True]),
}


def value(rate, density, dropout, filters, depth, optimizer, bias):
    return (
        0.1 * math.log10(rate / 3e-3) ** 2
        + (density - 0.7) ** 2
        + dropout
        + abs(filters - 24) / 100
        + 0.02 * abs(depth - 5)
        + {"sgd": 0.0, "adam": 0.3, "rmsprop": 0.5}[optimizer]
        + (0.0 if bias else 0.1)
    )


def suggest(trial):
    return {name: trial._suggest(name, SPACE[name]) for name in SPACE}


def objective(trial):
    return value(**suggest(trial))


def alone(n_trials, **arguments):
    """Returns the points of one worker."""
    study = optuna.create_study(sampler=DirectLSampler(SPACE, **arguments))
    study.optimize(objective, n_trials=n_trials)
    assert len(points(study.trials)) == n_trials  # none twice
    return points(study.trials)


@pytest.mark.parametrize("locally_biased", [True, False])
def test_points_equal_those_of_the_oracle(tmp_path, locally_biased):
    hp = kt.HyperParameters()
    hp.Float("rate", 1e-4, 1e-1, sampling="log")
    hp.Float("density", 0.5, 1.5)
    hp.Float("dropout", 0.0, 0.5, step=0.25)
    hp.Int("filters", 8, 64, step=8)
    hp.Int("depth", 1, 30, sampling="log")
    hp.Choice("optimizer", ["sgd", "adam", "rmsprop"])
    hp.Boolean("bias")
    oracle = DirectLOracle(
        kt.Objective("score", "min"),
        max_trials=150,
        hyperparameters=hp,
        locally_biased=locally_biased,
    )
    oracle.verbose = 0
    oracle._set_project_dir(tmp_path, "search")
    expected = []
    while (trial := oracle.create_trial("tuner0")).status == "RUNNING":
        values = trial.hyperparameters.values
        expected.append(tuple(values.values()))
        oracle.update_trial(trial.trial_id, {"score": value(**values)})
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
    assert alone(150, locally_biased=locally_biased) == expected


def test_inferred_space_is_searched_in_alphabetical_order():
    def suggest_in_another_order(trial):
        return value(**{name: trial._suggest(name, SPACE[name]) for name in SPACE})

    inferred = optuna.create_study(sampler=DirectLSampler())
    inferred.optimize(suggest_in_another_order, n_trials=40)
    declared = optuna.create_study(sampler=DirectLSampler(dict(sorted(SPACE.items()))))
    declared.optimize(objective, n_trials=40)
    assert [t.params for t in inferred.trials] == [t.params for t in declared.trials]


def test_maximizing_tries_the_same_points():
    study = optuna.create_study(direction="maximize", sampler=DirectLSampler(SPACE))
    study.optimize(lambda trial: -objective(trial), n_trials=40)
    assert points(study.trials) == alone(40)


def test_a_space_of_few_values_is_tried_whole_and_once():
    study = optuna.create_study(sampler=DirectLSampler())
    study.optimize(
        lambda t: t.suggest_int("a", 1, 4) * t.suggest_categorical("b", [-1, 1, 3])
    )
    expected = set(itertools.product((1, 2, 3, 4), (-1, 1, 3)))
    assert len(study.trials) == len(expected)
    assert set(points(study.trials)) == expected


def test_study_ends_at_the_resolution():
    study = optuna.create_study(sampler=DirectLSampler(min_side=1 / 9))
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1))
    # Sides above 1 / 9 are cut down to it: the middles of nine parts.
    expected = (np.arange(9) + 0.5) / 9
    np.testing.assert_allclose(sorted(x for (x,) in points(study.trials)), expected)
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1))
    assert len(study.trials) == 10
    assert study.trials[-1].state == TrialState.PRUNED
    with pytest.raises(optuna.TrialPruned, match=r"no point left at min_side=0\.11"):
        study.ask().suggest_float("x", 0, 1)


# === Workers ===


@pytest.mark.parametrize("workers", [2, 5, 12])
def test_workers_try_the_same_points(workers):
    study = optuna.create_study(sampler=DirectLSampler(SPACE))
    draw = random.Random(workers)
    running = []
    for _ in range(150):
        if len(running) == workers:
            trial, result = running.pop(draw.randrange(workers))
            study.tell(trial, result)
        trial = study.ask()
        running.append((trial, objective(trial)))
    tried = points(study.trials)
    assert len(tried) > 60
    assert tried == alone(len(tried))


def test_trials_begun_at_once_get_the_points_in_order():
    study = optuna.create_study(sampler=DirectLSampler(SPACE))
    trials = [study.ask() for _ in range(6)]
    for trial in reversed(trials):  # the values are asked for later, in another order
        suggest(trial)
    assert points(study.trials) == alone(6)


def test_repeats_are_of_what_runs_and_are_told_once():
    study = optuna.create_study(sampler=DirectLSampler({"x": FloatDistribution(0, 1)}))
    trials = [study.ask() for _ in range(8)]
    tried = [trial.suggest_float("x", 0, 1) for trial in trials]
    batch = tried[:3]
    assert len(set(batch)) == 3
    # In turn, and the first again.
    assert tried[3:] == [*batch, *batch[:2]]
    study.tell(trials[3], 1.0)
    study.tell(trials[0], 7.0)  # the first to end counts
    study.tell(trials[1], 2.0)
    study.tell(trials[2], 3.0)
    expected = optuna.create_study(
        sampler=DirectLSampler({"x": FloatDistribution(0, 1)})
    )
    for result in (1.0, 2.0, 3.0):
        trial = expected.ask()
        trial.suggest_float("x", 0, 1)
        expected.tell(trial, result)
    following = [s.ask().suggest_float("x", 0, 1) for s in (study, expected)]
    assert following[0] == following[1] not in batch


@pytest.mark.parametrize("n_jobs", [2, 4])
def test_threads_try_the_same_points(n_jobs):
    study = optuna.create_study(sampler=DirectLSampler(SPACE))
    study.optimize(objective, n_trials=60, n_jobs=n_jobs)
    tried = points(study.trials)
    assert len(tried) > 30
    # The study ends within a batch, whose points are taken in any order.
    known = alone(len(tried) + n_jobs)
    assert set(known[: len(tried) - n_jobs]) <= set(tried) <= set(known)


def outcome(storage, directory, *arguments):
    script = Path(__file__).with_name("optuna_processes.py")
    result = subprocess.run(
        [sys.executable, str(script), storage, str(directory), *map(str, arguments)],
        env={**os.environ, "KERAS_BACKEND": "numpy"},
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return json.loads(result.stdout.splitlines()[-1])


@pytest.mark.parametrize("storage", ["sqlite", "journal"])
def test_killed_workers_on_one_storage_try_the_same_points(tmp_path, storage):
    search = outcome(storage, tmp_path, 3, 9)
    assert search["kills"] == 3
    assert set(search["exit_codes"]) == {0}
    assert search["lost"] == []
    assert len(search["alone"]) == 27
    assert search["points"] == search["alone"]


# === Trials of all kinds ===


def test_failures_are_passed_over():
    def fails(trial):
        values = suggest(trial)
        match trial.number % 5:
            case 1:
                return math.nan
            case 2:
                return math.inf
            case 3:
                raise RuntimeError("planted")
        return value(**values)

    study = optuna.create_study(sampler=DirectLSampler(SPACE))
    study.optimize(fails, n_trials=80, catch=RuntimeError)
    states = collections.Counter(trial.state for trial in study.trials)
    assert states == {TrialState.COMPLETE: 48, TrialState.FAIL: 32}
    assert len(points(study.trials)) == 80


def test_failures_equal_those_of_the_search():
    def function(x, y):
        return math.nan if x > 0.6 else (x - 0.5) ** 2 + y

    search, expected = DirectLSearch(2), []
    while len(expected) < 60:
        for point in search.ask():
            expected.append(point)
            search.tell(point, function(*point))
    study = optuna.create_study(sampler=DirectLSampler())
    study.optimize(
        lambda t: function(t.suggest_float("x", 0, 1), t.suggest_float("y", 0, 1)),
        n_trials=60,
    )
    np.testing.assert_allclose(points(study.trials), expected[:60], atol=1e-15)


def test_first_trials_failing_do_not_hide_the_space():
    def fails_at_first(trial):
        values = suggest(trial)
        return math.nan if trial.number < 3 else value(**values)

    study = optuna.create_study(sampler=DirectLSampler())
    study.optimize(fails_at_first, n_trials=60)
    # The middle counts as failed, and the search goes on from it.
    assert len(points(study.trials)) == 60
    assert study.best_value < objective(optuna.trial.FixedTrial(study.trials[0].params))


def test_infeasible_trials_are_failures():
    def constrained(trial):
        x = trial.suggest_float("x", 0, 1)
        trial.set_constraint("x", 0.4 - x)  # Feasible from 0.4 on.
        return x

    study = optuna.create_study(sampler=DirectLSampler())
    study.optimize(constrained, n_trials=40)
    assert study.best_value == pytest.approx(0.4, abs=0.01)


def test_pruned_trials_count_with_their_last_value():
    def pruned(trial):
        result = objective(trial)
        for step, part in enumerate((9.0, 1.0)):
            trial.report(result * part, step)
        if trial.number % 3:
            raise optuna.TrialPruned
        return result

    study = optuna.create_study(sampler=DirectLSampler(SPACE))
    study.optimize(pruned, n_trials=40)
    assert {t.state for t in study.trials} == {TrialState.COMPLETE, TrialState.PRUNED}
    assert points(study.trials) == alone(40)


@pytest.mark.parametrize("report", [None, math.nan])
def test_pruned_without_a_value_is_a_failure(report):
    def run(error):
        def ends_early(trial):
            result = objective(trial)
            if report is not None:
                trial.report(report, 0)
            if trial.number % 4 == 1:
                raise error
            return result

        study = optuna.create_study(sampler=DirectLSampler(SPACE))
        study.optimize(ends_early, n_trials=40, catch=RuntimeError)
        return points(study.trials)

    assert run(optuna.TrialPruned()) == run(RuntimeError())


@pytest.mark.parametrize("pruner", [optuna.pruners.HyperbandPruner(1, 9)])
def test_brackets_of_hyperband_are_one_search(pruner):
    def reports(trial):
        result = objective(trial)
        for step in range(9):
            trial.report(result, step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return result

    study = optuna.create_study(sampler=DirectLSampler(SPACE), pruner=pruner)
    study.optimize(reports, n_trials=60)
    assert {t.state for t in study.trials} == {TrialState.COMPLETE, TrialState.PRUNED}
    assert points(study.trials) == alone(60)
    few = optuna.create_study(sampler=DirectLSampler(), pruner=pruner)
    few.optimize(lambda trial: trial.suggest_int("x", 1, 5))
    assert len(few.trials) == 5


def test_enqueued_trials_count_where_the_search_is():
    expected = alone(30)
    study = optuna.create_study(sampler=DirectLSampler(SPACE))
    best = dict(zip(SPACE, expected[7], strict=True))
    apart = {**best, "density": 0.77}
    study.enqueue_trial(best)
    study.enqueue_trial(apart)
    study.optimize(objective, n_trials=31)
    tried = points(study.trials)
    assert tried[:2] == [tuple(best.values()), tuple(apart.values())]
    # The point of the search is not tried again; the one apart is not told.
    assert tried[2:] == expected[:7] + expected[8:]


def test_what_an_enqueued_trial_leaves_open_is_the_middle():
    study = optuna.create_study(sampler=DirectLSampler(SPACE))
    study.optimize(objective, n_trials=3)
    study.enqueue_trial({"density": 0.9})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        study.optimize(objective, n_trials=4)
    tried = [trial.params for trial in study.trials]
    assert tried[3] == {**tried[0], "density": 0.9}
    others = [tuple(params.values()) for params in tried[:3] + tried[4:]]
    assert others == alone(6)


def test_imported_trials_are_not_tried_again():
    first = optuna.create_study(sampler=DirectLSampler(SPACE))
    first.optimize(objective, n_trials=20)
    study = optuna.create_study(sampler=DirectLSampler(SPACE))
    study.add_trials(
        optuna.create_trial(params=t.params, distributions=SPACE, value=t.value)
        for t in first.trials
    )
    study.optimize(objective, n_trials=20)
    assert points(study.trials) == alone(40)


def test_a_failure_that_is_repaired_counts_no_more():
    def fails_once(trial):
        result = objective(trial)
        if trial.number == 5:
            raise KeyboardInterrupt
        return result

    study = optuna.create_study(sampler=DirectLSampler(SPACE))
    with pytest.raises(KeyboardInterrupt):
        study.optimize(fails_once, n_trials=30)
    study.enqueue_trial(study.trials[5].params)
    study.optimize(fails_once, n_trials=25)
    assert points(study.trials) == alone(30)


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_trials_that_optuna_retries_keep_their_points(tmp_path):
    storage = optuna.storages.RDBStorage(
        f"sqlite:///{tmp_path / 'study.db'}",
        heartbeat_interval=1,
        grace_period=1,
        heartbeat_stale_trial_callback=optuna.storages.RetryHeartbeatStaleTrialCallback(),
    )
    study = optuna.create_study(sampler=DirectLSampler(SPACE), storage=storage)
    study.optimize(objective, n_trials=2)
    trial = study.ask()  # Its worker dies: before all values are there.
    trial._suggest("rate", SPACE["rate"])
    with storage.engine.begin() as connection:
        long_ago = datetime.datetime.now() - datetime.timedelta(days=9)
        connection.exec_driver_sql(
            "insert into trial_heartbeats (trial_id, heartbeat) values (?, ?)",
            (trial._trial_id, long_ago),
        )
    study.optimize(objective, n_trials=8)
    assert study.trials[2].state == TrialState.FAIL
    assert study.trials[3].system_attrs["failed_trial"] == 2
    finished = [t for t in study.trials if t.state == TrialState.COMPLETE]
    assert points(finished) == alone(10)


@pytest.mark.filterwarnings("ignore:.* is not searched:UserWarning")
@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (FloatDistribution(0, 2), FloatDistribution(0, 1), 10),
        (FloatDistribution(0, 2), FloatDistribution(0, 20), 12),
        (IntDistribution(1, 8), IntDistribution(1, 8, step=2), 4),
    ],
)
def test_other_ranges_are_named_and_points_out_of_them_fail(before, after, expected):
    study = optuna.create_study(sampler=DirectLSampler())
    study.optimize(lambda trial: abs(trial._suggest("x", before) - 0.7), n_trials=3)
    with pytest.warns(UserWarning, match="has other ranges than the search") as caught:
        study.optimize(lambda trial: abs(trial._suggest("x", after) - 0.7), n_trials=12)
    (told,) = [str(w.message) for w in caught if "other ranges" in str(w.message)]
    assert str(before) in told
    assert str(after) in told
    assert len(points(study.trials)) >= expected


def test_points_of_another_space_are_not_lost():
    """Trials of another space were given the same points, at other values."""
    first = optuna.create_study(sampler=DirectLSampler({"x": FloatDistribution(0, 2)}))
    first.optimize(lambda trial: trial.suggest_float("x", 0, 2), n_trials=9)
    alone = optuna.create_study(sampler=DirectLSampler({"x": FloatDistribution(0, 9)}))
    alone.optimize(lambda trial: trial.suggest_float("x", 0, 9), n_trials=9)
    first.sampler = alone.sampler
    first.optimize(lambda trial: trial.suggest_float("x", 0, 9), n_trials=9)
    assert points(first.trials[9:]) == points(alone.trials)


def test_a_parameter_out_of_the_space_is_named_and_kept_in_the_middle():
    def branches(trial):
        if trial.suggest_categorical("kind", ["a", "b"]) == "a":
            return trial.suggest_float("x", 0, 1)
        return trial.suggest_float("y", 0, 8)

    study = optuna.create_study(sampler=DirectLSampler())
    with pytest.warns(UserWarning, match=r"'x' of trial \d+ is not searched"):
        study.optimize(branches, n_trials=8)
    assert {t.params["x"] for t in study.trials if "x" in t.params} == {0.5}


def test_a_declared_space_may_have_parameters_of_some_trials_alone():
    space = {
        "kind": CategoricalDistribution(["a", "b"]),
        "x": FloatDistribution(0, 1),
        "y": FloatDistribution(0, 8),
    }

    def branches(trial):
        if trial.suggest_categorical("kind", ["a", "b"]) == "a":
            return abs(trial.suggest_float("x", 0, 1) - 0.3)
        return 0.2 + abs(trial.suggest_float("y", 0, 8) - 2)

    study = optuna.create_study(sampler=DirectLSampler(space))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        study.optimize(branches, n_trials=60)
    assert study.best_params["kind"] == "a"
    assert study.best_params["x"] == pytest.approx(0.3, abs=0.02)


def test_density_declares_the_same_as_in_keras_tuner():
    hp = kt.HyperParameters()
    trial = optuna.create_study(sampler=DirectLSampler()).ask()
    for size, name in (((3, 7), "stem"), (15, "wide")):
        density(hp, size, name=name)
    assert density(trial, (3, 7), name="stem") == [
        [1.0],
        pytest.approx([0.275, 0.575, 0.875]),
    ]
    # The geometric middle of half a tap and the size.
    assert density(trial, 15, name="wide").sigma == pytest.approx(math.sqrt(7.5))
    assert [(n, d.low, d.high, d.log) for n, d in trial.distributions.items()] == [
        (one.name, one.min_value, one.max_value, one.sampling == "log")
        for one in hp.space
    ]


def test_bad_arguments():
    for space in ({}, {"x": IntDistribution(3, 3)}):
        with pytest.raises(ValueError, match="`search_space` must have a parameter"):
            DirectLSampler(space)
    with pytest.raises(ValueError, match="must have Optuna distributions as values"):
        DirectLSampler({"x": (0.5, 1.5)})
    with pytest.raises(ValueError, match="finite ranges"):
        DirectLSampler({"x": FloatDistribution(0, math.inf)})
    for choices in ((None, True, 1), (0.0, False), ("a", "a")):
        with pytest.raises(ValueError, match="equal choices, such as True and 1"):
            DirectLSampler({"x": CategoricalDistribution(choices)})
    with pytest.raises(ValueError, match="`epsilon` must be"):
        DirectLSampler(epsilon=-1)
    study = optuna.create_study(
        directions=["minimize", "maximize"], sampler=DirectLSampler(SPACE)
    )
    with pytest.raises(ValueError, match=r"expected a study with one of `directions`"):
        study.optimize(lambda trial: (objective(trial), 0.0), n_trials=1)
