"""Trains a weighted network on 1 or 2 devices, and writes the weights that come out.

    KERAS_BACKEND=... python train_on_devices.py FOLDER DEVICES

A backend's devices are set up before it starts, so this is a process of its own.
"""

import contextlib
import os
import sys
from pathlib import Path

import keras
import numpy as np

import keras_wconv

BATCH, STEPS = 8, 3


def network(density_trainable):
    density = {"density_trainable": density_trainable, "normalize_density": True}
    return keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            keras_wconv.WeightedConv2D(4, 3, density=[0.7], **density),
            keras.layers.ReLU(),
            keras_wconv.WeightedDepthwiseConv2D(5, density=[0.2, 0.8], **density),
            keras.layers.Flatten(),
            keras.layers.Dense(3),
        ]
    )


def optimizer(density_trainable):
    kernels = keras.optimizers.SGD(0.05, momentum=0.9)
    if not density_trainable:
        return kernels
    return keras_wconv.optimizers.density_optimizer(kernels, keras.optimizers.SGD(0.1))


def data():
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(STEPS * BATCH, 8, 8, 2)).astype("float32")
    return inputs, rng.normal(size=(STEPS * BATCH, 3)).astype("float32")


def fit(density_trainable, scope):
    keras.utils.set_random_seed(0)
    with scope:
        model = network(density_trainable)
        model.compile(optimizer(density_trainable), "mse")
    model.fit(*data(), batch_size=BATCH, shuffle=False, verbose=0)
    return model


def tensorflow_scope(devices):
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    logical = [tf.config.LogicalDeviceConfiguration() for _ in range(devices)]
    tf.config.set_logical_device_configuration(cpu, logical)
    if devices == 1:
        return contextlib.nullcontext
    names = [f"CPU:{device}" for device in range(devices)]
    return tf.distribute.MirroredStrategy(names).scope


def jax_scope(devices):
    if devices > 1:
        found = keras.distribution.list_devices()
        assert len(found) == devices
        data_parallel = keras.distribution.DataParallel(devices=found)
        keras.distribution.set_distribution(data_parallel)
    return contextlib.nullcontext


def fit_torch(density_trainable, devices):
    """The loop of Keras's guide to distributed training with PyTorch."""
    import torch

    keras.utils.set_random_seed(0)
    model = module = network(density_trainable)
    rank = 0
    if devices > 1:
        module = torch.nn.parallel.DistributedDataParallel(model)
        rank = torch.distributed.get_rank()
    density = [w.value for w in model.trainable_weights if "/density/" in w.path]
    kernels = [w.value for w in model.trainable_weights if "/density/" not in w.path]
    groups = [{"params": kernels}, {"params": density, "lr": 0.1, "momentum": 0.0}]
    sgd = torch.optim.SGD(groups, lr=0.05, momentum=0.9)
    inputs, targets = (torch.as_tensor(values) for values in data())
    for step in range(STEPS):
        batch = np.arange(step * BATCH, (step + 1) * BATCH)
        mine = np.array_split(batch, devices)[rank]
        sgd.zero_grad()
        loss = torch.nn.functional.mse_loss(module(inputs[mine]), targets[mine])
        loss.backward()
        sgd.step()
    return model


def main():
    folder, devices = Path(sys.argv[1]), int(sys.argv[2])
    backend = keras.backend.backend()
    if backend == "torch" and devices > 1:
        import torch

        torch.distributed.init_process_group("gloo")
    elif backend != "torch":
        scope = {"tensorflow": tensorflow_scope, "jax": jax_scope}[backend](devices)
    for density_trainable in (False, True):
        if backend == "torch":
            model = fit_torch(density_trainable, devices)
        else:
            model = fit(density_trainable, scope())
        kind = "learned" if density_trainable else "fixed"
        process = os.environ.get("RANK", "0")  # PyTorch has one for each device
        np.savez(folder / f"{kind}-{devices}-{process}.npz", *model.get_weights())


if __name__ == "__main__":
    main()
