"""The only place that uses undocumented parts of KerasTuner.

Checked with KerasTuner 1.4.8. Why each is needed:

- `_save_trial`, `_get_oracle_fname`, `_get_trial_dir`, `_get_tuner_fname`: the base
  classes write their files in place, and a kill leaves them empty.
- `_record_values`: a name that an inactive scope has, too, gets a random value.
- `_retry_queue`: to run a trial again whose worker is gone.
- `_check_consecutive_failures`: the base class counts every earlier run of failures,
  and a search that it ended once could never go on.
- `_display`: it fails at the end of a trial that began in an earlier process.
- `_seed_state`: the base class takes the seed 0 for none.
- `_is_worker`, `_populate_initial_space`: `Tuner.save` and `Tuner.reload` use them.
- `_build_and_fit_model`, `_try_build`, `_build_hypermodel`: `run_trial` calls them with
  its own callbacks and checkpoints; there is no other way to replace the model alone.
- `_get_checkpoint_fname`, `_get_build_config_fname`: a trial of Hyperband goes on with
  the weights of another, in a method of its own tuner alone.
- `_activate_all_conditions`, `_override_compile_args`: to find what `HyperModel.fit`
  declares before the first trial.
- `_try_run_and_update_trial`: to tell a result that is not finite from others, whatever
  oracle and `run_trial` it comes from.
- `_project_dir`: for messages.
- `_set_project_dir`: what a tuner calls before it reads its file, which a kill may have
  left empty.
- `OracleClient.stub`: a worker would wait for an hour for a chief that died, and take
  a lost connection for a failed trial.
"""

import contextlib
import functools
import gc
import inspect
import itertools
import json
import os
import time
from pathlib import Path

import keras
import keras_tuner as kt
from keras_tuner.engine.trial import Trial, TrialStatus

from .._files import write_atomically

CHIEF_TIMEOUT = 60  # seconds


class Oracle(kt.Oracle):
    """An oracle whose files stay valid whenever it is killed.

    Attributes:
        is_space_open: bool, whether `HyperModel.fit` will declare more of the space.
    """

    is_space_open = False

    def __init__(self, *args, seed=None, **kwargs):
        super().__init__(*args, seed=seed, **kwargs)
        self._num_forgiven = 0  # of the trials in `end_order`, before a new start
        self._file_content = None  # as it was last read or written here
        if seed is not None:
            self.seed = self._seed_state = int(seed)

    def _set_project_dir(self, directory, project_name):
        super()._set_project_dir(directory, project_name)
        tuner_id = os.environ.get("KERASTUNER_TUNER_ID", "tuner0")
        path = Path(self._project_dir, f"{tuner_id}.json")
        try:
            json.loads(path.read_text())
        except FileNotFoundError:
            pass
        except ValueError:
            # KerasTuner's own tuners write in place, and have no state.
            write_atomically(path, "{}")

    def save(self):
        content = json.dumps(self.get_state())
        write_atomically(Path(self._get_oracle_fname()), content)
        self._file_content = content

    def set_state(self, state):
        super().set_state(state)
        self._num_forgiven = len(self.end_order)

    def _check_consecutive_failures(self):
        ended = [self.trials[name] for name in self.end_order[self._num_forgiven :]]
        failed = itertools.takewhile(
            lambda trial: trial.status == TrialStatus.FAILED, reversed(ended)
        )
        if len(list(failed)) == self.max_consecutive_failed_trials:
            self._num_forgiven = len(self.end_order)
            raise RuntimeError("Number of consecutive failures exceeded the limit.")

    def _record_values(self, trial):
        hyperparameters = trial.hyperparameters
        values = dict(hyperparameters.values)
        super()._record_values(trial)
        for hp in hyperparameters.space:
            if hyperparameters.is_active(hp) and hp.name in values:
                hyperparameters.values[hp.name] = values[hp.name]

    def _save_trial(self, trial):
        content = json.dumps(trial.get_state())
        write_atomically(self._trial_path(trial.trial_id), content)

    def _trial_path(self, trial_id):
        return Path(self._get_trial_dir(trial_id), "trial.json")

    def save_trial(self, trial):
        """Writes a trial's file."""
        self._save_trial(trial)

    def load_trial(self, trial_id):
        """Returns a trial from its file, or None if there is no valid file."""
        try:
            return Trial.from_state(json.loads(self._trial_path(trial_id).read_text()))
        except (FileNotFoundError, ValueError):
            return None

    def load_state(self):
        """Returns the state from the oracle's file.

        Raises:
            ValueError: If the file is absent or damaged, which no kill can cause.
        """
        path = Path(self._get_oracle_fname())
        try:
            self._file_content = path.read_text()
            return json.loads(self._file_content)
        except (FileNotFoundError, ValueError) as error:
            raise ValueError(
                f"The search cannot resume: {path} is absent or damaged. Restore it, "
                "or start again with `overwrite=True` or another `project_name`."
            ) from error

    def is_outdated(self):
        """Returns whether another oracle has written the file since."""
        path = Path(self._get_oracle_fname())
        return path.exists() and path.read_text() != self._file_content

    def run_again(self, trial_id):
        """Hands out a trial before any new one."""
        if trial_id not in self._retry_queue:
            self._retry_queue.append(trial_id)

    def show_begun(self, trial):
        """Shows the start of a trial that another process started."""
        if trial.trial_id not in self._display.trial_start:
            self._display.on_trial_begin(trial)

    def forget_retry(self, trial_id):
        """Takes a trial off the list of those to run again."""
        self._retry_queue = [one for one in self._retry_queue if one != trial_id]

    @property
    def folder(self):
        """The folder of the search."""
        return self._project_dir


