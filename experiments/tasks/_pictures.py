"""Pictures, and the files and folders that they come from."""

import copy
import hashlib
import os
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from rich.progress import track

from ..._optional import require

# The names of folders and arrays of each split.
SPLIT_NAMES = {
    **dict.fromkeys(["train", "training"], "train"),
    **dict.fromkeys(["val", "valid", "validation"], "validation"),
    **dict.fromkeys(["test", "testing"], "test"),
}

# Folders of thumbnails, metadata and deleted files that do not begin with a dot.
_HIDDEN = {"@eaDir", "__MACOSX", "#recycle", "$RECYCLE.BIN", "lost+found"}

_MODES = {1: "L", 3: "RGB"}  # Pillow's, by the number of channels


class Pictures(Sequence):
    """Pictures on disk, decoded once and read through a memory map.

    Only pictures that are used come into memory. The files are in a temporary folder,
    which is deleted with the object; the environment variable `TMPDIR` says where.
    DIV2K in color takes about 6 GB.

    Args:
        named: iterable of `(name, uint8 array of (height, width, channels))`.

    Raises:
        ValueError: If a picture is of another type or shape.

    Example:

    >>> import numpy as np
    >>> from keras_wconv.experiments import datasets
    >>> pictures = datasets.Pictures([("black", np.zeros((4, 6, 1), "uint8"))])
    >>> len(pictures), pictures.names, pictures[0].shape
    (1, ['black'], (4, 6, 1))
    """

    def __init__(self, named):
        self._folder = tempfile.TemporaryDirectory(
            prefix="keras_wconv-", ignore_cleanup_errors=True
        )
        self.names, self.shapes, self._files = [], [], []
        for name, picture in named:
            picture = np.asarray(picture)
            if picture.dtype != "uint8" or picture.ndim != 3:
                raise ValueError(
                    "`named` must have uint8 pictures of (height, width, channels), "
                    f"from 0 to 255. Received: {name!r}, {picture.dtype} of shape "
                    f"{picture.shape}"
                )
            file = Path(self._folder.name) / f"{len(self.names)}.uint8"
            picture.tofile(file)
            self._files.append(file)
            self.names.append(name)
            self.shapes.append(picture.shape)

    def take(self, indices):
        """Returns some of the pictures, without a second copy on disk."""
        taken = copy.copy(self)
        for name in ("names", "shapes", "_files"):
            setattr(taken, name, [getattr(self, name)[i] for i in indices])
        return taken

    def __len__(self):
        return len(self.names)

    def __getitem__(self, index):
        # Not np.load, which parses a header. In Python 3.11 that may fail in a thread
        # while TensorFlow parses code in another (python/cpython#106905).
        index = range(len(self))[index]
        return np.memmap(self._files[index], "uint8", "r", shape=self.shapes[index])


def check_file(path):
    """Returns the path of a file."""
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"`path` must be a file. Received: {str(path)!r}")
    return path


def check_folder(path, name):
    """Returns the path of a folder."""
    path = Path(path)
    if not path.is_dir():
        raise ValueError(
            f"`{name}` must be a folder of pictures. Received: {str(path)!r}, which is "
            "not a folder."
        )
    return path


def split_folders(root):
    """Returns a dict of the subfolders that are splits; empty if there are none."""
    named = [
        (SPLIT_NAMES[folder.name.lower()], folder)
        for folder in sorted(root.iterdir())
        if folder.name.lower() in SPLIT_NAMES and folder.is_dir()
    ]
    folders = dict(named)
    if len(folders) < len(named) or (folders and not {"train", "test"} <= set(folders)):
        raise ValueError(
            "`path` must have one folder for `train` and one for `test`, and at most "
            "one for `validation`, or none of these names. Received: "
            f"{str(root)!r}, with {', '.join(folder.name for _, folder in named)}"
        )
    if folders:
        within = sum(len(picture_files(folder)) for folder in folders.values())
        other = len(picture_files(root)) - within
        if other > 0:
            warnings.warn(
                f"{other} pictures of {root} lie in none of the folders "
                f"{', '.join(f.name for f in folders.values())} and are left out.",
                stacklevel=3,
            )
    return folders


def picture_files(folder):
    """Returns the pictures in a folder, sorted, without hidden ones.

    Links to folders are followed, each folder once.
    """
    suffixes = set(require("PIL.Image", extra="data").registered_extensions())
    files, seen = [], set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        paths = (Path(place) / name for name in names if not is_hidden(name))
        files += [p for p in paths if p.suffix.lower() in suffixes and p.is_file()]
    return sorted(files)


def is_hidden(name):
    """Returns whether a file or a folder is hidden, by its name."""
    return name.startswith(".") or name in _HIDDEN


def decoded(files, channels, name, size=None):
    """Yields each file that can be read, and its picture from `convert`."""
    image = require("PIL.Image", extra="data")

    def decode(file):
        try:
            with image.open(file) as picture:
                return convert(picture, channels, size)
        except Exception as error:  # Decoders raise many kinds.
            warnings.warn(
                f"{file} cannot be read and is left out: {error}", stacklevel=2
            )

    with ThreadPoolExecutor() as pool:
        pictures = track(
            pool.map(decode, files),
            description=f"Reading {name}",
            total=len(files),
            transient=True,
            disable=len(files) < 50,
        )
        for file, picture in zip(files, pictures, strict=True):
            if picture is not None:
                yield file, picture


def warn_of_copies(parts):
    """Warns if a file lies in several splits, a dict of lists of files."""
    by_size = defaultdict(list)
    for split, files in parts.items():
        for file in files:
            by_size[file.stat().st_size].append((split, file))
    copies = []
    for alike in by_size.values():
        if len({split for split, _ in alike}) < 2:
            continue
        first = {}
        for split, file in alike:
            digest = hashlib.sha256(file.read_bytes()).digest()
            other, original = first.setdefault(digest, (split, file))
            if other != split:
                copies.append(f"{original} ({other}) and {file} ({split})")
    if copies:
        more = f", and {len(copies) - 1} more" if len(copies) > 1 else ""
        warnings.warn(
            f"The same picture is in two splits: {copies[0]}{more}. A test on pictures "
            "of the training says nothing. Remove the copies.",
            stacklevel=3,
        )


def convert(picture, channels, size=None):
    """Returns a picture as a uint8 array of (height, width, channels)."""
    image = require("PIL.Image", extra="data")
    check_channels(channels)
    if not isinstance(picture, image.Image):
        picture = image.fromarray(picture)
    if picture.mode.startswith("I;16"):  # Pillow would clip values above 255.
        picture = image.fromarray((np.asarray(picture) >> 8).astype("uint8"))
    elif picture.mode in "IF":
        raise ValueError(
            "its values have 32 bits, of unknown range. Expected 8 or 16 bits"
        )
    picture = picture.convert(_MODES[channels])
    if size is not None:
        picture = picture.resize(size[::-1], image.Resampling.BILINEAR)
    array = np.asarray(picture)
    return array.reshape(*array.shape[:2], channels)


def check_channels(channels):
    if channels not in _MODES:
        raise ValueError(
            f"`channels` must be 1 (gray) or 3 (color). Received: {channels}"
        )
