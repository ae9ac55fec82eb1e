"""The figures of a comparison, for a light and for a dark page."""

import contextlib
import itertools

import numpy as np

from ..._optional import require
from ..study.log import cell_name
from .verdict import ANSWER, SIDES

GRAY = "#7a7a7a"  # Of all lines and words: it can be seen on white and on black.
_STYLE = {
    **dict.fromkeys(["text.color", "xtick.color", "ytick.color"], GRAY),
    **dict.fromkeys(["axes.labelcolor", "axes.edgecolor"], GRAY),
    **dict.fromkeys(["axes.facecolor", "figure.facecolor"], "none"),
    "legend.framealpha": 0.0,
    "font.size": 10,
}


@contextlib.contextmanager
def new(rows=1, columns=1, size=(8, 4)):
    """Context manager of a new figure and its axes; `size` is in inches."""
    plt = require("matplotlib.pyplot", extra="plot")
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(rows, columns, figsize=size, layout="constrained")
        yield figure, axes
        plt.close(figure)


def save(figure, file, **options):
    """Writes a figure as SVG to a path or file, always with the same bytes."""
    matplotlib = require("matplotlib", extra="plot")
    with matplotlib.rc_context({"svg.hashsalt": "keras_wconv"}):
        figure.savefig(file, format="svg", metadata={"Date": None}, **options)


def effects(results):
    """Draws the effects with their intervals, and the test results of every seed."""
    scale, metric = results.settings["scale"], results.metric
    found, values, failed = results.effects(), results.metrics(), results.failed()
    height = 1.2 + 0.32 * max(len(found), len(values))
    with new(1, 2, (10, height)) as (figure, (left, right)):
        for y, answer in enumerate(found.values()):
            one = answer.effect
            mean = scale * one.mean
            ends = np.nan_to_num([mean - scale * one.low, scale * one.high - mean])
            left.errorbar(mean, -y, xerr=ends[:, None], fmt="o", capsize=3, color="C0")
        left.axvline(0, color=GRAY, linewidth=0.8)
        left.set_yticks(-np.arange(len(found)), list(found))
        left.set_xlabel(f"difference of {metric}{_in(results)}")
        for y, (name, of_one) in enumerate(values.items()):
            bad = failed[name] | ~np.isfinite(of_one)
            good = scale * of_one[~bad]
            right.plot(good, np.full(len(good), -y), "o", alpha=0.5, color="C0")
            lost = scale * of_one[bad]
            right.plot(lost, np.full(len(lost), -y), "x", color="C3")
            if not np.isfinite(lost).all():  # It has no place: at the worse end.
                end = 0.02 if results.settings["direction"] == "max" else 0.98
                transform = right.get_yaxis_transform()
                right.plot(end, -y, "x", color="C3", transform=transform)
        right.set_yticks(-np.arange(len(values)), list(values))
        right.set_xlabel(f"test {metric}{_in(results)} (cross: failed)")
        for axes in (left, right):
            axes.margins(y=0.2)
    return figure


def cells(results):
    """Draws the answer and the candidates over lengths or numbers of examples."""
    kept = [
        (size, steps)
        for size, steps in results.settings["cells"]
        if cell_name(size, steps) in results.cells
    ]
    by_size = len({size for size, _ in kept}) > 1
    places = sorted({size if by_size else steps for size, steps in kept})
    lines = {}  # For each length of the training, if both are several.
    for size, steps in kept:
        lines.setdefault(steps if by_size else None, []).append((size, steps))
    scale = results.settings["scale"]
    with new(1, 2, (10, 4)) as (figure, (left, right)):
        for steps, line in lines.items():
            more = f", {steps:,} steps" if len(lines) > 1 else ""
            x = [one[0] if by_size else one[1] for one in line]
            names = [cell_name(*one) for one in line]
            answers = [results.effects(name)[ANSWER].effect for name in names]
            means = scale * np.array([one.mean for one in answers])
            ends = scale * np.array([(one.low, one.high) for one in answers]).T
            errors = np.nan_to_num(np.abs(ends - means))
            label = more.strip(", ") or None
            left.errorbar(x, means, yerr=errors, fmt="o-", capsize=3, label=label)
            for side in SIDES:
                curve = [
                    results.summaries(name)[results.choice(side, name)]["mean"]
                    for name in names
                ]
                right.plot(x, scale * np.array(curve), "o-", label=f"{side}{more}")
        left.axhline(0, color=GRAY, linewidth=0.8)
        left.set_ylabel(f"proposal - baseline{_in(results)}")
        right.set_ylabel(f"test {results.metric}{_in(results)}")
        for axes in (left, right) if len(lines) > 1 else (right,):
            axes.legend(fontsize="small")
        for axes in (left, right):
            axes.set_xscale("log")
            axes.set_xticks(places, [f"{place:,}" for place in places])
            axes.minorticks_off()
            axes.set_xlabel("examples" if by_size else "steps")
    return figure


def curves(results):
    """Draws the training loss of each candidate: the mean of the runs that trained.

    A curve ends where the first of its runs does. Returns None if there is none.
    """
    means, failed = {}, results.failed()
    for name, (epochs, losses) in results.curves().items():
        losses = losses[~failed[name]]
        known = np.isfinite(losses).all(0)
        if len(losses) and known.sum() > 1:
            means[name] = epochs[known], losses[:, known].mean(0)
    if not means:
        return None
    with new(size=(8, 4)) as (figure, axes):
        # Curves often overlap: with other dashes, none hides another.
        styles = itertools.cycle(["-", "--", "-.", ":"])
        for (name, curve), style in zip(means.items(), styles, strict=False):
            axes.plot(*curve, style, label=name)
        is_positive = all(curve.min() > 0 for _, curve in means.values())
        axes.set(xlabel="epoch", ylabel="training loss")
        axes.set_yscale("log" if is_positive else "linear")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(fontsize="small")
    return figure


def _in(results):
    unit = results.settings["unit"]
    return f", {unit}" if unit else ""
