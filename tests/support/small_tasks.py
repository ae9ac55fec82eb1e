"""The two tasks with data and networks so small that an epoch takes no time."""

import functools

import keras
import numpy as np

from keras_wconv.applications import VGG, DnCNN
from keras_wconv.experiments import Classification, Denoising, datasets

# Tracing takes TensorFlow longer than these runs do; JAX is slow without.
EAGERLY = keras.backend.backend() != "jax"


class EagerClassification(Classification):
    def compile(self, *args, **kwargs):
        super().compile(*args, run_eagerly=EAGERLY, **kwargs)


class EagerDenoising(Denoising):
    def compile(self, *args, **kwargs):
        super().compile(*args, run_eagerly=EAGERLY, **kwargs)


small_vgg = functools.partial(
    VGG, (1,), (4,), batch_normalization=True, hidden_units=()
)
small_dncnn = functools.partial(DnCNN, depth=3, filters=4, batch_normalization=False)


def images(count, size=8, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    stripes = np.where(np.arange(size) % 2, 1.0, -1.0)
    pictures = rng.normal(size=(count, size, size, 1)) + np.where(
        labels[:, None, None, None], stripes[:, None, None], stripes[None, :, None]
    )
    return pictures.astype("float32"), labels


def classification(network=small_vgg, **recipe):
    parts = [images(count, seed=seed) for seed, count in enumerate((24, 16, 16))]
    data = datasets.Dataset("stripes", *parts, classes=2)
    defaults = {
        "epochs": 2,
        "batch_size": 8,
        "learning_rate": 0.1,
        "schedule": "cosine",
        "pad": 1,
        "flip": True,
    }
    return EagerClassification(data, network, **{**defaults, **recipe})


def pictures(count, size=24, seed=0, channels=1):
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(20, 235, (count, size // 4, size // 4, channels))
    smooth = coarse.repeat(4, axis=1).repeat(4, axis=2).astype("uint8")
    return datasets.Pictures((f"picture{i}", p) for i, p in enumerate(smooth))


def denoising(network=small_dncnn, task_class=EagerDenoising, channels=1, **recipe):
    parts = [
        pictures(count, seed=seed, channels=channels)
        for seed, count in enumerate((4, 2, 2))
    ]
    data = datasets.Dataset("squares", *parts)
    defaults = {
        "epochs": 2,
        "batch_size": 4,
        "patch_size": 12,
        "patches_per_picture": 2,
        "learning_rate": 1e-2,
    }
    return task_class(data, network, **{**defaults, **recipe})
