"""
Title: Search for the density of a denoiser
Author: The keras_wconv authors
Date created: 2026/11/21
Last modified: 2026/11/28
Description: A KerasTuner script to copy: DIRECT-L finds the density of a small DnCNN.
"""

"""
## The data

Patches of photographs that come with scikit-image, and the same with white Gaussian noise
of standard deviation 25/255. The noise is drawn once, so that every trial is trained and
judged on the same pictures. Whole photographs, not patches, are kept apart for validation.
"""

import os

import keras
import keras_tuner
import matplotlib.pyplot as plt
import numpy as np
from skimage import data

from keras_wconv import applications, tuning, visualization
from keras_wconv.densities import Gaussian
from keras_wconv.experiments.tasks.denoising import psnr

quick = "GUIDE_QUICK" in os.environ
rng = np.random.default_rng(0)


def patches(pictures, count, side=40):
    cut = []
    for _ in range(count):
        picture = pictures[rng.integers(len(pictures))]
        top, left = (rng.integers(size - side) for size in picture.shape)
        cut.append(picture[top : top + side, left : left + side])
    return np.array(cut, "float32")[..., None] / 255


def with_noise(clean, sigma=25 / 255):
    return clean + rng.normal(0, sigma, clean.shape).astype("float32")


count = 64 if quick else 2048
clean = patches([data.camera(), data.brick(), data.grass(), data.coins()], count)
clean_validation = patches([data.moon(), data.page()], 64)
noisy, noisy_validation = with_noise(clean), with_noise(clean_validation)

"""
## The network

`applications.DnCNN` takes a density for each size of kernel; this one has kernels of 3
alone, and so one coefficient. Denoisers are measured by the peak signal-to-noise ratio. A
KerasTuner objective that is to be maximized says so.
"""


def build(hp):
    model = applications.DnCNN(
        depth=4, filters=16, density={3: tuning.density(hp, kernel_size=3)}
    )
    model.compile(keras.optimizers.Adam(1e-3), "mse", metrics=[psnr])
    return model


"""
`psnr` is a function. One of your own has to be registered for all trials to share a model,
with `keras.saving.register_keras_serializable`: that they differ in nothing but densities
is read off their configs.

## The search

With one coefficient, a dozen trials tell most of what there is to know. The PSNR of the
noisy pictures is printed beside that of the denoiser: no denoiser may be worse.
"""

tuner = tuning.DirectL(
    build,
    objective=keras_tuner.Objective("val_psnr", "max"),
    max_trials=4 if quick else 12,
    directory="searches",
    project_name="denoiser",
)
tuner.search(
    noisy,
    clean,
    validation_data=(noisy_validation, clean_validation),
    epochs=1 if quick else 5,
    batch_size=32,
    verbose=0,
)

noisy_psnr = keras.ops.mean(psnr(clean_validation, noisy_validation))
print(f"noisy pictures {float(noisy_psnr):6.2f} dB")
for trial in tuner.oracle.get_best_trials(4):
    coefficient = trial.hyperparameters["density_3_1"]
    print(f"density {coefficient:.3f}  {trial.score:6.2f} dB")
visualization.plot_search(tuner)

"""
The first trial of a range around 1 is the standard convolution, exactly. Look at how far
the best is above it, and then whether it stays there on other seeds and other pictures:

    keras-wconv search --task photographs

asks that. It tunes the density, the learning rate and the start of the weighted network,
gives the standard network as many runs for its learning rate and start, and trains both
anew on other seeds. `--task FOLDER` takes your own pictures, and `--plan` says how many runs
there will be and how long they take. In Python it is `experiments.search`.

Numbers do not show what kind of error is left. Look at a patch, too: clean, with noise, and
denoised by the best network of the search.
"""

best = tuner.get_best_models()[0]
columns = clean_validation[:3], noisy_validation[:3]
columns = [*columns, best.predict(columns[1], verbose=0)]
figure, grid = plt.subplots(3, 3, figsize=(6, 6), layout="constrained")
for axes, patch in zip(grid.T.flat, np.concatenate(columns), strict=True):
    axes.imshow(patch.clip(0, 1)[..., 0], cmap="gray", vmin=0, vmax=1)
    axes.set_axis_off()
for axes, title in zip(grid[0], ("clean", "with noise", "denoised"), strict=True):
    axes.set_title(title)
plt.show()

"""
Shorter runs make a search cheap, if they rank densities as whole ones do. Train two or three
densities both ways before you rely on it.

## A density for each size of kernel, for each stage, for each axis

A network with several sizes of kernel takes a dict, and one that is to have a density for
each stage a function of a layer's name and kernel size. Names keep the coefficients apart.
A tuple of sizes gives each axis a profile of its own.
"""

hp = keras_tuner.HyperParameters()
by_kernel_size = {size: tuning.density(hp, size) for size in (3, 7)}


def by_stage(layer_name, kernel_size):
    if kernel_size != (3, 3):
        return None
    half = "first" if layer_name in ("conv1", "conv2") else "second"
    return tuning.density(hp, kernel_size=3, name=half)


applications.DnCNN(depth=4, filters=16, density=by_stage)
by_axis = tuning.density(hp, kernel_size=(3, 5), name="wide")
print(list(hp.values))

"""
Each coefficient is a dimension of the search. DIRECT-L is at its best with few: begin with
one density for the whole network. On five test functions (5 seeds, after 15, 30 and 60
trials; `benchmarks/results`) its median best was better than random search's in 15 of 15
cases, and better than Bayesian optimization's in 7 of 9 in two dimensions, but in 1 of 6 in
three and six. `tuning.DensityTuner` runs `keras_tuner.oracles.BayesianOptimizationOracle`
with one compiled step, too. What DIRECT-L has in any dimension: it needs no random numbers,
so that any number of workers tries the same points.

A choice among *families* of densities is an `hp.Choice`, with the coefficients of each family
in a conditional scope. `DirectL` leaves out what is not active, and tries nothing twice.
"""


def of_any_family(hp):
    family = hp.Choice("family", ["separable", "gaussian"])
    with hp.conditional_scope("family", ["separable"]):
        separable = tuning.density(hp, kernel_size=5)
    with hp.conditional_scope("family", ["gaussian"]):
        sigma = hp.Float("sigma", 0.5, 5.0, sampling="log")
    return separable if family == "separable" else Gaussian(sigma)


hp = keras_tuner.HyperParameters()
of_any_family(hp)
print([one.name for one in hp.space])

"""
The same holds for any search space: put `tuning.density` into a hypermodel that has an
`hp.Choice` of optimizers, an `hp.Int` of filters and an `hp.Float` learning rate, and search
with `tuning.DirectL` in place of `keras_tuner.BayesianOptimization`.
"""