class Tuner(kt.Tuner):
    """A tuner whose files stay valid, with a method to replace the model of a trial.

    As a worker, it waits for a chief that restarts.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self._is_worker():
            self.oracle.stub = _PatientStub(self.oracle.stub)

    def train_trial(self, trial, *args, **kwargs):
        """Builds and fits the model of one execution of a trial; for subclasses."""
        return super()._build_and_fit_model(trial, *args, **kwargs)

    def model_for_trial(self, hp):
        """Returns the model to be fitted; for subclasses."""
        return super()._try_build(hp)

    def build_briefly(self, hp):
        """Builds the model of a trial only to inspect it.

        `_try_build` collects garbage twice, in everything that the backends have
        loaded, which takes as long as a few training steps. See `collected`.
        """
        keras.utils.clear_session(free_memory=False)  # Restarts the numbering of names.
        return self._build_hypermodel(hp)

    def save(self):
        if not self._is_worker():
            self.oracle.save()
        content = json.dumps(self.get_state())
        write_atomically(Path(self._get_tuner_fname()), content)

    def reload(self):
        if not self._is_worker():
            self.oracle.is_space_open = _declares_in_fit(self.hypermodel)
            # Declares the current space, which the oracle compares with the saved one.
            self._populate_initial_space()
        super().reload()

    def check_result(self, trial):
        """Returns why a completed trial has no result, or `None`; for subclasses."""

    def declare_space_of_fit(self, args, kwargs):
        """Registers the hyperparameters that `HyperModel.fit` declares.

        `fit` is called with the arguments of `search` until it trains, once for each
        conditional scope.
        """
        hypermodel = self.hypermodel
        if not _declares_in_fit(hypermodel):
            return

        def build(hp):
            model = hypermodel.build(hp)
            self._override_compile_args(model)
            for name in _TRAINS:
                setattr(model, name, _begin_training)
            callbacks = list(kwargs.get("callbacks") or ())
            # Other errors are reported by the trial.
            with contextlib.suppress(_TrainingBegins, Exception):
                hypermodel.fit(hp, model, *args, **{**kwargs, "callbacks": callbacks})
            return model

        self.hypermodel = kt.HyperModel()
        self.hypermodel.build = build
        try:
            self._activate_all_conditions()
        finally:
            self.hypermodel = hypermodel

    def _try_run_and_update_trial(self, trial, *args, **kwargs):
        super()._try_run_and_update_trial(trial, *args, **kwargs)
        if trial.status == TrialStatus.COMPLETED:
            reason = self.check_result(trial)
            if reason is not None:
                trial.status, trial.message = TrialStatus.INVALID, reason

    def _build_hypermodel(self, hp):
        model = super()._build_hypermodel(hp)
        earlier = hp.values.get("tuner/trial_id")
        if earlier is not None:  # As `keras_tuner.Hyperband` has it.
            if not model.built:
                path = Path(self._get_build_config_fname(earlier))
                model.build_from_config(json.loads(path.read_text()))
            model.load_weights(self._get_checkpoint_fname(earlier))
        return model

    def _build_and_fit_model(self, trial, *args, **kwargs):
        return self.train_trial(trial, *args, **kwargs)

    def _try_build(self, hp):
        return self.model_for_trial(hp)


_DECLARES = {"Boolean", "Choice", "Fixed", "Float", "Int", "conditional_scope"}
_TRAINS = ("call", "evaluate", "fit", "predict", "test_on_batch", "train_on_batch")


def _declares_in_fit(hypermodel):
    """Whether a hypermodel overrides `fit` and asks for hyperparameters there."""
    fit = getattr(type(hypermodel), "fit", None)
    if fit is None or fit is kt.HyperModel.fit:
        return False
    codes = [getattr(inspect.unwrap(fit), "__code__", None)]
    while codes:
        code = codes.pop()
        if not _DECLARES.isdisjoint(getattr(code, "co_names", ())):
            return True
        inner = getattr(code, "co_consts", ())
        codes += [constant for constant in inner if inspect.iscode(constant)]
    return False


class _TrainingBegins(BaseException):
    """Not an `Exception`: the user's `fit` may catch those."""


