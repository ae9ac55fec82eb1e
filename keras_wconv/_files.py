"""Files that are whole whenever they are there."""

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
        temporary.write_text(text)


@contextlib.contextmanager
def whole_file(path):
    """Context manager of a path to write to, which in the end replaces the file.

    Args:
        path: `pathlib.Path`. The temporary one beside it has the same suffix.

    Example:

    >>> from pathlib import Path
    >>> from keras_wconv._files import whole_file
    >>> with whole_file(Path("copy.txt")) as temporary:
    ...     _ = temporary.write_text("done")
    >>> Path("copy.txt").read_text()
    'done'
    """
    # The process is part of the name, for two that write one file at once.
    temporary = path.with_name(f"{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
