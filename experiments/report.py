"""Pages about results: what was asked, what came out, and how it was done."""

import datetime

import keras
import numpy as np

from .. import visualization
from .._optional import require
from .page import Page
from .results import ANSWER, environment


def write_comparison(results, command=None):
    """Writes the report of a comparison into its folder.

    Args:
        results: `Results`.
        command: str, that which gave the results, to be shown.
    """
    page = Page(f"Does a density help? {results.task.data.name}")
    _add_verdict(page, results)
    _add_effects(page, results)
    _add_budgets(page, results)
    _add_runs(page, results)
    _add_protocol(page, results)
    page.footer(_facts(command, results.seeds, results.seconds))
    page.write(results.folder)


def write_search(results, command=None):
    """Writes the report of a search and its final comparison into its folder.

    Args:
        results: `Results` of `experiments.search`.
        command: str, that which gave the results, to be shown.
    """
    task = results.task
    page = Page(f"The search for a density: {task.data.name}")
    _add_verdict(page, results)
    _add_effects(page, results)
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
        f"{len(tried)} trials of DIRECT-L on one seed, {tried[0]['steps']} steps each, "
        f"validation {task.monitor}.",
    )
    _add_runs(page, results)
    _add_protocol(page, results)
    page.footer(_facts(command, results.seeds, results.seconds))
    page.write(results.folder)


def write_pair(folder, task, models, rows, command=None, seed=0, seconds=0.0):
    """Writes the report of two networks that were trained alike.

    Args:
        folder: str or `pathlib.Path`.
        task: `Task`.
        models: dict of trained models by name.
        rows: dict of their metrics, see `comparison.train_pair`.
        command: str, that which gave the results, to be shown.
        seed: int.
        seconds: float, how long the trainings took.
    """
    page = Page("What the density did: one pair of trainings")
    page.text(
        f"{' and '.join(models).capitalize()}: trained from the same initial kernels "
        f"on the same batches, {task.epochs} epochs. One pair of trainings shows no "
        "more than itself: `keras-wconv compare --seeds 5` gives intervals."
    )
    means = {name: task.average(measured) for name, measured in rows.items()}
    page.table(
        ["network", *next(iter(means.values()))],
        [[name, *values.values()] for name, values in means.items()],
    )
    task.illustrate(page, models)
    page.footer(_facts(command, [seed], seconds))
    page.write(folder)


def _add_verdict(page, results):
    """Adds the answer, the figure that shows it, and what else may be said."""
    sentence, _, rest = results.conclusion().partition(". ")
    tone = ""
    if results.is_fair():
        sign = results.effects()[ANSWER].sign
        tone = {0: "", 1: "better", -1: "worse"}[
            sign if results.task.direction == "max" else -sign
        ]
    page.verdict(f"{sentence}.", tone)
    page.figure(
        "effects",
        effects_figure(results),
        "Left: mean differences with their intervals. Right: the test results of every "
        "seed.",
    )
    page.text(rest)


def _facts(command, seeds, seconds):
    """Returns how a report came about, for its footer."""
    machine = environment()
    versions = (f"{name} {number}" for name, number in machine["versions"].items())
    minutes, rest = divmod(round(seconds), 60)
    facts = {
        "Command": f"`{command}`" if command else None,
        "Seeds": ", ".join(map(str, seeds)),
        "Time of all trainings": f"{minutes} min {rest} s",
        "Written": datetime.datetime.now().strftime("%Y-%m-%d %H:%M"),
        "Backend": machine["backend"],
        "Versions": ", ".join(versions),
        "Commit": machine["commit"],
        "Machine": f"{machine['system']}, {machine['machine']}, "
        f"{machine['processors']} processors"
        + ("" if machine["device"] == "cpu" else f", {machine['device']}"),
    }
    return {name: fact for name, fact in facts.items() if fact}


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
                "< 0.001" if effect.p < 0.001 else effect.p,
                "" if name == ANSWER else "yes" if name in stays else "no",
            ]
            for name, effect in effects.items()
        ],
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
        rows.append([steps, answer.formula, *(task.scale * x for x in row), fair])
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
            page.text(f"Test {name} of every run: {values[0]:.3f}.")
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
    curves = curves_figure(results)
    if curves is not None:
        page.figure(
            "curves",
            curves,
            f"Training loss of the final runs, {steps} steps: the mean over the seeds, "
            "and their range.",
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
                    steps,
                    results.trainings.get(steps, {}).get(arm, 0),
                    f"{first['learning_rate']:.5f}",
                    float(first["start"]),
                    profile(first["density"]),
                ]
            )
    page.table(
        ["arm", "steps", "trainings to tune", "learning rate", "start", "density"], rows
    )


def profile(density):
    """Returns a density, as a run log has it, as text: its profile where it has one.

    Example:

    >>> from keras_wconv.experiments import report
    >>> report.profile([2 / 3])
    '0.667, 1, 0.667'
    >>> report.profile({"3": [0.7], "5x3": [[0.2, 0.8], [0.7]]})
    '3: 0.700, 1, 0.700; 5x3: 0.200, 0.800, 1, 0.800, 0.200 by 0.700, 1, 0.700'
    """
    if density is None:
        return "1 everywhere"
    if isinstance(density, dict) and "class_name" in density:
        config = density["config"]
        values = [f"{k} {_round(v)}" for k, v in config.items() if _is_number(v)]
        return ", ".join([density["class_name"], *values])
    if isinstance(density, dict):
        if len(density) > 3:
            return f"a density for each of {len(density)} layers"
        return "; ".join(f"{size}: {profile(one)}" for size, one in density.items())
    if _is_number(density):
        density = [density]
    if isinstance(density, str):
        return density
    if not all(map(_is_number, density)):
        return " by ".join(map(profile, density))
    side = [_round(value) for value in density]
    return ", ".join([*side, "1", *side[::-1]])


def _is_number(value):
    return isinstance(value, int | float)


def _round(value):
    return f"{value:.3f}"


def curves_figure(results):
    """Draws the training loss of the longest final runs, or returns None without it."""
    plt = require("matplotlib.pyplot", extra="plot")
    runs = results.runs[results.budgets[-1]]
    curves = {
        arm: [record["curve"] for record in records]
        for arm, records in runs.items()
        if all(len(record.get("curve", ())) > 1 for record in records)
    }
    if not curves:
        return None
    figure, axes = plt.subplots(figsize=(8, 4), layout="tight")
    for arm, losses in curves.items():
        losses = np.array(losses)
        epochs = np.arange(1, losses.shape[1] + 1)
        label = f"{arm} {results.arms[arm].name}"
        (line,) = axes.plot(epochs, losses.mean(0), label=label)
        low, high = losses.min(0), losses.max(0)
        axes.fill_between(epochs, low, high, color=line.get_color(), alpha=0.15)
    axes.set(xlabel="epoch", ylabel="training loss", yscale="log")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(fontsize="small")
    plt.close(figure)
    return figure


def effects_figure(results):
    """Draws the intervals of a comparison's effects, and the results of every seed."""
    plt = require("matplotlib.pyplot", extra="plot")
    task = results.task
    effects = results.effects()
    values = results.metrics("test", task.monitor)
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(10, 1.2 + 0.3 * max(len(effects), len(values))), layout="tight"
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
    for axes in (left, right):
        axes.margins(y=0.2)
    plt.close(figure)
    return figure


def budgets_figure(results):
    """Draws the answer and the arms against the length of the training."""
    plt = require("matplotlib.pyplot", extra="plot")
    task, budgets = results.task, results.budgets
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="tight")
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
