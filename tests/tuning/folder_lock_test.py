"""Locks of folders."""

import os
import signal
import subprocess
import sys

import pytest
from filelock import FileLock, Timeout

from keras_wconv.tuning import folder_lock

# Of the module alone, without the seconds of importing Keras.
HOLD = """
import importlib.util, sys, time, types
sys.modules["package"] = types.ModuleType("package")
sys.modules["package._types"] = types.SimpleNamespace(PathLike=None)
spec = importlib.util.spec_from_file_location("package.tuning.lock", sys.argv[1])
folder_lock = importlib.util.module_from_spec(spec)
spec.loader.exec_module(folder_lock)
lock = folder_lock.FolderLock(sys.argv[2])
print("held", flush=True)
time.sleep(60)
"""


def holder(folder):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, folder_lock.__file__, str(folder)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    return process


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_folder_belongs_to_one_process_until_that_ends(how, tmp_path):
    process = holder(tmp_path)
    with pytest.raises(ValueError, match=rf"in use by process {process.pid}, and"):
        folder_lock.FolderLock(tmp_path)
    process.send_signal(how)
    process.wait()
    with folder_lock.FolderLock(tmp_path):  # The file is still there.
        assert (tmp_path / ".lock.pid").read_text() == str(os.getpid())
    again = holder(tmp_path)
    again.kill()
    again.wait()


def is_free(folder):
    try:
        FileLock(folder / ".lock").acquire(blocking=False).lock.release()
    except Timeout:
        return False
    return True


def test_a_process_may_hold_a_folder_several_times(tmp_path):
    first = folder_lock.FolderLock(tmp_path)
    second = folder_lock.FolderLock(tmp_path / ".")
    first.release()
    first.release()
    assert not is_free(tmp_path)
    del second
    assert is_free(tmp_path)


def test_a_folder_without_locks_is_left_without(tmp_path):
    with folder_lock.FolderLock(tmp_path / "absent"):
        assert not (tmp_path / "absent").exists()
