"""Files that are whole whenever they are there."""

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
    # The process is part of the name, for two that write one file at once.
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
