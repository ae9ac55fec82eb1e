"""A density for the cost of few trainings: what short trainings tell, and which search.

A table benchmark. Networks with kernels of 3, whose density has one coefficient, are
trained for a grid of densities, at a ninth, a third and the whole of the epochs, each
with its whole schedule and several seeds; and once with a learned density, which is
then fixed and trained anew. The methods look the scores up, between two densities of
the grid linearly: none of them trains, and all of them see the same scores. The first
part of the answer is how well short trainings rank the densities.

`python -m benchmarks.cheap_search` trains what is missing from
benchmarks/results/cheap_search, a line a training, and then writes the tables.
"""

import argparse
import contextlib
import functools
import io
import tempfile
import time

import keras
import keras_tuner as kt
import numpy as np
from scipy import stats

from keras_wconv import tuning
from keras_wconv.applications import VGG, TimeSeriesResNet
from keras_wconv.experiments import Classification, Denoising, Page, datasets
from keras_wconv.experiments.denoising import SmallDnCNN
from keras_wconv.experiments.runs import RunLog
from keras_wconv.inspection import learned_layers
from keras_wconv.tuning.kept_model import KeptModel

from . import RESULTS

FOLDER = RESULTS / "cheap_search"
EPOCHS = 9
FIDELITIES = (1, 3, 9)  # epochs
LOW, HIGH = 0.5, 1.5  # the published range
GRID = np.linspace(LOW, HIGH, 13)

TASKS = {
    "photographs": lambda: Denoising.photographs(
        functools.partial(SmallDnCNN, depth=5, filters=16),
        epochs=EPOCHS,
        batch_size=8,
        patch_size=32,
        steps_per_epoch=40,
    ),
    "digits": lambda: Classification.digits(
        functools.partial(
            VGG, (2, 2), (8, 16), batch_normalization=True, hidden_units=()
        ),
        epochs=EPOCHS,
        batch_size=25,
    ),
    "time_series": lambda: Classification(
        datasets.time_series(noise=2.0),
        functools.partial(TimeSeriesResNet, filters=(16, 32), kernel_sizes=(3, 3, 3)),
        epochs=EPOCHS,
        batch_size=15,
        learning_rate=0.02,
        schedule="cosine",
    ),
}


class Trainings:
    """The trainings of a task, each finished one in a log."""

    def __init__(self, name):
        self.task = TASKS[name]()
        self.log = RunLog(FOLDER / name, {"task": name, "epochs": EPOCHS})
        self._kept = {}  # epochs: the model that all densities share

    def record(self, kind, density, epochs, seed):
        """Returns the record of a training, or None. See `train`."""
        return self.log.find(_key(kind, density, epochs, seed))

    def train(self, kind, density, epochs, seed):
        """Returns the record of a training, after training what is not there.

        Args:
            kind: "fixed" for the coefficient `density`; "learned" for one that each
                layer learns from `density` on; "found" for the fixed densities that
                each layer had learned in `density` epochs.
        """
        record = self.record(kind, density, epochs, seed)
        if record is None:
            begin = time.perf_counter()
            task = self.task.with_steps(epochs * self.task.steps)
            model, found = self._model(task, kind, density, seed)
            task.fit(model, seed)
            record = {
                **_key(kind, density, epochs, seed),
                "validation": task.evaluate(model, "validation"),
                "test": task.evaluate(model, "test"),
                "seconds": round(time.perf_counter() - begin, 2),
            }
            if found is not None:
                record["densities"] = found
            if kind == "learned":
                record["densities"] = {
                    name: [float(v) for v in layer.density_profiles[0]]
                    for name, layer in learned_layers(model).items()
                }
            self.log.append(record)
        return record

    def _model(self, task, kind, density, seed):
        keras.utils.clear_session(free_memory=False)
        keras.utils.set_random_seed(seed)
        found = None
        if kind == "learned":
            model = task.model([density], density_trainable=True)
        elif kind == "found":
            # The densities of another seed than that of the training would do, too.
            found = self.train("learned", 1.0, density, seed)["densities"]
            keras.utils.clear_session(free_memory=False)
            keras.utils.set_random_seed(seed)
            first = {name: [profile[0]] for name, profile in found.items()}
            model = task.model(lambda name, kernel_size: first.get(name))
        else:
            model = task.model([density])
        task.compile(model)
        if kind != "learned":
            kept = self._kept.get(task.epochs)
            if kept is None:
                kept = self._kept[task.epochs] = KeptModel(model)
            elif (difference := kept.start_as(model)) is not None:
                raise AssertionError(difference)
            model = kept.model
        return model, found

    def wanted(self, seed):
        """Yields the arguments of all trainings of a seed."""
        for epochs in FIDELITIES:
            for density in GRID:
                yield "fixed", float(density), epochs, seed
        for epochs in (3, 9):
            yield "learned", 1.0, epochs, seed
            yield "found", epochs, EPOCHS, seed


