"""Does a density help? The comparisons of README.md.

In each, DIRECT-L looks for a density, the weighted network gets a learning rate of its
own, and the standard network gets as many trainings in all for its start and learning
rate. All is tuned on the validation split, at one length of training; the arms are then
trained with five seeds at several lengths and evaluated on the test split.

`python -m benchmarks.comparison` does what is missing from the files and takes hours on
two cores. It writes a folder for each into benchmarks/results/comparison. What needs a
GPU is done when `--only` names it.
"""

import argparse
import dataclasses
import functools
import json
from pathlib import Path

import keras
import numpy as np

from keras_wconv import tuning
from keras_wconv.applications import (
    VGG,
    VGG16,
    ConvNeXt,
    DnCNN17,
    ResNet18,
    ResNet20,
    TimeSeriesResNet,
)
from keras_wconv.densities import Gaussian
from keras_wconv.experiments import (
    Arm,
    Classification,
    Denoising,
    Page,
    arms,
    compare,
    datasets,
    report,
)
from keras_wconv.experiments.denoising import SmallDnCNN

from . import RESULTS
from .report import README

QUESTION = "A,S,ST,B,BT"
CONTROLS = f"{QUESTION},C,D,F,G,N,L,glorot"
SHAPE = f"{QUESTION},F,L"
SHORT = "A,ST,B,BT"
# With kernels of 7, tuned factors of He's start fail for some seeds. Keras's default
# start does not, so it gets a learning rate of its own as well.
GLOROT = Arm(
    "GT",
    "standard, Glorot start, own learning rate",
    start=arms.initializer("glorot_uniform"),
    tuned=("learning_rate",),
    side="standard",
)
STARTS = [*QUESTION.split(","), "F", "glorot", GLOROT]


def by_coefficients(size):
    return functools.partial(tuning.density, kernel_size=size)


def by_width(size):
    """Returns a search for the width of a Gaussian, from a sixteenth of the kernel."""
    return lambda hp: Gaussian(hp.Float("sigma", size / 16, size, sampling="log"))


def photographs(**network):
    return Denoising.photographs(
        functools.partial(SmallDnCNN, **network), batch_size=8, epochs=20
    )


def published_dncnn(batch_size=8):
    """DnCNN as published, on small batches of patches where the paper has 128."""
    return Denoising.photographs(
        DnCNN17, batch_size=batch_size, steps_per_epoch=100, learning_rate=1e-3
    )


def series(size, noise=2.0):
    """Noisy time series, and a residual network whose kernels all have one size."""
    network = functools.partial(
        TimeSeriesResNet, filters=(16, 32), kernel_sizes=(size, size, size)
    )
    return Classification(
        datasets.time_series(noise=noise),
        network,
        epochs=50,
        batch_size=30,
        learning_rate=0.02,
        schedule="cosine",
    )


def mnist_convnext(size, task=Classification.mnist):
    """Digits, and a small ConvNeXt whose depthwise kernels all have one size.

    It learns late: after 300 steps it knows 60 % of the digits, with 0.2 between seeds,
    after 900 about 95 % (validation split).
    """
    network = functools.partial(
        ConvNeXt,
        (1, 1),
        (16, 32),
        kernel_size=size,
        patch_size=2,
        layer_scale=1.0,
        name=f"convnext_{size}",
    )
    return task(network, optimizer=keras.optimizers.Adam, learning_rate=5e-3)


def mnist_32(network, **recipe):
    """Digits at the size of CIFAR, 32x32."""
    data = datasets.mnist()
    splits = {
        split: (np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0))), labels)
        for split in datasets.SPLITS
        for images, labels in [getattr(data, split)]
    }
    data = dataclasses.replace(data, name="mnist, 32x32", **splits)
    defaults = {
        "epochs": 20,
        "batch_size": 50,
        "learning_rate": 0.02,
        "schedule": "cosine",
        "pad": 4,
    }
    return Classification(data, network, **{**defaults, **recipe})


def cifar10_vgg():
    """A narrow VGG on CIFAR-10, which `benchmarks.cifar10` can make."""
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


