"""The best that samplers of Optuna find in few trials, DIRECT-L's among them.

As `best_found`, with the same functions and the same moved bounds, through Optuna: the
tree-structured Parzen estimator, which is Optuna's default, CMA-ES, a Gaussian process
and random search. Each has one run for each of the seeds, which is also its own. A row
holds how far the best value is above the minimum, the median over the seeds, and in
how many of them the trials of DIRECT-L were, one by one, at the points that its
KerasTuner oracle tries.
"""

import warnings

import optuna
from rich.progress import track

from keras_wconv.tuning import DirectLOracle, DirectLSampler

from . import _harness
from .best_found import NAMES, TRIALS, moved_bounds, rows_of, tried
from .functions import PUBLISHED

SAMPLERS = {
    "direct_l": lambda seed: DirectLSampler(),
    "tpe": lambda seed: optuna.samplers.TPESampler(seed=seed),
    "cma_es": lambda seed: optuna.samplers.CmaEsSampler(seed=seed),
    "gaussian_process": lambda seed: optuna.samplers.GPSampler(seed=seed),
    "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
}


def search(sampler, function, seed, trials):
    """Returns the study of a function with its bounds moved by the seed."""
    bounds = list(moved_bounds(function, seed))

    def objective(trial):
        x = (trial.suggest_float(str(axis), *ends) for axis, ends in enumerate(bounds))
        return function.function(*x)

    study = optuna.create_study(sampler=sampler(seed))
    study.optimize(objective, n_trials=trials)
    return study


def main():
    options = _harness.parse_options(__doc__)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    functions = [function for function in PUBLISHED if function.name in NAMES]
    trials = TRIALS[:1] if options.quick else TRIALS
    seeds = range(1 if options.quick else 5)
    rows = []
    for function in track(functions[:2] if options.quick else functions, "Searching"):
        studies = {
            name: [search(sampler, function, seed, trials[-1]) for seed in seeds]
            for name, sampler in SAMPLERS.items()
        }
        same = sum(
            [trial.params for trial in study.trials]
            == tried(DirectLOracle, function, seed, trials[-1])
            for seed, study in zip(seeds, studies["direct_l"], strict=True)
        )
        found = {
            name: [[trial.value for trial in study.trials] for study in of_sampler]
            for name, of_sampler in studies.items()
        }
        fields = {"optuna": optuna.__version__, "same_points_as_the_oracle": same}
        rows += rows_of(function, found, trials, seeds=len(seeds), **fields)
    print(_harness.save("optuna_samplers", rows, options))


if __name__ == "__main__":
    main()
