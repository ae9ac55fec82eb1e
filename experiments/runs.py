"""The log of finished runs, and the only loop that trains the networks of a task."""

import dataclasses
import json
import os
import time
from pathlib import Path

import keras
import numpy as np
from keras import ops
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from .. import densities
from .._files import FolderLock, whole_file, write_atomically
from ..inspection import learned_layers, weighted_layers
from .arms import Arm, kernel_maps


@dataclasses.dataclass(frozen=True)
class Setup:
    """An arm with the values of all that it may tune.

    Attributes:
        arm: `Arm`.
        density: density of the weighted network, as its builder takes it.
        learning_rate: float.
        start: float, factor of the initial kernels.
    """

    arm: Arm
    density: object
    learning_rate: float
    start: float = 1.0

    def describe(self, task):
        """Returns what identifies the setup in a log, as JSON can hold it."""
        plain = self.arm.side == "standard"
        return {
            "arm": self.arm.key,
            "density": None if plain else describe_density(task, self.density),
            "learning_rate": self.learning_rate,
            "start": self.start,
        }


def build(task, setup, **density_options):
    """Builds and compiles the network of a setup, which starts as the setup says.

    Returns:
        `keras.Model`.
    """
    model = setup.arm.network(task, setup.density, **density_options)
    task.compile(model, setup.learning_rate)
    _scale_start(task, model, setup, **density_options)
    return model


def _scale_start(task, model, setup, **density_options):
    """Turns the standard initial kernels of a model into those of the setup."""
    start = setup.arm.start
    if start is None and setup.start == 1:
        return
    maps = kernel_maps(task.model(setup.density, **density_options))
    if not maps:
        raise ValueError(
            "`density` must be given where initial kernels are scaled: those of the "
            f"weighted layers are. Received: {setup.density}, with which "
            f"{model.name!r} has no weighted layers."
        )
    for weight in model.trainable_weights:
        if weight.path in maps:
            kernel = ops.convert_to_numpy(weight)
            if start is not None:
                kernel = start(kernel, maps[weight.path])
            weight.assign(kernel * setup.start)


class Network:
    """A network of a comparison: compiled once, trained from the start of any seed.

    Networks of one task share the initial values and the batches of a seed.

    Args:
        task: `Task`.
        setup: `Setup`.
        **density_options: for the weighted network.

    Attributes:
        model: `keras.Model`.

    Example:

    >>> from keras_wconv import experiments
    >>> from keras_wconv.experiments import arms, runs
    >>> task = experiments.Classification.digits(epochs=1)
    >>> network = runs.Network(task, runs.Setup(arms.ARMS["C"], [0.7], 0.02))
    >>> network.start(seed=0)
    >>> network.model.name
    'vgg'
    """

    def __init__(self, task, setup, **density_options):
        self.task = task
        self.setup = setup
        self.density_options = density_options
        self.model = setup.arm.network(task, setup.density, **density_options)
        task.compile(self.model, setup.learning_rate)
        self._fresh = [
            (variable, ops.convert_to_numpy(variable))
            for variable in (*self.model.variables, *self.model.optimizer.variables)
        ]

    def start(self, seed):
        """Sets all variables to the start that the seed decides."""
        for variable, value in self._fresh:
            variable.assign(value)
        keras.utils.set_random_seed(seed)
        start = {weight.path: weight for weight in self.task.model().weights}
        for weight in self.model.weights:
            if weight.path in start:  # The weights of a learned density are not.
                weight.assign(ops.convert_to_numpy(start[weight.path]))
        _scale_start(self.task, self.model, self.setup, **self.density_options)

    def train(self, seed, callbacks=()):
        """Trains from the start of a seed, and returns the model."""
        self.start(seed)
        self.task.fit(self.model, seed, callbacks=callbacks)
        return self.model


def train(task, setup, seeds, log, progress, save_as=None, **density_options):
    """Does the final runs of a setup that are not in the log; returns all records.

    Args:
        task: `Task`.
        setup: `Setup`.
        seeds: list of int.
        log: `RunLog`.
        progress: `rich.progress.Progress`.
        save_as: `pathlib.Path` of the network of the first seed, or None.
        **density_options: for the weighted network.

    Returns:
        A list of dicts, one a seed, with the metrics on the validation and the test
        split.
    """
    network, records = None, []
    for seed in seeds:
        key = {
            "stage": "final",
            "steps": task.total_steps,
            **setup.describe(task),
            "seed": seed,
        }
        record = log.find(key)
        if record is not None:
            skip(progress, task.epochs)
        else:
            title = f"{setup.arm.name}, {task.total_steps} steps, seed {seed}"
            with EpochBar(progress, title, task) as advance:
                started = time.perf_counter()
                network = network or Network(task, setup, **density_options)
                model = network.train(seed, [advance])
                examples = task.measure(model, "test")
                record = {
                    **key,
                    "validation": task.evaluate(model, "validation"),
                    "test": task.average(examples),
                    "examples": {row["example"]: row[task.monitor] for row in examples},
                    "curve": advance.losses,
                    "seconds": round(time.perf_counter() - started, 2),
                }
            learned = {
                name: {key: v.tolist() for key, v in layer.density.values().items()}
                for name, layer in learned_layers(model).items()
            }
            if learned:
                record["densities"] = learned
            if save_as is not None and seed == seeds[0]:
                save_as.parent.mkdir(parents=True, exist_ok=True)
                with whole_file(save_as) as temporary:
                    model.save(temporary)
            log.append(record)
            score = record["validation"][task.monitor]
            progress.console.print(
                f"{title}: validation {task.monitor} {score:.4f}, "
                f"{record['seconds']:.0f} s",
                soft_wrap=True,
            )
        records.append(record)
    return records


