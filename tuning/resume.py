"""Resumes training after a kill, from the last finished epoch."""

import inspect
import json
import zipfile

import keras
import numpy as np
from keras import ops

from .._files import whole_file
from .._keras import begin_at_epoch

# Attributes that every callback has, and `min_delta`, whose sign Keras sets at the
# first epoch that a callback sees, in a resumed run too.
_NOT_SEEN = {*vars(keras.callbacks.Callback()), "min_delta"}


class TrainingBackup(keras.callbacks.Callback):
    """Saves each finished epoch to a file, and resumes after the last one.

    It does more than `keras.callbacks.BackupAndRestore`: a kill never leaves a damaged
    file, and the file also holds the random states of layers, the state of other
    callbacks, and whether one of them stopped the training. A finished run is restored
    too: its `fit` returns the history at once.

    Args:
        folder: `pathlib.Path`, of one execution of a trial. Each call of `fit` writes
            its own file there.
        others: list of all callbacks before this one.
        warn: function that is called with a text about what cannot be restored.

    Attributes:
        trainings: int, how many calls of `fit` there were.
    """

    def __init__(self, folder, others, warn):
        super().__init__()
        self.trainings = 0
        self._folder = folder
        self._others = others
        self._warn = warn

    def on_train_begin(self, logs=None):
        self._path = self._folder / f"training_{self.trainings}.npz"
        self.trainings += 1
        # Keras calls its own one after this callback, so it lacks the last epoch.
        self._history = keras.callbacks.History()
        self._history.set_model(self.model)
        self._history.on_train_begin()
        self._callbacks = [*self._others, self._history]
        self._first = [_plain_attributes(callback) for callback in self._callbacks]
        begin_at_epoch(self.model, 0)
        if not self.model.built:
            self._warn(
                "A trial whose model is not built before `fit` cannot be resumed. "
                "Begin the model with a `keras.Input`, or call `model.build`."
            )
            return
        try:
            with np.load(self._path) as file:
                state, *arrays = (file[name] for name in file.files)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile):
            return
        state = json.loads(str(state))
        if state["of"] == self._describe():
            self._take_up(state, map(_with_dtype, arrays))

    def on_epoch_end(self, epoch, logs=None):
        self._history.on_epoch_end(epoch, logs)
        arrays = [ops.convert_to_numpy(variable) for variable in self._variables()]
        seen = []
        for callback, first in zip(self._callbacks, self._first, strict=True):
            now = _plain_attributes(callback)
            changes = {k: v for k, v in now.items() if v != first.get(k)}
            for name, value in _own_attributes(callback).items():
                if _is_weights(value):
                    changes[name] = len(value)
                    arrays += value
            seen.append(changes)
            self._warn_of_hidden_state(callback)
        is_over = self.model.stop_training
        state = {
            "of": self._describe(),
            "epoch": self.params["epochs"] if is_over else epoch + 1,
            "seen": seen,
        }
        self._folder.mkdir(parents=True, exist_ok=True)
        with whole_file(self._path) as temporary:
            np.savez(temporary, json.dumps(state), *arrays)

    def on_train_end(self, logs=None):
        self.model.history = self._history

    def _take_up(self, state, arrays):
        for variable in self._variables():
            variable.assign(next(arrays))
        for callback, changes in zip(self._callbacks, state["seen"], strict=True):
            for name, value in changes.items():
                if isinstance(value, int):
                    value = [next(arrays) for _ in range(value)]
                else:
                    value = json.loads(value)
                setattr(callback, name, value)
        begin_at_epoch(self.model, state["epoch"])

    def _describe(self):
        """Returns what a file must have been written for to be restored."""
        callbacks = [type(callback).__name__ for callback in self._callbacks]
        return [callbacks, [list(variable.shape) for variable in self._variables()]]

    def _variables(self):
        optimizer = self.model.optimizer
        if not optimizer.built:
            optimizer.build(self.model.trainable_variables)
        return [*self.model.variables, *optimizer.variables]

    def _warn_of_hidden_state(self, callback):
        if isinstance(callback, keras.callbacks.LambdaCallback):
            hidden = ["its functions"]
        elif type(callback).__module__.partition(".")[0] in ("keras", "keras_tuner"):
            return
        else:
            hidden = [
                f"`{name}`"
                for name, value in _own_attributes(callback).items()
                if not (
                    _is_plain(value) or _is_weights(value) or inspect.isroutine(value)
                )
            ]
        if hidden:
            self._warn(
                f"A resumed trial starts over with {', '.join(hidden)} of the callback "
                f"{type(callback).__name__}: only numbers, strings, lists and dicts of "
                "them, and lists of weights are saved."
            )


def describe_hidden_order(data, steps_per_epoch):
    """Returns why the batches of an epoch may depend on earlier ones, or `None`."""
    kind = type(data)
    if isinstance(data, keras.utils.PyDataset):
        depends = kind.on_epoch_end is not keras.utils.PyDataset.on_epoch_end
    else:
        depends = hasattr(data, "__next__") or hasattr(data, "element_spec")
    if not depends and steps_per_epoch is None:
        return None
    cause = f"a {kind.__name__}" if depends else "`steps_per_epoch`"
    return (
        f"A resumed trial may see other batches: with {cause}, the batches of an epoch "
        "may depend on earlier epochs. Use arrays, or a `keras.utils.PyDataset` whose "
        "batches depend only on their index."
    )


def _own_attributes(callback):
    return {k: v for k, v in vars(callback).items() if k not in _NOT_SEEN}


def _plain_attributes(callback):
    """Returns the attributes that JSON can hold, each as JSON, by name."""
    attributes = _own_attributes(callback).items()
    return {name: json.dumps(value) for name, value in attributes if _is_plain(value)}


def _is_plain(value):
    if isinstance(value, dict):
        return all(isinstance(k, str) and _is_plain(v) for k, v in value.items())
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)


def _is_weights(value):
    """Whether a value looks like the result of `model.get_weights()`."""
    is_list = isinstance(value, list) and len(value) > 0
    return is_list and all(isinstance(one, np.ndarray) for one in value)


def _with_dtype(array):
    # NumPy's files have no name for bfloat16.
    return array.view("bfloat16") if array.dtype.kind == "V" else array
