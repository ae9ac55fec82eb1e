"""
Title: A weighted backbone in a detector
Author: The keras_wconv authors
Date created: 2026/11/28
Last modified: 2026/11/28
Description: Make the backbone of a larger model weighted, train the model, and fold it.
"""

"""
## Where backbones are used

A detector, a segmentation network or a dehazing network is a backbone with something on top.
The backbone often comes from `keras.applications` or KerasHub, with weights, and the rest is
your own code. This guide makes the convolutions of such a model weighted in place, without
changing its outputs, trains the whole model, and folds it again.

The model finds bright squares in noise. It is small, so the guide runs in a minute.
"""

import os

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import layers

import keras_wconv
from keras_wconv.inspection import weighted_layers

quick = "GUIDE_QUICK" in os.environ
keras.utils.set_random_seed(0)


def pictures(count, size=64):
    """Noise with one to three squares, and a map that is 1 at their centers."""
    rng = np.random.default_rng(count)
    images = rng.normal(0, 0.3, (count, size, size, 3)).astype("float32")
    centers = np.zeros((count, size // 8, size // 8, 1), "float32")
    for image, center in zip(images, centers, strict=True):
        for _ in range(rng.integers(1, 4)):
            y, x = rng.integers(4, size - 4, 2)
            image[y - 4 : y + 4, x - 4 : x + 4] += 0.5
            center[y // 8, x // 8] = 1
    return images, centers


"""
## The detector

As in a feature pyramid, features of a MobileNetV2 at three scales are resized and added. For
each cell of 8 x 8 pixels, a head predicts the probability that it contains the center of a
square. Pass `weights="imagenet"` to start from the published weights.
"""

backbone = keras.applications.MobileNetV2(
    input_shape=(64, 64, 3), alpha=0.35, include_top=False, weights=None
)
taps = ("block_6_expand_relu", "block_13_expand_relu", "out_relu")
backbone = keras.Model(
    backbone.input, [backbone.get_layer(name).output for name in taps], name="backbone"
)


class Pyramid(layers.Layer):
    """Resizes features of several scales to the size of the first, and adds them."""

    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters

    def build(self, shapes):
        self.lateral = [layers.Conv2D(self.filters, 1) for _ in shapes]
        self.smooth = layers.Conv2D(self.filters, 3, padding="same", name="smooth")
        for conv, shape in zip(self.lateral, shapes, strict=True):
            conv.build(shape)
        self.smooth.build((*shapes[0][:-1], self.filters))

    def call(self, features):
        size = features[0].shape[1:3]
        same = [
            keras.ops.image.resize(conv(x), size)
            for conv, x in zip(self.lateral, features, strict=True)
        ]
        return self.smooth(sum(same))

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}


inputs = keras.Input((64, 64, 3))
x = Pyramid(32, name="pyramid")(backbone(inputs))
outputs = layers.Conv2D(1, 1, activation="sigmoid", name="head")(layers.ReLU()(x))
detector = keras.Model(inputs, outputs)

"""
## Weighted, in place

`in_place=True` changes the layers of your model itself: those of the backbone, which is a
nested model, and the one inside the custom layer. `where=` selects convolutions. The report
says what happened to each of them. Kernels of 1 x 1 have nothing to weight.
"""

train, test = pictures(64 if quick else 512), pictures(65)
before = detector.predict(test[0], verbose=0)
_, report = keras_wconv.to_weighted(
    detector,
    [0.7],
    in_place=True,
    return_report=True,
    where=lambda layer: layer.strides == (1, 1),
)
after = detector.predict(test[0], verbose=0)
for entry in report.entries:
    if entry.density is not None:
        print(entry)
print("weighted:", len(weighted_layers(detector)), "convolutions")
print("largest difference between the outputs:", np.abs(before - after).max())
keras_wconv.visualization.plot_densities(weighted_layers(detector)["pyramid/smooth"])

"""
## Train the whole model

Nothing else changes. In a real project, compare this with the same training of the plain
detector, using several seeds: see "Does it help on my data?".
"""

detector.compile(keras.optimizers.Adam(2e-3), "binary_crossentropy")
detector.fit(*train, batch_size=32, epochs=1 if quick else 10, verbose=2)
print("held out:", detector.evaluate(*test, verbose=0))

found = detector.predict(test[0], verbose=0)
figure, grid = plt.subplots(3, 4, figsize=(8, 6), layout="constrained")
rows = (test[0].clip(0, 1), test[1], found)
for row, maps, title in zip(grid, rows, ("picture", "centers", "found"), strict=True):
    for axes, one in zip(row, maps, strict=False):
        axes.imshow(one, cmap="gray", vmin=0, vmax=1)
        axes.set(xticks=[], yticks=[])
    row[0].set_ylabel(title)
plt.show()

"""
## Fold it

`fold` in place restores plain Keras layers in every part of the model. It then saves, loads
and exports without keras_wconv.
"""

keras_wconv.fold(detector, in_place=True)
print("weighted:", len(weighted_layers(detector)), "convolutions")
difference = detector.predict(test[0], verbose=0) - found
print("folded, largest difference:", np.abs(difference).max())

"""
## Dehazing, and subclassed networks

The same call works for a subclassed `keras.Model`, such as most dehazing and restoration
networks. Call the model once, so that it is built, and then
`keras_wconv.to_weighted(model, density, in_place=True)`. It finds convolutions in blocks, in
lists of layers and in KerasHub backbones (tested with version 0.32), however deep they are.
"""


class Haze(keras.Model):
    """Estimates the haze of a picture and removes it: K(x) x - K(x) + 1."""

    def __init__(self):
        super().__init__()
        self.convolutions = [
            layers.Conv2D(8, size, padding="same", activation="relu")
            for size in (3, 5, 7)
        ]
        self.last = layers.Conv2D(3, 3, padding="same")

    def call(self, hazy):
        x, seen = hazy, []
        for conv in self.convolutions:
            x = conv(x)
            seen.append(x)
        k = self.last(keras.ops.concatenate(seen, axis=-1))
        return k * hazy - k + 1


dehazing = Haze()
clear = dehazing(test[0][:2])
keras_wconv.to_weighted(dehazing, "gaussian", in_place=True, density_trainable=True)
print("weighted:", list(weighted_layers(dehazing)))
difference = keras.ops.convert_to_numpy(dehazing(test[0][:2]) - clear)
print("largest difference between the outputs:", np.abs(difference).max())