EXPERIMENTS = {  # name: task, search, arms by budget, budget at which all is tuned
    "photographs_dncnn_3": (
        functools.partial(photographs),
        by_coefficients(3),
        {300: QUESTION, 1000: CONTROLS, 3000: QUESTION, 10000: QUESTION},
        1000,
    ),
    "photographs_dncnn_7": (
        functools.partial(photographs, depth=5, filters=16, kernel_size=7),
        by_coefficients(7),
        {
            300: STARTS,
            1000: [*CONTROLS.split(","), GLOROT],
            3000: STARTS,
            10000: STARTS,
        },
        1000,
    ),
    "photographs_dncnn17": (  # with --seeds 3: a training takes minutes
        published_dncnn,
        by_coefficients(3),
        {500: SHORT, 2000: SHORT},
        200,
    ),
    "series_9": (functools.partial(series, 9), by_width(9), {500: SHAPE}, 500),
    "series_33": (functools.partial(series, 33), by_width(33), {500: SHAPE}, 500),
    # With noise of 2 the standard network reaches 98 %, which hides any difference;
    # with 4 it reached 86 % on the validation split.
    "series_65": (functools.partial(series, 65, 4.0), by_width(65), {500: SHAPE}, 500),
    "mnist_vgg": (Classification.mnist, by_coefficients(3), {300: CONTROLS}, 300),
    "mnist_convnext_7": (
        functools.partial(mnist_convnext, 7),
        by_width(7),
        {900: SHAPE},
        900,
    ),
    "mnist_convnext_15": (
        functools.partial(mnist_convnext, 15),
        by_width(15),
        {900: SHAPE},
        900,
    ),
    "cifar10_vgg": (
        cifar10_vgg,
        by_coefficients(3),
        {900: SHAPE, 2700: SHORT},
        900,
    ),
    "digits_resnet20": (
        functools.partial(
            Classification.digits, ResNet20, learning_rate=0.05, epochs=8
        ),
        by_coefficients(3),
        None,
        None,
    ),
}
ON_GPU = {  # Run by `--only`, with KERAS_BACKEND=jax: on two cores they take hours.
    "photographs_dncnn17_32": (
        functools.partial(published_dncnn, 32),
        by_coefficients(3),
        {500: f"{SHORT},F", 3000: f"{SHORT},F"},
        500,
    ),
    "mnist_resnet18": (
        functools.partial(mnist_32, functools.partial(ResNet18, stem="cifar")),
        by_coefficients(3),
        {600: SHORT},
        600,
    ),
    "mnist_vgg16": (
        functools.partial(
            mnist_32,
            functools.partial(VGG16, batch_normalization=True, hidden_units=()),
        ),
        by_coefficients(3),
        {600: SHORT},
        600,
    ),
    # The first stage has maps of 16x16, for which 31 taps are the most that matter.
    "mnist_convnext_31": (
        functools.partial(mnist_convnext, 31, mnist_32),
        by_width(31),
        {900: SHAPE},
        900,
    ),
}


BEGIN = "<!-- Written by python -m benchmarks.comparison from its results. -->"
END = "<!-- End of what python -m benchmarks.comparison wrote. -->"
LABELS = {  # of README's rows and figure: network and data, kernel
    "photographs_dncnn_3": ("DnCNN, 7 layers, photographs", "3x3"),
    "photographs_dncnn_7": ("DnCNN, 5 layers, photographs", "7x7"),
    "photographs_dncnn17": ("DnCNN as published, 17 layers, photographs", "3x3"),
    "photographs_dncnn17_32": (
        "DnCNN as published, batches of 32, photographs",
        "3x3",
    ),
    "series_9": ("ResNet, time series", "9"),
    "series_33": ("ResNet, time series", "33"),
    "series_65": ("ResNet, time series with more noise", "65"),
    "mnist_vgg": ("VGG with batch normalization, MNIST", "3x3"),
    "mnist_resnet18": ("ResNet18, MNIST", "3x3"),
    "mnist_vgg16": ("VGG16 with batch normalization, MNIST", "3x3"),
    "mnist_convnext_7": ("ConvNeXt, MNIST", "7x7"),
    "mnist_convnext_15": ("ConvNeXt, MNIST", "15x15"),
    "mnist_convnext_31": ("ConvNeXt, MNIST", "31x31"),
    "cifar10_vgg": ("VGG with batch normalization, CIFAR-10", "3x3"),
    "digits_resnet20": ("ResNet20, digits", "3x3"),
}
COLUMNS = (
    "network, data",
    "kernel",
    "steps",
    "weighted − best-tuned standard",
    "weighted − standard as it is",
)


def load(folder):
    """Returns the results of the experiments that are there, by name."""
    files = {name: folder / name / "results.json" for name in LABELS}
    return {
        name: json.loads(path.read_text())
        for name, path in files.items()
        if path.exists()
    }


