"""Does a density help? The comparisons of README.md, from search to report.

Four networks on data that ship with scikit-learn and scikit-image: a small VGG and
ResNet20 on digits, DnCNN with kernels of 3 and of 7 on photographs. For each, DIRECT-L
looks for a density on the validation split, the standard network gets as many runs to
look for its own learning rate, and all arms are trained with five seeds.

`python -m benchmarks.comparison` runs them, goes on where it was stopped, and takes
about half an hour on two cores. It writes `comparison/` in benchmarks/results.
"""

import argparse
import functools
from pathlib import Path

from keras_wconv.applications import ResNet20
from keras_wconv.experiments import Classification, Denoising, comparison, report
from keras_wconv.experiments.denoising import SmallDnCNN
from keras_wconv.tuning import DirectLSearch
from keras_wconv.tuning.search_space import PUBLISHED_RANGES

from . import RESULTS

ARMS = "ATBCDFGNL"
PHOTOGRAPHS = {"epochs": 6, "batch_size": 8}
EXPERIMENTS = {  # name: task, coefficients of its density, runs of each search
    "digits_vgg": (Classification.digits, 1, 5),
    "digits_resnet20": (
        functools.partial(
            Classification.digits, ResNet20, learning_rate=0.05, epochs=8
        ),
        1,
        5,
    ),
    "photographs_dncnn_3": (
        functools.partial(
            Denoising.photographs,
            functools.partial(SmallDnCNN, filters=24),
            **PHOTOGRAPHS,
        ),
        1,
        5,
    ),
    "photographs_dncnn_7": (
        functools.partial(
            Denoising.photographs,
            functools.partial(SmallDnCNN, depth=5, filters=16, kernel_size=7),
            **PHOTOGRAPHS,
        ),
        3,
        7,
    ),
}


def direct_l(coefficients, runs):
    """Return a search in the published ranges for `comparison.compare`.

    It gives the best density that is not the standard convolution, which the search
    tries too: whether that is better than the standard is what the comparison asks.
    """
    ranges = PUBLISHED_RANGES[coefficients]

    def search(evaluate):
        optimizer = DirectLSearch(coefficients)
        tried = {}
        while len(tried) < runs:
            for point in optimizer.ask():
                density = tuple(
                    round(low + x * (high - low), 4)
                    for x, (low, high) in zip(point, ranges, strict=True)
                )
                tried[density] = evaluate(list(density))
                optimizer.tell(point, -tried[density])
        # The first point may be the standard convolution, which is the other arm.
        weighted = [density for density in tried if set(density) != {1.0}]
        return list(max(weighted, key=tried.get))

    return search


def main():
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.comparison", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--only", choices=EXPERIMENTS, action="append")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one epoch and two seeds")
    parser.add_argument("--output", type=Path, help="default: benchmarks/results")
    options = parser.parse_args()
    output = options.output or (Path("runs/bench") if options.quick else RESULTS)
    command = "python -m benchmarks.comparison"
    page = report.Page("Does a density help? Four networks")
    page.code(command)
    for name in options.only or EXPERIMENTS:
        make, coefficients, runs = EXPERIMENTS[name]
        print(f"=== {name} ===", flush=True)
        results = comparison.compare(
            make(epochs=1) if options.quick else make(),
            output / "comparison" / name,
            search=direct_l(coefficients, runs),
            seeds=range(2 if options.quick else options.seeds),
            arms=ARMS,
        )
        report.write_comparison(results, f"{command} --only {name}")
        print(results.conclusion(), flush=True)
        page.heading(name)
        page.text(results.conclusion())
        page.text(f"Density found: {results.density}. Details: {name}/report.md.")
        page.figure(name, report.effects_figure(results), f"{name}: effects and runs.")
    page.write(output / "comparison")


if __name__ == "__main__":
    main()
