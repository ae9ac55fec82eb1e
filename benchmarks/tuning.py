"""Tuning: the trainings of each way that a study compared, and the minutes they took.

The trainings are those on file in `studies/series`; `found after` counts them up to
those of the values that were chosen. A training of each network is timed here, all in
turn, since the studies themselves ran beside other things. A ratio compares all
trainings of one way with those that tune the size of the standard kernel.
"""

import collections

import numpy as np
from rich.progress import track

from keras_wconv.densities import Gaussian
from keras_wconv.experiments import Results
from studies import question, series

from . import _harness

STUDIES = ("ArrowHead", "OSULeaf", "ACSF1")
BASELINE = "standard, size tuned"
WAYS = (BASELINE, "learned", "width tuned", "standard, large", "not normalized")
DENSITIES = {
    "standard": {},
    "fixed": {"density": Gaussian(4.0)},
    "learned": {"density": Gaussian(4.0), "density_trainable": True},
}


def trainings(found):
    """Returns the values of the runs that tuned each of `WAYS`, in their order."""
    runs = collections.defaultdict(list)
    for record in found.records:
        if record["stage"] == "tuning" and record["candidate"] in WAYS:
            runs[record["candidate"]].append(record["values"])
    return runs


def kind(name, values, largest):
    """Returns the size of the kernels, and what makes the density of a run."""
    if name == BASELINE:
        return values["kernel_size"], "standard"
    if name == "standard, large":
        return largest, "standard"
    return largest, "learned" if name == "learned" else "fixed"


def epoch(task, build, size, density):
    """Returns a function that trains one epoch of a network."""
    model = build(size, **DENSITIES[density])
    task.compile(model)
    batches = task.batches(0)
    return lambda: model.fit(batches, epochs=1, verbose=0)


def main():
    options = _harness.parse_options(__doc__)
    rows = []
    for name in track(STUDIES[: 1 if options.quick else None], "Tuning"):
        found = Results.load(question.HERE / "series" / name)
        task, build, sizes = series.question_of(name)
        runs = trainings(found)
        kinds = {
            way: [kind(way, values, max(sizes)) for values in tried]
            for way, tried in runs.items()
        }
        different = sorted({one for ways in kinds.values() for one in ways})
        epochs = {one: epoch(task, build, *one) for one in different}
        times = _harness.compare(epochs, seconds=2 if options.quick else 60)
        totals = {
            way: task.epochs * np.sum([times[one] for one in ways], axis=0)
            for way, ways in kinds.items()
        }
        for way, seconds in totals.items():
            chosen = [values == found.values(way) for values in runs[way]]
            rows.append(
                {
                    "study": name,
                    "variant": way,
                    "trainings": len(runs[way]),
                    "found_after": len(chosen) - chosen[::-1].index(True),
                    "minutes": round(float(np.median(seconds)) / 60, 2),
                    "ratio": _harness.quartiles(seconds / totals[BASELINE]),
                    "rounds": len(seconds),
                }
            )
    print(_harness.save("tuning", rows, options))


if __name__ == "__main__":
    main()
