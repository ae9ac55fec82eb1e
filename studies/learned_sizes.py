"""Study H: the start, the rate and the price of a learned density.

One training each, nothing tuned: recipe and largest kernels of `studies.series`.

- Starts: sigma is a 16th, an eighth, a quarter or a half of the kernel, learned at
  three rates, beside the same widths held fixed.
- Prices: the learned density from its default start with a `KernelSize` regularizer of
  five prices, folded and trimmed, beside standard networks of every size.

python -m studies.learned_sizes [--only NAME] [--rate RATE] [--seeds N]

With `--rate` it runs the starts alone.
"""

import functools

from keras_wconv import densities, regularizers
from keras_wconv.experiments import Candidate

from . import question, series

SETS = ("ArrowHead", "OSULeaf", "ItalyPowerDemand")
PARTS = (16, 8, 4, 2)
RATES = (1e-3, 1e-2, 1e-1)
PRICES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)


def starts(network, size, fixed):
    """Returns the candidates of one learning rate of the density."""

    def build(hp, part, **options):
        return network(size, densities.Gaussian(size / part), **options)

    learned = functools.partial(build, density_trainable=True)
    kinds = {"learned from": learned, **({"fixed": build} if fixed else {})}
    candidates = [
        Candidate(f"{kind} 1/{part}", functools.partial(one, part=part))
        for kind, one in kinds.items()
        for part in PARTS
    ]
    return {
        "baseline": Candidate("standard", lambda hp: network(size)),
        "proposal": candidates[1],
        "controls": [one for one in candidates if one is not candidates[1]],
    }


def prices(network, sizes, size):
    """Returns the candidates of the price on size."""

    def standard(hp, size):
        return network(size)

    def priced(hp, price):
        options = {}
        if price:
            options["density_regularizer"] = regularizers.KernelSize(price)
        return network(size, densities.Gaussian(), density_trainable=True, **options)

    return {
        "baseline": Candidate(
            f"standard {size}", functools.partial(standard, size=size)
        ),
        "proposal": Candidate("price 0", functools.partial(priced, price=0)),
        "controls": [
            *(
                Candidate(f"standard {one}", functools.partial(standard, size=one))
                for one in sizes
                if one != size
            ),
            *(
                Candidate(f"price {one:g}", functools.partial(priced, price=one))
                for one in PRICES
            ),
        ],
    }


def main():
    options = question.arguments(__doc__.partition("\n")[0], SETS, rate=float)
    for name in options.only or SETS:
        task, build, sizes = series.question_of(name)
        size = max(sizes)
        for rate in options.rate or RATES:
            task.density_learning_rate = rate
            question.run(
                f"learned_sizes/{name}, rate {rate:g}",
                task,
                starts(build, size, fixed=rate == 1e-2),
                options.seeds,
            )
        if options.rate:
            continue
        task.density_learning_rate = 1e-2
        question.run(
            f"learned_sizes/{name}, prices",
            task,
            prices(build, sizes, size),
            options.seeds,
        )


if __name__ == "__main__":
    main()
