"""DirectLOracle as KerasTuner's own oracle tests have it, and what they leave out."""

import itertools
import math
import threading

import keras_tuner as kt
import numpy as np
import pytest

from keras_wconv.tuning import DirectLOracle, _keras_tuner


@pytest.fixture(autouse=True)
def clean_keras_state():
    """Nothing here has a state in Keras to be cleaned."""


def space(**ranges):
    hyperparameters = kt.HyperParameters()
    for name, bounds in (ranges or {"a": (0.5, 1.5), "b": (0.0, 1.0)}).items():
        hyperparameters.Float(name, *bounds)
    return hyperparameters


def score(trial):
    a, b = (trial.hyperparameters.get(name) for name in "ab")
    return (a - 0.83) ** 2 + 0.3 * math.cos(9 * b) + 0.1 * a * b


def make_oracle(directory, **arguments):
    arguments = {
        "objective": kt.Objective("score", "min"),
        "max_trials": 30,
        "hyperparameters": space(),
        **arguments,
    }
    oracle = DirectLOracle(**arguments)
    oracle.verbose = 0
    oracle._set_project_dir(directory, "search")
    return oracle


def finish(oracle, trial, value):
    if isinstance(value, str):
        trial.status = value
    else:
        oracle.update_trial(trial.trial_id, {"score": value})
        trial.status = "COMPLETED"
    oracle.end_trial(trial)


def drive(oracle, function=score, tuner_id="tuner0", trials=None):
    """Runs `trials`, or all of them, as a tuner does."""
    count = 0
    while count != trials:
        trial = oracle.create_trial(tuner_id)
        if trial.status == "STOPPED":
            break
        assert trial.status == "RUNNING"
        finish(oracle, trial, function(trial))
        count += 1
    return oracle


def results(oracle):
    return [
        (trial_id, oracle.trials[trial_id].hyperparameters.values, t.score, t.status)
        for trial_id, t in sorted(oracle.trials.items())
    ]


@pytest.fixture
def uninterrupted(tmp_path):
    return drive(make_oracle(tmp_path / "uninterrupted"))


# === The points ===


@pytest.mark.parametrize(
    "bounds, sampling",
    [
        ((0.5, 1.5), "linear"),
        ((0.6, 1.4), "linear"),
        ((0.05, 1.95), "linear"),
        ((0.5, 2.0), "log"),
        ((0.1, 10.0), "log"),
        ((0.8, 1.25), "log"),
    ],
)
def test_first_trial_of_a_symmetric_space_is_exactly_one(tmp_path, bounds, sampling):
    hyperparameters = kt.HyperParameters()
    hyperparameters.Float("density", *bounds, sampling=sampling)
    oracle = make_oracle(tmp_path, hyperparameters=hyperparameters)
    assert oracle.create_trial("tuner0").hyperparameters.values == {"density": 1.0}


@pytest.mark.parametrize("sampling", ["linear", "log", "reverse_log"])
def test_values_follow_the_sampling_of_keras_tuner(tmp_path, sampling):
    hyperparameters = kt.HyperParameters()
    hyperparameters.Float("a", 0.1, 2.0, sampling=sampling)
    oracle = make_oracle(tmp_path, hyperparameters=hyperparameters)
    drive(oracle, lambda trial: trial.hyperparameters.get("a"), trials=3)
    (hp,) = hyperparameters.space
    values = [trial.hyperparameters.get("a") for trial in oracle.trials.values()]
    assert values == pytest.approx([hp.prob_to_value(p) for p in (1 / 2, 5 / 6, 1 / 6)])


def test_fixed_values_are_part_of_every_trial(tmp_path):
    hyperparameters = space()
    hyperparameters.Fixed("filters", 8)
    oracle = drive(make_oracle(tmp_path, hyperparameters=hyperparameters), trials=4)
    for trial in oracle.trials.values():
        assert trial.hyperparameters.get("filters") == 8


def test_no_point_is_tried_twice(uninterrupted):
    values = [tuple(values.values()) for _, values, _, _ in results(uninterrupted)]
    assert len(set(values)) == len(values) == 30


def test_maximize_is_minimize_of_the_negative(tmp_path, uninterrupted):
    oracle = make_oracle(tmp_path / "max", objective=kt.Objective("score", "max"))
    drive(oracle, lambda trial: -score(trial))
    assert [r[1] for r in results(oracle)] == [r[1] for r in results(uninterrupted)]
    best, expected = (o.get_best_trials()[0] for o in (oracle, uninterrupted))
    assert best.trial_id == expected.trial_id
    assert best.score == -expected.score


