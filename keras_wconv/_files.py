"""Files that are whole whenever they are there, and folders of one process."""

import contextlib
import os
import weakref
from pathlib import Path


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


_held = {}  # The open lock file by folder, and how often this process holds it.


class FolderLock:
    """Keeps other processes out of a folder until it is released.

    The process itself may hold a folder several times. The system releases what a
    process held, however it ends; a folder that cannot have locks (read-only ones, some
    network drives, Windows) is left without.

    Args:
        folder: str or `pathlib.Path` of a folder that is there.

    Raises:
        ValueError: If another process holds the folder; the message has its id.

    Example:

    >>> from keras_wconv._files import FolderLock
    >>> with FolderLock("."), FolderLock("."):
    ...     print("alone here")
    alone here
    """

    def __init__(self, folder):
        self._folder = os.path.realpath(folder)
        file, count = _held.get(self._folder, (None, 0))
        _held[self._folder] = file or _locked_file(Path(self._folder)), count + 1
        self.release = weakref.finalize(self, _release, self._folder)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.release()


def _locked_file(folder):
    try:
        import fcntl

        file = (folder / ".lock").open("a+")
    except (ImportError, OSError):
        return contextlib.nullcontext()
    try:
        # Forked children do not inherit a lock of this kind.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        file.seek(0)
        process = file.read().strip() or "unknown"
        file.close()
        raise ValueError(
            f"The folder {str(folder)!r} is in use by process {process}, and two would "
            "mix their results. End that process, or give another folder."
        ) from error
    except OSError:
        return file
    with contextlib.suppress(OSError):  # The disk may be full.
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
    return file


def _release(folder):
    file, count = _held.pop(folder)
    if count > 1:
        _held[folder] = file, count - 1
    elif not isinstance(file, contextlib.nullcontext):
        with contextlib.suppress(OSError):
            file.close()
