"""A planted effect is found, and where there is none, none is found.

One kernel spans its whole input and is fitted to few examples. In the first task the
target depends on the five taps in the middle and the others see only noise: a density
that favors the middle must help, whatever the standard network's start and learning
rate. In the second one all taps matter alike, and it cannot help.
"""

import keras
import numpy as np
import pytest
from made_study import EAGERLY

from keras_wconv import WeightedConv1D
from keras_wconv.densities import Gaussian
from keras_wconv.experiments import Candidate, Task, compare, datasets
from keras_wconv.experiments.tasks.batches import Batches

TAPS = 33


def linear(density=None, **options):
    return keras.Sequential(
        [
            keras.Input((TAPS, 1)),
            WeightedConv1D(
                1, TAPS, use_bias=False, density=density, name="taps", **options
            ),
            keras.layers.Flatten(),
        ]
    )


class LinearTask(Task):
    """Each seed has training data of its own, which is what makes seeds differ here."""

    name, loss, metrics = "linear", "mse", ("mse",)
    monitor, direction = "mse", "min"

    def __init__(self, kernel, train):
        self.kernel = kernel
        self.train = train
        splits = (self.draw(count, seed=count) for count in (train, 96, 320))
        super().__init__(
            datasets.Dataset("linear", *splits),
            linear,
            epochs=10,
            batch_size=train // 4,
            learning_rate=0.04,
            optimizer=keras.optimizers.SGD,
        )

    def compile(self, *args, **kwargs):
        super().compile(*args, run_eagerly=EAGERLY, **kwargs)

    def draw(self, count, seed):
        rng = np.random.default_rng(seed)
        inputs = rng.normal(size=(count, TAPS, 1)).astype("float32")
        noise = 0.3 * rng.normal(size=count)
        targets = inputs[..., 0] @ self.kernel + noise
        return inputs, targets[:, None].astype("float32")

    def batches(self, seed):
        inputs, targets = self.draw(self.train, seed=(seed, 1))

        def load(indices, rng):
            return inputs[indices], targets[indices]

        return Batches(self.train, self.batch_size, load, seed)


def compare_on(kernel, train, folder):
    """Asks both sides for the same, but for the width of a Gaussian."""

    def gaussian(hp):
        return linear(Gaussian(hp.Float("sigma", 1.0, 2 * TAPS, sampling="log")))

    tune = ("learning_rate", "start")
    return compare(
        LinearTask(kernel, train),
        folder,
        Candidate("standard", lambda hp: linear(), tune),
        Candidate("weighted", gaussian, tune),
        trials=8,
        seeds=range(6),
    )


def test_planted_effect_is_found(tmp_path):
    middle = np.where(abs(np.arange(TAPS) - TAPS // 2) < 3, 1.0, 0.0)
    results = compare_on(middle, 24, tmp_path)
    assert results.verdict().startswith("The proposal is better than the baseline")
    values = results.metrics("test", "mse")
    assert np.mean(values["weighted"]) < 0.8 * np.mean(values["standard"])


# The verdict on made-up results without an effect is in report/statistics_test.py.
@pytest.mark.exhaustive
def test_planted_null_is_not_found(tmp_path):
    alike = np.random.default_rng(1).choice([-0.5, 0.5], TAPS)
    results = compare_on(alike, 24, tmp_path)
    assert "is better than the baseline" not in results.verdict()
