"""The answer of a comparison in sentences."""

import math

import numpy as np

ANSWER = "proposal - baseline"
SIDES = ("baseline", "proposal")


def percent(level):
    """Returns a level of confidence as text.

    Example:

    >>> from keras_wconv.experiments.report.verdict import percent
    >>> percent(0.95), percent(0.995)
    ('95%', '99.5%')
    """
    return f"{100 * level:.4g}%"


def sentences(results, cell):
    """Yields what the runs of a cell show, in sentences."""
    settings, metric, seeds = results.settings, results.metric, len(results.seeds)
    scale, unit = settings["scale"], settings["unit"]
    answer = results.effects(cell)[ANSWER]
    effect, failures = answer.effect, answer.failures
    confidence, is_shown = settings["confidence"], any(answer.signs.values())
    beginning = {
        1: "The proposal is better than the baseline",
        -1: "The proposal is worse than the baseline",
        0: "Neither side is better" if is_shown else "No difference was shown",
    }[answer.decision]
    yield f"{beginning}: {effect.format(scale, unit)} on the test split."
    yield (
        f"This is the mean difference in {metric}, proposal minus baseline, after "
        f"{cell}, with its {percent(confidence)} interval, over the "
        f"{effect.count} of {seeds} seeds in which both trained."
    )
    if failures.a or failures.b:
        yield f"Runs of the proposal against the baseline: {failures.format()}."
        if is_shown:
            is_alike = answer.reason.startswith(("better", "worse"))
            yield f"The proposal is {'' if is_alike else 'one that '}{answer.reason}."
    if not is_shown and not effect.can_decide:
        least = math.ceil(1 - math.log2(1 - confidence))
        yield (
            f"There are too few pairs to decide ({effect.count} of {seeds} trained on "
            f"both sides): with fewer than {least} pairs, the p-value of a sign-flip "
            f"test is always above {percent(1 - confidence)}. Give more `seeds`."
        )
    elif not is_shown and np.isfinite(effect.excluded):
        size = f"{scale * effect.excluded:.3g} {unit}".rstrip()
        yield f"A difference of {size} or more in either direction is excluded."
    chosen = {side: results.choice(side, cell) for side in SIDES}
    failed = results.failed("test", cell)
    if all(failed[name].all() for name in chosen.values()):
        chance = settings["chance"]["test"]
        level = "" if chance is None else f" ({metric} {chance:.4g})"
        yield (
            "No run has learned anything: none is better than a model that knows "
            f"nothing{level}. This says nothing about the candidates."
        )
    several = [
        f"{name} for the {side}"
        for side, name in chosen.items()
        if len(results.sides[side]) > 1
    ]
    if several:
        yield f"Chosen on validation runs with other seeds: {', '.join(several)}."
    baseline, proposal = (
        len({run["id"] for n in results.sides[side] for run in results.tried(n, cell)})
        for side in SIDES
    )
    if baseline or proposal:
        counts = f"{proposal} for the proposal and {baseline} for the baseline"
        yield f"Tuning runs: {counts}."
    else:
        yield "Neither side was tuned."
    for what, names, advice in (
        (
            "At the edge of a tuned range",
            results.edges,
            "A wider range may change the answer.",
        ),
        (
            "Never tried by the tuning",
            results.never_tried,
            "Give more `trials`, or each value of a choice as a candidate.",
        ),
    ):
        found = [
            f"{name} ({', '.join(names(name, cell))})"
            for name in chosen.values()
            if names(name, cell)
        ]
        if found:
            yield f"{what}: {'; '.join(found)}. {advice}"
    compared = (chosen["proposal"], *results.sides["controls"])
    apart = [n for n in compared if not results.is_paired(chosen["baseline"], n, cell)]
    if apart:
        yield (
            "These candidates share the batches of a seed with the baseline, but not "
            f"its initial values: {', '.join(apart)}."
        )
    else:
        yield "With each seed, all candidates draw the same initial values."
    difference = results.repeated(cell)
    if difference:
        size = f"{scale * difference:.3g} {unit}".rstrip()
        yield (
            f"On this device, a repeated run differed by {size}, so the runs of a pair "
            "share less than their seed."
        )
