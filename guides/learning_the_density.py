"""
Title: Learning the density
Author: The keras_wconv authors
Date created: 2026/11/21
Last modified: 2026/11/28
Description: Train the coefficients with the kernels, layer by layer, and watch them.
"""

"""
## Instead of a search

A search finds a few numbers that the whole network shares. You can learn the density by
gradient descent instead, and each layer then has a separate one. This takes one training run
instead of many. Two things need care: the coefficients need a larger learning rate than the
kernels, and no weight decay, which would pull them to 0.
"""

import os

import keras

import keras_wconv
from keras_wconv import experiments
from keras_wconv.callbacks import DensityLogger

QUICK = "GUIDE_QUICK" in os.environ  # The tests run this guide with one epoch.

"""
## One layer

`density_trainable=True` turns the coefficients into weights of a sublayer named `density`.
They start from the given values; with ones, from the standard convolution.
"""

layer = keras_wconv.WeightedConv2D(8, 5, density=[1.0, 1.0], density_trainable=True)
layer.build((None, None, None, 3))
print([weight.path for weight in layer.density.weights])

"""
Here both axes share a profile, which has two coefficients. `[[1, 1], [1, 1]]` learns a
profile for each axis, and a NumPy array of the kernel's shape learns every value of the map.

## Two optimizers

`density_optimizer` trains the coefficients with a second optimizer. The authors of the
method use a learning rate of 1e-2 with warm restarts for them.
"""

optimizer = keras_wconv.optimizers.density_optimizer(
    keras.optimizers.AdamW(1e-3),
    keras.optimizers.schedules.CosineDecayRestarts(1e-2, first_decay_steps=500),
)

"""
The tasks of `keras_wconv.experiments` do this by themselves when the network has learned
densities.

The authors' latest recipe is included, too, with its weight decay on the coefficients. It
starts from `density=[0.27, 0.17, 0.54]` with kernels of 7. These coefficients are small: with
batch normalization and only a few hundred training steps, add `normalize_density=True`.
"""

optimizer = keras_wconv.optimizers.published_optimizer(steps_per_epoch=500)

"""
`density="gaussian"` has a single number to learn for a kernel of any size: see
[Large kernels](large_kernels.ipynb). A penalty on its effective size trades accuracy for
speed: `density_regularizer=keras_wconv.regularizers.KernelSize(1e-5)`. This is the price of one
tap in units of the loss, and so must be small beside the loss of a denoiser.

## A network

Here is a denoiser in which each of the seven layers learns a density, watched by
`DensityLogger`. The callback writes a CSV file, and with `log_dir=` scalars for TensorBoard.
"""

recipe = {"epochs": 1, "steps_per_epoch": 2} if QUICK else {}
task = experiments.Denoising.photographs(**recipe)
model = task.model(density=[1.0], density_trainable=True)
task.compile(model)
densities = DensityLogger("densities.csv")
task.fit(model, seed=0, callbacks=[densities])
print(task.evaluate(model))

for name, weights in densities.history.items():
    start, end = weights["coefficients"][0], weights["coefficients"][-1]
    print(f"{name}: {start} -> {end}")

densities.figure()

"""
## Ship it

A learned density folds like a fixed one. The result is plain Keras.
"""

folded = keras_wconv.fold(model)
print({type(layer).__name__ for layer in folded.layers})
keras_wconv.visualization.plot_densities(model)

"""
## Was it worth it?

A comparison answers with an interval. It compares the network with learned densities with
the standard one, and adds one with a fixed density. Nothing is tuned here; see "Does it help
on my data?" for what a fair standard network needs.
"""

Candidate = experiments.Candidate
results = experiments.compare(
    task,
    "learned",
    baseline=Candidate("standard", lambda hp: task.model()),
    proposal=Candidate(
        "learned", lambda hp: task.model(density=[1.0], density_trainable=True)
    ),
    controls=[Candidate("fixed", lambda hp: task.model(density=[0.7]))],
    seeds=range(2 if QUICK else 6),  # Fewer cannot decide.
)
print(results.verdict())
results.plot()
