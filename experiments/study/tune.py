"""Tuning of a candidate with DIRECT-L on the validation split."""

import math

from ... import tuning
from ...tuning.space import Space
from ..tasks.task import TUNING_SEED as SEED
from .candidate import no_network
from .train import Run

REPEATS = 2  # Fresh seeds for the best values.


def tune(run, task, candidate, space, trials, examples=None):
    """Tunes a candidate.

    DIRECT-L searches with one seed. Its three best values are then trained with two
    fresh seeds, and the best mean of these is chosen: on the seed of the search, the
    luckiest would win. Values with a failed run are dropped; the next best replace them
    while there are runs left. For a task with `folds`, each score is the mean over the
    folds of a cross-validation; the three best have another division. A candidate that
    tunes nothing is tried with the fresh seeds.

    Args:
        run: function of a `train.Run` that returns its record.
        task, candidate, space, examples: see `train.Run`.
        trials: int, the largest number of runs; 0 if there is nothing to choose.

    Returns:
        The chosen values, a dict, their mean score on the validation split (lower is
        better, infinite if a run failed), and the number of runs.
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
            try:
                tried.append((score(values, first), values))
            except no_network():
                tried.append((math.inf, None))
            search.tell(point, tried[-1][0])
            if len(tried) == points:
                break
    tried = sorted((one for one in tried if one[1] is not None), key=lambda one: one[0])
    if not tried:
        raise ValueError(
            f"`build` of the candidate {candidate.name!r} must make a network of some "
            f"values. Received: FailedTrialError for all {points} that were tried"
        )
    trained = [one for one in tried if math.isfinite(one[0])]
    again = []
    for _, values in trained:
        steady = sum(math.isfinite(reached) for reached, _ in again)
        if steady == kept or trials - count < len(fresh):
            break
        again.append((score(values, fresh), values))
    reached, values = min(again or tried, key=lambda one: one[0])
    if math.isinf(reached) and len(again) < len(trained):
        _, values = trained[len(again)]  # None of its runs has failed so far.
    return values, reached, count


def tunes(space):
    """Returns whether there is anything to choose in a space."""
    return Space(space).dimensions > 0


def seeds_of(task):
    """Returns the seeds of each trial of the search, and those of the best trials."""
    if task.folds is None:
        return [SEED], [SEED + 1 + i for i in range(REPEATS)]
    first = range(SEED, SEED + task.folds)
    return [*first], [seed + task.folds for seed in first]


def never_tried(space, tried):
    """Returns what no tuning run has tried, a list of str.

    These are the names of ranges that kept one value, and the values of a choice that
    no run had. DIRECT-L divides in three: of a choice of six it tries three values
    first, and their neighbors only if they are good.

    Args:
        space: `keras_tuner.HyperParameters`.
        tried: list of dicts, the values of each run.

    Example:

    >>> import keras_tuner as kt
    >>> from keras_wconv.experiments.study.tune import never_tried
    >>> space = kt.HyperParameters()
    >>> _ = space.Choice("kernel_size", [3, 5, 7]), space.Float("sigma", 1.0, 4.0)
    >>> never_tried(space, [{"kernel_size": 5, "sigma": 2.5}])
    ['kernel_size 3', 'kernel_size 7', 'sigma']
    """
    if not tried:
        return []
    cube = Space(space)
    low, high = (cube.values((end,) * cube.dimensions) for end in (0.01, 0.99))
    choices = {hp.name: hp.values for hp in space.space if not hasattr(hp, "min_value")}
    untried = []
    for name in {**low, **high}:
        if low.get(name) == high.get(name):
            continue
        values = [run.get(name) for run in tried]
        if name in choices:
            missing = [value for value in choices[name] if value not in values]
            untried += [f"{name} {value}" for value in missing[:5]]
            if len(missing) > 5:
                untried.append(f"{len(missing) - 5} more of {name}")
        elif len({repr(value) for value in values}) == 1:
            untried.append(name)
    return untried


def at_edges(space, values):
    """Returns the names of tuned ranges whose value lies at an end.

    A better value may lie outside of such a range. The end is the outer ninth, or the
    first and last of at least three values in order.
    """
    return [
        hp.name
        for hp in space.space
        if hp.name in values
        # Several hyperparameters may have one name.
        and all(condition.is_active(values) for condition in hp.conditions)
        and _is_at_edge(hp, values[hp.name])
    ]


def _is_at_edge(hp, value):
    if hasattr(hp, "min_value"):
        in_order = [hp.min_value, hp.max_value]
        if hp.min_value == hp.max_value or hp.max_value - hp.min_value == hp.step:
            return False
        if not 1 / 9 <= hp.value_to_prob(value) <= 8 / 9:
            return True
    else:  # A Choice, a Boolean or something fixed.
        in_order = list(getattr(hp, "values", ())) if getattr(hp, "ordered", 0) else []
        if len(in_order) < 3:
            return False
    return value in (in_order[0], in_order[-1])