def test_several_objectives(tmp_path, uninterrupted):
    objective = [kt.Objective("low", "min"), kt.Objective("high", "max")]
    oracle = make_oracle(tmp_path / "several", objective=objective)
    while (trial := oracle.create_trial("tuner0")).status == "RUNNING":
        value = score(trial)
        metrics = {"low": value + 3, "high": 3.0, "multi_objective": value}
        oracle.update_trial(trial.trial_id, metrics)
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
    assert [r[1:3] for r in results(oracle)] == [r[1:3] for r in results(uninterrupted)]


def test_search_ends_at_the_resolution(tmp_path):
    oracle = drive(make_oracle(tmp_path, max_trials=None, min_side=1 / 9))
    assert len(oracle.trials) == 81
    assert oracle.create_trial("tuner0").status == "STOPPED"


@pytest.mark.parametrize("seed", [0, 7])
def test_seed_is_kept(tmp_path, seed):
    assert make_oracle(tmp_path, seed=seed).seed == seed


# === Workers ===


@pytest.mark.parametrize("workers", [2, 4])
def test_interleaved_workers_try_the_same_points(tmp_path, uninterrupted, workers):
    oracle = make_oracle(tmp_path / "workers")
    running, idle = {}, 0
    for turn in range(1000):
        tuner_id = f"tuner{turn * 7 % 11 % workers}"
        if tuner_id in running:
            trial = running.pop(tuner_id)
            finish(oracle, trial, score(trial))
            continue
        trial = oracle.create_trial(tuner_id)
        if trial.status == "RUNNING":
            running[tuner_id] = trial
        idle += trial.status == "IDLE"
        if trial.status == "STOPPED" and not running:
            break
    assert idle > 0
    assert results(oracle) == results(uninterrupted)


