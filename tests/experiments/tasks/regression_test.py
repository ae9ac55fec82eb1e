import keras
import numpy as np
import pytest
import small_tasks

from keras_wconv.experiments import datasets
from keras_wconv.experiments.tasks.regression import Regression


def slopes(count, seed):
    """Lines with noise, and how steep they are."""
    rng = np.random.default_rng(seed)
    slope = rng.normal(size=count)
    inputs = slope[:, None] * np.linspace(-1, 1, 16) + 0.1 * rng.normal(
        size=(count, 16)
    )
    return inputs[..., None] + 5, slope


def task(**recipe):
    parts = [slopes(count, seed) for seed, count in enumerate((64, 32, 32))]
    recipe = {"epochs": 20, "batch_size": 16, "learning_rate": 0.05, **recipe}
    return Regression(datasets.Dataset("slopes", *parts), **recipe)


def line(units=1):
    layers = [keras.layers.Flatten(), keras.layers.Dense(units)]
    return keras.Sequential([keras.Input((16, 1)), *layers])


def test_it_learns_and_chance_is_the_median():
    made = task()
    train, test = made.data.train[1], made.data.test[1]
    assert made.chance() == pytest.approx(np.mean(np.abs(test - np.median(train))))
    model = line()
    made.compile(model, run_eagerly=small_tasks.EAGERLY)
    untrained = made.evaluate(model, "test")["mae"]
    made.fit(model, validate=True)
    error = made.evaluate(model, "test")["mae"]
    predicted = model.predict(made.examples("test")[0], verbose=0)[:, 0]
    assert error == pytest.approx(np.mean(np.abs(predicted - test)), rel=1e-4)
    assert error < 0.2 < untrained
    assert not made.failed(error)
    assert made.failed(made.chance()) and made.failed(np.inf)


def test_outputs_are_as_many_as_the_targets():
    with pytest.raises(ValueError, match=r"`model` .* must return \(1,\) .*: \(3,\)"):
        task().compile(line(3))


def test_pictures_without_targets_are_refused():
    with pytest.raises(ValueError, match=r"pictures without targets.* Denoising"):
        Regression(small_tasks.denoising().data)


def test_classes_are_no_numbers():
    split = np.zeros((6, 8, 1)), ["a", "b"] * 3
    data = datasets.Dataset("letters", split, split, split)
    with pytest.raises(ValueError, match=r"numbers as targets.*\('a', 'b'\)"):
        Regression(data, batch_size=2)


def test_examples_are_drawn_by_the_seed():
    few = task().with_examples(10)
    drawn = [set(few.for_seed(seed).data.train[1]) for seed in (0, 1)]
    assert len(drawn[0]) == len(drawn[1]) == 10
    assert drawn[0] != drawn[1]
    assert drawn[1] < set(task().with_examples(20).for_seed(1).data.train[1])
