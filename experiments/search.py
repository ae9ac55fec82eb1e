"""The search for a density, and its final comparison with the standard network."""

import csv
import functools
import io
import shutil
from pathlib import Path

from .._files import FolderLock, whole_file, write_atomically
from ..conversion import fold
from . import report, runs
from .comparison import compare


def search(
    task,
    folder,
    kernel_size=3,
    trials=9,
    search_epochs=None,
    best=2,
    seeds=range(3),
    ranges=None,
    resolution=0.03,
    confidence=0.95,
    overwrite=False,
    command=None,
):
    """Finds a density with DIRECT-L, and compares it with the standard network.

    The density gets `trials` trainings, and so do the start and the learning rate of
    the standard network. The best few of both are then trained anew on fresh seeds.
    The score that a search found something by is the luckiest of many.

    Args:
        task: `Task`.
        folder: str or `pathlib.Path`. The same call goes on there after a kill.
        kernel_size: int, for one profile that all axes share, or a tuple of ints, for
            one profile an axis.
        trials: int, trainings for the density, and as many for the standard network.
        search_epochs: int, of each of these trainings, which has its whole schedule; by
            default those of the task. The final trainings are whole ones. With
            `trials=6`, a third of the task's epochs costs two whole trainings. Measured
            (`benchmarks/results/cheap_search`): that lost nothing in denoising, where
            short trainings rank densities like whole ones, and did lose in small
            classification tasks, where they do not.
        best: int, setups of each to train anew.
        seeds: ints, two at least, which the search does not see.
        ranges: see `tuning.density`.
        resolution: float, where the search stops, as a part of a coefficient's range.
        confidence: float, of the interval.
        overwrite: bool, whether to begin again instead of going on.
        command: str, to be shown in the report.

    Returns:
        `Results`. The folder then has `report.md`, `report.html`, `trials.csv`,
        `results.json`, and the weighted network that is best on validation, for the
        first seed: `best.keras`, and `folded.keras`, which is plain Keras.

    Raises:
        ValueError: If an argument is wrong, or `folder` holds runs of another task.

    Example:

    >>> from keras_wconv import experiments
    >>> task = experiments.Classification.digits(epochs=2)
    >>> results = experiments.search(
    ...     task, "search", trials=2, search_epochs=1, best=1, seeds=(0, 1)
    ... )
    >>> results.best("weighted")
    'B'
    """
    from .. import tuning

    folder = Path(folder)
    if overwrite and folder.is_dir():
        with FolderLock(folder):
            for name in ("trials", "models"):
                shutil.rmtree(folder / name, ignore_errors=True)
            for name in ("runs.jsonl", "settings.json"):
                (folder / name).unlink(missing_ok=True)
    results = compare(
        task,
        folder,
        search=functools.partial(
            tuning.density, kernel_size=kernel_size, ranges=ranges
        ),
        seeds=seeds,
        arms=("A", "ST", "B"),
        trials=trials,
        tune_at=None if search_epochs is None else search_epochs * task.steps,
        best=best,
        resolution=resolution,
        confidence=confidence,
    )
    with FolderLock(folder):
        setup = results.setups[task.total_steps]["B"]
        path = results.model_path(setup, task.total_steps)
        if not path.exists():  # The runs came from elsewhere, without their networks.
            path.parent.mkdir(exist_ok=True)
            network = runs.Network(task, setup).train(results.seeds[0])
            with whole_file(path) as temporary:
                network.save(temporary)
        with whole_file(folder / "best.keras") as temporary:
            shutil.copyfile(path, temporary)
        with whole_file(folder / "folded.keras") as temporary:
            fold(results.models()["weighted"]).save(temporary)
        _write_trials(results, folder / "trials.csv")
        report.write_search(results, command)
    return results


def _write_trials(results, path):
    tried = [record for record in results.tuned if record["arm"] == "B"]
    names = list(tried[0]["values"])
    metric = results.task.monitor
    rows = [
        [number, *record["values"].values(), record["validation"][metric]]
        for number, record in enumerate(tried)
    ]
    table = io.StringIO()
    csv.writer(table).writerows([["trial", *names, metric], *rows])
    write_atomically(path, table.getvalue())
