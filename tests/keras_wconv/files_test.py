"""Files that are whole."""

import contextlib
import resource
import subprocess
import sys

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


def test_a_file_is_utf_8_whatever_the_locale(tmp_path):
    """Found: on Windows, a page that says it is UTF-8 was not, after all runs."""
    path = tmp_path / "page.html"
    code = (
        "import pathlib, runpy\n"
        f"write = runpy.run_path({_files.__file__!r})['write_atomically']\n"
        f"write(pathlib.Path({str(path)!r}), '3 \\u00d7 3\\n')"
    )
    locale = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    subprocess.run([sys.executable, "-c", code], env=locale, check=True)
    assert path.read_bytes() == "3 × 3\n".encode()
