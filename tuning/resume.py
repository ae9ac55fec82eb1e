"""Trainings that go on after a kill, from the last finished epoch."""

import inspect
import json
import zipfile

import keras
import numpy as np
from keras import ops

from .._files import whole_file
from .._keras import begin_at_epoch

# What every callback has, and a setting: Keras gives it its sign at the first epoch
# that a callback sees, in a resumed training too.
_NOT_SEEN = {*vars(keras.callbacks.Callback()), "min_delta"}


class TrainingBackup(keras.callbacks.Callback):
    """Keeps the last finished epoch of a training in a file, and goes on after it.

    It does more than `keras.callbacks.BackupAndRestore`: its file is whole whenever the
    process is killed, and also has the random states of layers, what other callbacks
    have seen, and whether one of them stopped the training. A training that is over is
    taken up too: its `fit` returns the history at once.

    Args:
        folder: `pathlib.Path`, of one execution of a trial. Each call of `fit` has a
            file there.
        others: list of all callbacks before this one.
        warn: function of a text that says what cannot be taken up.

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
        # Keras's own comes after this callback, and lacks the epoch that has ended.
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
        """Returns what the file must be of to be taken up."""
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
                f"A trial that is resumed begins anew with {', '.join(hidden)} of the "
                f"callback {type(callback).__name__}: numbers, strings, lists and "
                "dicts of them, and lists of weights are kept."
            )


def describe_hidden_order(data, steps_per_epoch):
    """Returns why the batches of an epoch may depend on those before, or `None`."""
    kind = type(data)
    if isinstance(data, keras.utils.PyDataset):
        depends = kind.on_epoch_end is not keras.utils.PyDataset.on_epoch_end
    else:
        depends = hasattr(data, "__next__") or hasattr(data, "element_spec")
    if not depends and steps_per_epoch is None:
        return None
    cause = f"a {kind.__name__}" if depends else "`steps_per_epoch`"
    return (
        f"A trial that is resumed may see other batches: with {cause}, those of an "
        "epoch may depend on the epochs before. Give arrays, or a "
        "`keras.utils.PyDataset` whose batches depend on their index alone."
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
    """Whether a value is such as `model.get_weights()` returns."""
    is_list = isinstance(value, list) and len(value) > 0
    return is_list and all(isinstance(one, np.ndarray) for one in value)


def _with_dtype(array):
    # NumPy's files have no name for bfloat16.
    return array.view("bfloat16") if array.dtype.kind == "V" else array
