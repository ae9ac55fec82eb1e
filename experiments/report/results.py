"""The numbers of a comparison, from its log and settings."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import keras
import numpy as np

from ..._device import device
from ..._files import write_atomically
from ..study.log import cell_name, model_path, read, without_nan
from . import document, figures, verdict
from .statistics import answer, simultaneous, summary
from .verdict import ANSWER

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..._types import PathLike
    from ..tasks.task import Task
    from .statistics import Answer, Row


class Results:
    """The final runs of a comparison, and what they show.

    A cell is a length of the training and a number of examples, such as `"1000 steps"`
    or `"50 examples, 1000 steps"`. Methods that take a cell use the last one by
    default: the longest training on the most examples.

    Args:
        settings: dict, the content of `settings.json`.
        records: list of dicts, the lines of `runs.jsonl`.
        folder: `pathlib.Path` to save in, or None.

    Attributes:
        runs: list of the records of the final runs.
        cells: list of str.
        seeds: list of int.
        sides: dict of `"baseline"`, `"proposal"` and `"controls"`, lists of names.
    """

    def __init__(
        self,
        settings: dict[str, Any],
        records: list[dict[str, Any]],
        folder: Path | None = None,
    ) -> None:
        self.settings = settings
        self.records = records
        self.folder = folder
        self.sides: dict[str, list[str]] = settings["sides"]
        self.seeds: list[int] = settings["seeds"]
        self._cells = {
            cell_name(size, steps): (size, steps) for size, steps in settings["cells"]
        }
        by_cell = {name: self._final_runs(name) for name in self._cells}
        self._runs = {name: runs for name, runs in by_cell.items() if runs is not None}
        self.cells: list[str] = list(self._runs)
        if not self.cells:
            raise ValueError(
                "The comparison has no complete length of training yet: call `compare` "
                "again with the same arguments to go on."
            )
        self.runs: list[dict[str, Any]] = [
            run
            for cell in self._runs.values()
            for runs in cell.values()
            for run in runs
        ]

    @classmethod
    def load(cls, folder: PathLike) -> Self:
        """Returns the results of a folder; no data, task or model is needed.

        Args:
            folder: str or `pathlib.Path`, of `compare`.

        Raises:
            ValueError: If it holds no complete comparison.
        """
        folder = Path(folder)
        path = folder / "settings.json"
        if not path.exists():
            raise ValueError(
                "`folder` must be the folder of a comparison, with settings.json and "
                f"runs.jsonl. Received: {str(folder)!r}"
            )
        return cls(json.loads(path.read_text()), read(folder), folder)

    # === What was run ===

    @property
    def candidates(self) -> list[str]:
        """The names of all candidates, in the order of the sides."""
        return [name for side in self.sides.values() for name in side]

    @property
    def metric(self) -> str:
        """The name of the metric that is compared."""
        return self.settings["metric"]

    @property
    def seconds(self) -> float:
        """How long all runs took."""
        # Candidates that are the same network share their runs.
        return sum({r["id"]: r.get("seconds", 0) for r in self.records}.values())

    def tried(self, candidate: str, cell: str | None = None) -> list[dict[str, Any]]:
        """Returns the records of a candidate's tuning runs."""
        return self._records(self._cell(cell), candidate, "tuning")

    def values(self, candidate: str, cell: str | None = None) -> dict[str, Any]:
        """Returns the values that a candidate's tuning chose, a dict."""
        return self._chosen(cell)["values"][candidate]

    def metrics(
        self, split: str = "test", metric: str | None = None, cell: str | None = None
    ) -> dict[str, np.ndarray]:
        """Returns the values of a metric by candidate, in the order of the seeds.

        These are the chosen candidate of each side and all controls. Failed runs are
        among them, with NaN for a missing value.

        Args:
            split: `"validation"` or `"test"`.
            metric: str; by default the one that is compared.
            cell: str.
        """
        metric = metric or self.metric
        by_candidate = self._runs[self._cell(cell)]
        known = {
            n for runs in by_candidate.values() for run in runs for n in run[split]
        }
        if metric not in known:
            raise ValueError(
                f"`metric` must be one of {sorted(known)}. Received: {metric!r}"
            )
        return {
            name: np.array([run[split].get(metric) for run in runs], float)
            for name, runs in by_candidate.items()
        }

    def failed(
        self, split: str = "test", cell: str | None = None
    ) -> dict[str, np.ndarray]:
        """Returns by candidate which runs failed, in the order of the seeds.

        A run fails if its metric is not finite or no better than `Task.chance`, such as
        the share of the most frequent class or the PSNR of the noisy input.
        """
        return {
            name: np.array([run[f"failed_{split}"] for run in runs])
            for name, runs in self._runs[self._cell(cell)].items()
        }

    def curves(
        self, cell: str | None = None
    ) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Returns the epochs and their training losses by candidate.

        The epochs are an array, the losses an array of `(seeds, epochs)`, NaN where a
        run has none. The log has at most 50 epochs of a training.
        """
        found = {}
        for name, runs in self._runs[self._cell(cell)].items():
            curves = [dict(run["curve"]) for run in runs]
            epochs = sorted(set().union(*curves))  # A callback may stop a run early.
            losses = [[curve.get(epoch) for epoch in epochs] for curve in curves]
            found[name] = np.array(epochs), np.array(losses, float)
        return found

    def failures(self, cell: str | None = None) -> dict[str, int]:
        """Returns how many runs of each candidate failed, a dict."""
        return {name: int(x.sum()) for name, x in self.failed("test", cell).items()}

    def is_paired(self, first: str, second: str, cell: str | None = None) -> bool:
        """Returns whether two candidates start from the same values for each seed."""
        both = (self._final(cell, name) for name in (first, second))
        return all(a["initial"] == b["initial"] for a, b in zip(*both, strict=True))

    def repeated(self, cell: str | None = None) -> float | None:
        """Returns the difference between two executions of one run, or None.

        On an accelerator one run is done twice, to see how much it rounds.
        """
        name = self.choice("baseline", cell)
        for again in self._records(self._cell(cell), name, "repeat"):
            for first in self._final(cell, name):
                if first["seed"] == again["seed"]:
                    both = [run["test"][self.metric] for run in (first, again)]
                    difference = np.ptp(np.array(both, float))
                    return float(difference) if np.isfinite(difference) else None
        return None

    # === What it shows ===

    def choice(self, side: str, cell: str | None = None) -> str:
        """Returns the candidate of a side that is compared.

        It is the best one on the validation split, with other seeds than the reported.
        """
        return self._chosen(cell)[side]

    def validation(self, cell: str | None = None) -> dict[str, float]:
        """Returns the mean score by which each candidate was chosen, a dict."""
        return self._chosen(cell)["validation"]

    def edges(self, candidate: str, cell: str | None = None) -> list[str]:
        """Returns the names of tuned values that lie at the edge of their range."""
        return self._chosen(cell)["edges"].get(candidate, [])

    def never_tried(self, candidate: str, cell: str | None = None) -> list[str]:
        """Returns what tuning never varied, and values of a choice it never tried."""
        return self._chosen(cell).get("never_tried", {}).get(candidate, [])

    def effects(self, cell: str | None = None) -> dict[str, Answer]:
        """Returns a `statistics.Answer` by name, for the metric on the test split.

        The first one, `"proposal - baseline"`, is the answer. The others subtract the
        baseline from each control.
        """
        values, failed = self.metrics("test", cell=cell), self.failed("test", cell)
        baseline = self.choice("baseline", cell)
        compared = {ANSWER: self.choice("proposal", cell)}
        compared |= {f"{name} - baseline": name for name in self.sides["controls"]}
        return {
            effect: answer(
                values[name],
                values[baseline],
                failed[name],
                failed[baseline],
                self.settings["confidence"],
                effect,
                self.settings["direction"],
            )
            for effect, name in compared.items()
        }

    def table(self) -> dict[str, Row]:
        """Returns the answer of each cell, adjusted for the number of cells.

        A dict of `statistics.Row` by cell.
        """
        return self._rows({cell: self.effects(cell)[ANSWER] for cell in self.cells})

    def adjusted(self, cell: str | None = None) -> dict[str, Row]:
        """Returns the effects of a cell, adjusted for their number, a dict."""
        return self._rows(self.effects(cell))

    def _rows(self, answers):
        effects = [one.effect for one in answers.values()]
        rows = simultaneous(effects, 1 - self.settings["confidence"])
        return dict(zip(answers, rows, strict=True))

    def by_example(self, cell: str | None = None) -> dict[str, float]:
        """Returns the answer for each test example, a mean over the seeds, a dict.

        The seeds are those in which both sides trained. It is empty if there are none,
        or if the task does not measure each example.
        """
        pairs = [
            [run["rows"] for run in pair]
            for pair in zip(
                *(self._final(cell, self.choice(side, cell)) for side in verdict.SIDES),
                strict=True,
            )
            if all("rows" in run and not run["failed_test"] for run in pair)
        ]
        if not pairs:
            return {}
        means = {}
        for example in pairs[0][0]:
            values = np.array(
                [[rows[example] for rows in pair] for pair in pairs], float
            )
            means[example] = float(np.mean(values[:, 1] - values[:, 0]))
        return means

    def verdict(self, cell: str | None = None) -> str:
        """Returns what the runs show, in sentences."""
        return " ".join(verdict.sentences(self, self._cell(cell)))

    def to_dict(self) -> dict[str, Any]:
        """Returns the content of `results.json`."""
        settings = self.settings
        return {
            "task": settings["shared"]["task"].get("task"),
            "data": settings["shared"]["data"]["name"],
            **{
                key: settings[key]
                for key in ("metric", "direction", "unit", "scale", "chance", "seeds")
            },
            "confidence": settings["confidence"],
            "cells": {cell: self._cell_to_dict(cell) for cell in self.cells},
            "seconds": round(self.seconds, 1),
            "environment": settings["environment"],
        }

    def _cell_to_dict(self, cell):
        adjusted = self.adjusted(cell)
        validation, test = (self.metrics(s, cell=cell) for s in ("validation", "test"))
        failed = self.failed("test", cell)
        return {
            "verdict": self.verdict(cell),
            "chosen": {side: self.choice(side, cell) for side in verdict.SIDES},
            "chosen by": self.validation(cell),
            "effects": {
                name: {
                    **one.effect.to_dict(),
                    "decision": one.decision,
                    "failures": [one.failures.a, one.failures.b],
                    "p_failures": one.failures.p,
                    "p_adjusted": adjusted[name].p,
                }
                for name, one in self.effects(cell).items()
            },
            "candidates": {
                name: {
                    "side": next(s for s, names in self.sides.items() if name in names),
                    "values": self.values(name, cell),
                    "tuned with": len(self.tried(name, cell)),
                    "at the edge of": self.edges(name, cell),
                    "validation": without_nan(validation[name].tolist()),
                    "test": without_nan(test[name].tolist()),
                    "failed": failed[name].tolist(),
                    "parameters": self._final(cell, name)[0]["parameters"],
                }
                for name in test
            },
        }

    def summaries(
        self, cell: str | None = None, metric: str | None = None
    ) -> dict[str, dict[str, float]]:
        """Returns mean, median, IQM, deviation and failures of each candidate."""
        values, failed = self.metrics("test", metric, cell), self.failed("test", cell)
        return {name: summary(values[name], failed[name]) for name in values}

    def model_path(self, side: str, cell: str | None = None) -> Path:
        """Returns where the model of a side is kept, that of the first seed.

        Not every model can be saved.
        """
        first = self._final(cell, self.choice(side, cell))[0]
        return model_path(self.folder, first)

    def save(self, command: str | None = None, task: Task | None = None) -> None:
        """Writes `results.json`, `report.md` and `report.html` into the folder.

        Args:
            command: str, the command of the results, to be shown.
            task: `Task`, to add what the networks of the first seed make of its data.
        """
        text = json.dumps(self.to_dict(), indent=1, allow_nan=False)
        write_atomically(self.folder / "results.json", text + "\n")
        document.write(self, command, task)

    def plot(self) -> Figure:
        """Draws the effects with their intervals, and the test results of each seed.

        Returns:
            `matplotlib.figure.Figure`.
        """
        return figures.effects(self)

    def _repr_html_(self) -> str:
        return document.overview(self).to_html(whole=False)

    # === Where it is found ===

    def _cell(self, cell):
        if cell is None:
            return self.cells[-1]
        if cell not in self._runs:
            raise ValueError(f"`cell` must be one of {self.cells}. Received: {cell!r}")
        return cell

    def _chosen(self, cell):
        return self.settings["chosen"][self._cell(cell)]

    def _records(self, cell, candidate, stage):
        size, steps = self._cells[cell]
        chosen = self.settings.get("chosen", {}).get(cell, {})
        ids = chosen.get("runs")  # Earlier versions have no list of them.
        return [
            record
            for record in self.records
            if (record["candidate"], record["stage"]) == (candidate, stage)
            and (record["examples"], record["steps"]) == (size, steps)
            and (ids is None or record["id"] in ids)
        ]

    def _final(self, cell, candidate):
        """Returns the final runs of a candidate, in the order of the seeds."""
        return self._runs[self._cell(cell)][candidate]

    def _final_runs(self, cell):
        """Returns the final runs of a cell by candidate, None if some are missing."""
        chosen = self.settings.get("chosen", {}).get(cell)
        if chosen is None or any(
            chosen.get(key, self.settings[key]) != self.settings[key]
            for key in ("sides", "trials")
        ):  # Chosen by an earlier call.
            return None
        found = {}
        for name in (chosen["baseline"], chosen["proposal"], *self.sides["controls"]):
            runs = {
                record["seed"]: record
                for record in self._records(cell, name, "final")
                if record["values"] == chosen["values"].get(name)
            }
            if not set(self.seeds) <= set(runs):
                return None
            found[name] = [runs[seed] for seed in self.seeds]
        return found


def environment() -> dict[str, Any]:
    """Returns the versions, the machine and the git commit, if there is one."""
    backend = keras.backend.backend()
    versions = {"python": platform.python_version()}
    for name in ("keras_wconv", "keras", backend, "numpy", "scipy", "keras-tuner"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    try:
        commit = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40"],
            cwd=Path(__file__).resolve().parent,
            capture_output=True,
            text=True,
            timeout=20,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        commit = ""
    return {
        "versions": versions,
        "backend": backend,
        "system": platform.system(),
        "machine": platform.machine(),
        "processors": os.cpu_count(),
        "device": device(),
        "commit": commit or None,
    }
