"""Tuning a candidate on the validation split with DIRECT-L, before its final runs."""

import math

from ... import tuning
from ...tuning.space import Space
from ..tasks.task import TUNING_SEED as SEED
from .train import Run

REPEATS = 2  # fresh seeds for the best values


def tune(run, task, candidate, space, trials, examples=None):
    """Finds the values of all that a candidate tunes, and what they reach.

    DIRECT-L searches with one seed. Its three best are then trained with two fresh
    seeds, and the best mean of these is chosen: on the seed of the search, the luckiest
    would win. After a failed run its values are given up, and the next best take their
    place while there are runs left. With a task of `folds` each score is the mean over
    the folds of a cross-validation, for the three best over those of another one. A
    candidate that tunes nothing is tried on the fresh seeds.

    Args:
        run: function of a `train.Run` that returns its record.
        task, candidate, space, examples: as `train.Run` has them.
        trials: int, how many runs there are in all; 0 if there is nothing to choose.

    Returns:
        The dict of the values, their mean score on the validation split (the lower the
        better, infinite if a run failed), and the number of runs, `trials` at most.
    """
    if not trials:
        return {}, math.inf, 0
    sign = -1 if task.direction == "max" else 1
    count = 0

    def score(values, seeds):
        nonlocal count
        scores = []
        for seed in seeds:
            count += 1
            record = run(Run(task, candidate, space, values, seed, "tuning", examples))
            value = record["validation"][task.monitor]
            if value is None or record["failed_validation"]:
                return math.inf
            scores.append(sign * value)
        return sum(scores) / len(scores)

    first, fresh = seeds_of(task)
    if not tunes(space):
        return {}, score({}, fresh), count
    kept = min(3, trials // (3 * len(fresh)))
    cube = Space(space)
    search = tuning.DirectLSearch(cube.dimensions, space=cube)
    tried = []
    points = (trials - kept * len(fresh)) // len(first)
    while len(tried) < points and not search.done:
        for point in search.ask():
            values = cube.values(point)
            tried.append((score(values, first), values))
            search.tell(point, tried[-1][0])
            if len(tried) == points:
                break
    tried.sort(key=lambda one: one[0])
    again = []
    for _, values in tried:
        trained = sum(math.isfinite(reached) for reached, _ in again)
        if trained == kept or trials - count < len(fresh):
            break
        again.append((score(values, fresh), values))
    reached, values = min(again or tried, key=lambda one: one[0])
    if math.isinf(reached) and len(again) < len(tried):
        _, values = tried[len(again)]  # No run of it failed so far.
    return values, reached, count


def tunes(space):
    """Whether there is anything to choose in a space."""
    return bool(space.space) and Space(space).dimensions > 0


def seeds_of(task):
    """Returns the seeds of each trial of the search, and those of the best trials."""
    if task.folds is None:
        return [SEED], [SEED + 1 + i for i in range(REPEATS)]
    first = range(SEED, SEED + task.folds)
    return [*first], [seed + task.folds for seed in first]


def at_edges(space, values):
    """Returns the names of tuned ranges where the value lies in an outer ninth.

    A better value may lie outside of such a range.
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
