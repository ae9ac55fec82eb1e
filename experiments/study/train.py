"""One run of a candidate, from its initial values to its record."""

import contextlib
import dataclasses
import math
import re
import time

import keras
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ..._device import device
from ..._files import whole_file
from . import identity, initial
from .candidate import with_values
from .log import model_path, thinned


class Runner:
    """Trains the runs of a comparison that are not in its log.

    It is a context manager that shows the progress: bars in a terminal, lines in a
    pipe.

    Args:
        log: `log.RunLog`.
        total: int, the largest number of runs.
        callbacks: see `compare`.

    Attributes:
        ids: set of the digests of the runs that it was asked for.
    """

    def __init__(self, log, total, callbacks=None):
        self.log = log
        self.ids = set()
        self._callbacks = callbacks or (lambda name: [])
        self._total, self._done = total, 0
        self._console = Console(stderr=True)
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
        return self

    def __exit__(self, *exception):
        self._bars.stop()

    def _title(self):
        return f"run {min(self._done + 1, self._total)} of {self._total}"

    def skip(self, count):
        """Subtracts runs that are not needed from the total."""
        self._total -= count
        self._bars.update(self._all, total=self._total, description=self._title())

    def tried(self, candidate):
        """Returns the values of a candidate's tuning runs among `ids`, dicts."""
        return [
            record["values"]
            for record in self.log.records
            if (record["candidate"], record["stage"]) == (candidate, "tuning")
            and record["id"] in self.ids
        ]

    def run(self, run):
        """Returns the record of a `Run`, and trains it if the log has none."""
        task = run.task.for_seed(run.seed)
        hp = with_values(run.space, run.values)
        model, drawn = initial.start(
            run.candidate, hp, run.seed, run.values.get("start", 1.0), task
        )
        unknown = {one.name for one in hp.space} - {one.name for one in run.space.space}
        if unknown:
            raise ValueError(
                f"`build` of candidate {run.candidate.name!r} must not ask for more "
                f"at some values than was found before. Received: {sorted(unknown)}, "
                f"asked for at {run.values}. Ask for it within "
                "`hp.conditional_scope`, or before the condition."
            )
        task.compile(
            model,
            learning_rate=run.values.get("learning_rate"),
            weight_decay=run.values.get("weight_decay"),
        )
        attributes = identity.describe_attributes(task)
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
            *([attributes] if attributes else []),  # Runs without keep their names.
        )
        self.ids.add(run_id)
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
            # The same run under another name: another training would end the same.
            return self.log.append({**record, **about})
        begin = time.perf_counter()
        bar = _EpochBar(self._bars, self._all, run)
        callbacks = self._callbacks(run.file_name)
        if not isinstance(callbacks, list | tuple):
            raise ValueError(
                "`callbacks` must return a list of Keras callbacks. Received: "
                f"{callbacks!r}"
            )
        task.fit(model, run.seed, callbacks=[bar, *callbacks])
        record = {
            **about,
            **_scores(task, model, "validation"),
            **({} if run.stage == "tuning" else _scores(task, model, "test")),
            "curve": thinned(bar.losses),
            "parameters": int(model.count_params()),
            "device": device(),
            "seconds": round(time.perf_counter() - begin, 2),
        }
        if run.is_kept:
            _save(model, model_path(self.log.folder, record))
        record = self.log.append(record)
        bar.remove()
        self._done += 1
        self._bars.update(self._all, completed=self._done, description=self._title())
        score = record["validation"][task.monitor]
        self._console.print(
            f"{self._done} of {self._total}: {run.name}: validation {task.monitor} "
            f"{'not finite' if score is None else f'{score:.4f}'}, "
            f"{record['seconds']:.0f} s",
            soft_wrap=True,
            highlight=False,
        )
        return record


@dataclasses.dataclass
class Run:
    """One training of a candidate.

    Attributes:
        task: `Task`, with the length of the training and the number of examples.
        candidate: `Candidate`.
        space: `keras_tuner.HyperParameters` of the candidate.
        values: dict of the tuned values.
        seed: int.
        stage: `"tuning"`, `"final"`, or `"repeat"` for a final run that is done again
            to see how much the device rounds.
        examples: int, of the training split, or None for all.
        is_kept: bool, whether the trained model is saved.
    """

    task: object
    candidate: object
    space: object
    values: dict
    seed: int
    stage: str
    examples: int | None = None
    is_kept: bool = False

    @property
    def name(self):
        of = "" if self.examples is None else f", {self.examples} examples"
        stage = "" if self.stage == "final" else f"{self.stage}, "
        values = {
            name: float(f"{value:.4g}") if isinstance(value, float) else value
            for name, value in self.values.items()
        }
        tuned = f", {values}" if self.stage == "tuning" else ""
        return (
            f"{self.candidate.name}, {stage}{self.task.total_steps} steps{of}, "
            f"seed {self.seed}{tuned}"
        )

    @property
    def file_name(self):
        """The name for the folders of callbacks, such as TensorBoard."""
        values = identity.digest(self.values)[:6] if self.stage == "tuning" else ""
        name = f"{self.name.partition(', {')[0]} {values}"
        return re.sub(r"[^\w.-]+", "-", name).strip("-")


def _scores(task, model, split):
    """Returns the metrics of a split for a record, and whether the run failed there."""
    rows = task.measure(model, split)
    means = task.average(rows)
    if task.monitor not in means:
        raise ValueError(
            f"`monitor` of the task must be one of its metrics, {sorted(means)}. "
            f"Received: {task.monitor!r}"
        )
    scores = {split: means, f"failed_{split}": task.failed(means[task.monitor], split)}
    if split == "test" and len(rows) > 1:
        scores["rows"] = {}
        for i, row in enumerate(rows):
            name = row["example"]
            name = f"{name} ({i})" if name in scores["rows"] else name
            scores["rows"][name] = row[task.monitor]
    return scores


def _save(model, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not every model can be saved, and the results do not need it.
    with contextlib.suppress(Exception), whole_file(path) as temporary:
        model.save(temporary)


class _EpochBar(keras.callbacks.Callback):
    """Advances the bars, and keeps the training loss of each epoch in `losses`."""

    def __init__(self, bars, of_all, run):
        super().__init__()
        self.losses = []
        self._bars, self._all, self._epochs = bars, of_all, run.task.epochs
        self._own = bars.add_task(f"  {run.name[:40]}", total=self._epochs)

    def on_epoch_end(self, epoch, logs=None):
        loss = (logs or {}).get("loss", math.nan)  # One's own `train_step` may lack it.
        self.losses.append(float(f"{loss:.5g}"))
        self._bars.advance(self._own)
        self._bars.advance(self._all, 1 / self._epochs)

    def remove(self):
        self._bars.remove_task(self._own)
