"""
Title: Few examples, large kernels
Author: The keras_wconv authors
Date created: 2026/11/28
Last modified: 2026/11/28
Description: Why a density makes a large kernel usable when examples are few, and how to use it.
"""

"""
## Which kernel size?

A large kernel sees more, but also has more weights to get wrong. With few examples, the far
*taps* (positions of the kernel) learn noise. The usual remedy is to try several sizes. A
density is another: take a large kernel, and tell it that far taps are less likely to matter.
Weight decay turns this into a prior that long training does not undo; see "How it works".

The first example is a network that has an exact answer, the second one is trained.
"""

import os

import keras
import matplotlib.pyplot as plt
import numpy as np
from skimage import data

import keras_wconv
from keras_wconv.densities import Gaussian

QUICK = "GUIDE_QUICK" in os.environ  # The tests run this guide with fewer steps.
keras.utils.set_random_seed(0)

"""
## One linear layer

A single linear kernel of 15 x 15 denoises the pixel at its center. With weight decay, its
best weights follow from one formula, ridge regression. A smaller kernel is one whose outer
taps are zero, and a density multiplies the inputs by Φ before the regression.
"""

SIZE = 15
rng = np.random.default_rng(0)


pictures = [data.camera(), data.coins(), data.moon(), data.astronaut().mean(-1)]


