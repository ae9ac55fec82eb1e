"""Locks that keep other processes out of a folder."""

import contextlib
import os
import weakref
from pathlib import Path
from typing import Self

from filelock import FileLock, Timeout

from .._types import PathLike


class FolderLock:
    """Keeps other processes out of a folder until it is released.

    A process may lock the same folder several times. The system releases the locks of a
    process, however it ends. A folder that does not support locks (read-only ones, some
    network drives) stays unlocked.

    Args:
        folder: str or `pathlib.Path`, an existing folder.

    Raises:
        ValueError: If another process holds the folder; its ID is in the message.

    Example:

    >>> from keras_wconv.tuning.folder_lock import FolderLock
    >>> with FolderLock("."), FolderLock("."):
    ...     print("alone here")
    alone here
    """

    def __init__(self, folder: PathLike) -> None:
        self.release = lambda: None
        folder = Path(folder).resolve()
        if not folder.is_dir():  # A lock would make it.
            return
        lock = FileLock(folder / ".lock", thread_local=False, is_singleton=True)
        holder = folder / ".lock.pid"  # The lock itself cannot be read on Windows.
        try:
            lock.acquire(blocking=False)
        except Timeout as error:
            process = holder.read_text() if holder.exists() else "unknown"
            raise ValueError(
                f"The folder {str(folder)!r} is in use by process {process}, and two "
                "would mix their results. End that process, or use another folder."
            ) from error
        except (OSError, NotImplementedError):
            return
        self.release = weakref.finalize(self, lock.release)
        with contextlib.suppress(OSError):  # The disk may be full.
            holder.write_text(str(os.getpid()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()
