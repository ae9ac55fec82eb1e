"""The report of a comparison: the question, the answer, and how it was found."""

import contextlib

import keras
import numpy as np

from . import figures
from .page import Page
from .verdict import ANSWER, SIDES, percent, sentences


def overview(results):
    """Returns a page of the answer and the table of effects, without figures."""
    page = Page(_title(results))
    _add_verdicts(page, results)
    _add_effects(page, results, results.cells[-1])
    return page


def write(results, command, task):
    """Writes `report.md` and `report.html`, see `Results.save`."""
    page = Page(_title(results))
    _add_verdicts(page, results)
    page.figure(
        "effects",
        figures.effects(results),
        "Left: mean differences with their intervals. Right: the test results of every "
        "seed.",
    )
    if len(results.cells) > 1:
        _add_cells(page, results)
    for cell in reversed(results.cells):
        page.heading(f"After {cell}")
        _add_effects(page, results, cell)
        _add_candidates(page, results, cell)
    _add_runs(page, results)
    if task is not None:
        models = _models(results)
        if models:
            task.illustrate(page, models)
    _add_protocol(page, results)
    page.footer(_facts(results, command))
    page.write(results.folder)


def _title(results):
    baseline, proposal = (results.choice(side) for side in SIDES)
    return (
        f"{proposal} against {baseline}, {results.settings['shared']['data']['name']}"
    )


def _add_verdicts(page, results):
    first, *rest = sentences(results, results.cells[-1])
    page.verdict(first)
    page.text(" ".join(rest))


def _add_effects(page, results, cell):
    settings = results.settings
    scale, unit = settings["scale"], settings["unit"] or "its own unit"
    adjusted = results.adjusted(cell)
    page.text(
        f"Differences in test {results.metric}, paired by seed, in {unit}: the mean "
        f"and its {percent(settings['confidence'])} t interval, over the pairs in "
        "which both trained. The first row is the answer. `p` is the larger p-value of "
        "a t test and a sign-flip test; `adjusted` is corrected for all rows (Holm)."
    )
    rows = []
    for name, found in results.effects(cell).items():
        one, failed = found.effect, f"{found.failures.a} / {found.failures.b}"
        numbers = one.mean, one.low, one.high, one.median, one.iqm
        p_values = _p(one.p_decisive), _p(adjusted[name].p)
        rows.append([name, *_scaled(scale, numbers), *p_values, failed, one.count])
    columns = ("effect", "mean", "from", "to", "median", "interquartile mean", "p")
    page.table([*columns, "adjusted", "failed", "pairs"], rows)
    answer = results.effects(cell)[ANSWER].effect
    if answer.deviation > 0 and settings["differences"]:
        needed = []
        for size in settings["differences"]:
            count, low, high = answer.seeds_for(size / scale)
            needed.append(f"{size:g} {unit}: {count:g} ({low:g} to {high:g})")
        page.text(
            "Seeds that would show a difference with a probability of 80 %, and the "
            f"interval of that number: {'; '.join(needed)}."
        )
    examples = results.by_example(cell)
    if len(examples) > 1:
        page.text("The answer for each test example, a mean over the same pairs.")
        page.table(
            ["example", f"difference, {unit}"],
            [[name, scale * value] for name, value in examples.items()],
        )


def _add_cells(page, results):
    settings = results.settings
    page.heading("All lengths and numbers of examples")
    rows = []
    for cell, row in results.table().items():
        one = results.effects(cell)[ANSWER].effect
        numbers = _scaled(settings["scale"], (one.mean, one.low, one.high))
        rows.append([cell, *numbers, _p(row.p)])
    page.table(["", "mean", "from", "to", "p, adjusted for all rows"], rows)
    page.figure(
        "cells",
        figures.cells(results),
        "Left: proposal less baseline, with its interval. Right: the candidates.",
    )