def table(results):
    """Returns README's table of the answers."""
    lines = [COLUMNS, ["---"] * len(COLUMNS)]
    for name, result in results.items():
        for steps, budget in result["budgets"].items():
            effects = budget["effects"]
            # Where the learning rate was tuned too, the best weighted arm may be BT.
            untuned = effects["weighted"]
            lines.append(
                [
                    *LABELS[name],
                    f"{int(steps):,}",
                    _interval(effects["weighted - standard"], result),
                    _interval(untuned, result),
                ]
            )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _interval(effect, result):
    mean, low, high = (result["scale"] * effect[k] for k in ("mean", "low", "high"))
    unit = {"percentage points": "points"}.get(result["unit"], result["unit"])
    text = f"{mean:+.2f} ({low:+.2f} to {high:+.2f}) {unit}"
    return text.replace("-", "\N{MINUS SIGN}")


def draw(results):
    """Draws the answers against the length of the training."""
    from matplotlib import pyplot as plt

    results = {name: r for name, r in results.items() if len(r["budgets"]) > 1}
    figure, panels = plt.subplots(
        1, len(results), figsize=(5 * len(results), 3.5), layout="tight", squeeze=False
    )
    for axes, (name, result) in zip(panels[0], results.items(), strict=True):
        steps = [int(n) for n in result["budgets"]]
        for effect, label in (
            ("weighted - standard", "less the best-tuned standard"),
            ("weighted", "less the standard as it is"),
        ):
            found = [budget["effects"][effect] for budget in result["budgets"].values()]
            mean, low, high = (
                np.array([result["scale"] * one[k] for one in found])
                for k in ("mean", "low", "high")
            )
            axes.errorbar(
                steps, mean, [mean - low, high - mean], fmt="o-", capsize=3, label=label
            )
        axes.axhline(0, color="gray", linewidth=0.8)
        axes.set_xscale("log")
        axes.set_xticks(steps, map(str, steps))
        axes.minorticks_off()
        axes.set_title(", kernels of ".join(LABELS[name]), fontsize="medium")
        axes.set_xlabel("steps of training")
        axes.set_ylabel(f"weighted network, {result['unit']}")
    panels[0][0].legend(fontsize="small")
    plt.close(figure)
    return figure


def write_summary(folder, readme):
    """Writes the page of all experiments, and the table of README."""
    results = load(folder)
    page = Page("Does a density help?")
    page.code("python -m benchmarks.comparison")
    page.table(COLUMNS, [row.strip("| ").split(" | ") for row in _body(results)])
    if any(len(result["budgets"]) > 1 for result in results.values()):
        page.figure(
            "budgets",
            draw(results),
            "The weighted network against the length of the training: less the "
            "best-tuned standard network, and less the standard network as it is. "
            "Mean and 95 % interval over seeds.",
        )
    for name, result in results.items():
        page.heading(f"{', kernels of '.join(LABELS[name])}")
        for budget in result["budgets"].values():
            page.text(budget["conclusion"])
        page.text(f"All arms, seeds and figures: {name}/report.md")
    page.write(folder)
    before, rest = readme.read_text().split(BEGIN)
    _, after = rest.split(END)
    readme.write_text(f"{before}{BEGIN}\n\n{table(results)}\n\n{END}{after}")


def _body(results):
    return table(results).splitlines()[2:]


def main():
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.comparison", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--only", choices=EXPERIMENTS | ON_GPU, action="append")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--longest", type=int, help="leave out longer trainings")
    parser.add_argument("--output", type=Path, default=RESULTS / "comparison")
    parser.add_argument(
        "--summary",
        action="store_true",
        help="train nothing: write the page and README",
    )
    options = parser.parse_args()
    command = "python -m benchmarks.comparison"
    for name in () if options.summary else options.only or EXPERIMENTS:
        make, search, budgets, tune_at = (EXPERIMENTS | ON_GPU)[name]
        if budgets and options.longest:
            budgets = {n: arms for n, arms in budgets.items() if n <= options.longest}
        print(f"=== {name} ===", flush=True)
        results = compare(
            make(),
            options.output / name,
            search=search,
            seeds=range(options.seeds),
            arms=CONTROLS,
            budgets=budgets,
            tune_at=tune_at,
        )
        report.write_comparison(results, f"{command} --only {name}")
        print(results.conclusion(), flush=True)
    if options.output == RESULTS / "comparison":
        write_summary(options.output, README)


if __name__ == "__main__":
    main()
