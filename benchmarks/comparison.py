"""Does a density help? The comparisons of README.md.

In each, DIRECT-L looks for a density, the weighted network gets a learning rate of its
own, and the standard network gets as many trainings in all for its start and learning
rate. All is tuned on the validation split, at one length of training; the arms are then
trained with five seeds at several lengths and evaluated on the test split.

`python -m benchmarks.comparison` does what is missing from the files and takes hours on
two cores. It writes a folder for each into benchmarks/results/comparison.
"""

import argparse
import functools
from pathlib import Path

from keras_wconv import tuning
from keras_wconv.applications import ResNet20, TimeSeriesResNet
from keras_wconv.densities import Gaussian
from keras_wconv.experiments import (
    Classification,
    Denoising,
    Page,
    compare,
    datasets,
    report,
)
from keras_wconv.experiments.denoising import SmallDnCNN

from . import RESULTS

QUESTION = "A,S,ST,B,BT"
CONTROLS = f"{QUESTION},C,D,F,G,N,L,glorot"
SHAPE = f"{QUESTION},F,L"


def by_coefficients(size):
    return functools.partial(tuning.density, kernel_size=size)


def by_width(size):
    """Return a search for the width of a Gaussian, from a sixteenth of the kernel."""
    return lambda hp: Gaussian(hp.Float("sigma", size / 16, size, sampling="log"))


def photographs(**network):
    return Denoising.photographs(
        functools.partial(SmallDnCNN, **network), batch_size=8, epochs=20
    )


def series(size):
    """Noisy time series, and a residual network whose kernels all have one size."""
    network = functools.partial(
        TimeSeriesResNet, filters=(16, 32), kernel_sizes=(size, size, size)
    )
    return Classification(
        datasets.time_series(noise=2.0),
        network,
        epochs=50,
        batch_size=30,
        learning_rate=0.02,
        schedule="cosine",
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
        {300: QUESTION, 1000: CONTROLS, 3000: QUESTION},
        1000,
    ),
    "series_9": (functools.partial(series, 9), by_width(9), {500: SHAPE}, 500),
    "series_33": (functools.partial(series, 33), by_width(33), {500: SHAPE}, 500),
    "digits_resnet20": (
        functools.partial(
            Classification.digits, ResNet20, learning_rate=0.05, epochs=8
        ),
        by_coefficients(3),
        None,
        None,
    ),
}


def main():
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.comparison", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--only", choices=EXPERIMENTS, action="append")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--longest", type=int, help="leave out longer trainings")
    parser.add_argument("--output", type=Path, default=RESULTS / "comparison")
    options = parser.parse_args()
    command = "python -m benchmarks.comparison"
    page = Page("Does a density help?")
    page.code(command)
    for name in options.only or EXPERIMENTS:
        make, search, budgets, tune_at = EXPERIMENTS[name]
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
        page.heading(name)
        page.text(results.conclusion())
        page.figure(name, report.effects_figure(results), f"{name}: effects and runs.")
    if options.only is None:
        page.write(options.output)


if __name__ == "__main__":
    main()
