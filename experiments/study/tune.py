"""Tuning a candidate on the validation split with DIRECT-L, before its final runs."""

import math

from ... import tuning
from ...tuning.space import Space
from .train import Run

SEED = 1_000_000  # of the first trials; a user's seeds are below it
REPEATS = 2  # fresh seeds for the best values


def tune(run, task, candidate, space, trials, examples=None):
    """Finds the values of all that a candidate tunes, and what they reach.

    DIRECT-L searches with one seed. Its three best are then trained with two fresh
    seeds, and the best mean of these is chosen: the seed of the search would choose
    whoever is lucky with it.

    Args:
        run: function of a `train.Run` that returns its record.
        task: `Task`.
        candidate: `Candidate`.
        space: `keras_tuner.HyperParameters`, see `Candidate.space`.
        trials: int, how many runs there are in all.
        examples: int, of the training split, or None for all.

    Returns:
        The dict of the values, their mean score on the validation split (the lower the
        better, infinite if a run failed), and the number of runs.
    """
    sign = -1 if task.direction == "max" else 1
    count = 0

    def score(values, seed):
        nonlocal count
        count += 1
        record = run(Run(task, candidate, space, values, seed, "tuning", examples))
        value = record["validation"][task.monitor]
        failed = value is None or record["failed_validation"]
        return math.inf if failed else sign * value

    def mean(values):
        return sum(score(values, SEED + 1 + i) for i in range(REPEATS)) / REPEATS

    kept = min(3, trials // (3 * REPEATS))
    cube = Space(space)
    search = tuning.DirectLSearch(cube.dimensions, space=cube)
    tried = []
    while len(tried) < trials - kept * REPEATS and not search.done:
        for point in search.ask():
            values = cube.values(point)
            tried.append((score(values, SEED), values))
            search.tell(point, tried[-1][0])
            if len(tried) == trials - kept * REPEATS:
                break
    tried.sort(key=lambda one: one[0])
    best = [(mean(values), values) for _, values in tried[:kept]] or tried[:1]
    reached, values = min(best, key=lambda one: one[0])
    return values, reached, count


def score_as_it_is(run, task, candidate, space, examples=None):
    """Returns what `tune` does, of a candidate that tunes nothing."""
    runs = [
        run(Run(task, candidate, space, {}, SEED + 1 + i, "tuning", examples))
        for i in range(REPEATS)
    ]
    sign = -1 if task.direction == "max" else 1
    if any(record["failed_validation"] for record in runs):
        return {}, math.inf, len(runs)
    mean = sum(record["validation"][task.monitor] for record in runs) / len(runs)
    return {}, sign * mean, len(runs)


def at_edges(space, values):
    """Returns the names of tuned ranges in whose outer ninth the values lie.

    Whoever won there might have won by more outside of the range.
    """
    edges = []
    for hp in space.space:
        if hp.name not in values or not hasattr(hp, "min_value"):
            continue
        if hp.min_value == hp.max_value:
            continue
        place = hp.value_to_prob(values[hp.name])
        if not 1 / 9 <= place <= 8 / 9:
            edges.append(hp.name)
    return edges
