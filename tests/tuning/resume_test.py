"""Trials that are killed in the middle, and end as if they were not."""

import ast
import functools
import os
import signal
import subprocess
import sys
from pathlib import Path

import keras
import keras_tuner as kt
import numpy as np
import pytest

from keras_wconv import WeightedConv2D, tuning

X = np.random.default_rng(0).random((32, 6, 6, 1), "float32")
Y = np.random.default_rng(1).integers(0, 3, 32)
DATA = {"x": X, "y": Y, "batch_size": 8, "validation_data": (X[:16], Y[:16])}
EPOCHS = 5
EAGERLY = keras.backend.backend() != "jax"  # faster for runs that are this short


def build(hp, rate=0.05, dtype=None):
    density = tuning.density(hp, kernel_size=3)
    model = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            WeightedConv2D(3, 3, density=density, dtype=dtype),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.3),
            keras.layers.Flatten(),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )
    adam = keras.optimizers.Adam(rate)
    model.compile(
        adam,
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        run_eagerly=EAGERLY,
    )
    return model


def build_small(hp, units=1):
    density = tuning.density(hp, kernel_size=3)
    layers = [
        keras.Input((6, 6, 1)),
        WeightedConv2D(units, 3, density=density),
        keras.layers.Flatten(),
        keras.layers.Dense(3, activation="softmax"),
    ]
    model = keras.Sequential(layers)
    model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=EAGERLY)
    return model


def build_with_schedule(hp):
    schedule = keras.optimizers.schedules.CosineDecay(0.05, 20)
    return build(hp, schedule, dtype="bfloat16")


class TwoTrainings(kt.HyperModel):
    """Trains twice, and draws random numbers in between."""

    def build(self, hp):
        return build(hp)

    def fit(self, hp, model, *args, **kwargs):
        first = model.fit(*args, **{**kwargs, "epochs": 3})
        noise = np.random.normal(size=X.shape).astype("float32")
        second = model.fit(*args, **{**kwargs, "x": X + noise, "shuffle": False})
        return sum(first.history["val_loss"] + second.history["val_loss"])


def plateau():
    return keras.callbacks.ReduceLROnPlateau("val_loss", patience=1, min_delta=0.05)


def early_stopping():
    return keras.callbacks.EarlyStopping(
        "val_loss", patience=2, min_delta=0.02, restore_best_weights=True
    )


def learning_rate():
    return keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.7)


class Counter(keras.callbacks.Callback):
    """A callback of a user, whose attributes decide: every second epoch counts."""

    def __init__(self):
        super().__init__()
        self.epochs = 0

    def on_epoch_end(self, epoch, logs=None):
        self.epochs += 1
        if self.epochs % 2:
            rate = self.model.optimizer.learning_rate
            self.model.optimizer.learning_rate = rate * 0.5


class Kill(keras.callbacks.Callback):
    """Ends the process, or what stands for it, at a moment of the search."""

    at = None  # (training, moment): (epoch, batch or "end"), or "end"
    training = -1

    def on_train_begin(self, logs=None):
        Kill.training += 1

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        self._die((self.epoch, batch))

    def on_epoch_end(self, epoch, logs=None):
        self._die((epoch, "end"))

    def on_train_end(self, logs=None):
        self._die("end")

    def _die(self, moment):
        if Kill.at == (Kill.training, moment):
            Kill.kill()

    @staticmethod
    def kill():
        raise KeyboardInterrupt


def search(directory, hypermodel=build_small, callbacks=(), kill_at=None, **arguments):
    Kill.training, Kill.at = -1, kill_at
    fit = {**DATA, "epochs": EPOCHS, "verbose": 0, "callbacks": [Kill(), *callbacks]}
    fit.update(arguments.pop("fit", {}))
    arguments = {"objective": "val_loss", "max_trials": 2, **arguments}
    tuner = tuning.DirectL(
        hypermodel, resume_trials=True, directory=directory, **arguments
    )
    tuner.search(**fit)
    return tuner


def scores(tuner):
    return {
        name: (trial.hyperparameters.values, trial.score, trial.best_step)
        for name, trial in tuner.oracle.trials.items()
    }


@pytest.mark.parametrize(
    "hypermodel, callbacks, kills",
    [
        # The second search begins in trial 1, and so on.
        (
            build,
            [learning_rate, plateau, early_stopping, Counter],
            [(1, (2, 2)), (0, (2, "end"))],
        ),
        (build_with_schedule, [early_stopping], [(1, (2, 3))]),
        (TwoTrainings(), [], [(1, (1, 1)), (1, "end")]),
    ],
)
def test_interrupted_trials_end_with_the_same_scores(
    tmp_path, hypermodel, callbacks, kills
):
    def run(name, kill_at=None):
        made = [make() for make in callbacks]
        return search(tmp_path / name, hypermodel, made, kill_at)

    whole = run("whole")
    for moment in kills:
        with pytest.raises(KeyboardInterrupt):
            run("killed", moment)
    killed = run("killed")
    assert scores(killed) == scores(whole)
    for one, other in zip(
        killed.get_best_models()[0].get_weights(),
        whole.get_best_models()[0].get_weights(),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)
    assert not list(tmp_path.glob("*/*/trial_*/backup"))


