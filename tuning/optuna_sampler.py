"""DIRECT-L as an Optuna sampler."""

import collections
import contextlib
import copy
import dataclasses
import datetime
import itertools
import math
import random
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from optuna import TrialPruned
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from .direct_l import Cube, DirectLSearch, value_between

# The attribute of a trial with the point of the cube that it was given, and the values
# there, which tell whether the space is still the same.
_GIVEN = "direct_l:given"


class DirectLSampler(BaseSampler):
    """Optuna sampler that searches with DIRECT-L.

    The search space is any of Optuna: floats (also `log`, with `step`), integers and
    categories. Each parameter is an axis, and one with few values is constant on equal
    parts of its axis. The first trial is the middle of all ranges.

    The storage is the only state: for each trial, the search is replayed from the
    study's finished trials and gives its next point. So any number of workers (threads,
    processes or machines that share a storage), killed and restarted, try the same
    points.

    - If all points of a batch are taken, a worker repeats the running point with the
      fewest trials, the first of them: Optuna cannot let it wait. The search uses the
      trial that ends first. The point of a killed worker is repeated in this way, too.
    - Failed trials, NaN, infinity, violated constraints and points out of the ranges
      that a trial asks for are failures: the search works around them. A completed
      trial at the same values replaces them, whether Optuna retried it or you enqueued
      it.
    - A pruned trial counts with the last value that it reported. Pruning depends on
      the other trials, and then so do the points.
    - Enqueued and imported trials count if they are at a point of the search.
      Parameters that an enqueued trial leaves open are at the middle of their range.
    - When the resolution is reached, or all values are tried, the study is stopped. A
      trial that starts later is pruned when it asks for its first value.

    Args:
        search_space: Dictionary of the parameters' names and Optuna distributions, the
            axes in their order. `None` takes the parameters of the first trial that is
            completed or pruned, in alphabetical order; until then all trials try the
            middle, so declare it where many workers start at once, or where a
            parameter is not suggested in every trial. A parameter that is not in the
            space stays at the middle of its range, with a warning.
        epsilon: Float, see `DirectLSearch`.
        min_side: Float or `None`, the resolution: a part of each range below which it
            is not divided. See `DirectLSearch`.
        locally_biased: Boolean, `False` is the original DIRECT.

    Raises:
        ValueError: If an argument is out of its range, or the study has several
            objectives.

    Example:

    >>> import optuna
    >>> from keras_wconv import tuning
    >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
    >>> def objective(trial):
    ...     x, y = (trial.suggest_float(name, 0.5, 1.5) for name in "xy")
    ...     return (x - 0.8) ** 2 + (y - 1.3) ** 2
    >>> study = optuna.create_study(sampler=tuning.DirectLSampler())
    >>> study.optimize(objective, n_trials=40)
    >>> study.trials[0].params
    {'x': 1.0, 'y': 1.0}
    >>> study.best_value < 1e-3
    True

    Source: see `keras_wconv.tuning.DirectLSearch`; the interface is that of
        https://optuna.readthedocs.io/en/stable/reference/samplers/.
    """

    def __init__(
        self,
        search_space: Mapping[str, BaseDistribution] | None = None,
        epsilon: float = 1e-4,
        min_side: float | None = 0.01,
        locally_biased: bool = True,
    ) -> None:
        self._search_arguments = {
            "epsilon": epsilon,
            "min_side": min_side,
            "locally_biased": locally_biased,
        }
        DirectLSearch(1, **self._search_arguments)  # raises what is wrong with them
        self._search_space = None
        self._has_warned = False
        if search_space is not None:
            self._search_space = _searchable(search_space)
            if not self._search_space:
                raise ValueError(
                    "`search_space` must have a parameter with more than one value, or "
                    "be None to take the parameters of the first trial. "
                    f"Received: {dict(search_space)}"
                )

    # === What Optuna calls ===

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        _check_single_objective(study)
        distributions = self._distributions(_all_trials(study))
        if _fixed(trial).keys() & distributions.keys():
            return {}  # Enqueued: the user has chosen its values.
        return distributions

    def sample_relative(
        self,
        study: Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        _check_single_objective(study)
        if not search_space:
            return {}
        space = _Space(search_space)
        trials = _all_trials(study)
        search, found = self._told(study, space, trials)
        batch = search.ask()
        if not batch:
            _stop(study)
            raise TrialPruned(
                f"DIRECT-L has no point left at min_side={search.min_side}: the search "
                "is over. Make `min_side` smaller for a finer one."
            )
        point = space.point_of(trial)
        if point not in batch:  # A trial that Optuna retries has one already.
            free = [p for p in batch if space.key(p) not in found]
            # Earlier trials that have no point yet will take the first ones.
            before = sum(_is_undecided(t, search_space, trial.number) for t in trials)
            if before < len(free):
                point = free[before]
            else:
                point = min(batch, key=lambda p: len(found.get(space.key(p), ())))
            # Optuna's own samplers store their data of a trial in the same way.
            given = {"point": point, "values": space.internal_values(point)}
            study._storage.set_trial_system_attr(trial._trial_id, _GIVEN, given)
        return space.values(point)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        _check_single_objective(study)
        trials = _all_trials(study)
        distributions = self._distributions(trials)
        coordinate = 0.5
        if distributions and not _fixed(trial).keys() & distributions.keys():
            warnings.warn(
                f"{param_name!r} of trial {trial.number} is not searched, but stays at "
                f"the middle of its range: {param_distribution} is not part of the "
                f"space {distributions}. Suggest all parameters over the same ranges "
                "in every trial, or pass `search_space`.",
                stacklevel=2,
            )
        elif not distributions and any(t.state.is_finished() for t in trials):
            # The middle failed, so the space is unknown: try elsewhere.
            coordinate = random.Random(f"{trial.number} {param_name}").random()
        return _Axis(param_distribution).value(coordinate)

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        if len(study.directions) > 1:
            return  # It has failed with an error that says so.
        ended = copy.copy(trial)
        ended.state, ended.values = state, values
        trials = [t for t in _all_trials(study) if t.number != trial.number] + [ended]
        distributions = self._distributions(trials)
        self._warn_of_other_ranges(ended, distributions)
        if distributions and self._told(study, _Space(distributions), trials)[0].done:
            _stop(study)

    def _warn_of_other_ranges(self, trial, distributions):
        changes = [
            f"{name!r} has {trial.distributions[name]}, and the search {searched}"
            for name, searched in distributions.items()
            if trial.distributions.get(name, searched) != searched
        ]
        if changes and not self._has_warned:
            self._has_warned = True
            warnings.warn(
                f"Trial {trial.number} has other ranges than the search, which keeps "
                f"its own: {'; '.join(changes)}. Points out of a trial's ranges count "
                "as failures. Start a new study to search other ranges.",
                stacklevel=2,
            )

    # === The search ===

    def _distributions(self, trials):
        """Returns the search space, which is empty while it is unknown."""
        if self._search_space is not None:
            return self._search_space
        known = (TrialState.COMPLETE, TrialState.PRUNED)
        candidates = [t for t in trials if t.state in known and t.distributions]
        if not candidates:
            return {}
        first = min(candidates, key=_end)
        return _searchable(dict(sorted(first.distributions.items())))

    def _told(self, study, space, trials):
        """Returns the search after all trials, and lists of trials by key."""
        found = collections.defaultdict(list)
        for trial in trials:
            key = space.key_of(trial)
            if key is not None:
                found[key].append(trial)
            point = space.point_of(trial)
            if point is not None and space.key(point) != key:
                # It took other values, as others would: the point cannot be tried.
                failed = copy.copy(trial)
                if failed.state.is_finished():
                    failed.state = TrialState.FAIL
                found[space.key(point)].append(failed)
        sign = -1 if study.direction == StudyDirection.MAXIMIZE else 1
        search = DirectLSearch(space.dimensions, **self._search_arguments, space=space)
        progress = True
        while progress:
            progress = False
            for point in search.ask():
                is_ended, value = _outcome(found.get(space.key(point), ()), sign)
                if is_ended:
                    search.tell(point, value)
                    progress = True
        return search, found


def _outcome(trials, sign):
    """Returns whether a point has ended, and its value or None if it failed.

    Completed trials count before pruned ones, and earlier trials before later ones.
    """
    for state in (TrialState.COMPLETE, TrialState.PRUNED):
        ended = [t for t in trials if t.state == state and t.value is not None]
        if ended:
            first = min(ended, key=_end)
            return True, sign * first.value if _is_feasible(first) else None
    # The last trial decides whether it failed: Optuna may retry failed ones.
    last = max(trials, key=lambda trial: trial.number, default=None)
    return last is not None and last.state.is_finished(), None


def _end(trial):
    return trial.datetime_complete or datetime.datetime.max, trial.number


def _is_feasible(trial):
    # Optuna has constraints of single objectives from version 5 on.
    return all(value <= 0 for value in getattr(trial, "constraints", {}).values())


def _is_undecided(trial, search_space, number):
    """Returns whether a trial started before `number` and has no values yet."""
    return (
        trial.state == TrialState.RUNNING
        and trial.number < number
        and _GIVEN not in trial.system_attrs
        and not (trial.params.keys() | _fixed(trial).keys()) & search_space.keys()
    )


def _fixed(trial):
    """Returns the values with which a trial was enqueued."""
    return trial.system_attrs.get("fixed_params", {})


def _all_trials(study):
    # From the storage, as Optuna's own samplers do where all of them count:
    # `get_trials` hides those of other brackets under the Hyperband pruner.
    return study._storage.get_all_trials(study._study_id, deepcopy=False)


def _stop(study):
    """Ends `Study.optimize`, if the study runs in it and not by ask and tell."""
    with contextlib.suppress(RuntimeError):
        # The Hyperband pruner hands samplers a view of the study.
        getattr(study, "_study", study).stop()


def _check_single_objective(study):
    if len(study.directions) > 1:
        raise ValueError(
            "DIRECT-L minimizes or maximizes one value: expected a study with one of "
            f"`directions`. Received: {len(study.directions)}. Combine the values "
            "into one, or use a sampler for several, such as "
            "`optuna.samplers.NSGAIISampler`."
        )


def _searchable(distributions):
    """Returns the distributions that have more than one value.

    Raises:
        ValueError: If one is no distribution, or has no bounds.
    """
    for name, distribution in distributions.items():
        if not isinstance(distribution, BaseDistribution):
            raise ValueError(
                "`search_space` must have Optuna distributions as values, such as "
                f"`optuna.distributions.FloatDistribution(0.5, 1.5)`. Received: "
                f"{distribution!r} for {name!r}"
            )
        if isinstance(distribution, FloatDistribution) and not math.isfinite(
            distribution.high - distribution.low
        ):
            raise ValueError(
                f"DIRECT-L searches finite ranges. Received: {distribution} for "
                f"{name!r}. Give it finite bounds."
            )
        if isinstance(distribution, CategoricalDistribution):
            choices = distribution.choices
            indices = [distribution.to_internal_repr(choice) for choice in choices]
            if indices != list(range(len(choices))):
                raise ValueError(
                    "Optuna takes equal choices, such as True and 1, for one. "
                    f"Received: {distribution} for {name!r}. Give each value once, or "
                    "a string for each."
                )
    return {name: d for name, d in distributions.items() if not d.single()}


@dataclasses.dataclass(frozen=True)
class _Axis:
    """A parameter along [0, 1]. Listed values lie on equal parts of it."""

    distribution: Any  # of Optuna; each kind has attributes of its own

    def value(self, coordinate):
        """Returns the value at a coordinate, as the objective gets it."""
        return self.distribution.to_external_repr(self.internal(coordinate))

    def internal(self, coordinate):
        """Returns the value at a coordinate as Optuna stores it: a float."""
        d = self.distribution
        index = self.index(coordinate)
        if index is None:
            return value_between(d.low, d.high, coordinate, d.log)
        return self.listed(index)

    def index(self, coordinate):
        """Returns the number of the listed value at a coordinate; None for ranges."""
        d = self.distribution
        if isinstance(d, IntDistribution) and d.log:
            # Each integer from its logarithm to that of the next one.
            value = int(d.low * math.pow((d.high + 1) / d.low, coordinate))
            return min(value, d.high) - d.low
        if isinstance(d, CategoricalDistribution):
            count = len(d.choices)
        elif d.step is not None:
            count = round((d.high - d.low) / d.step) + 1
        else:
            return None
        return min(int(coordinate / (1 / count)), count - 1)

    def listed(self, index):
        d = self.distribution
        if isinstance(d, CategoricalDistribution):
            return index
        return min(d.low + index * d.step, d.high)

    def part(self, low, high):
        """Returns the range of the indices on a part of [0, 1]; None for ranges."""
        # Coordinates are rounded; a part must not reach into the next one by that.
        first, last = self.index(low + 1e-9), self.index(high - 1e-9)
        return None if first is None or last is None else range(first, last + 1)


class _Space(Cube):
    """A search space of Optuna as a cube with an axis for each parameter.

    A key is the tuple of the values as Optuna stores them.
    """

    def __init__(self, distributions):
        self._axes = {name: _Axis(d) for name, d in distributions.items()}
        self.dimensions = len(self._axes)

    def values(self, point):
        """Returns the values at a point by name, as the objective gets them."""
        axes = zip(self._axes.items(), point, strict=True)
        return {name: axis.value(coordinate) for (name, axis), coordinate in axes}

    def key(self, point):
        axes = zip(self._axes.values(), point, strict=True)
        return tuple(axis.internal(coordinate) for axis, coordinate in axes)

    def internal_values(self, point):
        """Returns the values at a point by name, as Optuna stores them."""
        return dict(zip(self._axes, self.key(point), strict=True))

    def point_of(self, trial):
        """Returns the point that a trial was given in this space, or None."""
        given = trial.system_attrs.get(_GIVEN)
        if given is None or given["values"].keys() != self._axes.keys():
            return None
        point = tuple(given["point"])
        here = self.internal_values(point)
        # Another machine may round a logarithm differently.
        are_close = (math.isclose(given["values"][name], here[name]) for name in here)
        return point if all(are_close) else None

    def key_of(self, trial):
        """Returns the key of the point of a trial, or None if it has none.

        It is the point that the trial was given, unless its values differ from it. A
        trial that was given none must have a value for every parameter.
        """
        params = {**_fixed(trial), **trial.params}
        try:
            internal = {
                name: float(axis.distribution.to_internal_repr(params[name]))
                for name, axis in self._axes.items()
                if name in params
            }
        except ValueError:
            return None  # A value of another type.
        point = self.point_of(trial)
        if point is not None:
            there = self.internal_values(point)
            if all(math.isclose(internal[name], there[name]) for name in internal):
                return tuple(there.values())
        if len(internal) == self.dimensions:
            return tuple(internal.values())
        return None

    def axes(self, lower, upper, known):
        parts = [
            axis.part(low, high)
            for axis, low, high in zip(self._axes.values(), lower, upper, strict=True)
        ]
        if None not in parts and self._are_known(parts, known):
            return ()
        return tuple(
            number for number, part in enumerate(parts) if part is None or len(part) > 1
        )

    def _are_known(self, parts, known):
        """Returns whether no combination of a few values is new."""
        if math.prod(map(len, parts)) > 1000:
            return False
        listed = [
            [axis.listed(index) for index in part]
            for axis, part in zip(self._axes.values(), parts, strict=True)
        ]
        return all(combination in known for combination in itertools.product(*listed))
