"""The comparison of Keras models: paired runs, and the same tuning for both sides."""

from __future__ import annotations

import contextlib
import math
import numbers
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from .._optional import require
from ..tuning.folder_lock import FolderLock
from .report.results import Results, environment
from .report.statistics import answer
from .study import identity, initial
from .study.candidate import Candidate, with_values
from .study.log import RunLog, cell_name
from .study.sides import sides
from .study.train import Run, Runner
from .study.tune import SEED, at_edges, never_tried, seeds_of, tune, tunes
from .tasks.task import Task

if TYPE_CHECKING:
    import keras_tuner as kt

    from .._density_choice import ModelDensity
    from .._types import PathLike


def compare(
    task: Task,
    folder: PathLike,
    baseline: Candidate | Sequence[Candidate] | None = None,
    proposal: Candidate | Sequence[Candidate] | None = None,
    controls: Candidate | Sequence[Candidate | str] = (),
    trials: int = 18,
    seeds: Iterable[int] = range(10),
    budgets: Sequence[int] | None = None,
    examples: Sequence[int] | None = None,
    confidence: float = 0.95,
    callbacks: Callable[[str], list[keras.callbacks.Callback]] | None = None,
    *,
    density: ModelDensity = None,
    search: Callable[[kt.HyperParameters], Any] | None = None,
    dtype_policy: str | None = None,
    overwrite: bool = False,
) -> Results:
    """Compares two Keras models, or two sets of them, on a task.

    1. Each candidate is tuned on the validation split, on seeds that are not reported.
       If a side has several candidates, the best one there is compared.
    2. It is trained with every seed, and so is each control. Runs of a seed see the
       same batches, and start from the same initial values if the weights have the same
       shapes.
    3. The results on the test split are reported.

    Each finished run is a line of `runs.jsonl` in the folder. If it is called again,
    after a kill or with more seeds, candidates or budgets, only missing runs are done.

    Args:
        task: `Task`.
        folder: str or `pathlib.Path`, of the results.
        baseline, proposal: a `Candidate` or a list of them, the two sides.
        controls: `Candidate` objects that explain the answer. Each is compared with the
            baseline, and tuned with `trials` runs if it tunes anything.
        trials: int, runs to tune each side. Its candidates that tune something have
            equal shares.
        seeds: ints, at least two.
        budgets: lengths of the training in steps; by default that of the task.
        examples: sizes of the training split; by default all of it. A seed draws the
            same examples for all candidates; those of a smaller size are among those of
            a larger one.
        confidence: float, of the intervals.
        callbacks: function of a run's name that returns a list of Keras callbacks, such
            as `lambda name: [keras.callbacks.TensorBoard(f"logs/{name}")]`. They
            watch: what they change in a training is not known of a run.
        density, search: instead of the two sides, to ask whether a density helps the
            network of the task, see `sides`.
        dtype_policy: str, of the networks, such as `"mixed_float16"`; by default the
            global one.
        overwrite: bool, whether to begin again instead of going on.

    Returns:
        `Results`.

    Raises:
        ValueError: If an argument is wrong, a candidate does not fit the data, a seed
            changes nothing, or `folder` holds other runs.

    Example:

    >>> import keras
    >>> from keras_wconv.experiments import Candidate, Classification, compare
    >>> def convnet(size):
    ...     return lambda hp: keras.Sequential(
    ...         [
    ...             keras.Input((8, 8, 1)),
    ...             keras.layers.Conv2D(8, size, padding="same", activation="relu"),
    ...             keras.layers.GlobalAveragePooling2D(),
    ...             keras.layers.Dense(10, activation="softmax"),
    ...         ]
    ...     )
    >>> task = Classification.digits(epochs=1)
    >>> results = compare(
    ...     task,
    ...     "sizes",
    ...     baseline=Candidate("kernels of 3", convnet(3)),
    ...     proposal=Candidate("kernels of 5", convnet(5)),
    ...     seeds=range(3),
    ... )
    >>> list(results.effects())
    ['proposal - baseline']
    """
    if not isinstance(task, Task):
        raise ValueError(
            f"`task` must be a Task, such as Classification(data). Received: {task!r}"
        )
    if callbacks is not None and not callable(callbacks):
        raise ValueError(
            "`callbacks` must be a function of a run's name, since each run needs "
            f"callbacks of its own. Received: {callbacks!r}"
        )
    if density is not None or search is not None:
        if baseline is not None or proposal is not None:
            raise ValueError(
                "`density` and `search` stand for two sides and must not be given "
                "beside `baseline` and `proposal`."
            )
        both = sides(task.model, density, search, controls)
        baseline, proposal, controls = both.values()
    # Both would fail after the runs.
    answer((), (), (), (), confidence, direction=task.direction)
    require("matplotlib", extra="plot")
    with _policy(dtype_policy):
        plan = _Plan(task, baseline, proposal, controls, trials, seeds)
        cells = _cells(task, budgets, examples)
        settings = plan.settings(cells, confidence)
        if overwrite:
            _clear(Path(folder))
        with RunLog(folder, settings) as log:
            chosen = dict(log.settings.get("chosen", {}))
            with Runner(log, plan.count() * len(cells), callbacks) as runner:
                for size, steps, at in cells:
                    name = cell_name(size, steps)
                    runner.ids.clear()
                    chosen[name] = plan.choose(runner, at, size)
                    plan.train(runner, at, size, chosen[name])
                    # The folder may have others, of a candidate as it was before.
                    chosen[name]["runs"] = sorted(runner.ids)
                    chosen[name] |= {k: log.settings[k] for k in ("sides", "trials")}
                    log.write_settings(chosen=chosen)
            results = Results(log.settings, log.records, log.folder)
            results.save()
    return results


