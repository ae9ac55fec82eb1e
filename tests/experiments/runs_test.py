"""The log of runs, and the one loop."""

import json

import numpy as np
import pytest
import small_tasks

from keras_wconv.experiments import arms, runs


def setup(task, key="B", density=(0.5,)):
    return runs.Setup(arms.ARMS[key], list(density), task.learning_rate)


def test_networks_see_the_same_batches(monkeypatch):
    task = small_tasks.denoising(epochs=1)
    seen = {}
    original = type(task).batches
    for key in "AB":
        drawn = seen.setdefault(key, [])

        def batches(self, seed, drawn=drawn):
            made = original(self, seed)
            drawn.append([made[i] for i in range(len(made))])
            return made

        monkeypatch.setattr(type(task), "batches", batches)
        network = runs.Network(task, setup(task, key))
        drawn.clear()
        network.train(seed=1)
        monkeypatch.setattr(type(task), "batches", original)
    for first, second in zip(*(seen[key][0] for key in "AB"), strict=True):
        np.testing.assert_array_equal(first[0], second[0])


def test_network_can_be_trained_again_from_another_seed():
    task = small_tasks.denoising(epochs=1)
    used, fresh = (runs.Network(task, setup(task, "L")) for _ in range(2))
    used.train(seed=0)
    for a, b in zip(
        used.train(seed=1).get_weights(), fresh.train(seed=1).get_weights(), strict=True
    ):
        np.testing.assert_array_equal(a, b)


def test_a_torn_line_is_left_out_and_its_run_is_done_again(tmp_path):
    log = runs.RunLog(tmp_path, {"batch": 1})
    log.append({"seed": 0})
    with (tmp_path / "runs.jsonl").open("a") as file:
        file.write('{"seed": 1, "val')
    log = runs.RunLog(tmp_path, {"batch": 1})
    assert log.records == [{"seed": 0}]
    log.append({"seed": 1})
    assert runs.RunLog(tmp_path, {"batch": 1}).records == [{"seed": 0}, {"seed": 1}]


def test_a_line_that_is_there_twice_counts_once(tmp_path):
    log = runs.RunLog(tmp_path, {"batch": 1})
    log.append({"seed": 0})
    path = tmp_path / "runs.jsonl"
    path.write_bytes(path.read_bytes() * 2 + b"7\n\0\0\n\xff\n")
    assert runs.RunLog(tmp_path, {"batch": 1}).records == [{"seed": 0}]


def test_other_settings_are_refused_and_named(tmp_path):
    runs.RunLog(tmp_path, {"batch": 1, "network": {"depth": 3}})
    with pytest.raises(ValueError, match=r"network\.depth is 3 there and 4 now"):
        runs.RunLog(tmp_path, {"batch": 1, "network": {"depth": 4}})


def test_trained_runs_hold_what_a_result_needs(tmp_path):
    task = small_tasks.denoising(epochs=1)
    log = runs.RunLog(tmp_path, task.get_config())
    with runs.show_progress(task.epochs) as progress:
        records = runs.train(
            task, setup(task, "L"), [0, 1], log, progress, tmp_path / "m" / "L.keras"
        )
    assert (tmp_path / "m" / "L.keras").exists()
    written = [json.loads(line) for line in (tmp_path / "runs.jsonl").open()]
    assert written == json.loads(json.dumps(records))
    first = written[0]
    assert set(first["examples"]) == {"picture0", "picture1"}
    mean = np.mean(list(first["examples"].values()))
    assert first["test"]["psnr"] == pytest.approx(mean)
    assert set(first["densities"]) == {"conv1", "conv2", "conv3"}
    assert first["steps"] == task.total_steps


def test_a_start_that_would_reach_no_kernel_is_refused():
    task = small_tasks.classification()
    setup = runs.Setup(arms.ARMS["S"], None, task.learning_rate, start=0.5)
    with pytest.raises(ValueError, match="`density` must be given"):
        runs.build(task, setup)
