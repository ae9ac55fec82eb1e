import functools
import json
import shutil

import keras
import numpy as np
import pytest
import small_tasks

from keras_wconv import tuning
from keras_wconv.experiments import compare as compare_networks
from keras_wconv.experiments import runs, train_pair

SEARCH = functools.partial(tuning.density, kernel_size=3)


def compare(folder, task=None, **arguments):
    task = task or small_tasks.denoising(epochs=1)
    settings = {"density": [0.5], "seeds": (0, 1), "arms": "A,B,C", **arguments}
    return compare_networks(task, folder, **settings)


def lines(folder):
    return [json.loads(line) for line in (folder / "runs.jsonl").open()]


class Killed(BaseException):
    pass


def test_kill_loses_at_most_the_run_in_progress(tmp_path, monkeypatch):
    whole = compare(tmp_path / "whole")
    train = runs.Network.train
    trained = []

    def train_until_killed(self, seed, callbacks=()):
        if len(trained) == 3:
            raise Killed
        trained.append(seed)
        return train(self, seed, callbacks)

    monkeypatch.setattr(runs.Network, "train", train_until_killed)
    with pytest.raises(Killed):
        compare(tmp_path / "killed")
    assert len(lines(tmp_path / "killed")) == 3
    with (tmp_path / "killed" / "runs.jsonl").open("a") as file:
        file.write('{"stage": "final", "arm": "B", "se')  # Torn by the kill.
    trained[:] = [None]  # Two runs until it is killed again.
    with pytest.raises(Killed):
        compare(tmp_path / "killed")
    monkeypatch.setattr(runs.Network, "train", train)
    resumed = compare(tmp_path / "killed")
    assert len(runs.RunLog(tmp_path / "killed", settings(tmp_path)).records) == 6
    for arm, values in whole.metrics("test", "psnr").items():
        np.testing.assert_array_equal(values, resumed.metrics("test", "psnr")[arm])


def settings(folder):
    return json.loads((folder / "whole" / "settings.json").read_text())


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    """The folder and the results of a comparison, which no test may change."""
    folder = tmp_path_factory.mktemp("tuned")
    return folder, compare(folder, arms="A,ST,B", trials=2)


def test_finished_comparison_trains_nothing_again(tuned, tmp_path, monkeypatch):
    folder, first = tuned
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr(runs.Network, "train", None)
    monkeypatch.setattr(small_tasks.EagerDenoising, "fit", None)
    assert compare(tmp_path, arms="A,ST,B", trials=2).runs == first.runs


def test_trials_are_answered_from_the_log_alone(tuned, tmp_path, monkeypatch):
    """The log of another machine is enough, without KerasTuner's files."""
    folder, first = tuned
    for name in ("runs.jsonl", "settings.json"):
        shutil.copy(folder / name, tmp_path)
    monkeypatch.setattr(small_tasks.EagerDenoising, "fit", None)
    assert compare(tmp_path, arms="A,ST,B", trials=2).runs == first.runs


def test_more_arms_seeds_and_budgets_add_runs(tmp_path):
    compare(tmp_path, arms="A,B")
    before = lines(tmp_path)
    results = compare(tmp_path, arms="A,B,F", seeds=(0, 1, 2), budgets=[2, 4])
    after = lines(tmp_path)
    assert after[: len(before)] == before
    assert len(after) == 3 * 3 * 2
    assert results.budgets == [2, 4]
    gains = results.doublings()[2, 4]
    values = [results.metrics("test", "psnr", steps)["A"] for steps in (2, 4)]
    assert gains["A"].mean == pytest.approx(np.mean(values[1] - values[0]))


def test_budget_trains_its_whole_schedule():
    task = small_tasks.denoising(epochs=1).with_steps(6)
    assert (task.epochs, task.total_steps) == (3, 6)
    with pytest.raises(ValueError, match="a multiple of 2 steps"):
        task.with_steps(3)


def test_folder_with_other_settings_is_refused(tmp_path):
    compare(tmp_path, arms="A,B")
    with pytest.raises(ValueError, match=r"epochs is 1 there and 3 now"):
        compare(tmp_path, small_tasks.denoising(epochs=3), arms="A,B")


