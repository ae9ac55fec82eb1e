"""DIRECT-L as a KerasTuner oracle."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras_tuner as kt
from keras_tuner.engine.hyperparameters import Fixed, HyperParameters
from keras_tuner.engine.trial import Trial, TrialStatus

from . import _keras_tuner
from .direct_l import DirectLSearch
from .folder_lock import FolderLock
from .space import Space, check_searchable, is_range

Objective = str | kt.Objective | Sequence[str | kt.Objective] | None


def _synchronized(method):
    """`keras_tuner.synchronized`, which leaves its lock held after an error."""

    @kt.synchronized
    def outcome(self, *args, **kwargs):
        try:
            return method(self, *args, **kwargs), None
        except Exception as error:
            return None, error

    @functools.wraps(method)
    def wrapper(self, *args, **kwargs):
        result, error = outcome(self, *args, **kwargs)
        if error is not None:
            raise error
        return result

    return wrapper


class DirectLOracle(_keras_tuner.Oracle):
    """Oracle that searches with DIRECT-L.

    The search space is any of KerasTuner: `hp.Float`, `hp.Int`, `hp.Choice`,
    `hp.Boolean`, `hp.Fixed`, and conditional scopes. Each hyperparameter is an axis,
    and one with few values is constant on equal parts of its axis. A point whose active
    values were tried before has their score, and is no trial.

    The space is frozen at the first trial, which is the middle of all ranges: for
    densities in ranges around 1, the standard convolution. The points depend only on
    the scores: any number of workers, and a search that was killed and resumed, try the
    same points.

    Args:
        objective: A string, `keras_tuner.Objective` instance, or a list of them, as
            for every oracle of KerasTuner.
        max_trials: Integer or `None`, the largest number of trials. The search ends
            earlier if its resolution is reached; with `None`, only then.
        epsilon: Float, see `DirectLSearch`.
        min_side: Float or `None`, the resolution: a part of each range below which it
            is not divided. See `DirectLSearch`.
        locally_biased: Boolean, `False` is the original DIRECT.
        seed: Integer, saved with the search. DIRECT-L draws no random numbers.
        hyperparameters: Optional `HyperParameters` instance to override, or register
            in advance, hyperparameters in the search space.
        tune_new_entries: Boolean, whether hyperparameters that are not in
            `hyperparameters` are searched; otherwise they keep their defaults.
        allow_new_entries: Boolean, whether the hypermodel may request them.
        max_retries_per_trial: Integer, how often a failed trial is run again.
        max_consecutive_failed_trials: Integer, the failed trials in a row that end the
            search with a `RuntimeError`.

    Raises:
        ValueError: If an argument is out of its range, or the search space holds what
            DIRECT-L cannot search.

    Example:

    >>> import keras_tuner
    >>> from keras_wconv import tuning
    >>> hp = keras_tuner.HyperParameters()
    >>> first = hp.Float("density", 0.5, 1.5)
    >>> oracle = tuning.DirectLOracle("val_loss", max_trials=20, hyperparameters=hp)
    >>> [oracle.populate_space("0")["values"]]
    [{'density': 1.0}]

    Source: see `keras_wconv.tuning.DirectLSearch`; the interface is that of
    https://keras.io/keras_tuner/api/oracles/base_oracle/.
    """

    def __init__(
        self,
        objective: Objective = None,
        max_trials: int | None = 10,
        epsilon: float = 1e-4,
        min_side: float | None = 0.01,
        locally_biased: bool = True,
        seed: int | None = None,
        hyperparameters: HyperParameters | None = None,
        allow_new_entries: bool = True,
        tune_new_entries: bool = True,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int = 3,
    ) -> None:
        if max_trials is not None and max_trials < 1:
            raise ValueError(
                "`max_trials` must be at least 1, or None to search until the "
                f"resolution is reached. Received: max_trials={max_trials}"
            )
        super().__init__(
            objective=objective,
            max_trials=max_trials,
            hyperparameters=hyperparameters,
            tune_new_entries=tune_new_entries,
            allow_new_entries=allow_new_entries,
            seed=seed,
            max_retries_per_trial=max_retries_per_trial,
            max_consecutive_failed_trials=max_consecutive_failed_trials,
        )
        self._seed_is_given = seed is not None
        # It raises what is wrong with its arguments.
        search = DirectLSearch(1, epsilon, min_side, locally_biased)
        self._search_arguments = {
            "epsilon": search.epsilon,
            "min_side": search.min_side,
            "locally_biased": search.locally_biased,
        }
        for hp in self.hyperparameters.space:
            check_searchable(hp)
        self._search = None  # until the first trial, which freezes the space
        self._points = {}  # trial_id: point
        self._num_told = 0  # of the trials in `end_order`
        self._space_is_complete = False
        self._lock = None

    # === The search ===

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Gives a trial the next point of the search.

        Args:
            trial_id: String.

        Returns:
            Dictionary with the "status" RUNNING and the "values"; IDLE while the next
            points depend on trials that are running; STOPPED at the resolution.

        Raises:
            ValueError: If there is nothing to search.
        """
        if self._search is None:
            self._search = self._new_search()
        self._tell_ended_trials()
        taken = {self._points[known_id] for known_id in self.trials}
        point = next((p for p in self._search.ask() if p not in taken), None)
        if point is None:
            waiting = TrialStatus.IDLE if self.ongoing_trials else TrialStatus.STOPPED
            return {"status": waiting, "values": None}
        self._points[trial_id] = point
        values = Space(self.hyperparameters).values(point)
        return {"status": TrialStatus.RUNNING, "values": values}

    def score_trial(self, trial: Trial) -> None:
        super().score_trial(trial)
        if not math.isfinite(trial.score):
            # The base class takes infinity for a completed trial, NaN for a failure.
            trial.message = describe_divergence(trial, self.objective, trial.score)
            trial.score = math.nan

    def get_best_trials(self, num_trials: int = 1) -> list[Trial]:
        """Returns the best completed trials, fewer if there are not as many."""
        trials = super().get_best_trials(num_trials)
        return [trial for trial in trials if trial.status == TrialStatus.COMPLETED]

    @property
    def _sign(self):
        return -1 if self.objective.direction == "max" else 1

    def _new_search(self):
        space = Space(self.hyperparameters)
        if not space.dimensions:
            names = [hp.name for hp in self.hyperparameters.space]
            raise ValueError(
                "DIRECT-L needs at least one hyperparameter to search. Declare it in "
                "the model-building function, or pass `hyperparameters`. The search "
                f"space holds: {names}"
            )
        return DirectLSearch(space.dimensions, **self._search_arguments, space=space)

    def _tell_ended_trials(self):
        for trial_id in self.end_order[self._num_told :]:
            trial = self.trials[trial_id]
            value = None
            if trial.status == TrialStatus.COMPLETED:
                value = self._sign * trial.score
            self._search.tell(self._points[trial_id], value)
        self._num_told = len(self.end_order)

    # === The trials, without the pitfalls of the base class ===

    def update_space(self, hyperparameters: HyperParameters) -> None:
        names = {hp.name for hp in self.hyperparameters.space}
        new = [hp for hp in hyperparameters.space if hp.name not in names]
        if self.tune_new_entries:
            for hp in new:
                check_searchable(hp)
                if self._search is not None and not isinstance(hp, Fixed):
                    raise ValueError(
                        f"The search space is frozen at the first trial, and {hp} "
                        "appeared after it. Declare it in the model-building function "
                        "whatever the other values are, or in an "
                        "`hp.conditional_scope`, or pass it in `hyperparameters`."
                    )
        super().update_space(hyperparameters)
        self._space_is_complete = True

    def claim_folder(self) -> None:
        """Keeps other processes out of the folder until the search is over.

        They would write over each other's trials. What another one has done since this
        oracle was made is reloaded.
        """
        if self._lock is None:
            lock = FolderLock(self.folder)
            if self.is_outdated():
                self.reload()
            self._lock = lock

    @_synchronized
    def create_trial(self, tuner_id: str) -> Trial:
        self.claim_folder()
        trial = super().create_trial(tuner_id)
        if trial.status == TrialStatus.STOPPED and not self.ongoing_trials:
            self._lock = None
        if trial.status == TrialStatus.RUNNING:
            # A trial that is run again must not average with its earlier results.
            trial.metrics = Trial(trial.hyperparameters).metrics
            trial.score = trial.message = None
        return trial

    @_synchronized
    def update_trial(
        self, trial_id: str, metrics: Mapping[str, float], step: int = 0
    ) -> str:
        return super().update_trial(trial_id, metrics, step)

    @_synchronized
    def end_trial(self, trial: Trial) -> None:
        # A restarted chief hands out running trials again: two workers may report one.
        if trial.trial_id in self.end_order:
            self._release(trial.trial_id)
            return
        metrics = self.trials[trial.trial_id].metrics.metrics
        if trial.status == TrialStatus.COMPLETED and not metrics:
            return  # It was restarted after its metrics came: the other report counts.
        self.forget_retry(trial.trial_id)
        self.show_begun(trial)
        try:
            super().end_trial(trial)
        except RuntimeError as error:
            # Too many failures in a row: the trial itself has ended.
            if trial.trial_id not in self.end_order:
                raise
            self.save_trial(self.trials[trial.trial_id])
            self._release(trial.trial_id)
            self.save()
            limit = self.max_consecutive_failed_trials
            failed = [self.trials[name] for name in self.end_order[-limit:]]
            raise RuntimeError(
                f"Number of consecutive failures exceeded the limit of {limit}: "
                f"{describe_failures(failed)} Fix what they have in common, or raise "
                "`max_consecutive_failed_trials`; the search continues with the next "
                "trial."
            ) from error

    def _release(self, trial_id):
        self.ongoing_trials = {
            tuner_id: ongoing
            for tuner_id, ongoing in self.ongoing_trials.items()
            if ongoing.trial_id != trial_id
        }

    # === Files: oracle.json, which decides, and a trial.json for each trial ===

    @_synchronized
    def save(self) -> None:
        self._tell_ended_trials()
        super().save()

    def get_state(self) -> dict[str, Any]:
        state = super().get_state()
        state["direct_l"] = {
            "objective": str(self.objective),
            "arguments": self._search_arguments,
            "search": self._search and self._search.get_state(),
            "points": self._points,
        }
        return state

    def reload(self) -> None:
        """Resumes the saved search, wherever it was killed.

        Raises:
            ValueError: If the directory is another oracle's, or the search space or an
                argument has changed.
        """
        state = self.load_state()
        if "direct_l" not in state:
            raise ValueError(
                f"The directory {self.folder} holds the search of another "
                "oracle than `DirectLOracle`. Give `directory` or `project_name` "
                "another name, or pass `overwrite=True`."
            )
        if state["direct_l"]["search"] is None:
            # Nothing was tried yet: use the current space.
            state["hyperparameters"] = self.hyperparameters.get_config()
        self._check_unchanged(state)
        self.set_state(state)

    def set_state(self, state: dict[str, Any]) -> None:
        saved = state["direct_l"]
        self.hyperparameters = _saved_space(state)
        self._points = {key: tuple(point) for key, point in saved["points"].items()}
        if saved["search"] is not None:
            space = Space(self.hyperparameters)
            self._search = DirectLSearch.from_state(saved["search"], space)
            self._num_told = len(saved["search"]["told"])
        # Trials that oracle.json does not know were never handed out.
        self.trials = {
            trial_id: self.load_trial(trial_id) or self._restore_trial(trial_id, state)
            for trial_id in state["start_order"]
        }
        super().set_state(state)
        for trial in self.ongoing_trials.values():
            if trial.trial_id in self.end_order:
                continue
            if trial.status in (TrialStatus.COMPLETED, TrialStatus.FAILED):
                # Killed between the trial's file and the oracle's.
                self.end_order.append(trial.trial_id)
            else:
                self.run_again(trial.trial_id)
        self.ongoing_trials = {}

    def _restore_trial(self, trial_id, state):
        """Rebuilds a trial from oracle.json where its own file is lost."""
        hyperparameters = self.hyperparameters.copy()
        space = Space(self.hyperparameters)
        hyperparameters.values = space.values(self._points[trial_id])
        trial = Trial(hyperparameters, trial_id, TrialStatus.INVALID)
        if trial_id in state["end_order"]:
            told = {tuple(p): v for p, v in state["direct_l"]["search"]["told"]}
            value = told[self._points[trial_id]]
            trial.status = TrialStatus.FAILED
            if value is not None:
                trial.status = TrialStatus.COMPLETED
                trial.score = self._sign * value
        return trial

    def _check_unchanged(self, state):
        saved = state["direct_l"]
        arguments = {"objective": str(self.objective), **self._search_arguments}
        before = {"objective": saved["objective"], **saved["arguments"]}
        if self._seed_is_given:
            arguments["seed"], before["seed"] = self.seed, state["seed"]
        changes = [
            f"`{name}` was {before[name]} and is {value}"
            for name, value in arguments.items()
            if value != before[name]
        ]
        space = _describe(self.hyperparameters)
        before = _describe(_saved_space(state))
        changes += [
            f"hyperparameter {name!r} was {before.get(name, 'absent')} and is {now}"
            for name, now in space.items()
            if now != before.get(name)
        ]
        if self._space_is_complete and not self.is_space_open:
            changes += [
                f"hyperparameter {name!r} was {was} and is absent"
                for name, was in before.items()
                if name not in space and not was.startswith("Fixed")
            ]
        if changes:
            raise ValueError(
                f"The search saved in {self.folder} cannot go on as another "
                f"one: {'; '.join(changes)}. Change it back, or start a new search "
                "with another `project_name` or `overwrite=True`."
            )


