"""The only loop that trains: one run of a candidate, from its start to its record."""

import contextlib
import dataclasses
import re
import time

import keras
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ..._device import device
from ..._files import whole_file
from . import identity, initial
from .candidate import with_values
from .log import thinned


class Runner:
    """Trains runs of a comparison that are not in its log.

    Args:
        log: `log.RunLog`.
        total: int, how many runs there will be at most.
        callbacks: function of a run's name that returns a list of Keras callbacks, or
            None.

    A context manager that shows the progress.
    """

    def __init__(self, log, total, callbacks=None):
        self.log = log
        self._callbacks = callbacks or (lambda name: [])
        self._progress = _Runs(total)

    def __enter__(self):
        self._progress.__enter__()
        return self

    def __exit__(self, *exception):
        self._progress.__exit__(*exception)

    def skip(self, count):
        """Takes runs that are not needed out of the count."""
        self._progress.skip(count)

    def run(self, run):
        """Returns the record of a `Run`, which is trained unless the log has it."""
        task = run.task.for_seed(run.seed)
        hp = with_values(run.space, run.values)
        model, drawn = initial.start(
            run.candidate, hp, run.seed, run.values.get("start", 1.0), task
        )
        task.compile(
            model,
            learning_rate=run.values.get("learning_rate"),
            weight_decay=run.values.get("weight_decay"),
        )
        run_id = identity.digest(
            task.get_config(),
            task.data.digest(),
            identity.describe_model(model),
            identity.describe_recipe(model),
            initial.values_digest(model),
            run.seed,
            task.total_steps,
            keras.backend.backend(),
            keras.config.dtype_policy().name,
            run.stage == "repeat",
        )
        about = {
            "id": run_id,
            "stage": run.stage,
            "candidate": run.candidate.name,
            "values": run.values,
            "steps": task.total_steps,
            "examples": run.examples,
            "seed": run.seed,
            "initial": drawn,
        }
        own = {"candidate": run.candidate.name, "stage": run.stage}
        record = self.log.find(run_id, **own)
        if record is not None:
            self.skip(1)
            if own.items() <= record.items():
                return record
            # The same run under another name: nothing is gained by training again.
            return self.log.append({**record, **about})
        with self._progress.run(run.name, task) as bar:
            begin = time.perf_counter()
            task.fit(model, run.seed, callbacks=[bar, *self._callbacks(run.file_name)])
            record = {
                **about,
                **_scores(task, model, "validation"),
                **({} if run.stage == "tuning" else _scores(task, model, "test")),
                "curve": thinned(bar.losses),
                "parameters": int(model.count_params()),
                "device": device(),
                "seconds": round(time.perf_counter() - begin, 2),
            }
        if run.save_as is not None:
            _save(model, run.save_as)
        record = self.log.append(record)
        self._progress.say(
            f"{run.name}: validation {task.monitor} "
            f"{_text(record['validation'][task.monitor])}, {record['seconds']:.0f} s"
        )
        return record


@dataclasses.dataclass
class Run:
    """One training of a candidate.

    Attributes:
        task: `Task`, with the length of the training and the number of examples.
        candidate: `Candidate`.
        space: `keras_tuner.HyperParameters` of the candidate.
        values: dict of the values of all that is tuned.
        seed: int.
        stage: `"tuning"`, `"final"`, or `"repeat"` for a final run that is done again,
            to see whether the device computes the same.
        examples: int, of the training split, or None for all.
        save_as: `pathlib.Path` of the trained model, or None.
    """

    task: object
    candidate: object
    space: object
    values: dict
    seed: int
    stage: str
    examples: int | None = None
    save_as: object = None

    @property
    def name(self):
        of = "" if self.examples is None else f", {self.examples} examples"
        stage = "" if self.stage == "final" else f"{self.stage}, "
        values = {k: _round(v) for k, v in self.values.items()}
        tuned = f", {values}" if self.stage == "tuning" else ""
        return (
            f"{self.candidate.name}, {stage}{self.task.total_steps} steps{of}, "
            f"seed {self.seed}{tuned}"
        )

    @property
    def file_name(self):
        """The name for folders of callbacks, such as TensorBoard's."""
        values = identity.digest(self.values)[:6] if self.stage == "tuning" else ""
        return re.sub(
            r"[^\w.-]+", "-", f"{self.name.partition(', {')[0]} {values}"
        ).strip("-")


def _scores(task, model, split):
    """Returns the metrics of a split for a record, and whether the run failed there."""
    rows = task.measure(model, split)
    means = task.average(rows)
    scores = {split: means, f"failed_{split}": task.failed(means[task.monitor], split)}
    if split == "test" and len(rows) > 1:
        scores["rows"] = {row["example"]: row[task.monitor] for row in rows}
    return scores


def _save(model, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not every model of one's own can be saved, and the result does not need it.
    with contextlib.suppress(Exception), whole_file(path) as temporary:
        model.save(temporary)


def _round(value):
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _text(value):
    return "not finite" if value is None else f"{value:.4f}"


class _Runs:
    """The progress of all runs: a bar in a terminal, numbered lines in a pipe."""

    def __init__(self, total):
        self._console = Console(stderr=True)
        self._total, self._done = total, 0
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.percentage:.0f} %"),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=True,
            speed_estimate_period=600,
        )
        self._all = self._bars.add_task(self._title(), total=total)

    def __enter__(self):
        self._bars.start()

    def __exit__(self, *exception):
        self._bars.stop()

    def _title(self):
        return f"run {min(self._done + 1, self._total)} of {self._total}"

    def skip(self, count):
        self._total -= count
        self._bars.update(self._all, total=self._total, description=self._title())

    @contextlib.contextmanager
    def run(self, name, task):
        inner = self._bars.add_task(f"  {name[:40]}", total=task.epochs)
        yield _EpochBar(self._bars, inner, self._all, task.epochs)
        self._bars.remove_task(inner)
        self._done += 1
        self._bars.update(self._all, completed=self._done, description=self._title())

    def say(self, text):
        self._console.print(
            f"{self._done} of {self._total}: {text}", soft_wrap=True, highlight=False
        )


class _EpochBar(keras.callbacks.Callback):
    """Advances the bars, and keeps the training loss of each epoch in `losses`."""

    def __init__(self, bars, inner, everything, epochs):
        super().__init__()
        self.losses = []
        self._bars, self._inner, self._all = bars, inner, everything
        self._epochs = epochs

    def on_epoch_end(self, epoch, logs=None):
        self.losses.append(float(f"{logs['loss']:.5g}"))
        self._bars.advance(self._inner)
        self._bars.advance(self._all, 1 / self._epochs)
