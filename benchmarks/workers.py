"""How much faster a search is with several workers, for trials that take equal time.

The workers are threads that share an oracle, and their trials sleep. Points depend on
scores alone: the search is the same for any number of workers, and this checks it.
"""

import tempfile
import threading
import time

import keras_tuner as kt

from keras_wconv.tuning import DirectLOracle

from . import _harness

TRIALS = 60


def search(dimensions, workers, seconds):
    """Returns the seconds that a search takes and the points that it tries."""
    space = kt.HyperParameters()
    for axis in range(dimensions):
        space.Float(str(axis), 0.0, 1.0)
    oracle = DirectLOracle(max_trials=TRIALS, hyperparameters=space)
    oracle.verbose = 0

    def work(tuner_id):
        while (trial := oracle.create_trial(tuner_id)).status != "STOPPED":
            if trial.status == "IDLE":
                time.sleep(0.01)
                continue
            time.sleep(seconds)
            x = trial.hyperparameters.values.values()
            score = sum((i + 1) * (xi - 0.35) ** 2 for i, xi in enumerate(x))
            oracle.update_trial(trial.trial_id, {oracle.objective.name: score})
            trial.status = "COMPLETED"
            oracle.end_trial(trial)

    with tempfile.TemporaryDirectory() as directory:
        oracle._set_project_dir(directory, "search")
        threads = [
            threading.Thread(target=work, args=(f"tuner{i}",), name=f"worker {i}")
            for i in range(workers)
        ]
        begin = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        duration = time.perf_counter() - begin
    trials = sorted(oracle.trials.items())
    return duration, [trial.hyperparameters.values for _, trial in trials]


def main():
    options = _harness.parse_options(__doc__)
    seconds = 0.02 if options.quick else 0.25
    rows = []
    for dimensions in (1, 2, 3, 6):
        alone, expected = search(dimensions, 1, seconds)
        for workers in (1, 2, 4):
            duration, points = search(dimensions, workers, seconds)
            if points != expected:
                raise AssertionError(f"{workers} workers tried other points than one")
            rows.append(
                {
                    "dimensions": dimensions,
                    "trials": TRIALS,
                    "seconds_a_trial": seconds,
                    "workers": workers,
                    "seconds": duration,
                    "speed_up": alone / duration,
                    "busy_percent": 100 * TRIALS * seconds / (workers * duration),
                }
            )
    print(_harness.save("workers", rows, options))


if __name__ == "__main__":
    main()