# What `compare` and `search` write, besides figures and the folder `models`.
WRITTEN = (
    *("runs.jsonl", "settings.json", "results.json", "report.md", "report.html"),
    *("best.keras", "folded.keras", "trials.csv"),
)


def _clear(folder):
    """Removes the runs of a comparison and what was made of them."""
    with FolderLock(folder):
        shutil.rmtree(folder / "models", ignore_errors=True)
        for name in WRITTEN:
            (folder / name).unlink(missing_ok=True)


class _Plan:
    """The runs for each length of the training and number of examples."""

    def __init__(self, task, baseline, proposal, controls, trials, seeds):
        self.task = task
        self.sides = {
            "baseline": _candidates("baseline", baseline),
            "proposal": _candidates("proposal", proposal),
            "controls": _candidates("controls", controls, least=0),
        }
        self.seeds = _checked_seeds(seeds)
        if not isinstance(trials, numbers.Integral) or trials < 1:
            raise ValueError(
                f"`trials` must be an int of at least 1. Received: {trials}"
            )
        self.trials = int(trials)
        names = [c.name for side in self.sides.values() for c in side]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(
                f"Candidates must have different names. Received twice: {twice}"
            )
        # Each candidate with its space and its number of trials.
        self.candidates = [each for side in self.sides for each in self._shares(side)]

    def _shares(self, side):
        """Yields the candidates of a side with their spaces and numbers of trials."""
        candidates = self.sides[side]
        spaces = [candidate.space(self.task) for candidate in candidates]
        first, fresh = seeds_of(self.task)
        tuned = [tunes(space) for space in spaces]
        sharing = 1 if side == "controls" else sum(tuned)
        if any(tuned) and self.trials < len(first) * sharing:
            raise ValueError(
                f"`trials` must be at least {len(first) * sharing}, {len(first)} for "
                f"each candidate of the {side} that tunes something. Received: "
                f"{self.trials}"
            )
        # A candidate that tunes nothing is tried only to choose among several.
        as_it_is = len(fresh) if len(candidates) > 1 and side != "controls" else 0
        for i, (candidate, space) in enumerate(zip(candidates, spaces, strict=True)):
            more = sum(tuned[:i]) < self.trials % sharing if tuned[i] else 0
            share = self.trials // sharing + more if tuned[i] else as_it_is
            yield candidate, space, share

    def count(self):
        """Returns the number of runs for one length and number of examples."""
        finals = 2 + len(self.sides["controls"])
        return sum(count for *_, count in self.candidates) + finals * len(self.seeds)

    def settings(self, cells, confidence):
        """Returns the settings of the log, if the seeds change all candidates."""
        task = self.task
        attributes = identity.describe_attributes(task)
        described = {}
        for candidate, space, _ in self.candidates:
            hp = with_values(space, {})
            first, second = (
                initial.start(candidate, hp, seed, task=task)[0]
                for seed in self.seeds[:2]
            )
            if initial.values_digest(first) == initial.values_digest(second):
                raise ValueError(
                    f"Every seed starts the candidate {candidate.name!r} from the same "
                    "values, so that only the batches of runs would differ. Use "
                    "initializers without a seed in `build`, and leave at least the "
                    "head of a pretrained network random."
                )
            described[candidate.name] = {
                "tune": list(candidate.tune),
                "initial": candidate.initial,
                "space": [str(hp.get_config()) for hp in space.space],
                "model": identity.describe_model(first),
            }
        return {
            "shared": {
                "task": task.get_config() | {"epochs": None, "steps_per_epoch": None},
                "data": {"name": task.data.name, "digest": task.data.digest()},
                "backend": keras.backend.backend(),
                "dtype_policy": keras.config.dtype_policy().name,
                "code of the task": identity.describe_code(
                    type(task), task.loss, *task.metrics, task.optimizer()
                ),
                **({"attributes": attributes} if attributes else {}),
            },
            "candidates": described,
            "sides": {
                side: [c.name for c in candidates]
                for side, candidates in self.sides.items()
            },
            "seeds": self.seeds,
            "cells": [[size, steps] for size, steps, _ in cells],
            "metric": task.monitor,
            "direction": task.direction,
            "unit": task.unit,
            "scale": task.scale,
            "differences": list(task.differences),
            "chance": {split: task.chance(split) for split in ("validation", "test")},
            "batch_size": task.batch_size,
            "trials": self.trials,
            "confidence": confidence,
            "environment": environment(),
        }

    def choose(self, runner, task, size):
        """Tunes all candidates, and chooses one for each side, on the validation split.

        The runs that are reported must not choose. A test that takes them as
        independent of the choice would be wrong in 10 to 20 % of cases instead of 5,
        even if a seed's run is left out of the choice for it (simulated).
        """
        values, scores, edges, kept = {}, {}, {}, {}
        for candidate, space, count in self.candidates:
            name = candidate.name
            values[name], scores[name], spent = tune(
                runner.run, task, candidate, space, count, size
            )
            runner.skip(count - spent)
            edges[name] = at_edges(space, values[name])
            kept[name] = never_tried(space, runner.tried(name))
        picked = {
            side: min((one.name for one in self.sides[side]), key=scores.__getitem__)
            for side in ("baseline", "proposal")
        }
        sign = -1 if task.direction == "max" else 1
        validation = {
            k: sign * score for k, score in scores.items() if score < math.inf
        }
        return {
            **picked,
            "values": values,
            "validation": validation,
            "edges": edges,
            "never_tried": kept,
        }

    def train(self, runner, task, size, chosen):
        """Trains the chosen candidates with all seeds; on an accelerator one run twice.

        The models of the two sides are saved for the first seed.
        """
        for candidate, space, _ in self.candidates:
            is_side = candidate.name in (chosen["baseline"], chosen["proposal"])
            if not is_side and candidate not in self.sides["controls"]:
                continue
            about = task, candidate, space, chosen["values"][candidate.name]
            for seed in self.seeds:
                is_kept = is_side and seed == self.seeds[0]
                record = runner.run(Run(*about, seed, "final", size, is_kept))
            if record["device"] != "cpu" and candidate.name == chosen["baseline"]:
                runner.run(Run(*about, seed, "repeat", size))


