"""
Title: Search for the density of a denoiser
Author: The keras_wconv authors
Date created: 2026/11/21
Last modified: 2026/11/28
Description: Find the density of a small DnCNN with DIRECT-L, in a KerasTuner script.
"""

"""
## The data

The data are patches of photographs from scikit-image, and the same patches with white
Gaussian noise of standard deviation 25/255. The noise is drawn once, so all trials train on
the same images and are scored on the same images. Whole photographs, not patches, are held
out for validation.
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

`applications.DnCNN` takes a density for each kernel size; this one only has kernels of 3,
and so one coefficient. The metric for denoisers is the peak signal-to-noise ratio (PSNR).
KerasTuner needs to know that it is to be maximized.
"""


def build(hp):
    model = applications.DnCNN(
        depth=4, filters=16, density={3: tuning.density(hp, kernel_size=3)}
    )
    model.compile(keras.optimizers.Adam(1e-3), "mse", metrics=[psnr])
    return model


"""
`psnr` is a function. Trials share a model only if their configs show that they differ in
nothing but densities, so register any custom metric with
`keras.saving.register_keras_serializable`.

## The search

With one coefficient, a dozen trials are nearly enough. The PSNR of the noisy images is
printed beside that of the denoiser, which should not be lower.
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
print(f"noisy images   {float(noisy_psnr):6.2f} dB")
for trial in tuner.oracle.get_best_trials(4):
    coefficient = trial.hyperparameters["density_3_1"]
    print(f"density {coefficient:.3f}  {trial.score:6.2f} dB")
visualization.plot_search(tuner)

"""
The first trial of a range around 1 is exactly the standard convolution. See how far the best
trial is above it. Whether it stays there on other seeds and other images is a question for

    keras-wconv search --task photographs

It tunes the density, the learning rate and the start of the weighted network, gives the
standard network as many runs for its learning rate and start, and trains both again on other
seeds. `--task FOLDER` uses your own images, and `--plan` says how many runs there will be
and how long they take. In Python, call `experiments.search`.

Numbers do not show what kind of error is left. Look at patches, too: clean, noisy, and
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
Shorter runs make a search cheap if they rank densities as full runs do. Train two or three
densities both ways before you rely on that.

## A density for each kernel size, stage or axis

A network with several kernel sizes takes a dict. For a density per stage, pass a function of
a layer's name and kernel size; `name=` keeps the coefficients apart. A tuple of sizes gives
each axis a separate profile.
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
Each coefficient is a dimension of the search. DIRECT-L works best with few: start with one
density for the whole network. On five test functions (5 seeds, after 15, 30 and 60 trials;
see `benchmarks/results`), its median best was better than random search's in 15 of 15 cases.
It was better than that of Bayesian optimization in 7 of 9 cases in two dimensions, but only
in 1 of 6 in three and six. `tuning.DensityTuner` also runs
`keras_tuner.oracles.BayesianOptimizationOracle` with one compiled step. In any dimension,
DIRECT-L needs no random numbers, so any number of workers tries the same points.

A choice among *families* of densities is an `hp.Choice`, with the coefficients of each family
in a conditional scope. `DirectL` ignores inactive hyperparameters and tries nothing twice.
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
This works in any search space. Add `tuning.density` to a hypermodel that has an `hp.Choice`
of optimizers, an `hp.Int` of filters and an `hp.Float` learning rate, and search with
`tuning.DirectL` instead of `keras_tuner.BayesianOptimization`.
"""
