"""
Title: Training on many devices
Author: The keras_wconv authors
Date created: 2026/11/21
Last modified: 2026/11/21
Description: Train a weighted network on several devices, and search on several machines.
"""

"""
## Weighted layers need no special care

A fixed density is a constant of the layer, a learned one a small weight, replicated like a
bias. So a weighted network trains on many devices like any other network, and ends with the
same weights as on one device. A test of this package checks this for both, on two devices.

## Several devices on one machine

This guide makes two devices out of a CPU, so it runs anywhere. With real accelerators, leave
out the lines that do this. They must run before the backend starts.
"""

import contextlib
import os

os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=2")

import keras
import numpy as np

import keras_wconv


def two_devices():
    if keras.backend.backend() == "jax":
        # From here on, every model is replicated and every batch is split.
        devices = keras.distribution.list_devices()
        data_parallel = keras.distribution.DataParallel(devices=devices)
        keras.distribution.set_distribution(data_parallel)
        print(data_parallel)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration() for _ in range(2)]
        )
        strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
        print(strategy.num_replicas_in_sync, "replicas")
        return strategy.scope()
    return contextlib.nullcontext()  # PyTorch: see below


with two_devices():
    model = keras.Sequential(
        [
            keras.Input((16, 16, 1)),
            keras_wconv.WeightedConv2D(
                8, 5, padding="same", activation="relu", density=[0.2, 0.8]
            ),
            keras_wconv.WeightedConv2D(
                1, 3, padding="same", density=[0.7], density_trainable=True
            ),
        ]
    )
    optimizer = keras_wconv.optimizers.density_optimizer(keras.optimizers.Adam(1e-3))
    model.compile(optimizer, "mse")

images = np.random.default_rng(0).random((64, 16, 16, 1), dtype="float32")
model.fit(images, images, batch_size=32, epochs=2, verbose=2)
print(model.layers[-1].density_profiles[0])
keras_wconv.visualization.plot_densities(model)

"""
PyTorch runs one process per device, started by `torchrun --nproc-per-node 2 train.py`.
A Keras model is a `torch.nn.Module`:

    torch.distributed.init_process_group("nccl")           # on CPUs "gloo"
    model = build()                                        # the same seed everywhere
    parallel = torch.nn.parallel.DistributedDataParallel(model)
    density = [w.value for w in model.trainable_weights if "/density/" in w.path]
    kernels = [w.value for w in model.trainable_weights if "/density/" not in w.path]
    optimizer = torch.optim.AdamW([
        {"params": kernels, "lr": 1e-4},
        {"params": density, "lr": 1e-2, "weight_decay": 0.0},
    ])
    for inputs, targets in loader:                         # with a DistributedSampler
        optimizer.zero_grad()
        loss_function(parallel(inputs), targets).backward()
        optimizer.step()

## Several machines, one search

The trials of a search are independent, so a search scales without any of this: a chief
assigns points, workers train them. The guide "Search on many machines" runs such a search
and loses a worker on the way. The points depend only on the scores, so any number of workers
tries the same ones.

## How many workers are worth it

DIRECT-L proposes points in batches, and cannot choose the next batch before it knows all
values of this one. `w` workers take the time of `ceil(b / w)` trials for a batch of `b` equal
trials. So the batch sizes show how much an additional worker gains. Here they are measured
on a smooth function whose minimum is not in the middle. This needs no training and takes
milliseconds.
"""

import math

import matplotlib.pyplot as plt

from keras_wconv import tuning

EVALUATIONS = 60
WORKERS = (1, 2, 4, 8, 16)


def batch_sizes(dimensions):
    search = tuning.DirectLSearch(dimensions)
    sizes = []
    while not search.done and sum(sizes) < EVALUATIONS:
        points = search.ask()[: EVALUATIONS - sum(sizes)]
        sizes.append(len(points))
        for point in points:
            value = sum((i + 1) * (x - 0.35) ** 2 for i, x in enumerate(point))
            search.tell(point, value)
    return sizes


def speedup(sizes, workers):
    return sum(sizes) / sum(math.ceil(size / workers) for size in sizes)


print(f"{EVALUATIONS} trials: speedup over one worker")
figure, axes = plt.subplots(figsize=(6, 3.5))
print("dimensions  mean batch " + "".join(f"{w:>4} workers" for w in WORKERS))
for dimensions in (1, 2, 3, 4, 6, 9):
    sizes = batch_sizes(dimensions)
    row = "".join(f"{speedup(sizes, w):12.1f}" for w in WORKERS)
    print(f"{dimensions:>10}  {np.mean(sizes):10.1f} {row}")
    axes.plot(
        WORKERS, [speedup(sizes, w) for w in WORKERS], "o-", label=f"{dimensions}"
    )
axes.plot(WORKERS, WORKERS, ":", color="gray", label="ideal")
axes.set(xlabel="workers", ylabel="speedup over one worker")
axes.legend(title="dimensions")
plt.show()

"""
The result on this function is

| dimensions | mean batch | 2 workers | 4 workers | 8 workers | 16 workers |
|---|---|---|---|---|---|
| 1 | 5.0 | 1.9 | 3.0 | 5.0 | 5.0 |
| 2 | 7.5 | 1.9 | 3.5 | 5.5 | 7.5 |
| 3 | 7.5 | 1.9 | 3.5 | 5.5 | 7.5 |
| 4 | 8.6 | 1.9 | 3.2 | 5.5 | 8.6 |
| 6 | 15.0 | 1.9 | 3.5 | 6.7 | 10.0 |
| 9 | 20.0 | 1.9 | 3.8 | 6.7 | 10.0 |

A density for kernels of 3 has one dimension, for kernels of 5 two, of 7 three; a network
with all three sizes has six. Two workers are nearly always busy, four most of the time, and
the speedup never exceeds the mean batch size. Further devices are better used within a
trial: several for each worker, as above.
"""