def test_threads_try_the_same_points(tmp_path, uninterrupted):
    oracle = make_oracle(tmp_path / "threads")

    def work(tuner_id):
        while (trial := oracle.create_trial(tuner_id)).status != "STOPPED":
            if trial.status == "RUNNING":
                finish(oracle, trial, score(trial))
                oracle.save()

    threads = [
        threading.Thread(target=work, args=(f"tuner{i}",), name=f"worker {i}")
        for i in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert results(oracle) == results(uninterrupted)


def test_idle_only_while_a_trial_is_running(tmp_path):
    oracle = make_oracle(tmp_path, max_trials=None)
    batch = [oracle.create_trial(f"tuner{i}") for i in range(5)]
    assert oracle.create_trial("tuner5").status == "IDLE"
    for trial in batch[:-1]:
        finish(oracle, trial, score(trial))
    assert oracle.create_trial("tuner5").status == "IDLE"
    finish(oracle, batch[-1], score(batch[-1]))
    assert oracle.create_trial("tuner5").status == "RUNNING"


def test_worker_restarted_with_its_id_runs_its_trial_again(tmp_path, uninterrupted):
    oracle = drive(make_oracle(tmp_path / "restarted"), trials=7)
    trial = oracle.create_trial("tuner0")
    oracle.update_trial(trial.trial_id, {"score": 1e9})  # and then it is killed
    again = oracle.create_trial("tuner0")
    assert again.trial_id == trial.trial_id
    assert not again.metrics.exists("score")
    assert results(drive(oracle)) == results(uninterrupted)


# === Failures ===


@pytest.mark.parametrize("failure", ["FAILED", "INVALID", math.nan, math.inf])
def test_failures_are_passed_over(tmp_path, failure):
    def function(trial):
        failed = int(trial.trial_id) % 10 in (0, 4, 5)
        return failure if failed else score(trial)

    oracle = drive(make_oracle(tmp_path), function)
    statuses = [trial.status for trial in oracle.trials.values()]
    assert statuses.count("FAILED") == 9
    assert statuses.count("COMPLETED") == 21
    best = oracle.get_best_trials(30)
    assert len(best) == 21
    assert best[0].score == min(trial.score for trial in best)
    assert not oracle.ongoing_trials


def test_all_trials_failing(tmp_path):
    oracle = make_oracle(tmp_path, max_trials=12, max_consecutive_failed_trials=100)
    drive(oracle, lambda trial: "INVALID")
    assert len(oracle.trials) == 12
    assert oracle.get_best_trials() == []


def test_too_many_failures_end_the_search(tmp_path):
    oracle = make_oracle(tmp_path, max_consecutive_failed_trials=3)
    with pytest.raises(RuntimeError, match="Number of consecutive failures"):
        drive(oracle, lambda trial: "INVALID")
    assert len(oracle.trials) == 3
    assert not oracle.ongoing_trials
    # The lock is free: another thread gets the next trial.
    thread = threading.Thread(target=oracle.create_trial, args=("tuner1",))
    thread.start()
    thread.join(timeout=10)
    assert not thread.is_alive()
    reloaded = make_oracle(tmp_path)
    reloaded.reload()
    assert len(reloaded.trials) == 4


@pytest.mark.parametrize("how", ["resumed", "continued"])
def test_search_that_failures_ended_goes_on(tmp_path, how):
    def fails(trial):
        return "INVALID" if 0 < int(trial.trial_id) < 4 else score(trial)

    oracle = make_oracle(tmp_path, max_consecutive_failed_trials=3)
    with pytest.raises(RuntimeError, match="Trials 01, 02, 03 failed"):
        drive(oracle, fails)
    if how == "resumed":
        oracle = make_oracle(tmp_path, max_consecutive_failed_trials=3)
        oracle.reload()
    drive(oracle, score, trials=5)
    with pytest.raises(RuntimeError, match="Trials 09, 10, 11 failed"):
        drive(oracle, lambda trial: "INVALID")


def test_retries_forget_the_failed_run(tmp_path, uninterrupted):
    failed = set()

    def function(trial):
        if int(trial.trial_id) % 3 == 0 and trial.trial_id not in failed:
            failed.add(trial.trial_id)
            return math.nan
        return score(trial)

    oracle = make_oracle(tmp_path / "retries", max_retries_per_trial=1)
    assert results(drive(oracle, function)) == results(uninterrupted)


def test_objective_missing_from_the_results(tmp_path):
    oracle = make_oracle(tmp_path)
    trial = oracle.create_trial("tuner0")
    with pytest.raises(ValueError, match="Objective value missing"):
        oracle.update_trial(trial.trial_id, {"loss": 1.0})
    thread = threading.Thread(target=finish, args=(oracle, trial, 1.0))
    thread.start()
    thread.join(timeout=10)
    assert oracle.trials[trial.trial_id].status == "COMPLETED"


# === Saving and resuming ===


def resume(directory, **arguments):
    oracle = make_oracle(directory, **arguments)
    if (directory / "search" / "oracle.json").exists():
        oracle.reload()
    return oracle


@pytest.mark.parametrize("trials", [1, 5, 6, 17, 30])
def test_resumed_search_equals_the_uninterrupted(tmp_path, uninterrupted, trials):
    drive(make_oracle(tmp_path), trials=trials)
    oracle = drive(resume(tmp_path))
    assert results(oracle) == results(uninterrupted)
    assert oracle.get_state()["direct_l"] == uninterrupted.get_state()["direct_l"]


def test_resumed_search_may_be_prolonged(tmp_path, uninterrupted):
    drive(make_oracle(tmp_path, max_trials=12))
    oracle = drive(resume(tmp_path, max_trials=30))
    assert results(oracle) == results(uninterrupted)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("moment", ["before", "torn", "after"])
def test_killed_at_every_write(tmp_path, monkeypatch, moment):
    """Each write of a file in turn is the last thing that the process does."""
    expected = results(drive(make_oracle(tmp_path / "expected", max_trials=8)))
    write, writes_left = _keras_tuner.write_atomically, 0

    def deadly_write(path, text):
        nonlocal writes_left
        writes_left -= 1
        if writes_left == 0 and moment == "torn":
            path.with_name(f"{path.name}.tmp").write_text(text[:20])
        if writes_left != 0 or moment == "after":
            write(path, text)
        if writes_left == 0:
            raise Killed

    monkeypatch.setattr(_keras_tuner, "write_atomically", deadly_write)
    for number in itertools.count(1):
        directory, writes_left = tmp_path / str(number), number
        oracle = make_oracle(directory, max_trials=8)
        try:
            drive(oracle)
        except Killed:
            assert results(drive(resume(directory, max_trials=8))) == expected
        else:
            break
    assert number > 8 * 4


@pytest.mark.parametrize("name", ["trial_03", "trial_12"])
@pytest.mark.parametrize("content", ["", '{"trial_id": "0', None])
def test_lost_trial_files_are_restored(tmp_path, uninterrupted, name, content):
    oracle = drive(make_oracle(tmp_path), trials=12)
    oracle.create_trial("tuner0")
    path = tmp_path / "search" / name / "trial.json"
    path.unlink()
    if content is not None:
        path.write_text(content)
    assert results(drive(resume(tmp_path))) == results(uninterrupted)


def test_ended_trial_is_not_run_again_after_a_kill(tmp_path):
    """The base class saves an ended trial as ongoing, and then once more without."""
    oracle = make_oracle(tmp_path)
    drive(oracle, trials=3)
    assert not resume(tmp_path)._retry_queue


@pytest.mark.parametrize("content", ["", '{"a', "{}"])
def test_torn_file_of_a_tuner_is_mended(tmp_path, content):
    make_tuner(tmp_path).search(verbose=0)
    (tmp_path / "untitled_project" / "tuner0.json").write_text(content)
    assert len(make_tuner(tmp_path).oracle.trials) == 6


def test_search_of_another_oracle_is_refused(tmp_path):
    other = kt.oracles.RandomSearchOracle("loss", hyperparameters=space())
    other._set_project_dir(tmp_path, "search")
    other.save()
    with pytest.raises(ValueError, match="another oracle"):
        resume(tmp_path)


@pytest.mark.parametrize(
    "arguments, change",
    [
        ({"hyperparameters": space(a=(0.6, 1.4), b=(0, 1))}, r"'a' was Float in \[0.5"),
        ({"hyperparameters": space(a=(0.5, 1.5), c=(0, 1))}, "'c' was absent"),
        ({"objective": kt.Objective("score", "max")}, "`objective` was"),
        ({"epsilon": 0.1}, "`epsilon` was 0.0001 and is 0.1"),
        ({"min_side": None}, "`min_side` was 0.01 and is None"),
        ({"locally_biased": False}, "`locally_biased` was True and is False"),
        ({"seed": 3}, "`seed` was 1 and is 3"),
    ],
)
def test_changed_search_is_not_continued(tmp_path, arguments, change):
    drive(make_oracle(tmp_path, seed=1), trials=6)
    with pytest.raises(ValueError, match=change):
        resume(tmp_path, **arguments)


def test_search_with_numbers_of_numpy_resumes(tmp_path):
    arguments = {"epsilon": np.float32(0.1), "min_side": np.float64(0.1)}
    drive(make_oracle(tmp_path, seed=np.int64(1), **arguments), trials=2)
    assert len(drive(resume(tmp_path, **arguments), trials=2).trials) == 4


def test_defaults_may_change(tmp_path):
    """The search does not use them."""

    def defaults(*values):
        hp = kt.HyperParameters()
        hp.Int("a", 1, 50, default=values[0])
        hp.Choice("b", [0.1, 0.2], default=values[1])
        hp.Boolean("c", default=values[2])
        return hp

    arguments = {"hyperparameters": defaults(1, 0.1, False)}
    drive(make_oracle(tmp_path, **arguments), trials=2)
    resume(tmp_path, hyperparameters=defaults(2, 0.2, True))


def test_space_may_change_before_the_first_trial(tmp_path):
    make_oracle(tmp_path).save()
    oracle = resume(tmp_path, hyperparameters=space(a=(0, 4)))
    assert oracle.create_trial("tuner0").hyperparameters.values == {"a": 2.0}


# === The space ===


def test_space_with_nothing_to_search(tmp_path):
    hyperparameters = kt.HyperParameters()
    hyperparameters.Fixed("filters", 8)
    oracle = make_oracle(tmp_path, hyperparameters=hyperparameters)
    with pytest.raises(ValueError, match=r"at least one hyperparam.*\['filters'\]"):
        oracle.create_trial("tuner0")


@pytest.mark.parametrize(
    "declare, advice",
    [
        (lambda hp: hp.Float("x", 1, 1), "use `hp.Fixed`"),
        (lambda hp: hp.Float("x", 0, math.inf), "finite bounds"),
        (lambda hp: hp.Choice("x", ["b", "a", "a", "b"]), "Give each value once"),
    ],
)
def test_what_direct_cannot_search_is_refused(tmp_path, declare, advice):
    hyperparameters = kt.HyperParameters()
    declare(hyperparameters)
    with pytest.raises(ValueError, match=advice):
        make_oracle(tmp_path, hyperparameters=hyperparameters)
    with pytest.raises(ValueError, match=advice):
        make_oracle(tmp_path).update_space(hyperparameters)


def test_range_that_appears_during_a_trial_is_refused(tmp_path):
    oracle = make_oracle(tmp_path)
    trial = oracle.create_trial("tuner0")
    trial.hyperparameters.Fixed("epochs", 3)
    oracle.update_space(trial.hyperparameters)
    trial.hyperparameters.Float("late", 0, 1)
    with pytest.raises(ValueError, match=r"late.*appeared after"):
        finish(oracle, trial, 1.0)


def test_entries_that_are_not_tuned_are_left_alone(tmp_path):
    oracle = make_oracle(tmp_path, tune_new_entries=False)
    other = kt.HyperParameters()
    other.Choice("x", ["a", "b"])
    oracle.update_space(other)
    assert [hp.name for hp in oracle.get_space().space] == ["a", "b"]


@pytest.mark.parametrize("max_trials", [0, -1])
def test_max_trials_below_one(max_trials):
    with pytest.raises(ValueError, match="`max_trials` must be at least 1"):
        DirectLOracle("val_loss", max_trials=max_trials)


def test_bad_search_arguments():
    with pytest.raises(ValueError, match="`epsilon`"):
        DirectLOracle("val_loss", epsilon=-1)
    with pytest.raises(ValueError, match="`min_side`"):
        DirectLOracle("val_loss", min_side=2)


# === What KerasTuner documents of any oracle, with its own tuner ===


class PlainTuner(kt.Tuner):
    def run_trial(self, trial, function=score, **kwargs):
        self.hypermodel.build(trial.hyperparameters)
        return function(trial)


def declare(hp):
    hp.Float("a", 0.5, 1.5)
    hp.Float("b", 0.0, 1.0, default=0.25)


def make_tuner(directory, overwrite=False, **arguments):
    oracle = DirectLOracle(**{"max_trials": 6, **arguments})
    return PlainTuner(oracle, declare, directory=directory, overwrite=overwrite)


def values(tuner, name):
    trials = tuner.oracle.trials.values()
    return [trial.hyperparameters.get(name) for trial in trials]


def test_direction_of_an_objective_follows_from_its_name():
    assert DirectLOracle("val_loss").objective.direction == "min"
    assert DirectLOracle("val_accuracy").objective.direction == "max"
    with pytest.raises(ValueError, match="direction"):
        DirectLOracle("val_score_of_mine")


def test_remaining_trials(tmp_path):
    tuner = make_tuner(tmp_path)
    assert tuner.remaining_trials == 6
    tuner.search(verbose=0)
    assert tuner.remaining_trials == 0
    assert make_tuner(tmp_path, max_trials=None).remaining_trials is None


def test_search_that_is_over_tries_nothing(tmp_path):
    make_tuner(tmp_path).search(verbose=0)
    again = make_tuner(tmp_path)
    assert len(again.oracle.trials) == 6
    again.search(verbose=0, function=None)


def test_hyperparameters_override_the_space(tmp_path):
    hyperparameters = kt.HyperParameters()
    hyperparameters.Float("a", 0.9, 1.1)
    hyperparameters.Fixed("b", 0.5)
    tuner = make_tuner(tmp_path, hyperparameters=hyperparameters)
    tuner.search(verbose=0)
    assert set(values(tuner, "b")) == {0.5}
    assert len(set(values(tuner, "a"))) == 6
    assert all(0.9 <= value <= 1.1 for value in values(tuner, "a"))


def test_new_entries_that_are_not_tuned_have_their_defaults(tmp_path):
    hyperparameters = kt.HyperParameters()
    hyperparameters.Float("a", 0.5, 1.5)
    tuner = make_tuner(
        tmp_path, hyperparameters=hyperparameters, tune_new_entries=False
    )
    tuner.search(verbose=0)
    assert set(values(tuner, "b")) == {0.25}
    assert len(set(values(tuner, "a"))) == 6


def test_new_entries_that_are_not_allowed(tmp_path):
    hyperparameters = kt.HyperParameters()
    hyperparameters.Float("a", 0.5, 1.5)
    arguments = {"hyperparameters": hyperparameters, "allow_new_entries": False}
    with pytest.raises(RuntimeError, match="`allow_new_entries` is `False`"):
        make_tuner(tmp_path, **arguments)


@pytest.mark.parametrize("name", ["allow_new_entries", "tune_new_entries"])
def test_space_of_old_entries_must_be_given(name):
    with pytest.raises(ValueError, match="specify the search space"):
        DirectLOracle(**{name: False})


def crash(trial):
    raise RuntimeError("out of memory")


def give_up(trial):
    raise kt.errors.FailedTrialError("no such network")


def end(trial):
    raise kt.errors.FatalRuntimeError("no such file")


@pytest.mark.parametrize("fail, runs", [(crash, 3), (give_up, 1)])
def test_crashes_are_retried_and_failures_are_not(tmp_path, fail, runs):
    tried = []

    def function(trial):
        tried.append(trial.trial_id)
        return fail(trial) if trial.trial_id == "1" else score(trial)

    tuner = make_tuner(tmp_path, max_retries_per_trial=2)
    tuner.search(verbose=0, function=function)
    assert tried.count("1") == runs
    assert len(tried) == 5 + runs
    trial = tuner.oracle.trials["1"]
    assert trial.status == "FAILED"
    assert "Error" in trial.message


def test_fatal_errors_end_the_search_and_it_goes_on(tmp_path, uninterrupted):
    def function(trial):
        return end(trial) if trial.trial_id == "3" else score(trial)

    with pytest.raises(kt.errors.FatalRuntimeError):
        make_tuner(tmp_path).search(verbose=0, function=function)
    tuner = make_tuner(tmp_path)
    tuner.search(verbose=0)
    expected = [r[1] for r in results(uninterrupted)][:6]
    assert [r[1] for r in results(tuner.oracle)] == expected


def test_only_failures_in_a_row_end_the_search(tmp_path):
    def function(trial):
        return crash(trial) if int(trial.trial_id) % 3 else score(trial)

    tuner = make_tuner(tmp_path, max_trials=9, max_retries_per_trial=1)
    tuner.search(verbose=0, function=function)
    assert len(tuner.oracle.trials) == 9


@pytest.mark.parametrize("count", [1, 4, 100])
def test_best_trials_come_first(tmp_path, count):
    tuner = make_tuner(tmp_path)
    tuner.search(verbose=0)
    ordered = sorted(tuner.oracle.trials.values(), key=lambda trial: trial.score)
    best = tuner.oracle.get_best_trials(count)
    assert best == ordered[:count]
    found = tuner.get_best_hyperparameters(count)
    assert [hp.values for hp in found] == [t.hyperparameters.values for t in best]


def test_summaries(tmp_path, capsys):
    tuner = make_tuner(tmp_path)
    tuner.search_space_summary()
    printed = capsys.readouterr().out
    assert "Default search space size: 2" in printed
    assert "a (Float)" in printed
    assert "'max_value': 1.5" in printed
    tuner.search(verbose=0)
    tuner.results_summary(num_trials=2)
    printed = capsys.readouterr().out
    assert "Showing 2 best trials" in printed
    best = tuner.oracle.get_best_trials()[0]
    assert f"Trial {best.trial_id} summary" in printed
    assert f"Score: {best.score}" in printed
    assert f"a: {best.hyperparameters['a']}" in printed
    assert printed.count("Score: ") == 2


def test_progress_is_shown_after_a_kill_too(tmp_path, capsys, uninterrupted):
    oracle = make_oracle(tmp_path)
    oracle.verbose = 1
    trial = oracle.create_trial("worker0")
    again = make_oracle(tmp_path)  # The chief was killed, the worker goes on.
    again.verbose = 1
    again.reload()
    capsys.readouterr()
    finish(again, trial, score(trial))
    drive(again)
    printed = capsys.readouterr().out
    assert printed.count("Running Trial #") == 30
    assert printed.count("Complete [") == 30
    assert results(again) == results(uninterrupted)


@pytest.mark.parametrize("content", ["", '{"a', None])
def test_damaged_file_of_the_oracle_is_named(tmp_path, content):
    make_tuner(tmp_path).search(verbose=0)
    path = tmp_path / "untitled_project" / "oracle.json"
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=r"oracle\.json is absent or damaged"):
        make_tuner(tmp_path)
    assert not make_tuner(tmp_path, overwrite=True).oracle.trials
