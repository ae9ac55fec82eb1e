"""Study E: small kernels and plenty of examples, the question of the first paper.

DnCNN on photographs, of 7 layers with kernels of 3 and of 5 layers with kernels of 7,
and a narrow VGG on CIFAR-10. Both sides tune the learning rate and one factor of all
initial kernels over the same ranges, once from the network's own initializer and once
from Glorot's; the weighted side tunes the published coefficients of its density, too.

python -m studies.small_kernels [--only NAME] [--steps N] [--seeds N] [--trials N]

`python -m benchmarks.cifar10` brings the pictures where CIFAR-10's own page cannot be
reached.
"""

import functools

from keras_wconv import tuning
from keras_wconv.applications import VGG
from keras_wconv.experiments import Classification, Denoising, datasets
from keras_wconv.experiments.tasks.denoising import SmallDnCNN

from . import question

# Each length of the training is a comparison of its own.
STEPS = {"dncnn_3": (1_000, 3_000), "dncnn_7": (1_000, 3_000), "vgg": (900,)}
# The weighted side divides its runs among three candidates. With fewer, the search
# varies the rate and the start, and never the last coefficients of the density.
TRIALS = {"dncnn_3": 30, "dncnn_7": 45, "vgg": 30}
KERNEL_SIZES = {"dncnn_3": 3, "dncnn_7": 7, "vgg": 3}


def task(name):
    """Returns the task of a network."""
    if name == "vgg":
        network = functools.partial(
            VGG, (2, 2, 2), (16, 32, 64), batch_normalization=True, hidden_units=()
        )
        return Classification(
            datasets.cifar10(),
            network,
            batch_size=50,
            learning_rate=0.01,
            schedule="cosine",
            pad=4,
            flip=True,
        )
    network = SmallDnCNN
    if name == "dncnn_7":
        network = functools.partial(network, depth=5, filters=16, kernel_size=7)
    return Denoising.photographs(network, batch_size=8, epochs=20)


def main():
    options = question.arguments(
        __doc__.partition("\n")[0], STEPS, trials=None, steps=int
    )
    for name in options.only or STEPS:
        search = functools.partial(tuning.density, kernel_size=KERNEL_SIZES[name])
        for steps in options.steps or STEPS[name]:
            question.run(
                f"small_kernels/{name}_{steps}",
                task(name),
                {"search": search},
                options.seeds,
                options.trials or TRIALS[name],
                budgets=[steps],
            )


if __name__ == "__main__":
    main()
