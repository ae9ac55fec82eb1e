import functools

import keras
import numpy as np
import pytest
import small_tasks

from keras_wconv.applications import VGG, DnCNN
from keras_wconv.experiments import Classification, datasets
from keras_wconv.experiments.tasks import classification


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


@pytest.mark.parametrize("size", [100, 0, -5])
def test_batch_larger_than_the_training_split_is_refused(size):
    message = f"`batch_size` must be at least 1 and at most the 24 .*: {size}$"
    with pytest.raises(ValueError, match=message):
        small_tasks.classification(batch_size=size)


def test_network_of_images_for_series_is_refused():
    network = functools.partial(VGG, (1,), (4,), hidden_units=())
    with pytest.raises(ValueError):
        Classification.time_series(network).model()


def test_a_constant_channel_becomes_zero():
    rng = np.random.default_rng(0)
    inputs = np.stack([rng.normal(size=(12, 16)), np.full((12, 16), 0.1)], -1)
    split = inputs.astype("float32"), np.arange(12) % 3
    task = Classification(datasets.Dataset("c", split, split, split), batch_size=4)
    seen, _ = task.batches(0)[0]
    assert np.isfinite(seen).all()
    assert np.abs(seen[..., 1]).max() < 1e-3 < np.abs(seen[..., 0]).max()


# Heads: what a loss must read as logits, and what as probabilities.

IMAGE = (8, 8, 1)


def sequential(*head):
    flat = keras.layers.Flatten()
    return keras.Sequential([keras.Input(IMAGE), flat, *head])


def functional(head):
    inputs = keras.Input(IMAGE)
    return keras.Model(inputs, head(keras.layers.Flatten()(inputs)))


def pooled(activation):
    layers = [keras.layers.Conv2D(2, 3, activation=activation)]
    return keras.Sequential(
        [keras.Input(IMAGE), *layers, keras.layers.GlobalAveragePooling2D()]
    )


class Subclassed(keras.Model):
    def __init__(self, activation):
        super().__init__()
        self.flat = keras.layers.Flatten()
        self.dense = keras.layers.Dense(2)
        self.activation_ = activation

    def call(self, inputs):
        return self.activation_(self.dense(self.flat(inputs)))


class Tempered(keras.Model):
    """A Functional model whose own call does more than its graph says."""

    def __init__(self):
        inputs = keras.Input(IMAGE)
        super().__init__(inputs, dense()(keras.layers.Flatten()(inputs)))

    def call(self, inputs):
        return keras.ops.softmax(super().call(inputs))


dense = functools.partial(keras.layers.Dense, 2)
HEADS = {  # name: (model, whether it ends in logits)
    "dense": (lambda: sequential(dense()), True),
    "dense softmax": (lambda: sequential(dense(activation="softmax")), False),
    "dense sigmoid": (lambda: sequential(dense(activation="sigmoid")), False),
    "activation": (
        lambda: sequential(dense(), keras.layers.Activation("softmax")),
        False,
    ),
    "log softmax": (lambda: sequential(dense(activation="log_softmax")), True),
    "dtype": (
        lambda: sequential(dense(), keras.layers.Activation("linear", dtype="float32")),
        True,
    ),
    "layer": (lambda: sequential(dense(), keras.layers.Softmax()), False),
    "layer as activation": (
        lambda: sequential(dense(activation=keras.layers.Softmax())),
        False,
    ),
    "nested": (lambda: keras.Sequential([sequential(dense())]), True),
    "nested softmax": (
        lambda: keras.Sequential([functional(dense(activation="softmax"))]),
        False,
    ),
    "functional": (lambda: functional(dense()), True),
    "functional softmax": (lambda: functional(dense(activation="softmax")), False),
    "operation": (lambda: functional(lambda x: keras.ops.softmax(dense()(x))), False),
    "functional in functional": (
        lambda: functional(lambda x: inner(dense()(x))),
        False,
    ),
    "pooled": (lambda: pooled(None), True),
    "pooled softmax": (lambda: pooled("softmax"), False),
    "subclassed": (lambda: Subclassed(lambda x: x), True),
    "subclassed softmax": (lambda: Subclassed(keras.ops.softmax), False),
    "own call": (Tempered, False),
    "zeros": (lambda: Subclassed(lambda x: x * 0), True),
    "vgg": (lambda: small_tasks.small_vgg(input_shape=IMAGE, classes=2), False),
}


