"""Search spaces that are not only ranges: steps, choices, switches and conditions."""

import itertools

import keras
import keras_tuner as kt
import numpy as np
import pytest

from keras_wconv import WeightedConv2D, tuning
from keras_wconv.tuning import DirectLOracle


def mixed():
    hp = kt.HyperParameters()
    hp.Choice("optimizer", ["sgd", "adam", "rmsprop"])
    with hp.conditional_scope("optimizer", ["sgd"]):
        hp.Float("momentum", 0.0, 0.9)
    hp.Int("filters", 8, 64, step=2, sampling="log")
    hp.Boolean("bias")
    hp.Float("dropout", 0.0, 0.5, step=0.25)
    hp.Float("learning_rate", 1e-4, 1e-1, sampling="log")
    hp.Fixed("epochs", 3)
    return hp


def discrete():
    hp = kt.HyperParameters()
    hp.Choice("a", ["x", "y", "z"])
    hp.Int("b", 1, 4)
    hp.Boolean("c")
    with hp.conditional_scope("c", [True]):
        hp.Choice("d", [0.1, 0.2])
    return hp


def make_oracle(directory, space, max_trials=40, **arguments):
    oracle = DirectLOracle(
        objective=kt.Objective("score", "min"),
        max_trials=max_trials,
        hyperparameters=space,
        **arguments,
    )
    oracle.verbose = 0
    oracle._set_project_dir(directory, "search")
    return oracle


def finish(oracle, trial, value):
    oracle.update_trial(trial.trial_id, {"score": value})
    trial.status = "COMPLETED"
    oracle.end_trial(trial)


def drive(oracle, function):
    while (trial := oracle.create_trial("tuner0")).status == "RUNNING":
        finish(oracle, trial, function(trial.hyperparameters.values))
    return [oracle.trials[name].hyperparameters.values for name in oracle.start_order]


def of_mixed(values):
    """A function with its minimum at sgd, momentum 0.6, 32 filters, 3e-3, bias."""
    optimizer = {"sgd": 0.0, "adam": 0.3, "rmsprop": 0.5}[values["optimizer"]]
    momentum = (values.get("momentum", 0.0) - 0.6) ** 2
    filters = 0.2 * abs(np.log2(values["filters"] / 32))
    rate = 0.1 * np.log10(values["learning_rate"] / 3e-3) ** 2
    bias = 0.0 if values["bias"] else 0.1
    return float(optimizer + momentum + filters + rate + bias + values["dropout"])


def of_discrete(values):
    return {"x": 2, "y": 0, "z": 1}[values["a"]] + (values["b"] - 3) ** 2 + values["c"]


def test_no_values_are_tried_twice(tmp_path):
    tried = drive(make_oracle(tmp_path, mixed(), max_trials=60), of_mixed)
    assert len({tuple(values.items()) for values in tried}) == len(tried) == 60


def test_values_are_those_that_were_declared(tmp_path):
    tried = drive(make_oracle(tmp_path, mixed()), of_mixed)
    assert {values["filters"] for values in tried} <= {8, 16, 32, 64}
    assert {values["dropout"] for values in tried} <= {0.0, 0.25, 0.5}
    assert {values["optimizer"] for values in tried} == {"sgd", "adam", "rmsprop"}
    assert {values["epochs"] for values in tried} == {3}
    for values in tried:
        assert ("momentum" in values) == (values["optimizer"] == "sgd")


def test_an_integer_of_one_value_is_an_integer(tmp_path):
    hp = kt.HyperParameters()
    hp.Int("units", 8, 12, step=2, sampling="log")  # 16 is too large.
    hp.Boolean("bias")
    tried = drive(make_oracle(tmp_path, hp, None), lambda values: 0.0)
    assert [repr(values["units"]) for values in tried] == ["8", "8"]


def test_a_space_of_few_values_is_tried_whole_and_once(tmp_path):
    tried = drive(make_oracle(tmp_path, discrete(), max_trials=None), of_discrete)
    with_d = itertools.product("xyz", (1, 2, 3, 4), (True,), (0.1, 0.2))
    without = itertools.product("xyz", (1, 2, 3, 4), (False,))
    keys = [
        tuple(values[name] for name in "abcd" if name in values) for values in tried
    ]
    assert len(keys) == len(set(keys))
    assert set(keys) == {*with_d, *without}


@pytest.mark.parametrize("count", [2, 3, 5, 10])
@pytest.mark.parametrize("locally_biased", [True, False])
def test_one_choice_ends_when_all_are_tried(tmp_path, count, locally_biased):
    hp = kt.HyperParameters()
    hp.Choice("a", list(range(count)))
    oracle = make_oracle(tmp_path, hp, None, locally_biased=locally_biased)
    tried = drive(oracle, lambda values: (values["a"] - 1) ** 2)
    assert sorted(values["a"] for values in tried) == list(range(count))


@pytest.mark.parametrize(
    ("space", "function", "trials", "optimum", "best"),
    [
        (mixed, of_mixed, 150, 0.0, {"optimizer": "sgd", "filters": 32, "bias": True}),
        (discrete, of_discrete, 20, 0.0, {"a": "y", "b": 3, "c": False}),
    ],
)
def test_optimum_is_found(tmp_path, space, function, trials, optimum, best):
    oracle = make_oracle(tmp_path, space(), trials)
    drive(oracle, function)
    (trial,) = oracle.get_best_trials()
    assert best.items() <= trial.hyperparameters.values.items()
    assert trial.score == pytest.approx(optimum, abs=0.02)


