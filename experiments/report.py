"""Pages about results: what was asked, what came out, and how it was done."""

import json

import keras
import numpy as np

from .. import visualization
from .._optional import require
from .page import Page
from .results import ANSWER


def write_comparison(results, command=None):
    """Write the report of a comparison into its folder.

    Args:
        results: `Results`.
        command: str, that which gave the results, to be shown.
    """
    page = Page(f"Does a density help? {results.task.data.name}")
    page.text(results.conclusion())
    if command:
        page.code(command)
    _add_effects(page, results)
    _add_budgets(page, results)
    _add_runs(page, results)
    _add_protocol(page, results)
    page.write(results.folder)


def write_search(results, command=None):
    """Write the report of a search and its final comparison into its folder.

    Args:
        results: `Results` of `experiments.search`.
        command: str, that which gave the results, to be shown.
    """
    task = results.task
    page = Page(f"The search for a density: {task.data.name}")
    page.text(results.conclusion())
    if command:
        page.code(command)
    page.heading("Search")
    tried = [record for record in results.tuned if record["arm"] == "B"]
    scores = [record["validation"][task.monitor] for record in tried]
    coefficients = {
        name: [record["values"][name] for record in tried]
        for name in tried[0]["values"]
    }
    page.figure(
        "search",
        visualization.plot_search(
            coefficients, scores, task.direction, f"validation {task.monitor}"
        ),
        f"{len(tried)} trials of DIRECT-L on one seed, validation {task.monitor}.",
    )
    _add_effects(page, results)
    _add_runs(page, results)
    _add_protocol(page, results)
    page.write(results.folder)


def write_pair(folder, task, models, rows, command=None):
    """Write the report of two networks that were trained alike.

    Args:
        folder: str or `pathlib.Path`.
        task: `Task`.
        models: dict of trained models by name.
        rows: dict of their metrics, see `comparison.train_pair`.
        command: str, that which gave the results, to be shown.
    """
    page = Page("What the density did: one pair of trainings")
    page.text(
        f"{' and '.join(models).capitalize()}: trained from the same initial kernels "
        f"on the same batches, {task.epochs} epochs. One pair of trainings shows no "
        "more than itself: `keras-wconv compare --seeds 5` gives intervals."
    )
    if command:
        page.code(command)
    means = {name: task.average(measured) for name, measured in rows.items()}
    page.table(
        ["network", *next(iter(means.values()))],
        [[name, *values.values()] for name, values in means.items()],
    )
    task.illustrate(page, models)
    page.write(folder)


def _add_effects(page, results):
    task = results.task
    effects, stays = results.effects(), results.significant()
    page.heading("Effects")
    page.text(
        f"Differences of the test {task.monitor}, paired by seed: mean and "
        f"{results.confidence:.0%} t interval, in {task.unit or 'its own unit'}. The "
        "first line answers the question. Of the others, those marked Holm stay "
        "significant when corrected for their number."
    )
    page.table(
        ["effect", "arms", "mean", "from", "to", "p", "Holm"],
        [
            [
                name,
                effect.formula,
                *(task.scale * x for x in (effect.mean, effect.low, effect.high)),
                f"{effect.p:.2g}",
                "" if name == ANSWER else "yes" if name in stays else "no",
            ]
            for name, effect in effects.items()
        ],
    )
    page.figure(
        "effects",
        effects_figure(results),
        "Left: mean differences with their intervals. Right: the test results of every "
        "seed.",
    )
    answer = effects[ANSWER]
    if answer.deviation and task.differences:
        needed = []
        for size in task.differences:
            count = answer.seeds_for(size / task.scale, confidence=results.confidence)
            needed.append(f"{size:g} {task.unit}: {count or 'more than 1000'}")
        page.text(
            "Seeds that would show a difference with a probability of 80 %, given the "
            f"spread of the first line: {'; '.join(needed)}."
        )
    examples = results.by_example()
    if examples:
        page.text("The first line for each test example, a mean over the seeds.")
        page.table(
            ["example", f"difference, {task.unit}".rstrip(", ")],
            [[name, task.scale * value] for name, value in examples.items()],
        )


def _add_budgets(page, results):
    if len(results.budgets) < 2:
        return
    task = results.task
    page.heading("Length of the training")
    rows = []
    for steps in results.budgets:
        answer = results.effects(steps)[ANSWER]
        row = [answer.mean, answer.low, answer.high]
        fair = "yes" if results.is_fair(steps) else "no"
        rows.append([str(steps), answer.formula, *(task.scale * x for x in row), fair])
    page.table(["steps", "arms", "mean", "from", "to", "tuned at equal cost"], rows)
    page.figure(
        "budgets",
        budgets_figure(results),
        "Left: the effect against the length of the training, with its interval. "
        "Right: the arms.",
    )
    (shorter, longer), gains = list(results.doublings().items())[-1]
    for side in ("standard", "weighted"):
        gain = gains.get(results.best(side))
        if gain is not None:
            page.text(
                f"From {shorter} to {longer} steps, {results.best(side)} gained "
                f"{gain.format(task.scale, task.unit)}."
            )


