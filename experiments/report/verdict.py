"""The answer of a comparison in sentences."""

import numpy as np

ANSWER = "proposal - baseline"


def sentences(results, cell):
    """Returns what the runs of a cell allow to be said, and no more.

    Args:
        results: `Results`.
        cell: str.
    """
    return " ".join(filter(None, _sentences(results, cell)))


def _sentences(results, cell):
    found = results.effects(cell)[ANSWER]
    unit, scale = _unit(results), results.settings["scale"]
    shown = found.effect.format(scale, unit)
    seeds = len(results.seeds)
    yield {
        1: f"The proposal is better than the baseline: {shown} on the test split.",
        -1: f"The proposal is worse than the baseline: {shown} on the test split.",
        0: f"No difference was shown: {shown} on the test split.",
    }[found.decision]
    yield (
        f"This is the {results.metric} of the proposal less that of the baseline after "
        f"{cell}: the mean over {found.effect.count} of {seeds} seeds, those in which "
        f"both trained, and its {results.settings['confidence']:.0%} interval."
    )
    if found.failures.a or found.failures.b:
        yield f"Runs of the proposal and of the baseline: {found.failures.format()}."
    if found.decision:
        if found.failures.a or found.failures.b:
            yield f"The proposal is {_because(found.reason)}."
    elif not found.effect.can_decide:
        yield (
            f"So few pairs cannot decide ({found.effect.count} of {seeds} trained on "
            "both sides): the smallest p-value that a sign-flip test of fewer than six "
            "pairs can reach is above 5 %. Give more `seeds`."
        )
    elif np.isfinite(found.effect.excluded):
        yield (
            f"A difference of {scale * found.effect.excluded:.3g} {unit}".rstrip()
            + " or more, either way, is excluded."
        )
    failed = results.failed("test", cell)
    if all(failed[name].all() for name in _reported(results, cell)):
        yield (
            "No run has learned anything: all are at the level of knowing nothing"
            f"{_chance(results)}. This says nothing about the candidates."
        )
    yield _chosen(results, cell)
    yield _tuned(results, cell)
    yield _at_edges(results, cell)
    yield _pairing(results, cell)
    difference = results.repeated(cell)
    if difference:
        yield (
            f"On this device a run that was done again differed by "
            f"{scale * difference:.3g} {unit}".rstrip()
            + ", so that pairs share less than their seed."
        )


def _because(reason):
    return (
        f"{reason}" if reason.startswith(("better", "worse")) else f"one that {reason}"
    )


def _unit(results):
    return results.settings["unit"]


def _reported(results, cell):
    return [results.choice(side, cell) for side in ("baseline", "proposal")]


def _chance(results):
    value = results.settings["chance"]["test"]
    return "" if value is None else f" ({results.metric} {value:.4g})"


def _chosen(results, cell):
    """Names the candidates that were compared, where a side has several."""
    parts = [
        f"{results.choice(side, cell)} for the {side}"
        for side in ("baseline", "proposal")
        if len(results.sides[side]) > 1
    ]
    if not parts:
        return None
    return f"Chosen on validation runs of other seeds: {', '.join(parts)}."


def _tuned(results, cell):
    counts = {
        side: sum(len(results.tried(name, cell)) for name in results.sides[side])
        for side in ("baseline", "proposal")
    }
    if not any(counts.values()):
        return "Neither side was tuned."
    return (
        f"Runs to tune: {counts['proposal']} for the proposal and "
        f"{counts['baseline']} for the baseline."
    )


def _at_edges(results, cell):
    edges = results.edges(cell)
    named = [
        f"{name} ({', '.join(edges[name])})"
        for name in _reported(results, cell)
        if edges.get(name)
    ]
    if not named:
        return None
    return (
        f"At the edge of a tuned range: {'; '.join(named)}. A wider range may change "
        "the answer."
    )


def _pairing(results, cell):
    baseline, proposal = _reported(results, cell)
    compared = (proposal, *results.sides["controls"])
    apart = [n for n in compared if not results.is_paired(baseline, n, cell)]
    if not apart:
        return "All candidates of a seed start from the same initial values."
    return (
        f"Initial values of their own, drawn from the seed: {', '.join(apart)}. They "
        "share the batches of a seed alone."
    )