def _cells(task, budgets, examples):
    """Returns a list of `(number of examples, steps, task)`."""
    sizes = [None] if examples is None else sorted(set(_list(examples)))
    lengths = [task.total_steps] if budgets is None else sorted(set(_list(budgets)))
    cells = []
    for size in sizes:
        of_size = task if size is None else task.with_examples(size)
        cells += [(size, steps, of_size.with_steps(steps)) for steps in lengths]
    if not cells:
        raise ValueError(
            "`budgets` and `examples` must not be empty. Received: "
            f"budgets={budgets}, examples={examples}"
        )
    return cells


def _list(values):
    values = [values] if np.ndim(values) == 0 else list(values)
    return [int(value) if value == int(value) else value for value in values]


def _candidates(side, given, least=1):
    is_one = isinstance(given, Candidate) or callable(given)
    given = [given] if is_one else list(given or ())
    wrong = [one for one in given if not isinstance(one, Candidate)]
    if wrong or len(given) < least:
        raise ValueError(
            f"`{side}` must be a Candidate or a list of them, such as "
            f"Candidate('mine', lambda hp: make_model()). Received: "
            f"{wrong[0] if wrong else 'none'}"
        )
    return given


def _checked_seeds(seeds):
    seeds = list(seeds) if np.iterable(seeds) else [seeds]
    wrong = [
        s for s in seeds if not isinstance(s, numbers.Integral) or not 0 <= s < SEED
    ]
    seeds = seeds if wrong else [int(seed) for seed in seeds]
    if wrong or len(set(seeds)) < max(2, len(seeds)):
        raise ValueError(
            "`seeds` must be at least two different whole numbers from 0 to "
            f"{SEED - 1}: one run gives no interval. Received: {seeds}"
        )
    return seeds


@contextlib.contextmanager
def _policy(name):
    before = keras.config.dtype_policy()
    try:
        if name is not None:
            keras.config.set_dtype_policy(name)
        yield
    finally:
        keras.config.set_dtype_policy(before)
