"""
Title: Large kernels: learn how far a layer looks
Author: The keras_wconv authors
Date created: 2026/11/25
Last modified: 2026/11/28
Description: Give a depthwise kernel a Gaussian density with a learned width.
"""

"""
## Why a width

Networks such as ConvNeXt use depthwise kernels of 7 x 7, others kernels of up to 31 x 31.
Few tasks need all of such a kernel in every channel, and it is hard to say in advance how
much they need. A Gaussian density describes this with one number: its standard deviation
sigma, in *taps* (positions along the kernel). A narrow one sees the neighbors of a pixel, a
wide one everything that the kernel covers, and gradient descent moves between them.

`density_trainable=True` learns sigma, and `density_per_channel=True` learns one for each
channel. The trained weight is its logarithm, which keeps sigma positive. `"gaussian"` starts
at an eighth of the kernel, at 4 taps at most.
"""

import os

import keras
import numpy as np

import keras_wconv
from keras_wconv.applications import ConvNeXt
from keras_wconv.densities import Gaussian
from keras_wconv.inspection import weighted_layers

QUICK = "GUIDE_QUICK" in os.environ  # The tests run this guide with fewer steps.
keras.utils.set_random_seed(0)

"""
## Does it find the width?

Here is a task with a known answer. Two channels of noise are smoothed, the first with a
Gaussian of sigma 0.8, the second with one of sigma 3. A layer with a kernel of 15, starting
at sigma 1.5, has to learn this. Its raw kernel is fixed at ones, since it could form any
window by itself.
"""

truth = [0.8, 3.0]
inputs = np.random.normal(size=(16, 48, 2)).astype("float32")
windows = np.stack([Gaussian(sigma)((15,)) for sigma in truth], axis=-1)[..., None]
targets = keras.ops.depthwise_conv(inputs, windows.astype("float32"), padding="valid")

layer = keras_wconv.WeightedDepthwiseConv1D(
    15,
    density=Gaussian(1.5),
    normalize_density=False,  # The windows of the task are 1 at their center.
    density_trainable=True,
    density_per_channel=True,
    depthwise_initializer="ones",
    use_bias=False,
)
model = keras.Sequential([keras.Input((48, 2)), layer])
layer.kernel.trainable = False
model.compile(keras.optimizers.Adam(0.05), "mse")
steps = [np.tile(keras.ops.convert_to_numpy(x), (120, 1, 1)) for x in (inputs, targets)]
model.fit(*steps, batch_size=16, shuffle=False, verbose=0)
print("learned:", layer.density.values()["sigma"].round(2), "true:", truth)

"""
In a network, the raw kernel is trained, too. Both then describe the window, and sigma no
longer measures the data: it shows where the training puts the weight.

## A network with large kernels

`ConvNeXt` takes kernels of any size. This small one has kernels of 15 x 15 and learns a
width for each channel. It is trained on synthetic images: noise with stripes that are narrow
or wide.
"""


def pictures(count, size=32):
    labels = np.arange(count) % 2
    period = np.where(labels, 16, 5)[:, None]
    phase = np.random.uniform(0, 2 * np.pi, (count, 1))
    stripes = np.sin(2 * np.pi * np.arange(size) / period + phase)
    noise = np.random.normal(size=(count, size, size, 1))
    return (stripes[:, None, :, None] + noise).astype("float32"), labels


model = ConvNeXt(
    (1, 1),
    (8, 16),
    kernel_size=15,
    input_shape=(32, 32, 1),
    classes=2,
    density=Gaussian(3.0),
    density_trainable=True,
    density_per_channel=True,
)
print(model.count_params(), "parameters, including these densities:")
print({w.path: w.shape for w in model.trainable_weights if "/density/" in w.path})

"""
The widths need a larger learning rate than the kernels, and no weight decay, which would
pull the logarithm to 0 and sigma to 1. `density_optimizer` takes care of both.
"""

optimizer = keras_wconv.optimizers.density_optimizer(
    keras.optimizers.AdamW(2e-3, weight_decay=0.05), density_optimizer=2e-2
)
model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
widths = keras_wconv.callbacks.DensityLogger("widths.csv")
model.fit(
    *pictures(64 if QUICK else 256),
    batch_size=32,
    epochs=1 if QUICK else 4,
    callbacks=[widths],
    verbose=2,
)
print("held out:", model.evaluate(*pictures(128), verbose=0))

"""
## Look at the widths

The table, which `keras-wconv show model.keras` prints for a file, has the quartiles of the
effective number of taps over the channels, and the narrowest and the widest channel.
"""

keras_wconv.visualization.summary(model)
for name, weighted in weighted_layers(model).items():
    sigma = weighted.density.values()["sigma"]
    print(f"{name}: sigma from {sigma.min():.2f} to {sigma.max():.2f}")
keras_wconv.visualization.plot_densities(model)

"""
`DensityLogger` records effective sizes after each epoch: the side of the part of a kernel
that holds 99 % of its norm.
"""

keras_wconv.visualization.plot_sizes(widths.sizes)

"""
## Ship it

The widths fold into the kernels. The result is plain Keras, as fast as a network that never
had a density.
"""

folded = keras_wconv.fold(model)
images, _ = pictures(4)
difference = model.predict(images, verbose=0) - folded.predict(images, verbose=0)
print("folded, largest difference:", np.abs(difference).max())

"""
## A network that you already have

Converting a pretrained network does not change its outputs, since the kernels are divided by
the density. From there, training moves the center of each kernel faster than its edges.

```python
model = keras.applications.ConvNeXtTiny()
weighted = keras_wconv.to_weighted(
    model, Gaussian(2.0), density_trainable=True, density_per_channel=True,
    where=lambda layer: layer.name.endswith("depthwise_conv"))
```

## Does it help?

That depends on your data. The fair competitor of a density on a large kernel is the standard
network of the best size. The candidates of a side share its runs, and the best is compared:

```python
def network(size, **density):
    return ConvNeXt(
        (1, 1), (8, 16), kernel_size=size, input_shape=(32, 32, 1), classes=2, **density)

learned = {"density": Gaussian(3.0), "density_trainable": True}
results = compare(
    task,
    "width",
    baseline=[
        Candidate(f"kernels of {size}", lambda hp, size=size: network(size),
                  tune="learning_rate")
        for size in (3, 5, 7, 11, 15)],
    proposal=Candidate(
        "15, width learned", lambda hp: network(15, **learned), tune="learning_rate"))
```

With `hp.Choice("size", [3, 5, 7, 11, 15])` in one candidate, the search would try three of the
sizes first, and the others only if these are good.

"Does it help on my data?" explains the task and how to read the answer.
"""