def inner(tensor):
    inputs = keras.Input((2,))
    return keras.Model(inputs, keras.layers.Softmax()(inputs))(tensor)


@pytest.mark.parametrize("name", HEADS)
def test_the_loss_reads_what_the_head_returns(name):
    make, logits = HEADS[name]
    task = small_tasks.classification(network=None)
    model = make()
    task.compile(model)
    assert model.loss.get_config()["from_logits"] is logits


def test_a_head_that_is_neither_is_refused():
    task = small_tasks.classification(network=None)
    with pytest.raises(ValueError, match="must end in a softmax, or in logits"):
        task.compile(Subclassed(keras.ops.sigmoid))


def test_a_head_of_logits_learns_as_one_of_a_softmax_does():
    """The two have the same gradients, so the same start ends at the same place."""
    task = small_tasks.classification(network=None, epochs=10, pad=0, flip=False)
    models = [sequential(dense()), sequential(dense(activation="softmax"))]
    models[1].set_weights(models[0].get_weights())
    for model in models:
        task.compile(model)
        task.fit(model)
    # Keras clips probabilities at 1e-7, logits not: rounding, through 30 steps.
    for a, b in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-3)
    first, second = (task.evaluate(model, "test") for model in models)
    assert first["accuracy"] == second["accuracy"] > 0.9
    assert first["loss"] == pytest.approx(second["loss"], rel=1e-2, abs=1e-6)


def test_few_examples_have_all_classes_in_proportion():
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    split = np.arange(100.0)[:, None, None], labels
    data = datasets.Dataset("unequal", split, split, split)
    task = Classification(data, batch_size=10)
    for seed in range(5):
        at = {
            n: task.with_examples(n).for_seed(seed).data.train[1] for n in (3, 10, 50)
        }
        assert sorted(at[3]) == [0, 1, 2]
        assert np.abs(np.bincount(at[10]) - [6, 3, 1]).max() <= 1
        assert np.abs(np.bincount(at[50]) - [30, 15, 5]).max() <= 1
    with pytest.raises(ValueError, match="`n` must be at least the 3 classes"):
        task.with_examples(2)


def test_few_examples_are_standardized_by_themselves():
    task = small_tasks.classification().with_examples(4).for_seed(2)
    x, _ = task.data.train
    assert len(x) == 4
    expected = (task.data.test[0] - x.mean()) / x.std()
    np.testing.assert_allclose(task.examples("test")[0], expected, rtol=1e-4, atol=1e-5)


def test_chance_is_the_most_frequent_class():
    labels = np.repeat([0, 1], [75, 25])
    split = np.zeros((100, 4, 1)), labels
    task = Classification(
        datasets.Dataset("unequal", split, split, split), batch_size=4
    )
    assert task.chance() == task.chance("validation") == 0.75
    # Two standard deviations: 2 sqrt(0.75 * 0.25 / 100) = 0.0866
    assert task.failed(0.75) and task.failed(0.83) and task.failed(float("nan"))
    assert not task.failed(0.84)


def test_every_seed_may_have_a_resampling():
    task = small_tasks.classification()
    every = task.with_resampling()
    assert every.data is task.data and every.for_seed(0).data is task.data
    other = every.for_seed(1)
    assert not np.array_equal(other.data.test[0], task.data.test[0])
    x = other.data.train[0]
    expected = (other.data.test[0] - x.mean()) / x.std()
    np.testing.assert_allclose(other.examples("test")[0], expected, atol=1e-5)
    few = every.with_examples(4).for_seed(1)
    assert {a.tobytes() for a in few.data.train[0]} <= {a.tobytes() for a in x}


def test_classes_are_counted_where_nobody_says_how_many():
    split = np.zeros((6, 8, 1)), [2, 1, 0, 2, 1, 0]
    task = Classification(datasets.Dataset("three", split, split, split), batch_size=2)
    assert task.data.classes == 3


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (
            np.arange(1, 11),
            r"labels that are integers from 0 to 9.*up to 10.*np\.unique",
        ),
        (np.arange(10) / 10, "labels that are integers from 0"),
        (np.eye(10), r"one-hot\. Give labels\.argmax"),
        (np.zeros(10), "must have two classes at least"),
    ],
)
def test_labels_that_do_not_count_the_classes_are_refused(labels, message):
    split = np.zeros((10, 8, 1)), labels
    data = datasets.Dataset("wrong", split, split, split)  # Fine for a regression.
    with pytest.raises(ValueError, match=message):
        Classification(data, batch_size=2)
