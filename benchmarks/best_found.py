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


def best_found(oracle_class, function, seed, trials):
    """Returns the best value so far, above the minimum, after each of `trials`."""
    space = kt.HyperParameters()
    for axis, (low, high) in enumerate(moved_bounds(function, seed)):
        space.Float(str(axis), low, high)
    oracle = oracle_class(max_trials=trials[-1], hyperparameters=space, seed=seed + 1)
    oracle.verbose = 0
    values = []
    with tempfile.TemporaryDirectory() as directory:
        oracle._set_project_dir(directory, "search")
        while (trial := oracle.create_trial("tuner")).status == "RUNNING":
            x = (trial.hyperparameters.get(hp.name) for hp in space.space)
            values.append(function.function(*x))
            metrics = {oracle.objective.name: values[-1]}
            oracle.update_trial(trial.trial_id, metrics)
            trial.status = "COMPLETED"
            oracle.end_trial(trial)
    return above_minimum(function, values, trials)


def above_minimum(function, values, trials):
    best = list(itertools.accumulate(values, min))
    return [best[count - 1] - function.minimum for count in trials]


def main():
    options = _harness.parse_options(__doc__)
    functions = [function for function in PUBLISHED if function.name in NAMES]
    trials = TRIALS[:1] if options.quick else TRIALS
    seeds = range(1 if options.quick else 5)
    rows = []
    for function in track(functions[:2] if options.quick else functions, "Searching"):
        medians = {
            name: np.median(
                [best_found(oracle, function, seed, trials) for seed in seeds], axis=0
            )
            for name, oracle in ORACLES.items()
        }
        rows += [
            {
                "function": function.name,
                "dimensions": len(function.bounds),
                "trials": count,
                "seeds": len(seeds),
                **{name: float(values[i]) for name, values in medians.items()},
            }
            for i, count in enumerate(trials)
        ]
    print(_harness.save("best_found", rows, options))


if __name__ == "__main__":
    main()
