"""
Title: Learning the density
Author: The keras_wconv authors
Date created: 2026/11/21
Last modified: 2026/11/28
Description: Train the coefficients with the kernels, layer by layer, and watch them.
"""

"""
## Instead of a search

A density is a few numbers for the whole network when it is searched for. It can be
learned instead, with a gradient, and then each layer has its own. That costs one
training run instead of many, and two things need care: the coefficients want a larger
learning rate than the kernels, and no weight decay, which would pull them to 0.
"""

import os

import keras

import keras_wconv
from keras_wconv import experiments
from keras_wconv.callbacks import DensityLogger

QUICK = "GUIDE_QUICK" in os.environ  # The tests run this guide with one epoch.

"""
## One layer

`density_trainable=True` makes the coefficients weights of a child layer named
`density`. They start at what is given; ones start at the standard convolution.
"""

layer = keras_wconv.WeightedConv2D(8, 5, density=[1.0, 1.0], density_trainable=True)
layer.build((None, None, None, 3))
print([weight.path for weight in layer.density.weights])

"""
One profile for both axes has two coefficients, as here. `[[1, 1], [1, 1]]` learns one
for each axis, and a NumPy array of the kernel's shape learns every value of the map.

## Two optimizers

`density_optimizer` puts the coefficients into the care of a second optimizer. The
authors of the method use a rate of 1e-2 with warm restarts for them.
"""

optimizer = keras_wconv.optimizers.density_optimizer(
    keras.optimizers.AdamW(1e-3),
    keras.optimizers.schedules.CosineDecayRestarts(1e-2, first_decay_steps=500),
)

"""
The tasks of `keras_wconv.experiments` do this by themselves when the network has
learned densities.

The authors' latest recipe is there as a whole, weight decay on the coefficients included.
They begin at `density=[0.27, 0.17, 0.54]` with kernels of 7. Those coefficients are small:
with batch normalization and a training of a few hundred steps only, add
`normalize_density=True`.
"""

optimizer = keras_wconv.optimizers.published_optimizer(steps_per_epoch=500)

"""
A kernel of any size has a density with a single number to learn, `density="gaussian"`: see
[Large kernels](large_kernels.ipynb). A price on its taps trades accuracy for speed:
`density_regularizer=keras_wconv.regularizers.KernelSize(1e-3)`.

## A network

Here is a denoiser whose seven layers learn a density each, followed by `DensityLogger`.
It writes a CSV file, and with `log_dir=` scalars for TensorBoard.
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
## Keep it

A learned density folds like a fixed one: the result is plain Keras.
"""

folded = keras_wconv.fold(model)
print({type(layer).__name__ for layer in folded.layers})
keras_wconv.visualization.plot_densities(model)

"""
## Was it worth it?

A comparison answers with an interval: the network with learned densities against the
standard one, and beside them one whose density is fixed. Nothing is tuned here; see "Does
it help on my data?" for what a fair standard network needs.
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
