"""Searches that are killed, and searches of many processes."""

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest
from extent import ALL, first

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow",
    reason="nothing is computed with the backend: once is enough",
)


def outcome(mode, directory, *count):
    script = Path(__file__).with_name("search_processes.py")
    result = subprocess.run(
        [sys.executable, str(script), mode, str(directory), *map(str, count)],
        env={**os.environ, "KERAS_BACKEND": "numpy"},
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return json.loads(result.stdout.splitlines()[-1])


@pytest.mark.parametrize("mode", first("killed", "plain_killed"))
def test_search_killed_at_random_moments_equals_the_uninterrupted(tmp_path, mode):
    kills = 20 if ALL else 5
    searches = outcome(mode, tmp_path, kills)
    assert len(searches["uninterrupted"]["trials"]) == 15
    assert len(searches["killed"]) == kills
    for killed in searches["killed"]:
        assert killed == searches["uninterrupted"]


def test_chief_and_workers_equal_one_process(tmp_path):
    """One of the workers is killed and started again with its id."""
    search = outcome("distributed", tmp_path)
    assert search["exit_codes"] == [0, 0]
    assert search["distributed"] == search["alone"]
    requests = search["requests"]
    assert {"IDLE", "RUNNING", "STOPPED"} == {status for _, _, status in requests}
    for worker in ("worker0", "worker1"):
        own = [(at, status) for at, who, status in requests if who == worker]
        idle = [
            later - at
            for (at, status), (later, _) in itertools.pairwise(own)
            if status == "IDLE"
        ]
        assert min(idle, default=1.0) > 0.1


def test_chief_that_is_killed_and_started_again_goes_on(tmp_path):
    moments = 5 if ALL else 2
    search = outcome("chief_killed", tmp_path, moments)
    assert len(search["outcomes"]) == moments
    for is_killed, exit_codes, trials in search["outcomes"]:
        assert is_killed
        assert exit_codes == [0, 0]
        assert trials == search["alone"]
