"""
Title: Search for the density of a classifier
Author: The keras_wconv authors
Date created: 2026/11/21
Last modified: 2026/11/21
Description: Find the density of a small network with DIRECT-L, in a KerasTuner script.
"""

"""
## The data and the network

The data are handwritten digits from scikit-learn, 8 x 8 pixels each, in three parts: one to
train on, one to choose by, one to report. The network is an ordinary one. Its density comes
from `hp`, like any other hyperparameter: two coefficients for kernels of 5, in the published
ranges.
"""

import os

import keras
import numpy as np
from sklearn.datasets import load_digits

from keras_wconv import WeightedConv2D, fold, tuning, visualization

images, labels = load_digits(return_X_y=True)
images = images.reshape(-1, 8, 8, 1).astype("float32") / 16
train, validation, test = slice(0, 1000), slice(1000, 1400), slice(1400, None)


def build_network(density):
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            WeightedConv2D(16, 5, padding="same", activation="relu", density=density),
            keras.layers.MaxPooling2D(),
            WeightedConv2D(32, 5, padding="same", activation="relu", density=density),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(
        keras.optimizers.Adam(3e-3),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def build(hp):
    return build_network(tuning.density(hp, kernel_size=5))


"""
## The search

`tuning.DirectL` is a KerasTuner tuner: `search`, `results_summary`, `get_best_models` and
the rest work as usual. Three things differ.

- DIRECT-L chooses the points. The first is the middle of all ranges, and the search ends
  before `max_trials` if it has reached its resolution, a hundredth of each range.
- One compiled model serves all trials, since they only differ in their densities.
- All trials use the same random numbers, so they have the same initial kernels and the same
  batches. They differ in the density, not in luck.

Choose by the validation loss rather than the accuracy, which cannot distinguish two good
densities. You can stop this script at any time: start it again and it continues.
"""

quick = "GUIDE_QUICK" in os.environ
tuner = tuning.DirectL(
    build,
    objective="val_loss",
    max_trials=4 if quick else 20,
    directory="searches",
    project_name="digits",
)
tuner.search(
    images[train],
    labels[train],
    validation_data=(images[validation], labels[validation]),
    epochs=1 if quick else 10,
    batch_size=50,
    verbose=0,
)
tuner.results_summary(num_trials=3)
visualization.plot_search(tuner)

"""
## Was it luck?

The best of many scores is too optimistic. So the best density is trained from scratch,
beside the standard convolution, with seeds that the search has not used. Each pair starts
from the same kernels.
"""


def accuracy(density, seed):
    keras.utils.set_random_seed(seed)
    model = build_network(density)
    epochs = 1 if quick else 10
    model.fit(images[train], labels[train], 50, epochs, verbose=0)
    return model.evaluate(images[test], labels[test], verbose=0)[1]


best = tuning.density(tuner.get_best_hyperparameters()[0], kernel_size=5)
seeds = range(101, 103) if quick else range(101, 106)
differences = [accuracy(best, seed) - accuracy(None, seed) for seed in seeds]
print(f"density {np.round(best, 3)}, test accuracy minus that of the standard network:")
print(f"{100 * np.mean(differences):+.2f} points on average; for each seed:")
print("  ".join(f"{100 * difference:+.2f}" for difference in differences))

"""
If these numbers differ in sign, the density did not make the difference. `keras-wconv search`
and `keras-wconv compare` do all of this for a task, with confidence intervals and with
controls that show where a difference comes from.

## Ship it

A fixed density folds into the kernels. The result is a model of plain Keras layers.
"""

weighted = tuner.get_best_models()[0]
model = fold(weighted)
model.save("digits.keras")
print([type(layer).__name__ for layer in model.layers])
visualization.plot_densities(weighted)
