"""KerasTuner tuners whose trials share one compiled model."""

from __future__ import annotations

import copy
import math
import shutil
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import keras
import keras_tuner as kt
import numpy as np
from keras_tuner.engine.trial import Trial, TrialStatus

from .._trials import Trials
from ..callbacks import DensityLogger
from . import _keras_tuner
from .folder_lock import FolderLock
from .kept_model import KeptModel
from .oracle import DirectLOracle, Objective, describe_divergence, describe_failures
from .resume import TrainingBackup, describe_hidden_order

HyperModel = kt.HyperModel | Callable[[kt.HyperParameters], keras.Model] | None


class DensityTuner(_keras_tuner.Tuner):
    """Tuner that compiles once for trials that differ in densities and learning rates.

    One compiled training step serves all values of a density and all constant learning
    rates; schedules are part of the step. The first model is kept, with its densities
    as weights that are not trained. Each further trial assigns it the initial state of
    a new model (weights, optimizer, seeds) and the new densities, so its losses equal
    those of a new model to the last bit. (In mixed precision under JAX, a model whose
    densities are constants may round differently, since XLA keeps extra precision.) The
    tuner compares everything else about the models: their configs, and what configs do
    not contain (attributes, hooks, regularizers, constraints and flags of single
    weights, exclusions from weight decay). If anything differs, the trial builds a new
    model, and one warning says why.

    All trials draw the same random numbers, so that the initial kernels and the order
    of the batches (if `fit` shuffles) cause no differences.

    A run that diverges has the score of its best epoch, and has failed if that is not
    finite. When the search ends, a warning names the failed trials. Hyperparameters
    that `HyperModel.fit` declares before it trains are found when the search begins.
    `keras_tuner.oracles.HyperbandOracle` sets the number of epochs. A `DensityLogger`
    writes one file for each run, such as `densities_trial_02_execution_0.csv`.

    Only a functional model, or a sequential one with a `keras.Input`, can be kept.
    Custom layers need a complete `get_config()`. Custom functions must be registered
    with `keras.saving.register_keras_serializable` and be the same in all trials.

    Args:
        oracle: Instance of any `keras_tuner.Oracle`.
        hypermodel: `keras_tuner.HyperModel`, or a callable that takes hyperparameters
            and returns a compiled model.
        seed: Integer. Execution `i` of every trial draws its random numbers from
            `seed + i`.
        reuse_model: Boolean. `False` compiles a model for each trial.
        resume_trials: Boolean. `True` saves each finished epoch. A killed trial then
            resumes after the last one and reaches the score of an uninterrupted trial
            to the last bit; for that, each epoch has its own random seed. A warning
            names what cannot be saved: objects in custom callbacks, or the position in
            a generator.
        idle_pause: Float, seconds to wait before asking again an oracle that has no
            trial ready.
        **kwargs: Those of `keras_tuner.Tuner`.

    Example:

    >>> import keras
    >>> import keras_tuner
    >>> from keras_wconv import WeightedConv2D, tuning
    >>> def build(hp):
    ...     density = tuning.density(hp, kernel_size=3)
    ...     layers = [keras.Input((8, 8, 1)), WeightedConv2D(1, 3, density=density)]
    ...     model = keras.Sequential(layers)
    ...     model.compile("sgd", "mse")
    ...     return model
    >>> oracle = keras_tuner.oracles.BayesianOptimizationOracle("val_loss")
    >>> tuner = tuning.DensityTuner(oracle, build, directory="searches")

    Source: https://keras.io/keras_tuner/api/tuners/base_tuner/ is the interface.
    """

    def __init__(
        self,
        oracle: kt.Oracle,
        hypermodel: HyperModel = None,
        seed: int = 0,
        reuse_model: bool = True,
        idle_pause: float = 0.25,
        resume_trials: bool = False,
        **kwargs: Any,
    ) -> None:
        if hypermodel is None and type(self).run_trial is DensityTuner.run_trial:
            raise ValueError(
                "`hypermodel` must be a `keras_tuner.HyperModel`, or a function that "
                "takes hyperparameters and returns a compiled model. Only a subclass "
                "with a `run_trial` of its own needs none. Received: hypermodel=None"
            )
        self.seed = seed
        self.reuse_model = reuse_model
        self.resume_trials = resume_trials
        self.idle_pause = idle_pause
        self._waiting = False
        self._execution = None  # the number of the running one
        self._kept = None
        self._collection = _keras_tuner.Collection()
        self._warned = set()
        if kwargs.get("overwrite") and not self._is_worker():
            # No search of another process. Windows does not delete a locked file.
            directory = kwargs.get("directory") or "."
            name = kwargs.get("project_name") or "untitled_project"
            FolderLock(Path(directory, name)).release()
        super().__init__(oracle, hypermodel, **kwargs)

    def on_search_begin(self) -> None:
        # So that a search that is killed in its first trial can be resumed.
        self.save()
        super().on_search_begin()

    def pre_create_trial(self) -> None:
        # The base class would ask an idle oracle again at once.
        if self._waiting:
            time.sleep(self.idle_pause)
        self._waiting = True
        super().pre_create_trial()

    def on_trial_begin(self, trial: Trial) -> None:
        self._waiting = False
        super().on_trial_begin(trial)

    def search(self, *fit_args: Any, **fit_kwargs: Any) -> None:
        self.declare_space_of_fit(fit_args, fit_kwargs)
        if isinstance(self.oracle, DirectLOracle):
            self.oracle.claim_folder()  # before anything is saved
        try:
            super().search(*fit_args, **fit_kwargs)
        finally:
            self._waiting = False
            self._kept = None
        self._tell_failures()

    def _repr_html_(self) -> str:
        return Trials.of(self).to_html(type(self).__name__)

    def _tell_failures(self):
        trials = getattr(self.oracle, "trials", {})  # The chief's workers have none.
        failed = [t for t in trials.values() if t.status == TrialStatus.FAILED]
        if failed:
            warnings.warn(
                f"{len(failed)} of {len(trials)} trials failed. "
                f"{describe_failures(failed)}",
                stacklevel=3,
            )

    def check_result(self, trial: Trial) -> str | None:
        objective = self.oracle.objective
        metrics = self.oracle.get_trial(trial.trial_id).metrics
        if not metrics.exists(objective.name):
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of NumPy: all are NaN
            value = metrics.get_best_value(objective.name)
        if value is None or math.isfinite(value):
            return None
        return describe_divergence(trial, objective, value)

    def run_trial(self, trial: Trial, *args: Any, **kwargs: Any) -> list[Any]:
        values = trial.hyperparameters.values
        if "tuner/epochs" in values:  # An oracle that gives some trials more epochs.
            kwargs["epochs"] = values["tuner/epochs"]
            kwargs["initial_epoch"] = values["tuner/initial_epoch"]
        self._execution = -1
        try:
            results = super().run_trial(trial, *args, **kwargs)
        finally:
            self._execution = None
        return [self._checked_result(result) for result in results]

    def _checked_result(self, result):
        """Returns a result in which NaN is the worst value, like infinity."""
        if not isinstance(result, keras.callbacks.History):
            return result
        objective = self.oracle.objective
        if not objective.has_value(result.history):
            raise kt.errors.FatalValueError(
                f"The results of the training lack the objective, {objective}. "
                f"Received: {list(result.history)}. Compile the model with it as a "
                "metric; names that start with 'val_' need `validation_data`."
            )
        own = {objective.name: objective.direction}
        history = dict(result.history)
        for name, to in getattr(objective, "name_to_direction", own).items():
            worst = math.inf if to == "min" else -math.inf
            history[name] = [worst if math.isnan(v) else v for v in history[name]]
        result = copy.copy(result)
        result.history = history
        return result

    def on_trial_end(self, trial: Trial) -> None:
        super().on_trial_end(trial)
        shutil.rmtree(self._backup_folder(trial), ignore_errors=True)

    def train_trial(
        self,
        trial: Trial,
        *args: Any,
        callbacks: Iterable[keras.callbacks.Callback] = (),
        **kwargs: Any,
    ) -> Any:
        self._execution += 1
        seeds = _Seed(self.seed + self._execution, each_epoch=self.resume_trials)
        callbacks = [seeds, *callbacks]
        folder = self._backup_folder(trial) / f"execution_{self._execution}"
        for callback in callbacks:
            if isinstance(callback, DensityLogger):
                self._separate_files(callback, trial, folder.exists())
        if self.resume_trials:
            data = kwargs.get("x", args[0] if args else None)
            hidden = describe_hidden_order(data, kwargs.get("steps_per_epoch"))
            if hidden is not None:
                self._warn(hidden)
            backup = TrainingBackup(folder, tuple(callbacks), self._warn)
            callbacks.append(backup)
        callbacks.insert(0, _SpaceCheck(self.oracle, trial))
        try:
            results = super().train_trial(trial, *args, callbacks=callbacks, **kwargs)
        except BaseException:
            # The state in which it stopped is not known.
            self._kept = None
            raise
        if self.resume_trials and not backup.trainings:
            self._warn(
                "Trials cannot be resumed: `fit` of the hypermodel does not pass its "
                "`callbacks` to `model.fit`."
            )
        return results

    def _separate_files(self, logger, trial, is_resumed):
        name = f"trial_{trial.trial_id}", f"execution_{self._execution}"
        if logger.path is not None:
            path = logger.path
            logger.path = path.with_stem("_".join((path.stem, *name)))
            if not is_resumed:
                logger.path.unlink(missing_ok=True)  # of a run that was killed
        if logger.log_dir is not None:
            logger.log_dir = Path(logger.log_dir, *name)

    def _backup_folder(self, trial):
        return Path(self.get_trial_dir(trial.trial_id), "backup")

    def model_for_trial(self, hp: kt.HyperParameters) -> keras.Model:
        if self._execution is None:
            # Called for the user, as by `get_best_models`.
            return super().model_for_trial(hp)
        if self._kept is not None:
            self._collection.collect()
            keras.utils.set_random_seed(self.seed + self._execution)
            with _keras_tuner.collected():
                difference = self._difference(self.build_briefly(hp))
            if difference is None:
                return self._kept.model
            self._kept = None
            self._warn_of_models(
                "Trials differ in more than densities and learning rates: "
                f"{difference}."
            )
        keras.utils.set_random_seed(self.seed + self._execution)
        model = super().model_for_trial(hp)
        if self.distribution_strategy is not None:
            return model
        try:
            kept = KeptModel(model)
        except Exception as error:
            if self.reuse_model:
                self._warn_of_models(
                    f"The model cannot be kept for other trials: {_reason(error)}."
                )
            return model
        if self.reuse_model:
            self._kept = kept
        return kept.model

    def _difference(self, model):
        try:
            return self._kept.start_as(model)
        except Exception as error:  # The trial itself has not failed.
            return _reason(error)

    def _warn_of_models(self, reason):
        self._warn(f"{reason} Trials build models of their own.", kind="new models")

    def _warn(self, text, kind=None):
        """Warns once of each kind."""
        if (kind or text) not in self._warned:
            warnings.warn(text, stacklevel=2)
            self._warned.add(kind or text)