def _begin_training(*args, **kwargs):
    raise _TrainingBegins


class _PatientStub:
    """A worker's connection that asks again if the chief dies during an answer.

    KerasTuner would count the connection error as a failure of the trial.
    """

    def __init__(self, stub):
        self._stub = stub

    def __getattr__(self, name):
        return functools.partial(self._ask, getattr(self._stub, name))

    def _ask(self, call, request, **kwargs):
        import grpc

        unanswered = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
        deadline = time.monotonic() + CHIEF_TIMEOUT
        while True:
            try:
                return call(request, **{**kwargs, "timeout": CHIEF_TIMEOUT})
            except grpc.RpcError as error:
                if error.code() not in unanswered:
                    raise
                if time.monotonic() > deadline:
                    raise kt.errors.FatalRuntimeError(
                        f"The chief has not answered for {CHIEF_TIMEOUT} seconds. "
                        "Unless the search is over, start it again in the same folder, "
                        "then this worker."
                    ) from error
            time.sleep(0.5)


@contextlib.contextmanager
def collected():
    """Frees the garbage of a block at its end, without scanning anything older.

    While the collector is paused, all new objects stay in its youngest generation.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.collect(0)
        if enabled:
            gc.enable()


class Collection:
    """Collects all garbage from time to time, within a share of the total time.

    Training leaves reference cycles that hold its data. A full collection scans
    everything that the backends have loaded, which takes as long as a few training
    steps. After a trial of milliseconds that would be most of the time.

    Args:
        share: float, the largest part of the time.
    """

    def __init__(self, share=0.02):
        self._share = share
        self._next = 0.0

    def collect(self):
        begin = time.perf_counter()
        if begin < self._next:
            return
        gc.collect()
        end = time.perf_counter()
        self._next = end + (end - begin) / self._share
