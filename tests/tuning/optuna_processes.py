"""Optuna searches of several processes that are killed, for `optuna_sampler_test`.

    python optuna_processes.py STORAGE DIRECTORY KILLS PARTS

STORAGE is sqlite or journal. The search ends when it has cut a range into PARTS, after
three times as many points. It prints the results as JSON. Workers are forked from a
process that has imported Optuna, and minimize a function: nothing is trained.
"""

import collections
import json
import multiprocessing
import random
import signal
import sys
import time
from pathlib import Path

import optuna
from optuna.trial import TrialState

from keras_wconv.tuning import DirectLSampler

optuna.logging.set_verbosity(optuna.logging.ERROR)
fork = multiprocessing.get_context("fork")
WORKERS, PAUSE = 3, 0.02


def open_storage(kind, directory):
    if kind == "sqlite":
        # An hour's patience: a slow disk is no reason to fail.
        return optuna.storages.RDBStorage(
            f"sqlite:///{directory / 'study.db'}",
            engine_kwargs={"connect_args": {"timeout": 3600}},
        )
    path = str(directory / "study.log")
    # One that is killed may hold the lock.
    lock = optuna.storages.journal.JournalFileOpenLock(path, grace_period=2)
    return optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(path, lock)
    )


def objective(trial):
    a = trial.suggest_float("a", 0.5, 1.5, log=True)
    b = trial.suggest_categorical("b", ["x", "y", "z"])
    time.sleep(PAUSE)
    return (a - 0.83) ** 2 + {"x": 0.1, "y": 0.0, "z": 0.2}[b] * a


def points(trials):
    """Returns the points that were tried to the end."""
    done = [t for t in trials if t.state == TrialState.COMPLETE]
    return sorted({tuple(trial.params.values()) for trial in done})


def work(storage, directory, parts):
    study = optuna.load_study(
        study_name="search",
        storage=open_storage(storage, directory),
        sampler=DirectLSampler(min_side=1 / parts),
    )
    study.optimize(objective)  # until the search says that it is over


def main(kind, directory, kills, parts):
    draw = random.Random(0)
    alone = optuna.create_study(sampler=DirectLSampler(min_side=1 / parts))
    alone.optimize(objective)
    study = optuna.create_study(
        study_name="search", storage=open_storage(kind, directory)
    )

    def start():
        worker = fork.Process(target=work, args=(kind, directory, parts), daemon=True)
        worker.start()
        return worker

    workers, killed, seen = [], 0, {}
    while killed < kills:
        workers = [worker for worker in workers if worker.is_alive()]
        workers += [start() for _ in range(WORKERS - len(workers))]
        # Spread over the search, whatever the machine's speed.
        goal = (killed + draw.random()) / kills * (3 * parts - 2 * WORKERS)
        while len(points(study.trials)) < goal:
            time.sleep(0.005)
        time.sleep(draw.uniform(0, 2 * PAUSE))
        seen.update((t.number, t) for t in study.trials if t.state.is_finished())
        victim = draw.choice(workers)
        victim.kill()
        victim.join()
        killed += victim.exitcode == -signal.SIGKILL
    for worker in workers:
        worker.join()
    trials = {trial.number: trial for trial in study.trials}
    states = collections.Counter(trial.state.name for trial in trials.values())
    result = {
        "kills": killed,
        "trials": states,
        "exit_codes": [w.exitcode for w in workers if w is not victim],
        "lost": [number for number, t in seen.items() if trials.get(number) != t],
        "points": points(study.trials),
        "alone": points(alone.trials),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