def _reason(error):
    text = str(error).strip().rstrip(".")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class _SpaceCheck(keras.callbacks.Callback):
    """Refuses what `fit` declares too late, before it trains and not after."""

    def __init__(self, oracle, trial):
        super().__init__()
        self._oracle = oracle
        self._trial = trial

    def on_train_begin(self, logs=None):
        if isinstance(self._oracle, DirectLOracle):
            try:
                self._oracle.update_space(self._trial.hyperparameters)
            except (RuntimeError, ValueError) as error:
                raise kt.errors.FatalValueError(str(error)) from error


class _Seed(keras.callbacks.Callback):
    """Seeds the training when it begins: building a model draws a batch before that."""

    def __init__(self, seed, each_epoch=False):
        super().__init__()
        self.seed = seed
        self.each_epoch = each_epoch
        self._is_begun = False

    def on_train_begin(self, logs=None):
        if not self._is_begun:
            keras.utils.set_random_seed(self.seed)
        self._is_begun = True  # a second run of the model continues from there

    def on_epoch_begin(self, epoch, logs=None):
        if self.each_epoch:
            self._seed_part(epoch + 1)

    def on_train_end(self, logs=None):
        if self.each_epoch:
            self._seed_part(0)

    def _seed_part(self, part):
        sequence = np.random.SeedSequence((self.seed, part))
        keras.utils.set_random_seed(int(sequence.generate_state(1)[0]))


