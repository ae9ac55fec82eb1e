"""Writes files so that nobody ever sees half of one."""

import contextlib
import os


def write_atomically(path, text):
    """Writes a text file in one step: a reader sees the old file or the new one.

    Args:
        path: `pathlib.Path`.
        text: str.

    Example:

    >>> from pathlib import Path
    >>> from keras_wconv._files import write_atomically
    >>> write_atomically(Path("notes.txt"), "done")
    >>> Path("notes.txt").read_text()
    'done'
    """
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


@contextlib.contextmanager
def whole_file(path):
    """Context manager that gives a temporary path, and renames it at the end.

    Args:
        path: `pathlib.Path`. The temporary path beside it has the same suffix.

    Example:

    >>> from pathlib import Path
    >>> from keras_wconv._files import whole_file
    >>> with whole_file(Path("copy.txt")) as temporary:
    ...     _ = temporary.write_text("done")
    >>> Path("copy.txt").read_text()
    'done'
    """
    # Two processes may write the file at once, so the name has the process id.
    temporary = path.with_name(f"{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