class RunLog:
    """Finished runs in `runs.jsonl`, one line each, and the settings that they share.

    A line is on the disk before the next run begins. A line that a kill has torn is
    left out, and its run is done again; a line that is there twice counts once. As long
    as a process has the log, no other can have it; used as a context manager, it is
    given back at the end.

    Args:
        folder: str or `pathlib.Path`, made if it is not there.
        settings: dict that JSON can hold, of what all runs share.

    Raises:
        ValueError: If the folder holds runs with other settings, or another process
            has it.

    Example:

    >>> from keras_wconv.experiments import runs
    >>> log = runs.RunLog("runs", {"batch_size": 3})
    >>> log.append({"arm": "A", "seed": 0, "test": {"psnr": 27.5}})
    >>> runs.RunLog("runs", {"batch_size": 3}).find({"arm": "A"})["seed"]
    0
    """

    def __init__(self, folder, settings):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = FolderLock(self.folder)
        self._path = self.folder / "runs.jsonl"
        settings = json.loads(json.dumps(settings))
        path = self.folder / "settings.json"
        if path.exists():
            self._check(json.loads(path.read_text()), settings)
        else:
            write_atomically(path, json.dumps(settings, indent=1) + "\n")
        self.records = []
        written = self._path.read_bytes() if self._path.exists() else b""
        for line in written.splitlines():
            try:
                record = json.loads(line)
            except ValueError:  # Torn by a kill.
                continue
            if isinstance(record, dict) and record not in self.records:
                self.records.append(record)
        if written and not written.endswith(b"\n"):
            self._write("\n")

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._lock.release()

    def _check(self, saved, settings):
        saved, now = dict(_flatten(saved)), dict(_flatten(settings))
        differing = [
            f"{key} is {saved.get(key, 'absent')!r} there and "
            f"{now.get(key, 'absent')!r} now"
            for key in {**saved, **now}
            if saved.get(key, "absent") != now.get(key, "absent")
        ]
        if differing:
            more = f" and {len(differing) - 5} more" if len(differing) > 5 else ""
            raise ValueError(
                f"`folder` holds runs with other settings: {str(self.folder)!r}, where "
                f"{'; '.join(differing[:5])}{more}. Give the same settings to go on, "
                "or another folder."
            )

    def find(self, key):
        """Returns the record that has all items of `key`, or None."""
        key = json.loads(json.dumps(key))
        for record in self.records:
            if key.items() <= record.items():
                return record
        return None

    def append(self, record):
        """Adds a record, on the disk when the call returns."""
        self._write(json.dumps(record) + "\n")
        self.records.append(record)

    def _write(self, text):
        with self._path.open("ab", buffering=0) as file:
            end = file.seek(0, os.SEEK_END)
            left = text.encode()
            try:
                while left:
                    left = left[file.write(left) :]
                os.fsync(file.fileno())
            except OSError:  # The disk is full: what comes later begins a line.
                file.truncate(end)
                raise


def describe_density(task, density):
    """Returns a density as JSON can hold it: as it was given, or as maps by layer."""
    if isinstance(density, np.ndarray):
        return density.tolist()
    if isinstance(density, dict):
        return {str(size): describe_density(task, one) for size, one in density.items()}
    if isinstance(density, densities.Density):
        return densities.serialize(density)
    if callable(density):
        layers = weighted_layers(task.model(density))
        return {name: layer.density_map.tolist() for name, layer in layers.items()}
    return density


def show_progress(epochs):
    """Returns the progress bars of trainings, drawn on the error stream of a terminal.

    The first bar is that of all of them. A pipe or a file gets only the lines that
    finished trainings print.

    Args:
        epochs: int, of all trainings.
    """
    console = Console(stderr=True)
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("epoch {task.completed:.0f} of {task.total:.0f}"),
        TimeRemainingColumn(compact=True),
        TextColumn("left"),
        console=console,
        disable=not console.is_terminal,
        transient=True,
        speed_estimate_period=600,
    )
    progress.add_task("all trainings", total=epochs)
    return progress


def skip(progress, epochs):
    """Takes epochs that need no training out of the bar of all trainings."""
    everything = progress.tasks[0]
    progress.update(everything.id, total=everything.total - epochs)


class EpochBar(keras.callbacks.Callback):
    """A context manager: a callback that advances a bar for the time of a training.

    Attributes:
        losses: list of floats, the training loss of each epoch.
    """

    def __init__(self, progress, title, task):
        super().__init__()
        self.losses = []
        self._bars = progress
        self._bar = progress.add_task(title, total=task.epochs)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._bars.remove_task(self._bar)

    def on_epoch_end(self, epoch, logs=None):
        self.losses.append(float(f"{logs['loss']:.5g}"))
        self._bars.advance(self._bar)
        self._bars.advance(self._bars.tasks[0].id)


def _flatten(value, prefix=""):
    if isinstance(value, dict | list) and value:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from _flatten(item, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value