def test_both_sides_get_the_same_number_of_trainings(tmp_path):
    results = compare(tmp_path, density=None, search=SEARCH, arms="A,ST,B,BT", trials=3)
    tuning_runs = [record for record in lines(tmp_path) if record["stage"] == "tuning"]
    counts = {
        arm: sum(record["arm"] == arm for record in tuning_runs)
        for arm in ("ST", "B", "BT")
    }
    # BT has the search for the density behind it, too.
    assert counts == {"ST": 6, "B": 3, "BT": 3}
    assert results.trainings[2] == {"A": 0, "ST": 6, "B": 3, "BT": 6}
    assert results.is_fair()
    for record in tuning_runs:
        assert record["seed"] not in (0, 1)
        assert "test" not in record
    searched = [record for record in tuning_runs if record["arm"] == "B"]
    weighted = [record for record in searched if record["density"] != [1.0]]
    best = max(weighted, key=lambda record: record["validation"]["psnr"])
    assert results.setups[2]["B"].density == best["density"]
    assert results.setups[2]["BT"].density == best["density"]
    starts = [record for record in tuning_runs if record["arm"] == "ST"]
    best = max(starts, key=lambda record: record["validation"]["psnr"])
    assert results.setups[2]["ST"].start == best["start"]
    assert results.setups[2]["ST"].learning_rate == best["learning_rate"]


def test_the_best_few_are_trained_anew_and_validation_chooses(tmp_path):
    results = compare(tmp_path, arms="A,B,S", trials=3, best=2)
    final = [r for r in lines(tmp_path) if (r["arm"], r["stage"]) == ("S", "final")]
    starts = {record["start"] for record in final}
    assert len(starts) == 2
    means = {
        start: np.mean([r["validation"]["psnr"] for r in final if r["start"] == start])
        for start in starts
    }
    assert results.setups[2]["S"].start == max(means, key=means.get)


def test_tuning_at_one_length_serves_all(tmp_path):
    compare(tmp_path, arms="A,ST,B", budgets=[2, 4], tune_at=2, trials=2)
    tuned = [record for record in lines(tmp_path) if record["stage"] == "tuning"]
    assert [record["steps"] for record in tuned] == [2, 2]


def test_one_seed_allows_no_interval(tmp_path):
    for seeds in ([0], [1, 1]):
        with pytest.raises(ValueError, match=r"`seeds` must be at least two"):
            compare(tmp_path, seeds=seeds)


def test_seed_of_the_tuning_is_not_reported(tmp_path):
    with pytest.raises(ValueError, match=r"`seeds` must not contain 1000"):
        compare(tmp_path, seeds=(0, 1000))


def test_density_and_search_are_given_one_at_a_time(tmp_path):
    for arguments in ({"density": None}, {"search": SEARCH}):
        with pytest.raises(ValueError, match="Exactly one of `density` and `search`"):
            compare(tmp_path, **arguments)


def test_arms_that_are_none_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"`arms` must be keys of .*Received: X"):
        compare(tmp_path, arms="A,B,X")


def test_density_that_does_not_fit_is_refused_before_any_run(tmp_path):
    with pytest.raises(ValueError, match="fits no kernel"):
        compare(tmp_path, density=[0.2, 0.8])
    assert not (tmp_path / "runs.jsonl").exists()


def test_a_pair_of_networks(tmp_path):
    task = small_tasks.denoising(epochs=1)
    rows = train_pair(task, tmp_path, [0.5])
    assert [row["example"] for row in rows["weighted"]] == ["picture0", "picture1"]
    assert rows["standard"][0]["noisy_psnr"] == pytest.approx(20.17, abs=0.5)
    models = {
        name: keras.models.load_model(tmp_path / f"{name}.keras", compile=False)
        for name in ("standard", "weighted", "folded")
    }
    assert type(models["folded"].get_layer("conv1")) is keras.layers.Conv2D
    inputs = small_tasks.pictures(1)[0][None].astype("float32") / 255
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(models["folded"](inputs)),
        keras.ops.convert_to_numpy(models["weighted"](inputs)),
        atol=1e-5,
    )
    settings = json.loads((tmp_path / "settings.json").read_text())
    assert (settings["density"], settings["seed"]) == ([0.5], 0)
    assert (tmp_path / "pictures.png").stat().st_size > 10_000
    assert "data:image/png;base64," in (tmp_path / "report.html").read_text()
