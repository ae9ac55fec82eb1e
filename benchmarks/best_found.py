"""The best that searches of KerasTuner find in few trials.

DIRECT-L, Bayesian optimization and random search minimize functions of Dixon and Szegö
through KerasTuner's oracles. For each seed the bounds are moved by up to a tenth of
their width, the same for all three: DIRECT-L draws nothing, and is not to gain by where
the minimum happens to lie. A row holds how far the best value is above the minimum, the
median over the seeds.
"""

import itertools
import tempfile

import keras_tuner as kt
import numpy as np
from rich.progress import track

from keras_wconv.tuning import DirectLOracle

from . import _harness
from .functions import PUBLISHED

TRIALS = (15, 30, 60)
ORACLES = {
    "direct_l": DirectLOracle,
    "bayesian": kt.oracles.BayesianOptimizationOracle,
    "random": kt.oracles.RandomSearchOracle,
}
NAMES = ("Branin", "Six-hump camel", "Goldstein-Price", "Hartman3", "Hartman6")


def moved_bounds(function, seed):
    """Returns the bounds of each axis, moved by up to a tenth of their width."""
    rng = np.random.default_rng(seed)
    for low, high in function.bounds:
        shift = 0.1 * (high - low) * rng.uniform(-1, 1)
        yield low + shift, high + shift


def tried(oracle_class, function, seed, trials):
    """Returns the points that an oracle tries, each a dictionary of coordinates."""
    space = kt.HyperParameters()
    for axis, (low, high) in enumerate(moved_bounds(function, seed)):
        space.Float(str(axis), low, high)
    oracle = oracle_class(max_trials=trials, hyperparameters=space, seed=seed + 1)
    oracle.verbose = 0
    points = []
    with tempfile.TemporaryDirectory() as directory:
        oracle._set_project_dir(directory, "search")
        while (trial := oracle.create_trial("tuner")).status == "RUNNING":
            points.append(trial.hyperparameters.values)
            value = function.function(*points[-1].values())
            oracle.update_trial(trial.trial_id, {oracle.objective.name: value})
            trial.status = "COMPLETED"
            oracle.end_trial(trial)
    return points


def above_minimum(function, values, trials):
    """Returns the best value so far, above the minimum, after each of `trials`."""
    best = list(itertools.accumulate(values, min))
    return [best[count - 1] - function.minimum for count in trials]


def rows_of(function, found, trials, **fields):
    """Returns a row for each number of trials, the medians over the seeds.

    Args:
        function: `functions.Function`.
        found: dict by searcher, of a list of values for each seed.
        trials: ints.
        **fields: further ones of every row.
    """
    medians = {
        name: np.median(
            [above_minimum(function, values, trials) for values in of_seeds], axis=0
        )
        for name, of_seeds in found.items()
    }
    return [
        {
            "function": function.name,
            "dimensions": len(function.bounds),
            "trials": count,
            **fields,
            **{name: float(values[i]) for name, values in medians.items()},
        }
        for i, count in enumerate(trials)
    ]


def main():
    options = _harness.parse_options(__doc__)
    functions = [function for function in PUBLISHED if function.name in NAMES]
    trials = TRIALS[:1] if options.quick else TRIALS
    seeds = range(1 if options.quick else 5)
    rows = []
    for function in track(functions[:2] if options.quick else functions, "Searching"):
        found = {
            name: [
                [
                    function.function(*point.values())
                    for point in tried(oracle, function, seed, trials[-1])
                ]
                for seed in seeds
            ]
            for name, oracle in ORACLES.items()
        }
        rows += rows_of(function, found, trials, seeds=len(seeds))
    print(_harness.save("best_found", rows, options))


if __name__ == "__main__":
    main()