def test_search_killed_by_the_system_ends_with_the_same_scores(tmp_path):
    whole = search(tmp_path / "whole", build, [plateau(), early_stopping()])
    moments = ("(0, (2, 2))", "(1, (1, 'end'))")
    for moment in moments if "TEST_ALL" in os.environ else moments[1:]:
        command = [sys.executable, __file__, str(tmp_path / "killed"), moment]
        process = subprocess.run(command, capture_output=True, timeout=300)
        assert process.returncode == -signal.SIGKILL, process.stderr[-3000:]
    assert list(tmp_path.glob("killed/*/trial_1/backup/execution_0/training_0.npz"))
    killed = search(tmp_path / "killed", build, [plateau(), early_stopping()])
    assert scores(killed) == scores(whole)


class Epochs(keras.callbacks.Callback):
    """Counts the epochs of all runs."""

    seen = []

    def on_epoch_end(self, epoch, logs=None):
        Epochs.seen.append(epoch)


@pytest.fixture
def epochs(monkeypatch):
    monkeypatch.setattr(Epochs, "seen", [])
    return Epochs.seen


def test_only_what_is_missing_is_trained(tmp_path, epochs):
    arguments = {"callbacks": [Epochs()], "max_trials": 1, "executions_per_trial": 2}
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "killed", kill_at=(1, (3, 1)), **arguments)
    killed = search(tmp_path / "killed", **arguments)
    assert epochs == [*range(EPOCHS), 0, 1, 2, 3, 4]
    assert scores(killed) == scores(search(tmp_path / "whole", **arguments))


def test_training_that_was_stopped_is_over(tmp_path, epochs):
    """It is killed before the result of the training is known."""
    stop = keras.callbacks.EarlyStopping("val_loss", min_delta=100.0, patience=1)
    arguments = {"callbacks": [Epochs(), stop], "max_trials": 1}
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path, kill_at=(0, "end"), **arguments)
    search(tmp_path, **arguments)
    assert epochs == [0, 1]


@pytest.mark.parametrize("size", [0, 1000])
def test_torn_backup_is_not_taken_up(tmp_path, epochs, size):
    """A loss of power can tear it; a kill cannot."""
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path, callbacks=[Epochs()], kill_at=(0, (2, 0)), max_trials=1)
    (path,) = tmp_path.glob("*/trial_0/backup/execution_0/training_0.npz")
    path.write_bytes(path.read_bytes()[:size])
    search(tmp_path, callbacks=[Epochs()], max_trials=1)
    assert epochs == [0, 1, *range(EPOCHS)]


@pytest.mark.parametrize("change", [{"callbacks": [Epochs()]}, {"units": 2}])
def test_backup_of_another_training_is_not_taken_up(tmp_path, epochs, change):
    hypermodel = functools.partial(build_small, units=change.get("units", 1))
    callbacks = [Epochs(), *change.get("callbacks", [])]
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path, callbacks=[Epochs()], kill_at=(0, (2, 0)), max_trials=1)
    epochs.clear()
    search(tmp_path, hypermodel, callbacks, max_trials=1)
    assert epochs[-1] == EPOCHS - 1
    assert len(epochs) == EPOCHS * len(callbacks)


class OpenFile(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.file = Path(os.devnull).open()  # noqa: SIM115 - open while it trains

    def on_train_end(self, logs=None):
        self.file.close()


class ShuffledByItself(keras.utils.PyDataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        return X[:8], Y[:8]

    def on_epoch_end(self):
        pass


class WithoutCallbacks(kt.HyperModel):
    def build(self, hp):
        return build_small(hp)

    def fit(self, hp, model, *args, callbacks, **kwargs):
        return model.fit(*args, **kwargs)


def endless():
    while True:
        yield X[:8], Y[:8]


def of_data(data, **arguments):
    return {"fit": {"x": data, "y": None, "batch_size": None, **arguments}}


@pytest.mark.parametrize(
    "arguments, warning",
    [
        ({"callbacks": [OpenFile()]}, "starts over with `file` of the callback OpenF"),
        (
            {"callbacks": [keras.callbacks.LambdaCallback()]},
            "with its functions of the callback LambdaCallback",
        ),
        (of_data(endless(), steps_per_epoch=2), "other batches: with a generator"),
        (of_data(ShuffledByItself()), "other batches: with a ShuffledByItself"),
        ({"fit": {"steps_per_epoch": 3}}, "other batches: with `steps_per_epoch`"),
        ({"hypermodel": WithoutCallbacks()}, "does not pass its `callbacks`"),
    ],
)
def test_what_cannot_be_taken_up_is_said(tmp_path, arguments, warning):
    fit = {"epochs": 1, **arguments.get("fit", {})}
    with pytest.warns(UserWarning, match=warning) as caught:
        search(tmp_path, max_trials=2, **{**arguments, "fit": fit})
    assert len([one for one in caught if "resumed" in str(one.message)]) == 1


if __name__ == "__main__":
    Kill.kill = staticmethod(lambda: os.kill(os.getpid(), signal.SIGKILL))
    search(
        sys.argv[1],
        build,
        [plateau(), early_stopping()],
        kill_at=ast.literal_eval(sys.argv[2]),
    )