def _add_candidates(page, results, cell):
    settings, scale = results.settings, results.settings["scale"]
    rows = []
    chance = settings["chance"]
    if chance["test"] is not None:
        levels = (
            "–" if chance[split] is None else scale * chance[split]
            for split in ("validation", "test")
        )
        rows.append(["knowing nothing", "", *levels, *("",) * 4])
    summaries, reached = results.summaries(cell), results.validation(cell)
    for side, names in results.sides.items():
        for name in names:
            one = summaries.get(name)  # None where another candidate was chosen.
            edges = results.edges(name, cell)
            tuned = ", ".join(
                f"{key} {f'{value:.4g}' if isinstance(value, float) else value}"
                f"{' (edge)' if key in edges else ''}"
                for key, value in results.values(name, cell).items()
            )
            test = ["–"] * 3
            if one:
                numbers = _scaled(scale, (one["mean"], one["deviation"]))
                test = [*numbers, one["failed"]]
            validation = scale * reached[name] if name in reached else "–"
            tries = len(results.tried(name, cell))
            row = [name, side.removesuffix("s"), validation, *test, tries, tuned or "–"]
            rows.append(row)
    columns = ("candidate", "side", "validation", "test", "deviation", "failed")
    page.table([*columns, "tuning runs", "tuned values"], rows)


def _add_runs(page, results):
    scale, cell = results.settings["scale"], results.cells[-1]
    page.heading("Runs")
    values, failed = results.metrics(), results.failed()
    page.text(
        f"Test {results.metric} by seed after {cell}; a cross marks a failed run."
    )
    rows = []
    for name, of_one in values.items():
        pairs = zip(scale * of_one, failed[name], strict=True)
        rows.append([name, *(_shown(v) if bad else float(v) for v, bad in pairs)])
    page.table(["candidate", *(f"seed {seed}" for seed in results.seeds)], rows)
    figure = figures.curves(results)
    if figure is not None:
        page.figure(
            "curves",
            figure,
            "Training loss of the final runs: means of those that trained.",
        )


def _models(results):
    """Returns the kept networks of the first seed and the last cell, by name."""
    models = {}
    for side in SIDES:
        name = results.choice(side)
        path = results.model_path(side)
        if path.exists():
            with contextlib.suppress(Exception):  # Classes of the user may be missing.
                models[name] = keras.saving.load_model(path, compile=False)
    return models if len(models) == 2 else {}


def _add_protocol(page, results):
    shared = results.settings["shared"]
    task = shared["task"]
    page.heading("How it was done")
    page.text(
        f"Task {task.get('task')} on {shared['data']['name']}, batches of "
        f"{results.settings['batch_size']}, backend {shared['backend']}, "
        f"{shared['dtype_policy']}. Batches are the same for all runs of a seed, and "
        "initial values wherever weights have the same shapes. Everything was chosen "
        "on validation examples, with other seeds than those of the reported runs: "
        "hyperparameter values by DIRECT-L, and the candidate of a side by its score. "
        "The intervals cover initial values and batches; other data are another "
        "experiment. All numbers: results.json; all runs: runs.jsonl."
    )


def _facts(results, command):
    """Returns the facts of the footer."""
    machine = results.settings["environment"]
    versions = (f"{name} {number}" for name, number in machine["versions"].items())
    minutes, rest = divmod(round(results.seconds), 60)
    facts = {
        "Command": f"`{command}`" if command else None,
        "Seeds": ", ".join(map(str, results.seeds)),
        "Time of all runs": f"{minutes} min {rest} s",
        "Versions": ", ".join(versions),
        "Commit": machine["commit"],
        "Machine": f"{machine['system']}, {machine['machine']}, "
        f"{machine['processors']} processors, {machine['device']}",
    }
    return {name: fact for name, fact in facts.items() if fact}


def _scaled(scale, values):
    return [float(scale * v) if np.isfinite(v) else "–" for v in values]


def _shown(failed):
    return f"{failed:.3f} ×" if np.isfinite(failed) else "– ×"


def _p(value):
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