class DirectL(DensityTuner):
    """Tuner that searches with DIRECT-L and compiles once.

    Args:
        hypermodel: `keras_tuner.HyperModel`, or a callable that takes hyperparameters
            and returns a compiled model.
        objective, max_trials, epsilon, min_side, locally_biased, hyperparameters,
        tune_new_entries, allow_new_entries, max_retries_per_trial,
        max_consecutive_failed_trials: as in `DirectLOracle`.
        seed: Integer, of the random numbers of all trials, see `DensityTuner`.
        **kwargs: Those of `DensityTuner`, and of `keras_tuner.Tuner` such as
            `executions_per_trial`, `directory`, `project_name` and `overwrite`.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> from keras_wconv import WeightedConv2D, tuning
    >>> def build(hp):
    ...     density = tuning.density(hp, kernel_size=3)
    ...     layers = [keras.Input((8, 8, 1)), WeightedConv2D(1, 3, density=density)]
    ...     model = keras.Sequential(layers)
    ...     model.compile("sgd", "mse")
    ...     return model
    >>> tuner = tuning.DirectL(build, "loss", max_trials=3, directory="searches")
    >>> x, y = np.ones((4, 8, 8, 1)), np.ones((4, 6, 6, 1))
    >>> tuner.search(x, y, verbose=0)
    >>> trials = tuner.oracle.trials.values()
    >>> [round(trial.hyperparameters["density_3_1"], 3) for trial in trials]
    [1.0, 1.333, 0.667]

    Source: see `DirectLSearch`.
    """

    def __init__(
        self,
        hypermodel: HyperModel = None,
        objective: Objective = None,
        max_trials: int | None = 10,
        epsilon: float = 1e-4,
        min_side: float | None = 0.01,
        locally_biased: bool = True,
        seed: int = 0,
        hyperparameters: kt.HyperParameters | None = None,
        tune_new_entries: bool = True,
        allow_new_entries: bool = True,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int = 3,
        **kwargs: Any,
    ) -> None:
        oracle = DirectLOracle(
            objective=objective,
            max_trials=max_trials,
            epsilon=epsilon,
            min_side=min_side,
            locally_biased=locally_biased,
            seed=seed,
            hyperparameters=hyperparameters,
            tune_new_entries=tune_new_entries,
            allow_new_entries=allow_new_entries,
            max_retries_per_trial=max_retries_per_trial,
            max_consecutive_failed_trials=max_consecutive_failed_trials,
        )
        super().__init__(oracle, hypermodel, seed=seed, **kwargs)
