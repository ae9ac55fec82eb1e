"""The question of all studies: one large kernel with a density, or a tuned size?

Every candidate tunes the learning rate and the weight decay over the same ranges, with
the same number of runs. One factor in place of the density would be the large standard
kernel with another rate and another decay, which are tuned, and with another start.
Before a batch normalization the start is one more factor of the rate; networks without
one tune it, too.
"""

import argparse
import functools
from pathlib import Path

import keras
import numpy as np

from keras_wconv import densities, fold, regularizers
from keras_wconv.experiments import Candidate, compare
from keras_wconv.experiments.study.sides import permuted
from keras_wconv.inspection import weighted_layers

HERE = Path(__file__).parent
ROOT = HERE.parent
TUNE = ("learning_rate", "weight_decay")
PRICE = 1e-2  # for a tap


def sides(network, sizes, large, tune=TUNE):
    """Returns the candidates, for `compare`.

    Args:
        network: function of `kernel_size`, `density` and density options that returns
            a Keras model.
        sizes: kernel sizes of the standard network, of which one is tuned.
        large: int, the size of the kernels that have a density.
        tune: what each candidate tunes of the recipe.
    """

    def standard(hp):
        return network(hp.Choice("kernel_size", list(sizes)))

    def fixed(hp, size):
        return network(size)

    def tuned(hp, **options):
        sigma = hp.Float("sigma", large / 32, large, sampling="log")
        return network(large, densities.Gaussian(sigma), **options)

    def learned(hp):
        return network(large, densities.Gaussian(), density_trainable=True)

    return {
        "baseline": Candidate("standard, size tuned", standard, tune),
        "proposal": Candidate("learned", learned, tune),
        "controls": [
            Candidate("width tuned", tuned, tune),
            Candidate("standard, large", lambda hp: network(large), tune),
            Candidate(
                "not normalized",
                functools.partial(tuned, normalize_density=False),
                tune,
            ),
            # The search for a size tries few sizes. So each has its own runs, too.
            *(
                Candidate(f"standard {size}", functools.partial(fixed, size=size), tune)
                for size in sizes
                if size != large
            ),
        ],
    }


def further_controls(network, large, tune=TUNE):
    """Returns more controls of `sides`, for data on which they take minutes.

    A density whose values are in other places has the same norm and the same spread of
    steps, but does not prefer the center.
    """

    def learned(hp, **options):
        return network(large, densities.Gaussian(), density_trainable=True, **options)

    raw = functools.partial(learned, normalize_density=False)
    priced = functools.partial(
        learned, density_regularizer=regularizers.KernelSize(PRICE)
    )

    def elsewhere(hp):
        sigma = hp.Float("sigma", large / 32, large, sampling="log")
        phi = permuted(densities.Gaussian(sigma)((large,)))
        return network(large, densities.Map(phi), normalize_density=True)

    return [
        Candidate("learned, not normalized", raw, tune),
        Candidate("learned, with a price", priced, tune),
        Candidate("permuted", elsewhere, tune),
    ]


class Trimmed:
    """Mixin of a task that also measures the model folded and trimmed.

    Attributes:
        trim: float, the part of each kernel's norm that trimming may take.
    """

    trim = 0.01  # With 0.05 some small networks lost ten points.

    def measure(self, model, split="test"):
        rows = super().measure(model, split)
        if split != "test":
            return rows
        small = fold(model, trim=self.trim) if weighted_layers(model) else model
        small = keras.models.clone_model(small) if small is model else small
        if small is not model and not weighted_layers(model):
            small.set_weights(model.get_weights())
        self.compile(small)
        trimmed = super().measure(small, split)
        count = multiplications(small)
        return [
            {
                **row,
                f"{self.monitor}_trimmed": other[self.monitor],
                "multiplications": count,
                "kernel_size": mean_kernel_size(small),
            }
            for row, other in zip(rows, trimmed, strict=True)
        ]


def convolutions(model):
    """Returns the convolutions of a Functional model with more than one tap."""
    return [
        layer
        for layer in model.layers
        if hasattr(layer, "kernel_size") and np.prod(layer.kernel_size) > 1
    ]


def multiplications(model):
    """Returns the multiplications of all convolutions for one example, a float."""
    total = 0
    for layer in convolutions(model):
        positions = np.prod([n or 64 for n in layer.output.shape[1:-1]])
        kernel = next(w for w in layer.weights if "kernel" in w.name)
        total += positions * np.prod(kernel.shape)
    return float(total)


def mean_kernel_size(model):
    """Returns the geometric mean of the layers' numbers of taps per axis, a float."""
    sizes = [
        np.prod(one.kernel_size) ** (1 / len(one.kernel_size))
        for one in convolutions(model)
    ]
    return float(np.exp(np.mean(np.log(sizes)))) if sizes else 1.0


def run(name, task, candidates, seeds=10, trials=14, **options):
    """Runs a study into `studies/<name>`, or goes on with it; prints its verdict."""
    results = compare(
        task, HERE / name, **candidates, seeds=range(seeds), trials=trials, **options
    )
    print(f"{name}: {results.verdict()}", flush=True)
    return results


def arguments(description, names=(), data=None, trials=14, **lists):
    """Reads the arguments of a study's command.

    Args:
        description: str.
        names: what `--only` chooses from.
        data: default of `--data`, the folder of the data, where a study has one.
        trials: default of `--trials`, the runs that tune each candidate or side.
        **lists: further arguments that may be given several times, by name with
            their type, such as `steps=int`.
    """
    parser = argparse.ArgumentParser(description=description)
    if names:
        parser.add_argument("--only", choices=list(names), action="append")
    if data is not None:
        parser.add_argument("--data", type=Path, default=data)
        parser.add_argument("--examples", type=int, action="append")
    for name, kind in lists.items():
        parser.add_argument(f"--{name}", type=kind, action="append")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=trials)
    return parser.parse_args()