def test_optimum_beside_a_switch_that_hides_it(tmp_path):
    hp = kt.HyperParameters()
    hp.Boolean("deep")
    with hp.conditional_scope("deep", [True]):
        hp.Int("depth", 2, 9)
    hp.Float("rate", 0.0, 1.0)

    def function(values):
        depth = abs(values["depth"] - 7) / 10 if values["deep"] else 0.45
        return depth + (values["rate"] - 0.21) ** 2

    oracle = make_oracle(tmp_path, hp, 60)
    drive(oracle, function)
    (trial,) = oracle.get_best_trials()
    assert trial.hyperparameters.get("depth") == 7
    assert trial.hyperparameters.get("rate") == pytest.approx(0.21, abs=0.02)


@pytest.mark.parametrize("workers", [2, 5])
def test_workers_try_the_same_points(tmp_path, workers):
    expected = drive(make_oracle(tmp_path / "one", mixed()), of_mixed)
    oracle = make_oracle(tmp_path / "many", mixed())
    running = {}
    for turn in itertools.count():
        name = f"tuner{turn % workers}"
        if name in running:
            trial = running.pop(name)
            finish(oracle, trial, of_mixed(trial.hyperparameters.values))
        trial = oracle.create_trial(name)
        if trial.status == "RUNNING":
            running[name] = trial
        elif trial.status == "STOPPED" and not running:
            break
    trials = [oracle.trials[name].hyperparameters.values for name in oracle.start_order]
    assert trials == expected


@pytest.mark.parametrize(
    "space, function", [(mixed, of_mixed), (discrete, of_discrete)]
)
def test_killed_and_resumed_search_tries_the_same_points(tmp_path, space, function):
    expected = drive(make_oracle(tmp_path / "whole", space(), 20), function)
    for _ in range(20):
        oracle = make_oracle(tmp_path / "killed", space(), 20)
        if (tmp_path / "killed" / "search" / "oracle.json").exists():
            oracle.reload()
        trial = oracle.create_trial("tuner0")
        finish(oracle, trial, function(trial.hyperparameters.values))
        oracle.create_trial("tuner0")  # killed in the middle of it
    trials = [oracle.trials[name].hyperparameters.values for name in oracle.start_order]
    assert trials == expected


def test_a_name_may_stand_in_several_scopes(tmp_path):
    """KerasTuner puts a random value in its place, or none."""
    hp = kt.HyperParameters()
    hp.Choice("kind", ["small", "large"])
    for name, low in (("small", 3), ("large", 9)):
        with hp.conditional_scope("kind", [name]):
            hp.Int("size", low, low + 2)
    oracle = make_oracle(tmp_path, hp)
    tried = []
    while (trial := oracle.create_trial("tuner0")).status == "RUNNING":
        size = trial.hyperparameters.get("size")
        tried.append((trial.hyperparameters.get("kind"), size))
        finish(oracle, trial, float(size))
    assert sorted(tried) == [
        *(("large", size) for size in (9, 10, 11)),
        *(("small", size) for size in (3, 4, 5)),
    ]
    best = oracle.get_best_trials()[0].hyperparameters
    assert (best.get("kind"), best.get("size")) == ("small", 3)


def test_changed_choices_are_not_continued(tmp_path):
    drive(make_oracle(tmp_path, discrete(), 5), of_discrete)
    other = kt.HyperParameters()
    other.Choice("a", ["x", "y"])
    with pytest.raises(ValueError, match=r"'a' was Choice .*'z'"):
        make_oracle(tmp_path, other).reload()


@pytest.mark.filterwarnings("ignore:Trials differ in more than densities")
def test_drop_in_for_another_tuner(tmp_path):
    """A hypermodel with a choice and a learning rate, and a density added to it."""

    def build(hp):
        density = tuning.density(hp, 3)
        model = keras.Sequential(
            [
                keras.Input((6, 6, 1)),
                WeightedConv2D(hp.Int("filters", 1, 2), 3, density=density),
            ]
        )
        rate = hp.Float("learning_rate", 1e-3, 1e-1, sampling="log")
        optimizer = hp.Choice("optimizer", ["sgd", "adam"])
        model.compile(keras.optimizers.get(optimizer), "mse")
        model.optimizer.learning_rate = rate
        return model

    inputs, targets = np.ones((4, 6, 6, 1)), np.ones((4, 4, 4, 1))
    arguments = {
        "hypermodel": build,
        "objective": kt.Objective("loss", "min"),
        "max_trials": 4,
        "directory": tmp_path,
    }
    for name, tuner_class in (("b", kt.BayesianOptimization), ("d", tuning.DirectL)):
        tuner = tuner_class(**arguments, project_name=name)
        tuner.search(inputs, targets, verbose=0)
        assert len(tuner.oracle.trials) == 4
    assert {trial.status for trial in tuner.oracle.trials.values()} == {"COMPLETED"}
