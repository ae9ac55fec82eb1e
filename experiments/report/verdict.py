"""The answer of a comparison in sentences."""

import numpy as np

ANSWER = "proposal - baseline"
SIDES = ("baseline", "proposal")


def sentences(results, cell):
    """Yields what the runs of a cell show, in sentences."""
    settings, metric, seeds = results.settings, results.metric, len(results.seeds)
    scale, unit = settings["scale"], settings["unit"]
    answer = results.effects(cell)[ANSWER]
    effect, failures = answer.effect, answer.failures
    beginning = {
        1: "The proposal is better than the baseline",
        -1: "The proposal is worse than the baseline",
        0: "No difference was shown",
    }[answer.decision]
    yield f"{beginning}: {effect.format(scale, unit)} on the test split."
    yield (
        f"This is the {metric} of the proposal less that of the baseline after {cell}: "
        f"the mean over {effect.count} of {seeds} seeds, those in which both trained, "
        f"and its {settings['confidence']:.0%} interval."
    )
    if failures.a or failures.b:
        yield f"Runs of the proposal and of the baseline: {failures.format()}."
        if answer.decision:
            is_alike = answer.reason.startswith(("better", "worse"))
            yield f"The proposal is {'' if is_alike else 'one that '}{answer.reason}."
    if not answer.decision and not effect.can_decide:
        yield (
            f"So few pairs cannot decide ({effect.count} of {seeds} trained on both "
            "sides): the smallest p-value that a sign-flip test of fewer than six "
            "pairs can reach is above 5 %. Give more `seeds`."
        )
    elif not answer.decision and np.isfinite(effect.excluded):
        size = f"{scale * effect.excluded:.3g} {unit}".rstrip()
        yield f"A difference of {size} or more, either way, is excluded."
    chosen = {side: results.choice(side, cell) for side in SIDES}
    failed = results.failed("test", cell)
    if all(failed[name].all() for name in chosen.values()):
        chance = settings["chance"]["test"]
        level = "" if chance is None else f" ({metric} {chance:.4g})"
        yield (
            "No run has learned anything: all are at the level of knowing nothing"
            f"{level}. This says nothing about the candidates."
        )
    several = [
        f"{name} for the {side}"
        for side, name in chosen.items()
        if len(results.sides[side]) > 1
    ]
    if several:
        yield f"Chosen on validation runs of other seeds: {', '.join(several)}."
    baseline, proposal = (
        sum(len(results.tried(name, cell)) for name in results.sides[side])
        for side in SIDES
    )
    if baseline or proposal:
        counts = f"{proposal} for the proposal and {baseline} for the baseline"
        yield f"Runs to tune: {counts}."
    else:
        yield "Neither side was tuned."
    edges = results.edges(cell)
    at_edges = [
        f"{name} ({', '.join(edges[name])})"
        for name in chosen.values()
        if edges.get(name)
    ]
    if at_edges:
        yield (
            f"At the edge of a tuned range: {'; '.join(at_edges)}. A wider range may "
            "change the answer."
        )
    compared = (chosen["proposal"], *results.sides["controls"])
    apart = [n for n in compared if not results.is_paired(chosen["baseline"], n, cell)]
    if apart:
        yield (
            f"Initial values of their own, drawn from the seed: {', '.join(apart)}. "
            "They share the batches of a seed alone."
        )
    else:
        yield "All candidates of a seed start from the same initial values."
    difference = results.repeated(cell)
    if difference:
        size = f"{scale * difference:.3g} {unit}".rstrip()
        yield (
            f"On this device a run that was done again differed by {size}, so that "
            "pairs share less than their seed."
        )