def _saved_space(state):
    # KerasTuner changes the conditions in its argument.
    return HyperParameters.from_config(copy.deepcopy(state["hyperparameters"]))


def _describe(hyperparameters):
    return {_label(hp): _describe_one(hp) for hp in hyperparameters.space}


def _label(hp):
    """Returns the name with its conditions: one name may have several."""
    conditions = [f"{c.name} in {list(c.values)}" for c in hp.conditions]
    return f"{hp.name} ({', '.join(conditions)})" if conditions else hp.name


def _describe_one(hp):
    if is_range(hp):
        return f"Float in [{hp.min_value}, {hp.max_value}], {hp.sampling}"
    if isinstance(hp, Fixed):
        return f"Fixed {hp.value!r}"
    apart = "name", "conditions", "default"  # The search uses no default.
    config = {k: v for k, v in hp.get_config().items() if k not in apart}
    return f"{type(hp).__name__} {config}"


def describe_divergence(trial: Trial, objective: kt.Objective, value: float) -> str:
    """Returns why a trial failed whose score is not a finite number."""
    return (
        f"Trial {trial.trial_id} diverged: {objective.name} is {value} at "
        f"{trial.hyperparameters.values}. A lower learning rate, gradient clipping "
        "(`clipnorm`) or narrower ranges may help."
    )


def describe_failures(trials: Sequence[Trial]) -> str:
    """Returns which trials failed, and why the first one did."""
    names = ", ".join(trial.trial_id for trial in trials)
    first = trials[0]
    lines = (first.message or "").strip().splitlines() or ["no reason was given"]
    return (
        f"{'Trials' if len(trials) > 1 else 'Trial'} {names} failed. The first, at "
        f"{first.hyperparameters.values}: {lines[-1]}"
    )
