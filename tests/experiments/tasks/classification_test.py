import functools

import keras
import numpy as np
import pytest
import small_tasks

from keras_wconv.applications import VGG, DnCNN
from keras_wconv.experiments import Classification, classification, datasets


def test_inputs_are_standardized_by_the_training_split():
    task = small_tasks.classification()
    x, _ = task.data.train
    validation, _ = task.validation_data()
    expected = (task.data.validation[0] - x.mean()) / x.std()
    np.testing.assert_allclose(validation, expected, rtol=1e-4, atol=1e-5)


def test_batches_are_augmented_and_validation_is_not():
    task = small_tasks.classification(pad=2)
    inputs, labels = task.batches(seed=0)[0]
    assert inputs.shape == (8, 8, 8, 1) and inputs.dtype == "float32"
    assert labels.shape == (8,)
    plain = small_tasks.classification(pad=0, flip=False).batches(seed=0)[0]
    np.testing.assert_array_equal(labels, plain[1])
    assert not np.array_equal(inputs, plain[0])


def test_augmentation_crops():
    images = np.zeros((200, 5, 5, 1))
    images[:, 2, 2] = 1
    moved = classification.augment(images, np.random.default_rng(0), pad=2)
    assert moved.sum() == 200
    assert set(map(tuple, np.argwhere(moved)[:, 1:3])) == set(np.ndindex(5, 5))


def test_augmentation_mirrors_half():
    images = np.arange(3.0).reshape(1, 1, 3, 1).repeat(400, axis=0)
    mirrored = classification.augment(images, np.random.default_rng(0), flip=True)
    turned = (mirrored[:, 0, :, 0] == [2, 1, 0]).all(-1)
    assert (turned | (mirrored == images).all((1, 2, 3))).all()
    assert 0.4 < turned.mean() < 0.6


def test_augmentation_turns_as_scipy_does():
    ndimage = pytest.importorskip("scipy.ndimage")
    images = np.random.default_rng(0).random((1, 9, 9, 2))
    angle = np.random.default_rng(3).uniform(-15, 15)
    turned = classification.augment(images, np.random.default_rng(3), rotation=15.0)
    expected = ndimage.rotate(images[0], -angle, reshape=False, order=0)
    # The two may round a pixel between two others differently.
    assert np.mean(turned[0] == expected) >= 0.9


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_augmentation_keeps_the_dtype(dtype):
    images = np.full((2, 4, 4, 3), 200, dtype)
    augmented = classification.augment(
        images, np.random.default_rng(0), pad=1, flip=True, rotation=15.0
    )
    assert augmented.dtype == dtype
    assert set(np.unique(augmented)) <= {0, 200}


@pytest.mark.skipif(
    keras.backend.backend() == "jax", reason="JAX initializes so many shapes slowly."
)
@pytest.mark.parametrize("make", [Classification.time_series, Classification.volumes])
def test_series_and_volumes(make):
    task = make()
    model = task.model(
        density=lambda name, size: None if 8 in size else np.full(size, 0.9)
    )
    inputs, _ = task.batches(0)[0]
    assert model.compute_output_shape(inputs.shape) == (25, task.data.classes)


def test_cifar_recipe_is_the_published_one(monkeypatch):
    images = (
        np.zeros((256, 32, 32, 3), "uint8")
        + np.arange(256, dtype="uint8")[:, None, None, None]
    )
    split = images, np.arange(256) % 100
    monkeypatch.setattr(
        datasets,
        "cifar100",
        lambda data_dir: datasets.Dataset("cifar100", split, split, split, 100),
    )
    task = Classification.cifar100()
    assert (task.epochs, task.batch_size, task.steps) == (200, 128, 2)
    assert (task.pad, task.flip, task.rotation) == (4, True, 15.0)
    optimizer = task.optimizer().get_config()
    assert (optimizer["momentum"], optimizer["nesterov"]) == (0.9, True)
    rates = optimizer["learning_rate"]["config"]
    assert rates["boundaries"] == [120, 240, 320]  # 60, 120 and 160 epochs.
    np.testing.assert_allclose(rates["values"], [0.1, 0.02, 0.004, 0.0008])


def test_pictures_without_labels_are_refused():
    with pytest.raises(ValueError, match="`data` must be a dataset with classes"):
        Classification(small_tasks.denoising().data, VGG)


def test_network_that_does_not_classify_is_refused():
    def network(input_shape, classes, **options):
        return DnCNN(depth=2, filters=2, **options)

    with pytest.raises(ValueError, match=r"`model` 'dncnn.*must end in 2 classes"):
        small_tasks.classification(network).model()


def test_augmentation_of_series_is_refused():
    with pytest.raises(ValueError, match="`pad`, `flip` and `rotation` are for images"):
        Classification.time_series(pad=1)


def test_batch_larger_than_the_training_split_is_refused():
    task = small_tasks.classification(batch_size=100)
    with pytest.raises(ValueError, match="`batch_size` must be at most the 24"):
        task.batches(0)


def test_network_of_images_for_series_is_refused():
    network = functools.partial(VGG, (1,), (4,), hidden_units=())
    with pytest.raises(ValueError):
        Classification.time_series(network).model()
