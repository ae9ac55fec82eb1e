"""Searches in processes of their own, killed and distributed, for `processes_test`.

python search_processes.py MODE DIRECTORY [COUNT], where MODE is the name of a function:
killed, plain_killed, distributed or chief_killed; COUNT, how often it kills.

It prints the results as JSON. The processes are forked from one that has imported
KerasTuner, and minimize a function: nothing is trained.
"""

import itertools
import json
import math
import multiprocessing
import os
import random
import signal
import socket
import sys
import time
from pathlib import Path

import keras_tuner as kt

from keras_wconv import tuning

fork = multiprocessing.get_context("fork")


class FunctionTuner(tuning.DensityTuner):
    pause = 0.0

    def run_trial(self, trial, verbose):
        time.sleep(self.pause)
        a, b = (trial.hyperparameters.get(name) for name in "ab")
        return (a - 0.83) ** 2 + 0.3 * math.cos(9 * b) + 0.1 * a * b


class PlainTuner(kt.Tuner):
    run_trial = FunctionTuner.run_trial
    pause = 0.0


def search(
    directory,
    max_trials,
    oracle_class=tuning.DirectLOracle,
    tuner_class=FunctionTuner,
    verbose=0,
):
    hyperparameters = kt.HyperParameters()
    hyperparameters.Float("a", 0.5, 1.5)
    hyperparameters.Float("b", 0.0, 1.0)
    oracle = oracle_class(max_trials=max_trials, hyperparameters=hyperparameters)
    tuner = tuner_class(oracle, directory=directory, project_name="search")
    tuner.search(verbose=verbose)


def run(target, *arguments, kill_after=None):
    process = fork.Process(target=target, args=arguments)
    process.start()
    if kill_after is not None:
        time.sleep(kill_after)
        process.kill()
    process.join(timeout=60)


def results(directory):
    oracle = tuning.DirectLOracle(max_trials=None)
    oracle._set_project_dir(directory, "search")
    oracle.reload()
    return {
        "trials": [
            [trial_id, trial.hyperparameters.values, trial.score]
            for trial_id, trial in sorted(oracle.trials.items())
        ],
        "best": oracle.get_best_trials()[0].trial_id,
    }


def killed(directory, kills=20, max_trials=15, tuner_class=FunctionTuner):
    def search_in(name, **when):
        arguments = (max_trials, tuning.DirectLOracle, tuner_class)
        run(search, directory / name, *arguments, **when)

    begin = time.monotonic()
    search_in("uninterrupted")
    duration = time.monotonic() - begin
    draw = random.Random(0)
    for number in range(kills):
        search_in(str(number), kill_after=draw.uniform(0, duration))
        search_in(str(number))
    return {
        "uninterrupted": results(directory / "uninterrupted"),
        "killed": [results(directory / str(n)) for n in range(kills)],
    }


def plain_killed(directory, kills=20):
    """The tuner of KerasTuner, which writes its file in place."""
    return killed(directory, kills, tuner_class=PlainTuner)


class LoggedOracle(tuning.DirectLOracle):
    """Logs each request for a trial, as the chief sees it."""

    def create_trial(self, tuner_id):
        trial = super().create_trial(tuner_id)
        with Path(self._project_dir, "requests.jsonl").open("a") as log:
            log.write(json.dumps([time.time(), tuner_id, trial.status]) + "\n")
        return trial


def mortal(method, number, is_done):
    """Returns an oracle whose process is killed at a call of a method.

    Args:
        method: str, its name.
        number: int, of the call.
        is_done: bool, whether the call is done by then, though not answered.
    """
    calls = itertools.count(1)

    def call(self, *args, **kwargs):
        is_last = next(calls) == number
        if is_last and not is_done:
            os.kill(os.getpid(), signal.SIGKILL)
        result = getattr(super(Mortal, self), method)(*args, **kwargs)
        if is_last:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    Mortal = type("Mortal", (tuning.DirectLOracle,), {method: call})
    return Mortal


def take_part(directory, max_trials, tuner_id, port, oracle_class, tuner_class):
    os.environ["KERASTUNER_ORACLE_IP"] = "127.0.0.1"
    os.environ["KERASTUNER_ORACLE_PORT"] = str(port)
    os.environ["KERASTUNER_TUNER_ID"] = tuner_id
    tuner_class.pause = 0.3 if tuner_id == "worker0" else 0.05
    search(directory, max_trials, oracle_class, tuner_class, verbose=1)


class Cluster:
    """A chief and workers on the loopback, which search in one folder."""

    def __init__(self, directory, max_trials, tuner_class=FunctionTuner):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self._directory = directory
        self._max_trials = max_trials
        self._tuner_class = tuner_class

    def start(self, tuner_id, oracle_class=LoggedOracle):
        arguments = (self._directory, self._max_trials, tuner_id, self._port)
        arguments += (oracle_class, self._tuner_class)
        process = fork.Process(target=take_part, args=arguments, daemon=True)
        process.start()
        return process

    def requests(self):
        log = self._directory / "search" / "requests.jsonl"
        lines = log.read_text().splitlines(keepends=True) if log.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def wait_for_requests(self, count):
        while len(self.requests()) < count:
            time.sleep(0.01)


def kill(process):
    process.kill()
    process.join()


def finish(chief, workers):
    """Wait for the workers; return their exit codes."""
    for worker in workers:
        worker.join(timeout=60)
    # The chief would wait for up to 20 seconds more.
    kill(chief)
    return [worker.exitcode for worker in workers]


def distributed(directory, max_trials=24):
    run(search, directory / "alone", max_trials)
    cluster = Cluster(directory / "shared", max_trials)
    chief, killed = cluster.start("chief"), cluster.start("worker0")
    cluster.wait_for_requests(2)
    # Before the search is over: the chief then waits for this worker to be back.
    kill(killed)
    workers = [cluster.start("worker1"), cluster.start("worker0")]
    exit_codes = finish(chief, workers)
    return {
        "alone": results(directory / "alone"),
        "distributed": results(directory / "shared"),
        "exit_codes": exit_codes,
        "requests": cluster.requests(),
    }


MOMENTS = (
    ("create_trial", 4, True),  # a trial is given, and the worker has not got it
    ("update_trial", 3, False),  # a worker reports
    ("create_trial", 1, False),  # before the first trial
    ("update_trial", 7, True),
    ("end_trial", 5, True),  # between trials
)


def chief_killed(directory, kills=5, max_trials=24):
    """The chief dies at a moment, and starts again in the same folder."""
    run(search, directory / "alone", max_trials)
    outcomes = []
    for number, moment in enumerate(MOMENTS[:kills]):
        folder = directory / str(number)
        cluster = Cluster(folder, max_trials)
        chief = cluster.start("chief", mortal(*moment))
        workers = [cluster.start("worker0"), cluster.start("worker1")]
        chief.join(timeout=60)
        is_killed = chief.exitcode == -signal.SIGKILL
        time.sleep(0.5)
        exit_codes = finish(cluster.start("chief"), workers)
        outcomes.append([is_killed, exit_codes, results(folder)])
    return {"alone": results(directory / "alone"), "outcomes": outcomes}


if __name__ == "__main__":
    modes = {
        mode.__name__: mode
        for mode in (killed, plain_killed, distributed, chief_killed)
    }
    outcome = modes[sys.argv[1]]
    print("\n" + json.dumps(outcome(Path(sys.argv[2]), *map(int, sys.argv[3:]))))
