"""Memory that a search takes for each trial, with one model for all and one for each.

The network, the oracle and the tuners are those of `search`; a trial trains for two
steps. Each tuner has a process of its own, and what counts is by how much it grows from
the first trials, in which all is loaded and compiled, to the last. (`DensityTuner`
reads models off their configs, for which Keras imports TensorFlow where it is
installed: that is the difference at first under the other backends.)

That a search of KerasTuner grows with every trial is a complaint open since 2020:
https://github.com/keras-team/keras-tuner/issues/395
"""

import contextlib
import io
import multiprocessing
import tempfile

import psutil
from rich.progress import track

from . import _harness, search

WARM_UP, STEPS = 5, 2


def megabytes(name, trials, queue):
    """Puts the size of the process before the trials and after each of them."""
    data = {**search.random_data(), "verbose": 0}
    for key in "xy":
        data[key] = data[key][: STEPS * search.BATCH]
    process = psutil.Process()
    sizes = []
    with tempfile.TemporaryDirectory() as directory:
        tuner = search.make_tuners(directory)[name]
        for number in track(range(WARM_UP + trials), name):
            with contextlib.redirect_stdout(io.StringIO()):
                search.run_trial(tuner, data)
            if number >= WARM_UP - 1:
                sizes.append(process.memory_info().rss / 2**20)
    queue.put(sizes)


def main():
    options = _harness.parse_options(__doc__)
    trials = 6 if options.quick else 60
    spawn = multiprocessing.get_context("spawn")
    rows = []
    for name in ("keras_tuner", "keras_wconv"):
        queue = spawn.Queue()
        process = spawn.Process(target=megabytes, args=(name, trials, queue))
        process.start()
        sizes = queue.get()
        process.join()
        third = trials // 3
        rows.append(
            {
                "tuner": name,
                "trials": trials,
                "megabytes_at_first": sizes[0],
                "megabytes_at_last": sizes[-1],
                "megabytes_a_trial": (sizes[-1] - sizes[0]) / trials,
                "in_the_last_third": (sizes[-1] - sizes[-1 - third]) / third,
            }
        )
    print(_harness.save("memory", rows, options))


if __name__ == "__main__":
    main()
