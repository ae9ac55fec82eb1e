"""
Title: Weighted convolution in five minutes
Author: The keras_wconv authors
Date created: 2026/11/21
Last modified: 2026/11/21
Description: Replace Conv2D with WeightedConv2D, plot the density, train, fold and ship.
"""

"""
## What it is

A convolution multiplies each neighbor of a pixel by a weight and adds up the products. All
taps, as the positions of a kernel are called, start alike and learn at the same rate,
whether they lie on the pixel or three pixels away. A *weighted* convolution multiplies the
kernel by a spatial density Φ, which is 1 at the center and takes other values further out.
With a density below 1, weights far from the center start smaller and take smaller steps:

    weighted_conv(x, w) = conv(x, w * Φ)

Φ is an outer product of symmetric profiles. For a kernel of 5, the profile is
`d1, d2, 1, d2, d1`: two coefficients, outermost first. The number of weights stays the
same, and after training Φ is multiplied into the kernel for good.
"""

import keras
import numpy as np

import keras_wconv

layer = keras_wconv.WeightedConv2D(8, 5, padding="same", density=[0.2, 0.8])
print(layer.density_profiles[0])
print(layer.density_map)
keras_wconv.visualization.plot_densities(layer)

"""
## Replace a layer

`WeightedConv2D` takes every argument of `keras.layers.Conv2D`. With `density=None`, the
default, it *is* that layer. Here are two small networks that differ only in the density
and start from the same kernels.
"""


def network(density):
    return keras.Sequential(
        [
            keras.Input((None, None, 1)),
            keras_wconv.WeightedConv2D(
                8, 3, padding="same", activation="relu", density=density, name="first"
            ),
            keras_wconv.WeightedConv2D(
                1, 3, padding="same", density=density, name="last"
            ),
        ]
    )


standard, weighted = network(None), network([0.7])
weighted.set_weights(standard.get_weights())
print(standard.count_params(), weighted.count_params())

"""
## Train it

`compile` and `fit` work as usual. The task is to undo a blur. The data are synthetic, so
this guide runs anywhere in seconds.
"""

rng = np.random.default_rng(0)
sharp = rng.random((64, 24, 24, 1), dtype="float32")
blurred = (
    sharp
    + np.roll(sharp, 1, axis=1)
    + np.roll(sharp, 1, axis=2)
    + np.roll(sharp, -1, 1)
) / 4

for name, model in {"standard": standard, "weighted": weighted}.items():
    model.compile(keras.optimizers.Adam(1e-2), "mse")
    model.fit(blurred, sharp, epochs=5, batch_size=16, shuffle=False, verbose=0)
    print(name, model.evaluate(blurred, sharp, verbose=0))

"""
One run on synthetic data does not tell which is better. The guide "Does it help on my
data?" shows how to find out.

## Learn the density

A fixed density is a constant. With `density_trainable=True`, its coefficients are weights
of the sublayer `density`, and can have a separate optimizer.
"""

learned = keras.Sequential(
    [
        keras.Input((None, None, 1)),
        keras_wconv.WeightedConv2D(
            1, 5, padding="same", density=[1.0, 1.0], density_trainable=True
        ),
    ]
)
learned.compile(
    keras_wconv.optimizers.density_optimizer(
        keras.optimizers.Adam(1e-3), density_optimizer=1e-2
    ),
    "mse",
)
learned.fit(blurred, sharp, epochs=5, batch_size=16, verbose=0)
print(learned.layers[0].density_profiles[0])
keras_wconv.visualization.plot_densities(learned)

"""
## Other shapes of density

A kernel that is not square takes a list of coefficients for each axis. Families and whole
maps are not limited to outer products.
"""

keras_wconv.WeightedConv2D(8, (5, 3), density=[[0.2, 0.8], [0.7]])
keras_wconv.WeightedConv2D(8, 7, density="gaussian")
keras_wconv.WeightedConv2D(8, 7, density=keras_wconv.densities.Radial("inverse"))
keras_wconv.WeightedConv2D(8, 3, density=np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]]))

"""
A mistake raises an error at once. Here a full profile is given instead of the coefficients,
which are only its first half:
"""

try:
    keras_wconv.WeightedConv2D(8, 5, density=[0.2, 0.8, 1.0, 0.8, 0.2])
except ValueError as error:
    print(error)

"""
## Fold and ship

`fold` returns the model with plain Keras layers and the effective kernels. It loads without
keras_wconv, at no extra cost.
"""

folded = keras_wconv.fold(weighted)
print([type(layer).__name__ for layer in folded.layers])
np.testing.assert_allclose(
    folded.predict(blurred, verbose=0), weighted.predict(blurred, verbose=0), atol=1e-5
)
folded.save("folded.keras")

"""
## Next

`keras_wconv.to_weighted` converts a model that you already have,
`keras_wconv.applications` has ready-made networks, and `keras-wconv search` finds a density
with DIRECT-L.
"""