def patches(part, count):
    """Noisy patches from a third of each picture, and their clean center pixels."""
    clean = []
    for _ in range(count):
        picture = pictures[rng.integers(len(pictures))]
        third = np.array_split(picture, 3, axis=1)[part]
        row, column = rng.integers(0, np.array(third.shape) - SIZE)
        clean.append(third[row : row + SIZE, column : column + SIZE])
    clean = np.stack(clean) / 255 - 0.5
    noisy = clean + rng.normal(0, 25 / 255, clean.shape)
    return noisy.reshape(count, -1), clean[:, SIZE // 2, SIZE // 2]


def psnr(phi, train, validation, test):
    """PSNR on the test patches, with the weight decay that is best on validation."""
    best = (-np.inf, None)
    inputs, targets = train[0] * phi, train[1]
    for decay in np.logspace(-5, 2, 15):
        gram = inputs.T @ inputs / len(targets) + decay * np.eye(SIZE**2)
        kernel = phi * np.linalg.solve(gram, inputs.T @ targets / len(targets))
        both = [
            -10 * np.log10(np.mean((x @ kernel - y) ** 2))
            for x, y in (validation, test)
        ]
        best = max(best, tuple(both))
    return best[1]


def window(size):
    taps = np.abs(np.arange(SIZE) - SIZE // 2) <= size // 2
    return np.outer(taps, taps).ravel().astype(float)


kernels = {
    "3 x 3": window(3),
    "7 x 7": window(7),
    "15 x 15": window(15),
    "15 x 15, Gaussian(1.5)": Gaussian(1.5)((SIZE, SIZE)).ravel(),
}
validation, test = patches(1, 800), patches(2, 4000)
examples = [50, 200, 1000, 4000]
results = {name: [] for name in kernels}
for count in examples:
    draws = [patches(0, count) for _ in range(2 if QUICK else 3)]
    for name, phi in kernels.items():
        found = [psnr(phi, train, validation, test) for train in draws]
        results[name].append(np.mean(found))

print("examples".ljust(24), *(f"{count:>6}" for count in examples))
for name, values in results.items():
    print(name.ljust(24), *(f"{value:6.2f}" for value in values))

figure, ax = plt.subplots(figsize=(6, 3.5))
for name, values in results.items():
    ax.semilogx(examples, values, marker="o", label=name)
ax.set(xlabel="training patches", ylabel="PSNR, dB")
ax.legend()
plt.show()

"""
With 50 patches, the large kernel is 3 dB worse than the small one; with a density it is not.
With thousands of patches the kernels perform alike, since the data now decide. The best of
the small kernels differs with the number of examples. With few patches the density gains a
few tenths of a decibel over it, and, perhaps more important, you need not choose a size.

## A network that learns how far to look

Next comes a network of three layers with kernels of 33, trained on 60 short series. Each
class has its motif, at a random position in noise. `density="gaussian"` starts with a sigma
of 4 taps, and learns one for each layer.
"""


def series(count, length=128):
    labels = np.arange(count) % 3
    time = np.arange(16)
    motifs = np.stack([np.sin(2 * np.pi * time / period) for period in (4, 6, 9)])
    inputs = np.random.normal(size=(count, length, 1))
    for one, label in zip(inputs, labels, strict=True):
        place = np.random.randint(length - len(time))
        one[place : place + len(time), 0] += 2.0 * motifs[label]
    return inputs.astype("float32"), labels


def network(kernel_size, **density):
    layers = [keras.Input((128, 1))]
    for index, filters in enumerate((8, 16, 16)):
        layers += [
            keras_wconv.WeightedConv1D(
                filters,
                kernel_size,
                padding="same",
                use_bias=False,
                name=f"conv{index}",
                **density,
            ),
            keras.layers.BatchNormalization(momentum=0.9),
            keras.layers.ReLU(),
        ]
    layers += [keras.layers.GlobalMaxPooling1D(), keras.layers.Dense(3)]
    return keras.Sequential(layers)


"""
The training is short, so `momentum=0.9`: after a few hundred steps, Keras's default of 0.99
still remembers the initial moving statistics, and the network would behave differently at
inference and in training. For the same reason, families of densities are normalized by
default, which keeps the variance of the signal.

`density_optimizer` trains sigma with a separate optimizer.
"""

epochs = 2 if QUICK else 40
train, held_out = series(60), series(300)


def fit(model, callbacks=()):
    rate = keras.optimizers.schedules.CosineDecay(3e-3, epochs * 4)
    model.compile(
        keras_wconv.optimizers.density_optimizer(
            keras.optimizers.AdamW(rate, weight_decay=0.01)
        ),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(*train, batch_size=15, epochs=epochs, verbose=0, callbacks=callbacks)
    return model.evaluate(*held_out, verbose=0)[1]


for kernel_size in (5, 33):
    print(f"standard {kernel_size}: {fit(network(kernel_size)):.1%}")
weighted = network(33, density="gaussian", density_trainable=True)
log = keras_wconv.callbacks.DensityLogger()
print(f"33, learned Gaussian: {fit(weighted, [log]):.1%}")

"""
One training run of each network says little about accuracy. Repeat it with other seeds, or
use `experiments.compare`. The log shows how far each layer learned to look.
"""

for name, values in log.history.items():
    start, end = (float(value) for value in (values["sigma"][0], values["sigma"][-1]))
    print(f"{name}: sigma {start:.2f} -> {end:.2f} taps")
log.figure()

"""
## A price on size

If smaller kernels are worth something to you, say how much. `KernelSize` adds a penalty to
the loss for the effective number of taps of each layer.
"""

priced = network(
    33,
    density="gaussian",
    density_trainable=True,
    density_regularizer=keras_wconv.regularizers.KernelSize(1e-2),
)
print(f"33, with a price on size: {fit(priced):.1%}")
print([f"{layer.density.values()['sigma']:.2f}" for layer in priced.layers[::3][:3]])

"""
## Ship it

The density folds into the kernel, which leaves plain Keras. `trim` also removes outer taps
that contribute next to nothing, here those that make up at most 1 % of a kernel's norm. A
network that started with kernels of 33 ends with smaller ones.
"""

folded, report = keras_wconv.fold(priced, trim=0.01, return_report=True)
print(report)
print({type(layer).__name__ for layer in folded.layers})
print(
    f"trimmed: {np.mean(folded.predict(held_out[0], verbose=0).argmax(-1) == held_out[1]):.1%}"
)