def _key(kind, density, epochs, seed):
    return {"kind": kind, "density": density, "epochs": epochs, "seed": seed}


class Table:
    """The scores of a task and a seed, and what looking them up would have cost."""

    def __init__(self, trainings, seed):
        self.metric = trainings.task.monitor
        self.sign = 1 if trainings.task.direction == "max" else -1
        self.trainings = trainings
        self.seed = seed
        self.epochs = 0
        self.seconds = 0

    def _records(self, epochs):
        return [
            self.trainings.record("fixed", float(density), epochs, self.seed)
            for density in GRID
        ]

    def column(self, epochs, split="validation"):
        """Returns the scores of the grid."""
        return np.array([one[split][self.metric] for one in self._records(epochs)])

    def score(self, density, epochs, split="validation"):
        return float(np.interp(density, GRID, self.column(epochs, split)))

    def train(self, density, epochs, already=0):
        self.epochs += epochs - already
        # The median, since one machine was at times busy with other things.
        seconds = np.median([record["seconds"] for record in self._records(epochs)])
        self.seconds += seconds * (epochs - already) / epochs
        return self.score(density, epochs)

    def gain(self, score, split):
        """Returns by how much a score is better than the standard's."""
        standard = self.score(1.0, EPOCHS, split)
        return self.sign * self.trainings.task.scale * (score - standard)

    def best(self, scores):
        """Returns the density with the best score of a dict."""
        return max(scores, key=lambda density: self.sign * scores[density])


def by_direct_l(table, seed, trials, epochs, finalists=()):
    """DIRECT-L at one fidelity; the best of it are trained for longer."""
    search = tuning.DirectLSearch(1)
    scores = {}
    while len(scores) < trials:
        for point in search.ask():
            density = LOW + point[0] * (HIGH - LOW)
            if len(scores) < trials:
                scores[density] = table.train(density, epochs)
                search.tell(point, -table.sign * scores[density])
    for count, longer in finalists:
        order = sorted(scores, key=lambda d: -table.sign * scores[d])
        scores = {d: table.train(d, longer) for d in order[:count]}
    return table.best(scores)


def by_oracle(table, seed, make):
    """An oracle of KerasTuner, asked and told without a tuner."""
    direction = "max" if table.sign > 0 else "min"
    hp = kt.HyperParameters()
    hp.Float("density", LOW, HIGH)
    oracle = make(objective=kt.Objective("score", direction), seed=seed + 1)
    oracle.hyperparameters = hp
    reached = {}
    with tempfile.TemporaryDirectory() as folder:
        oracle._set_project_dir(folder, "search")
        while True:
            trial = oracle.create_trial("tuner")
            if trial.status == "STOPPED":
                break
            if trial.status != "RUNNING":
                continue
            values = trial.hyperparameters.values
            epochs = values.get("tuner/epochs", EPOCHS)
            already = values.get("tuner/initial_epoch", 0)
            score = table.train(values["density"], epochs, already)
            reached[values["density"]] = max(
                reached.get(values["density"], (0, 0)), (epochs, score)
            )
            oracle.update_trial(trial.trial_id, {"score": score})
            trial.status = "COMPLETED"
            oracle.end_trial(trial)
    longest = max(epochs for epochs, _ in reached.values())
    return table.best({d: s for d, (e, s) in reached.items() if e == longest})


def _oracle(kind, **arguments):
    return functools.partial(
        by_oracle, make=functools.partial(getattr(kt.oracles, kind), **arguments)
    )


METHODS = {
    "DIRECT-L, 9 trainings": functools.partial(by_direct_l, trials=9, epochs=9),
    "BayesianOptimization, 9": _oracle("BayesianOptimizationOracle", max_trials=9),
    "RandomSearch, 9": _oracle("RandomSearchOracle", max_trials=9),
    "Hyperband": _oracle("HyperbandOracle", max_epochs=9, factor=3),
    "DIRECT-L, 3 trainings": functools.partial(by_direct_l, trials=3, epochs=9),
    "DIRECT-L, 2 trainings": functools.partial(by_direct_l, trials=2, epochs=9),
    "DIRECT-L, 6 at a third": functools.partial(by_direct_l, trials=6, epochs=3),
    "DIRECT-L, 9 at a ninth, 3 at a third": functools.partial(
        by_direct_l, trials=9, epochs=1, finalists=[(3, 3)]
    ),
    "DIRECT-L, 9 at a ninth": functools.partial(by_direct_l, trials=9, epochs=1),
    "BayesianOptimization, 2": _oracle("BayesianOptimizationOracle", max_trials=2),
    "RandomSearch, 2": _oracle("RandomSearchOracle", max_trials=2),
}


SPLITS = ("validation", "test")


