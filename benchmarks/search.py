"""Time that a trial of a search takes, with one model for all and with one for each.

The script and the oracle are the same: 10 layers, 20 steps a trial. The other tuner is
`keras_tuner.Tuner`. The two take turns trial by trial, so that what slows the machine
down slows both. The first trial, in which both compile, counts for the whole search
alone. Its best losses differ, for `keras_tuner.Tuner` gives each trial other kernels.

What is saved is tracing and compiling, and on every backend the walk through all of
Python's objects that each of KerasTuner's two collections of garbage for a model is.
"""

import contextlib
import io
import tempfile
import time

import keras
import keras_tuner as kt
import numpy as np
import psutil
from rich.progress import track

from keras_wconv import WeightedConv2D, tuning

from . import _harness

STEPS, BATCH, LAYERS = 20, 32, 10


def make_model(density):
    inputs = x = keras.Input((16, 16, 3))
    for _ in range(LAYERS - 1):
        x = WeightedConv2D(16, 3, padding="same", activation="relu", density=density)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, keras.layers.Dense(10, activation="softmax")(x))
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def build(hp):
    return make_model(tuning.density(hp, kernel_size=3))


def random_data():
    """Returns what `search` is given: images and labels for the steps of a trial."""
    rng = np.random.default_rng(0)
    return {
        "x": rng.random((STEPS * BATCH, 16, 16, 3), "float32"),
        "y": rng.integers(0, 10, STEPS * BATCH),
        "batch_size": BATCH,
    }


def make_tuners(directory):
    def oracle():
        space = kt.HyperParameters()
        tuning.density(space, kernel_size=3)
        return tuning.DirectLOracle("loss", max_trials=None, hyperparameters=space)

    return {
        "keras_tuner": kt.Tuner(oracle(), build, directory=f"{directory}/plain"),
        "keras_wconv": tuning.DensityTuner(
            oracle(), build, directory=f"{directory}/shared"
        ),
    }


def run_trial(tuner, data):
    """Runs one trial as `search` does; returns its seconds."""
    begin = time.perf_counter()
    trial = tuner.oracle.create_trial("tuner")
    tuner._try_run_and_update_trial(trial, **data)
    tuner.on_trial_end(trial)
    return time.perf_counter() - begin


def grown_megabytes(tuner, data, trials):
    """Returns by how much the process grows while it runs more trials."""
    process = psutil.Process()
    begin = process.memory_info().rss
    for _ in track(range(trials), "Trials of one model"):
        with contextlib.redirect_stdout(io.StringIO()):
            run_trial(tuner, data)
    return (process.memory_info().rss - begin) / 2**20


def main():
    options = _harness.parse_options(__doc__)
    trials = 4 if options.quick else 20
    data = {**random_data(), "verbose": 0}
    with tempfile.TemporaryDirectory() as directory:
        tuners = make_tuners(directory)
        times = {name: [] for name in tuners}
        for _ in track(range(1 + trials), "Trials of both"):
            for name, tuner in tuners.items():
                with contextlib.redirect_stdout(io.StringIO()):
                    times[name].append(run_trial(tuner, data))
        best = [tuner.oracle.get_best_trials()[0].score for tuner in tuners.values()]
        more = 10 if options.quick else 200
        grown = grown_megabytes(tuners["keras_wconv"], data, more)
    whole_plain, whole_shared = (sum(values) for values in times.values())
    plain, shared = (np.array(values[1:]) for values in times.values())
    rows = [
        {
            "layers": LAYERS,
            "steps": STEPS,
            "trials": trials,
            "keras_tuner_milliseconds": _harness.quartiles(1e3 * plain),
            "milliseconds": _harness.quartiles(1e3 * shared),
            "speed_up": _harness.quartiles(plain / shared),
            "whole_search_speed_up": whole_plain / whole_shared,
            "keras_tuner_best_loss": best[0],
            "best_loss": best[1],
            "more_trials": more,
            "megabytes_grown": grown,
        }
    ]
    print(_harness.save("search", rows, options))


if __name__ == "__main__":
    main()
