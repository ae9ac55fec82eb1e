"""Tasks and candidates so cheap that a whole comparison takes seconds."""

import keras
import numpy as np

from keras_wconv.experiments import Candidate, Classification, datasets

# Tracing takes TensorFlow longer than these runs do; JAX is slow without.
EAGERLY = keras.backend.backend() != "jax"


def stripes(count, seed, noise=0.3):
    """Pictures of 6x6 with horizontal or vertical stripes."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    rows = np.where(np.arange(6) % 2, 1.0, -1.0)[:, None, None]
    clean = np.where(labels[:, None, None, None], rows, rows.transpose(1, 0, 2))
    noisy = clean + noise * rng.normal(size=(count, 6, 6, 1))
    return noisy.astype("float32"), labels


class Stripes(Classification):
    """Which way the stripes run."""

    def __init__(self, noise=0.3, network=None, **recipe):
        splits = (stripes(n, seed, noise) for seed, n in enumerate((32, 24, 40)))
        defaults = {"epochs": 1, "batch_size": 8, "learning_rate": 0.1}
        super().__init__(
            datasets.Dataset("stripes", *splits, classes=2),
            network,
            **{**defaults, "schedule": "constant", **recipe},
        )

    def compile(self, *args, **kwargs):
        super().compile(*args, run_eagerly=EAGERLY, **kwargs)


def sequential(hp=None, filters=4, size=3, dropout=0.0, **kernel):
    """An unnamed Sequential, whose automatic names count up at each call."""
    return keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            *([keras.layers.Dropout(dropout)] if dropout else []),
            keras.layers.Conv2D(filters, size, activation="relu", **kernel),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )


def functional(hp=None, filters=4, size=3):
    """An unnamed Functional model of the same shapes."""
    inputs = keras.Input((6, 6, 1))
    x = keras.layers.Conv2D(filters, size, activation="relu")(inputs)
    x = keras.layers.GlobalAveragePooling2D()(x)
    outputs = keras.layers.Dense(2, activation="softmax")(x)
    return keras.Model(inputs, outputs)


def candidate(name="sequential", build=sequential, **settings):
    return Candidate(name, build, **settings)
