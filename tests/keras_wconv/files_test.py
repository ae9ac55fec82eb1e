"""Files that are whole."""

import contextlib
import resource

import pytest

from keras_wconv import _files


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
