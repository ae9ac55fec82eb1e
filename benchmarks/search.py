"""Time that a trial of a search takes, with one model for all and with one for each.

The script is the same: 10 layers, 20 steps a trial. `keras_tuner.Tuner` runs it with
the same oracle on the same points. The two take turns trial by trial, so that what
slows the machine down slows both. The first trial, in which both compile, is left out.
"""

import contextlib
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


def build(hp):
    density = tuning.density(hp, kernel_size=3)
    inputs = x = keras.Input((16, 16, 3))
    for _ in range(LAYERS - 1):
        x = WeightedConv2D(16, 3, padding="same", activation="relu", density=density)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, keras.layers.Dense(10, activation="softmax")(x))
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


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
        with contextlib.redirect_stdout(None):
            run_trial(tuner, data)
    return (process.memory_info().rss - begin) / 2**20


def main():
    options = _harness.parse_options(__doc__)
    trials = 4 if options.quick else 20
    rng = np.random.default_rng(0)
    data = {
        "x": rng.random((STEPS * BATCH, 16, 16, 3), "float32"),
        "y": rng.integers(0, 10, STEPS * BATCH),
        "batch_size": BATCH,
        "verbose": 0,
    }
    with tempfile.TemporaryDirectory() as directory:
        tuners = make_tuners(directory)
        times = {name: [] for name in tuners}
        for _ in track(range(1 + trials), "Trials of both"):
            for name, tuner in tuners.items():
                with contextlib.redirect_stdout(None):
                    times[name].append(run_trial(tuner, data))
        more = 10 if options.quick else 200
        grown = grown_megabytes(tuners["keras_wconv"], data, more)
    plain, shared = (np.array(values[1:]) for values in times.values())
    rows = [
        {
            "layers": LAYERS,
            "steps": STEPS,
            "trials": trials,
            "keras_tuner_milliseconds": _harness.quartiles(1e3 * plain),
            "milliseconds": _harness.quartiles(1e3 * shared),
            "speed_up": _harness.quartiles(plain / shared),
            "more_trials": more,
            "megabytes_grown": grown,
        }
    ]
    print(_harness.save("search", rows, options))


if __name__ == "__main__":
    main()
