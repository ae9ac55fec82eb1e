"""How much faster a search is with several workers.

Threads share an oracle, and their trials sleep: the limit that the batches of DIRECT-L
set. Processes are KerasTuner's chief and workers on the loopback address, with trials
that sleep and with trials that train; the clock starts with the first trial, whose
worker has imported all, and each worker compiles once within it. Workers that train
share the cores of the machine. Points depend on scores alone: the search is the same
for any number of workers, and this checks it.
"""

import contextlib
import io
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import keras_tuner as kt

from keras_wconv.tuning import DensityTuner, DirectLOracle

from . import _harness

TRIALS = 60
PROCESS_TRIALS = {"sleep": 60, "train": 24}


def search(dimensions, workers, seconds):
    """Returns the seconds that a search by threads takes, and the points it tries."""
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


class Sleeper(DensityTuner):
    seconds = 1.0

    def run_trial(self, trial, *args, **kwargs):
        time.sleep(self.seconds)
        x = trial.hyperparameters.values.values()
        return sum((i + 1) * (xi - 0.35) ** 2 for i, xi in enumerate(x))


def take_part(kind, directory):
    """Prints when each trial of this worker began and ended.

    Those that train have the network of the benchmark `search`, and a density for each
    axis.
    """
    from . import search as training

    moments = []
    base = {"sleep": Sleeper, "train": DensityTuner}[kind]

    class Timed(base):
        def run_trial(self, *args, **kwargs):
            moments.append(time.time())
            results = super().run_trial(*args, **kwargs)
            moments.append(time.time())
            return results

    space = kt.HyperParameters()
    space.Float("vertical", 0.5, 1.5)
    space.Float("horizontal", 0.5, 1.5)
    oracle = DirectLOracle(
        "loss" if kind == "train" else None,
        max_trials=PROCESS_TRIALS[kind],
        hyperparameters=space,
    )

    def build(hp):
        return training.make_model([[hp["vertical"]], [hp["horizontal"]]])

    tuner = Timed(oracle, build, directory=directory, project_name="search")
    with contextlib.redirect_stdout(io.StringIO()):
        tuner.search(**training.random_data(), verbose=0)
    print(json.dumps(moments))


def search_by_processes(kind, workers):
    """Returns the seconds that a search takes, and its trials' values and scores."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as directory:

        def start(tuner_id):
            return subprocess.Popen(
                [sys.executable, "-m", "benchmarks.workers", kind, directory],
                env={
                    **os.environ,
                    "KERASTUNER_ORACLE_IP": "127.0.0.1",
                    "KERASTUNER_ORACLE_PORT": str(port),
                    "KERASTUNER_TUNER_ID": tuner_id,
                },
                stdout=subprocess.PIPE,
                text=True,
            )

        chief = start("chief")
        taking_part = [start(f"worker{i}") for i in range(workers)]
        printed = [process.communicate()[0] for process in taking_part]
        chief.kill()  # it would look every 20 seconds whether all are done
        chief.wait()
        oracle = DirectLOracle()
        oracle._set_project_dir(directory, "search")
        state = json.loads(Path(oracle._get_oracle_fname()).read_text())
    moments = [moment for lines in printed for moment in json.loads(lines)]
    return max(moments) - min(moments), state["direct_l"]["search"]["told"]


def main():
    if sys.argv[1:2] and sys.argv[1] in PROCESS_TRIALS:
        return take_part(*sys.argv[1:])
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
                    "workers": workers,
                    "of": "threads",
                    "trials": f"{TRIALS} of {seconds} s",
                    "dimensions": dimensions,
                    "seconds": duration,
                    "speed_up": alone / duration,
                }
            )
    for kind in () if options.quick else PROCESS_TRIALS:
        alone = expected = None
        for workers in (1, 2, 4):
            duration, points = search_by_processes(kind, workers)
            alone, expected = alone or duration, expected or points
            if sorted(points) != sorted(expected):
                raise AssertionError(f"{workers} workers tried other points than one")
            rows.append(
                {
                    "workers": workers,
                    "of": "processes",
                    "trials": f"{PROCESS_TRIALS[kind]} that {kind}",
                    "dimensions": 2,
                    "seconds": duration,
                    "speed_up": alone / duration,
                }
            )
    print(_harness.save("workers", rows, options))


if __name__ == "__main__":
    main()
