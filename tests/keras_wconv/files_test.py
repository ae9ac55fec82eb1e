"""Locks of folders, and files that are whole."""

import contextlib
import os
import resource
import signal
import subprocess
import sys

import pytest

from keras_wconv import _files

HOLD = """
import importlib.util, sys, time
spec = importlib.util.spec_from_file_location("files", sys.argv[1])
files = importlib.util.module_from_spec(spec)
spec.loader.exec_module(files)
lock = files.FolderLock(sys.argv[2])
print("held", flush=True)
time.sleep(60)
"""


def holder(folder):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, _files.__file__, str(folder)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    return process


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_folder_belongs_to_one_process_until_that_ends(how, tmp_path):
    process = holder(tmp_path)
    with pytest.raises(ValueError, match=rf"in use by process {process.pid}, and"):
        _files.FolderLock(tmp_path)
    process.send_signal(how)
    process.wait()
    with _files.FolderLock(tmp_path):  # The file is still there.
        assert (tmp_path / ".lock").read_text() == str(os.getpid())
    again = holder(tmp_path)
    again.kill()
    again.wait()


def test_a_process_may_hold_a_folder_several_times(tmp_path):
    first, second = _files.FolderLock(tmp_path), _files.FolderLock(tmp_path / ".")
    first.release()
    first.release()
    assert os.path.realpath(tmp_path) in _files._held
    del second
    assert os.path.realpath(tmp_path) not in _files._held


def test_a_folder_without_locks_is_left_without(tmp_path):
    with _files.FolderLock(tmp_path / "absent"):
        assert not (tmp_path / "absent").exists()


@contextlib.contextmanager
def full_disk():
    """Files of at most 100 bytes: more is an error, as on a disk that is full.

    Not for longer than it takes, for pytest may write to a file itself.
    """
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk_leaves_the_file_that_was_there(tmp_path):
    path = tmp_path / "notes.txt"
    _files.write_atomically(path, "before")
    with full_disk(), pytest.raises(OSError):
        _files.write_atomically(path, "after" * 100)
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]
    assert path.read_text() == "before"


def test_a_full_disk_tears_no_line_of_a_run_log(tmp_path):
    from keras_wconv.experiments.study.log import RunLog, read

    log = RunLog(tmp_path, {"shared": {"batch": 1}, "candidates": {}})
    log.append({"id": "0"})
    with full_disk():
        with pytest.raises(OSError):
            log.append({"id": "1", "text": "x" * 200})
        log.append({"id": "2"})
    assert read(tmp_path) == log.records == [{"id": "0"}, {"id": "2"}]
