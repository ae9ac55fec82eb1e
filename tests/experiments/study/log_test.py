"""The log: torn lines, other settings, files of an earlier version."""

import itertools
import json

import pytest

from keras_wconv.experiments.study.log import RunLog, model_path, read, thinned


def settings(**shared):
    return {"shared": shared, "candidates": {}}


def test_a_torn_line_is_left_out_and_its_run_is_done_again(tmp_path):
    with RunLog(tmp_path, settings(batch=1)) as log:
        log.append({"id": "a", "candidate": "x"})
    with (tmp_path / "runs.jsonl").open("a") as file:
        file.write('{"id": "b", "val')
    with RunLog(tmp_path, settings(batch=1)) as log:
        assert [record["id"] for record in log.records] == ["a"]
        log.append({"id": "b", "candidate": "x"})
    assert [record["id"] for record in read(tmp_path)] == ["a", "b"]


def test_lines_that_are_no_records_are_left_out(tmp_path):
    with RunLog(tmp_path, settings(batch=1)) as log:
        log.append({"id": "a", "candidate": "x"})
    path = tmp_path / "runs.jsonl"
    path.write_bytes(path.read_bytes() * 2 + b"7\n\0\0\n\xff\n")
    assert [record["id"] for record in read(tmp_path)] == ["a"]


def test_a_doubled_line_counts_once_however_far_apart(tmp_path):
    with RunLog(tmp_path, settings()) as log:
        for name in "abc":
            log.append({"id": name, "candidate": "x"})
    path = tmp_path / "runs.jsonl"
    first = path.read_text().splitlines(keepends=True)[0]
    path.write_text(path.read_text() + first)
    assert [record["id"] for record in read(tmp_path)] == ["a", "b", "c"]


def test_a_run_is_found_for_the_candidate_that_asks(tmp_path):
    with RunLog(tmp_path, settings()) as log:
        log.append({"id": "a", "candidate": "x"})
        assert log.find("a", candidate="y")["candidate"] == "x"
        log.append({"id": "a", "candidate": "y"})
    with RunLog(tmp_path, settings()) as log:
        assert log.find("a", candidate="y")["candidate"] == "y"
        assert log.find("b") is None


def test_what_is_not_finite_is_null(tmp_path):
    with RunLog(tmp_path, settings()) as log:
        log.append({"id": "a", "test": {"psnr": float("nan")}, "curve": [1.0]})
    line = (tmp_path / "runs.jsonl").read_text()
    assert json.loads(line)["test"] == {"psnr": None} and "NaN" not in line


def test_other_settings_are_refused_and_named(tmp_path):
    with RunLog(tmp_path, settings(batch=1, data={"digest": "a"})):
        pass
    with pytest.raises(ValueError, match=r"where data\.digest has changed"):
        RunLog(tmp_path, settings(batch=1, data={"digest": "b"}))


def test_a_candidate_that_is_another_one_is_refused(tmp_path):
    both = {"shared": {}, "candidates": {"mine": {"model": ["Conv2D a"]}}}
    with RunLog(tmp_path, both):
        pass
    both["candidates"]["mine"]["model"] = ["Conv2D b"]
    with pytest.raises(ValueError, match=r"candidate 'mine'\.model\.0 is 'Conv2D a'"):
        RunLog(tmp_path, both)


def test_candidates_come_and_stay(tmp_path):
    with RunLog(tmp_path, {"shared": {}, "candidates": {"one": {}}}):
        pass
    with RunLog(tmp_path, {"shared": {}, "candidates": {"two": {}}}) as log:
        assert list(log.settings["candidates"]) == ["one", "two"]


def test_a_log_of_an_earlier_version_is_refused_with_the_way_out(tmp_path):
    (tmp_path / "runs.jsonl").write_text('{"arm": "A", "seed": 0}\n')
    with pytest.raises(ValueError, match="Give another folder"):
        RunLog(tmp_path, settings())
    (tmp_path / "settings.json").write_text('{"task": "denoising"}')
    with pytest.raises(ValueError, match="cannot be identified"):
        RunLog(tmp_path, settings())
    with pytest.raises(ValueError, match="runs without a digest"):
        read(tmp_path)


def test_a_long_curve_keeps_its_ends_and_what_lies_evenly_between():
    losses = [1 / epoch for epoch in range(1, 401)]
    curve = thinned(losses)
    epochs = [epoch for epoch, _ in curve]
    assert len(curve) == 50 and epochs[0] == 1 and epochs[-1] == 400
    # 399 epochs in 49 steps.
    assert {b - a for a, b in itertools.pairwise(epochs)} == {8, 9}
    assert all(loss == losses[epoch - 1] for epoch, loss in curve)
    assert thinned(losses[:50]) == [[i + 1, loss] for i, loss in enumerate(losses[:50])]
    assert thinned([]) == []


def test_the_environment_is_that_of_the_last_run_and_not_of_the_last_call(tmp_path):
    """A finished comparison may be called again elsewhere, to read it."""
    with RunLog(tmp_path, {**settings(), "environment": {"device": "GPU"}}) as log:
        log.append({"id": "a", "candidate": "x"})
    with RunLog(tmp_path, {**settings(), "environment": {"device": "CPU"}}) as log:
        assert log.settings["environment"] == {"device": "GPU"}
        log.append({"id": "b", "candidate": "x"})
        assert log.settings["environment"] == {"device": "CPU"}
    assert '"CPU"' in (tmp_path / "settings.json").read_text()


def test_a_refusal_tells_what_changed_and_whether_python_did(tmp_path):
    of_the_task = {"code of the task": "1", "data": {"digest": "1"}, "batch_size": 8}
    with RunLog(tmp_path, settings(**of_the_task)) as log:
        log.write_settings(environment={"versions": {"python": "3.8.20"}})
    of_the_task = {"code of the task": "2", "data": {"digest": "2"}, "batch_size": 9}
    with pytest.raises(ValueError, match="batch_size is 8 there and 9 now") as error:
        RunLog(tmp_path, settings(**of_the_task))
    assert "code of the task has changed; data.digest has changed" in str(error.value)
    assert "known to Python 3.8.20 alone" in str(error.value)


def test_models_of_other_runs_are_other_files(tmp_path):
    """Two searches in one folder, or "a/b" beside "a b", once shared a file."""
    of = {"examples": None, "steps": 10}
    paths = {
        model_path(tmp_path, of | {"candidate": name, "id": digest})
        for name, digest in (("a/b", "12" * 8), ("a b", "34" * 8), ("a b", "56" * 8))
    }
    assert len(paths) == 3
    assert {path.parent for path in paths} == {tmp_path / "models"}