def evaluate(trainings, seeds):
    """Returns a dict for each method, with lists over the seeds.

    Its `validation` and `test` are scores less those of the standard network.
    """
    rows = []
    for name, method in METHODS.items():
        row = _row(rows, name)
        for seed in seeds:
            table = Table(trainings, seed)
            with contextlib.redirect_stdout(io.StringIO()):  # Of KerasTuner's oracles.
                density = method(table, seed)
            row["density"].append(density)
            row["trainings"].append(table.epochs / EPOCHS)
            row["seconds"].append(table.seconds)
            for split in SPLITS:
                score = table.score(density, EPOCHS, split)
                row[split].append(table.gain(score, split))
    for epochs in (EPOCHS, 3):
        part = "one training" if epochs == EPOCHS else "a third of one"
        row = _row(rows, f"learned in {part}, then fixed")
        for seed in seeds:
            table = Table(trainings, seed)
            learned = trainings.record("learned", 1.0, epochs, seed)
            profiles = learned["densities"].values()
            row["density"].append(np.mean([profile[0] for profile in profiles]))
            row["trainings"].append(epochs / EPOCHS)
            row["seconds"].append(learned["seconds"])
            record = trainings.record("found", epochs, EPOCHS, seed)
            for split in SPLITS:
                row[split].append(table.gain(record[split][table.metric], split))
    return rows


def _row(rows, method):
    lists = {key: [] for key in ("density", "trainings", "seconds", *SPLITS)}
    rows.append({"method": method, **lists})
    return rows[-1]


def correlations(trainings, seeds):
    """Returns Spearman's rank correlations of the densities' scores, by seed."""
    tables = [Table(trainings, seed) for seed in seeds]
    columns = {e: [table.column(e) for table in tables] for e in FIDELITIES}

    def rank(a, b):
        return float(stats.spearmanr(a, b).statistic)

    full = columns[EPOCHS]
    return {
        "a ninth against the whole": list(map(rank, columns[1], full)),
        "a third against the whole": list(map(rank, columns[3], full)),
        "the whole against another seed": [
            rank(full[i], full[i - 1]) for i in range(len(full))
        ],
        "validation against test": [
            rank(table.column(EPOCHS), table.column(EPOCHS, "test")) for table in tables
        ],
    }


def write(tasks, seeds):
    page = Page("A density for the cost of few trainings")
    page.code("python -m benchmarks.cheap_search")
    page.text(
        f"Kernels of 3, one coefficient in [{LOW}, {HIGH}]. {len(GRID)} densities were "
        f"trained on each of three tasks with {len(seeds)} seeds, for a ninth, a third "
        "and the whole of the epochs, each with its whole schedule. The methods look "
        "the scores up in that table, between two densities linearly; none of them "
        "trains."
    )
    page.heading("What short trainings tell")
    page.text(
        "Spearman's rank correlation of the validation scores of the densities: mean "
        "and range over the seeds."
    )
    found = {name: correlations(t, seeds) for name, t in tasks.items()}
    page.table(
        ["", *found],
        [
            [label, *(_spread(one[label], "{:.2f}") for one in found.values())]
            for label in next(iter(found.values()))
        ],
    )
    page.heading("Methods")
    units = ", ".join(f"{n} in {t.task.unit}" for n, t in tasks.items())
    rows = {name: evaluate(t, seeds) for name, t in tasks.items()}

    def table(key, form, first=()):
        page.table(
            ["method", *first, *rows],
            [
                [
                    lines[0]["method"],
                    *(f"{np.mean(lines[0][name]):.2f}" for name in first),
                    *(_spread(line[key], form) for line in lines),
                ]
                for lines in zip(*rows.values(), strict=True)
            ],
        )

    page.text(
        "Cost in full trainings, without the final one that all methods need. Test "
        "score of the density found less that of the standard network, whose start "
        f"and learning rate were not tuned: mean and range over the seeds; {units}."
    )
    table("test", "{:+.2f}", first=["trainings"])
    page.text("The same on the validation split, by which the methods choose.")
    table("validation", "{:+.2f}")
    page.text(
        "Seconds of these trainings on two cores, which did other work at times: mean "
        "and range over the seeds."
    )
    table("seconds", "{:.0f}")
    page.text("The densities found, over the seeds (learned: the mean of the layers).")
    table("density", "{:.2f}")
    page.write(FOLDER)


def _spread(values, form):
    mean, low, high = (
        form.format(x) for x in (np.mean(values), min(values), max(values))
    )
    return f"{mean} ({low} to {high})"


def main():
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cheap_search", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--only", choices=TASKS, action="append")
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    tasks = {name: Trainings(name) for name in options.only or TASKS}
    for seed in range(options.seeds):
        for name, trainings in tasks.items():
            begin = time.perf_counter()
            for arguments in trainings.wanted(seed):
                trainings.train(*arguments)
            seconds = time.perf_counter() - begin
            print(f"{name}, seed {seed}: {seconds:.0f} s", flush=True)
    if not options.only:
        write(tasks, range(options.seeds))


if __name__ == "__main__":
    main()
