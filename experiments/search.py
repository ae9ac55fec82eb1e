"""The end of a search: its best few densities, trained anew beside the standard."""

import dataclasses
import time
from pathlib import Path

import keras
import numpy as np

from . import report
from .comparison import _UNITS, Arm, Effect, RunLog, _Advance, _describe, _progress
from .denoising import Denoising


@dataclasses.dataclass(frozen=True)
class Selection:
    """What was chosen on the validation split, and how it did on the test split.

    Attributes:
        density: the weighted network that is best on the validation split.
        helps: bool, whether it is better than the standard network there.
        validation: dict of the mean validation metric by density, as text.
        test: dict of the test metrics of the chosen and the standard network, one
            value a seed.
        effect: `comparison.Effect`, the chosen less the standard on the test split.
        model: `pathlib.Path` of the chosen network, trained with the first seed.
    """

    density: object
    helps: bool
    validation: dict
    test: dict
    effect: Effect
    model: Path


def select(task, folder, candidates, seeds=(101, 102, 103), confidence=0.95):
    """Train densities and the standard network on fresh seeds, and choose one.

    The score that a search found a density by is the luckiest of many. Here the best
    few start over, each with the same initial kernels and batches as the standard
    network of that seed. The mean on the validation split chooses; the test split is
    reported once, for the chosen density and the standard network.

    Args:
        task: `Task`.
        folder: str or `pathlib.Path`. Each finished run is a line of `runs.jsonl`
            there, so that the same call goes on after a kill.
        candidates: list of densities, as the task's network takes them.
        seeds: ints, two at least, which the search has not seen.
        confidence: float, of the interval.

    Returns:
        `Selection`.

    Raises:
        ValueError: If there is no candidate but the standard convolution, or if one
            seed is to give an interval.

    Example:

    >>> from keras_wconv import experiments
    >>> from keras_wconv.experiments import search
    >>> task = experiments.Classification.digits(epochs=1)
    >>> chosen = search.select(task, "final", [[0.7]], seeds=(101, 102))
    >>> chosen.density, sorted(chosen.test)
    ([0.7], ['chosen', 'standard'])
    """
    seeds = list(seeds)
    if len(set(seeds)) < 2:
        raise ValueError(
            "`seeds` should be two at least, all different: one run of each network "
            f"allows no interval. Received: {seeds}"
        )
    if not candidates:
        raise ValueError(
            "`candidates` should have a density other than the standard convolution. "
            "Received: none. A search that found only that has its answer."
        )
    described = [_describe(task, density) for density in candidates]
    settings = {**task.get_config(), "candidates": described, "seeds": seeds}
    log = RunLog(folder, settings)

    def train(index, density):
        """Do the runs of one network that are not in the log; return all records."""
        arm, records = None, []
        title = "standard" if density is None else f"density {density}"
        for seed in seeds:
            key = {"density": _describe(task, density), "seed": seed}
            record = log.find(key)
            if record is None:
                bar = progress.add_task(f"{title}, seed {seed}", total=task.epochs)
                started = time.perf_counter()
                arm = arm or Arm("A" if density is None else "B", task, density)
                model = arm.train(seed, [_Advance(progress, bar)])
                record = {
                    **key,
                    "validation": task.evaluate(model, "validation"),
                    "test": task.evaluate(model, "test"),
                    "seconds": round(time.perf_counter() - started, 2),
                }
                if seed == seeds[0]:
                    model.save(log.folder / f"{index}.keras")
                log.append(record)
                progress.remove_task(bar)
            records.append(record)
        return records

    def values(records, split):
        return np.array([record[split][task.monitor] for record in records])

    with _progress() as progress:
        standard = train("standard", None)
        weighted = [train(i, density) for i, density in enumerate(candidates)]
    better = 1 if task.direction == "max" else -1
    means = [float(values(records, "validation").mean()) for records in weighted]
    chosen = int(np.argmax(better * np.array(means)))
    standard_mean = float(values(standard, "validation").mean())
    test = {
        "chosen": values(weighted[chosen], "test"),
        "standard": values(standard, "test"),
    }
    return Selection(
        density=candidates[chosen],
        helps=better * (means[chosen] - standard_mean) > 0,
        validation={
            "standard": standard_mean,
            **{str(d): mean for d, mean in zip(described, means, strict=True)},
        },
        test=test,
        effect=Effect.of(test["chosen"] - test["standard"], confidence),
        model=log.folder / f"{chosen}.keras",
    )


def write_report(selection, task, folder, figure, trials, command=None):
    """Write `report.md` and `report.html` of a search and its final selection.

    Args:
        selection: `Selection`.
        task: `Task`.
        folder: str or `pathlib.Path`.
        figure: Matplotlib figure of the search.
        trials: int, how many the search had.
        command: str, that which gave the results, to be shown.
    """
    page = report.Page(f"The search for a density: {task.data.name}")
    page.text(conclusion(selection, task))
    if command:
        page.code(command)
    page.heading("Search")
    page.figure(
        "search",
        figure,
        f"{trials} trials of DIRECT-L on one seed, validation {task.monitor}.",
    )
    page.heading("Final selection")
    scale, unit = _UNITS.get(task.monitor, (1, ""))
    page.text(
        f"Trained anew on {len(selection.test['standard'])} fresh seeds, all networks "
        f"of a seed from the same kernels on the same batches. Mean validation "
        f"{task.monitor}"
        f"{f' in {unit}' if unit else ''}, by which the density is chosen:"
    )
    page.table(
        ["density", task.monitor],
        [[name, scale * mean] for name, mean in selection.validation.items()],
    )
    page.text(f"Test {task.monitor}, reported once, one row a seed:")
    page.table(
        ["seed", *selection.test],
        [
            [str(number), *(scale * float(value) for value in values)]
            for number, values in enumerate(zip(*selection.test.values(), strict=True))
        ],
    )
    if isinstance(task, Denoising):
        page.heading("Pictures")
        standard = selection.model.with_name("standard.keras")
        paths = {"standard": standard, "weighted": selection.model}
        models = {
            name: keras.saving.load_model(path, compile=False)
            for name, path in paths.items()
        }
        report.add_pictures(page, task, models)
    page.write(folder)


def conclusion(selection, task):
    """Return, in sentences, what a selection allows to be said and no more."""
    scale, unit = _UNITS.get(task.monitor, (1, ""))
    sign = selection.effect.sign * (1 if task.direction == "max" else -1)
    verdict = {
        1: "The interval lies on the side of the weighted network.",
        0: "The interval contains 0: these runs do not show a difference.",
        -1: "The interval lies on the side of the standard network.",
    }[sign]
    comparison = "better" if selection.helps else "not better"
    return (
        f"Of the densities trained anew, {selection.density} has the best mean "
        f"validation {task.monitor}; it is {comparison} than the standard network's "
        f"there. On the test split it differs from the standard network by "
        f"{selection.effect.format(scale, unit)}, mean and confidence interval of "
        f"{len(selection.test['standard'])} paired seeds. {verdict} The standard "
        "network had the recipe's learning rate, not one of its own: "
        "`keras-wconv compare --controls` tells start, step and shape apart."
    )