def _add_runs(page, results):
    task, steps = results.task, results.budgets[-1]
    page.heading("Runs")
    for name in results.runs[steps]["A"][0]["test"]:
        by_arm = results.metrics("test", name)
        values = np.concatenate(list(by_arm.values()))
        if np.ptp(values) == 0:  # The noisy input's.
            page.text(f"Test {name} of every run: {values[0]:.4f}.")
            continue
        page.text(f"Test {name} by seed, {steps} steps.")
        page.table(
            ["arm", *map(str, results.seeds), "mean", "deviation"],
            [
                [
                    f"{arm} {results.arms[arm].name}",
                    *map(float, values),
                    float(values.mean()),
                    float(values.std(ddof=1)),
                ]
                for arm, values in by_arm.items()
            ],
        )
    models = results.models()
    if len(models) == 2:
        task.illustrate(page, models)


def _add_protocol(page, results):
    task = results.task
    page.heading("How it was done")
    lengths = ", ".join(map(str, results.budgets))
    page.text(
        f"Task {task.name} on {task.data.name}: {lengths} steps, batches of "
        f"{task.batch_size}, backend {keras.backend.backend()}. Initial kernels and "
        "batches are the same in all arms of a seed. Everything was chosen on the "
        "validation split. The intervals cover the choice of initial kernels and "
        "batches; other data are another experiment. Versions, machine and all "
        "numbers: results.json."
    )
    rows = []
    for steps in results.budgets:
        for arm, records in results.runs[steps].items():
            first = records[0]
            rows.append(
                [
                    f"{arm} {results.arms[arm].name}",
                    str(steps),
                    str(results.trainings.get(steps, {}).get(arm, 0)),
                    f"{first['learning_rate']:.4g}",
                    f"{first['start']:.4g}",
                    _shorten(json.dumps(first["density"])),
                ]
            )
    page.table(
        ["arm", "steps", "trainings to tune", "learning rate", "start", "density"], rows
    )


def _shorten(text, length=60):
    return text if len(text) <= length else text[: length - 3] + "..."


def effects_figure(results):
    """Draw the intervals of a comparison's effects, and the results of every seed."""
    plt = require("matplotlib.pyplot", extra="plot")
    task = results.task
    effects = results.effects()
    values = results.metrics("test", task.monitor)
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(11, 1 + 0.4 * max(len(effects), len(values))), layout="tight"
    )
    means = task.scale * np.array([effect.mean for effect in effects.values()])
    ends = task.scale * np.array([(e.low, e.high) for e in effects.values()]).T
    order = np.arange(len(effects))[::-1]
    left.errorbar(means, order, xerr=np.abs(ends - means), fmt="o", capsize=3)
    left.axvline(0, color="gray", linewidth=0.8)
    left.set_yticks(order, [f"{name}: {e.formula}" for name, e in effects.items()])
    left.set_xlabel(f"difference, {task.unit or task.monitor}")
    order = np.arange(len(values))[::-1]
    for y, of_arm in zip(order, values.values(), strict=True):
        right.plot(task.scale * of_arm, np.full(len(of_arm), y), "o", alpha=0.5)
    right.set_yticks(order, [f"{arm} {results.arms[arm].name}" for arm in values])
    right.set_xlabel(f"test {task.monitor}, {task.unit}".rstrip(", "))
    plt.close(figure)
    return figure


def budgets_figure(results):
    """Draw the answer and the arms against the length of the training."""
    plt = require("matplotlib.pyplot", extra="plot")
    task, budgets = results.task, results.budgets
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="tight")
    answers = [results.effects(steps)[ANSWER] for steps in budgets]
    means = task.scale * np.array([answer.mean for answer in answers])
    ends = task.scale * np.array([(answer.low, answer.high) for answer in answers]).T
    left.errorbar(budgets, means, yerr=np.abs(ends - means), fmt="o-", capsize=3)
    left.axhline(0, color="gray", linewidth=0.8)
    left.set_ylabel(f"{ANSWER}, {task.unit or task.monitor}")
    for arm in results.arms:
        lengths = [steps for steps in budgets if arm in results.runs[steps]]
        if len(lengths) > 1:
            curve = [
                task.scale * results.metrics("test", task.monitor, steps)[arm].mean()
                for steps in lengths
            ]
            right.plot(lengths, curve, "o-", label=f"{arm} {results.arms[arm].name}")
    right.set_ylabel(f"test {task.monitor}, {task.unit}".rstrip(", "))
    right.legend(fontsize="small")
    for axes in (left, right):
        axes.set_xscale("log")
        axes.set_xticks(budgets, map(str, budgets))
        axes.minorticks_off()
        axes.set_xlabel("steps")
    plt.close(figure)
    return figure
