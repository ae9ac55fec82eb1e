"""The search for a density, and its comparison with the standard network."""

from __future__ import annotations

import csv
import functools
import io
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras

from .. import tuning
from .._files import whole_file, write_atomically
from ..conversion import fold
from ..tuning.folder_lock import FolderLock
from .comparison import compare
from .study.sides import sides

if TYPE_CHECKING:
    from .._types import PathLike
    from .report.results import Results
    from .study.candidate import Candidate
    from .tasks.task import Task


def search(
    task: Task,
    folder: PathLike,
    kernel_size: int | tuple[int, ...] = 3,
    trials: int = 18,
    seeds: Iterable[int] = range(6),
    ranges: Sequence[Any] | None = None,
    controls: Sequence[Candidate | str] = ("standard as it is",),
    budgets: Sequence[int] | None = None,
    confidence: float = 0.95,
    overwrite: bool = False,
    command: str | None = None,
) -> Results:
    """Finds a density with DIRECT-L, and compares it with the standard network.

    `trials` runs tune the density, learning rate and start of the weighted network, and
    as many the learning rate and start of the standard one, both with the network's own
    initializers. Both are then trained again with other seeds: the best score of a
    search is the luckiest of many.

    Args:
        task: `Task` with a network.
        folder: str or `pathlib.Path`. The same call goes on there after a kill.
        kernel_size: int for one profile of all axes, or a tuple of ints for one profile
            per axis.
        trials: int, runs to tune each side.
        seeds: ints, which the search does not see. Fewer than six cannot decide.
        ranges: see `tuning.density`.
        controls: see `sides`.
        budgets: see `compare`.
        confidence: float, of the intervals.
        overwrite: bool, whether to begin again instead of going on.
        command: str, to be shown in the report.

    Returns:
        `Results`. The folder then has `report.md`, `report.html`, `results.json`,
        `trials.csv`, and the weighted network of the first seed: `best.keras`, and
        `folded.keras`, which is plain Keras. The verdict says whether it is worth
        using.

    Raises:
        ValueError: If an argument is wrong, or `folder` holds other runs.

    Example:

    >>> from keras_wconv import experiments
    >>> task = experiments.Classification.digits(epochs=1)
    >>> results = experiments.search(task, "search", trials=3, seeds=(0, 1))
    >>> results.sides["baseline"]
    ['standard']
    """
    folder = Path(folder)
    space = functools.partial(tuning.density, kernel_size=kernel_size, ranges=ranges)
    both = sides(task.model, search=space, controls=controls)
    results = compare(
        task,
        folder,
        # One candidate each, so that all runs go into one search.
        baseline=both["baseline"][0],
        proposal=both["proposal"][0],
        controls=both["controls"],
        trials=trials,
        seeds=seeds,
        budgets=budgets,
        confidence=confidence,
        overwrite=overwrite,
    )
    with FolderLock(folder):
        path = results.model_path("proposal")
        if path.exists():
            with whole_file(folder / "best.keras") as temporary:
                shutil.copyfile(path, temporary)
            with whole_file(folder / "folded.keras") as temporary:
                fold(keras.saving.load_model(path, compile=False)).save(temporary)
        _write_trials(results, folder / "trials.csv")
        results.save(command, task)
    return results


def _write_trials(results, path):
    """Writes a line for each run that tuned the proposal."""
    (candidate,) = results.sides["proposal"]
    tried = results.tried(candidate)
    names = sorted({key for record in tried for key in record["values"]})
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["candidate", "seed", *names, results.metric, "failed"])
    for record in tried:
        values = (record["values"].get(name, "") for name in names)
        score = record["validation"][results.metric]
        failed = record["failed_validation"]
        writer.writerow([candidate, record["seed"], *values, score, failed])
    write_atomically(path, table.getvalue())
