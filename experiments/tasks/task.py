"""What the tasks share: a network, its training recipe, and an honest evaluation."""

import copy

import keras
import numpy as np

from ...inspection import learned_layers
from ...optimizers import density_optimizer
from .datasets import Batches

SCHEDULES = ("constant", "cosine", "steps")


class Task:
    """A network to train on a dataset with a recipe.

    For a task of your own, set the class attributes. Arrays of inputs and targets need
    no more; override `batches` and `examples` for other data, and `model` for a network
    that depends on them. `Classification` and `Denoising` are made that way.

    Args:
        data: `datasets.Dataset`.
        network: function of `density` and density options that returns a Keras model.
        epochs: int.
        batch_size: int.
        learning_rate: float, the peak of the schedule.
        optimizer: function of `learning_rate` that returns a Keras optimizer.
        schedule: `"constant"`, `"cosine"` or `"steps"` (times 0.2 at 30, 60 and 80 % of
            the training).
        density_learning_rate: float, of learned densities.

    Attributes:
        name: str, of the task.
        monitor: str, the metric to choose by: `evaluate(model)[task.monitor]`, and
            `"val_" + task.monitor` in the logs of a training.
        direction: `"max"` or `"min"`, which way `monitor` is better.
        scale, unit: what reports multiply `monitor` by, and its unit then.
        differences: tuple of floats, the differences of `monitor` that reports say how
            many seeds they need, in `unit`.
        loss, metrics: what the network is compiled with.

    Raises:
        ValueError: If the schedule is unknown or the data do not suit the task.

    Example:

    >>> import keras
    >>> from keras_wconv import experiments
    >>> class Regression(experiments.Task):
    ...     name, loss = "regression", "mse"
    ...     monitor, direction, metrics = "mae", "min", ("mae",)
    """

    name = monitor = direction = loss = None
    unit, scale = "", 1
    differences = ()
    metrics = ()

    def __init__(
        self,
        data,
        network,
        epochs,
        batch_size,
        learning_rate,
        optimizer,
        schedule="constant",
        density_learning_rate=1e-2,
    ):
        if schedule not in SCHEDULES:
            raise ValueError(
                f"`schedule` must be one of {SCHEDULES}. Received: {schedule!r}"
            )
        self.check_data(data)
        self.data = data
        self.network = network
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.make_optimizer = optimizer
        self.schedule = schedule
        self.density_learning_rate = density_learning_rate

    def check_data(self, data):
        """Raises a ValueError if the data do not suit the task."""

    def model(self, density=None, **density_options):
        """Builds the network, not compiled. `density=None` is the standard one."""
        return self.network(density=density, **density_options)

    def batches(self, seed):
        """Returns the training batches, a `datasets.Batches`."""
        inputs, targets = self.data.train

        def load(indices, rng):
            return inputs[indices], targets[indices]

        return Batches(len(inputs), self.batch_size, load, seed)

    def examples(self, split):
        """Returns `(inputs, targets)` of the `"validation"` or the `"test"` split."""
        return getattr(self.data, split)

    def validation_data(self):
        """Returns `(inputs, targets)` for the metrics of every epoch of a training."""
        return self.examples("validation")

    def evaluate(self, model, split="validation"):
        """Returns the metrics on the `"validation"` or the `"test"` split, a dict."""
        inputs, targets = self.examples(split)
        metrics = model.evaluate(inputs, targets, verbose=0, return_dict=True)
        return {name: float(value) for name, value in metrics.items()}

    def measure(self, model, split="test"):
        """Returns the metrics of a split, a list of one dict for each `"example"`.

        Tasks that measure the split as a whole return one dict.
        """
        return [{"example": split, **self.evaluate(model, split)}]

    @staticmethod
    def average(rows):
        """Returns the means of the metrics of `measure`."""
        names = [name for name in rows[0] if name not in ("example", "sigma")]
        return {name: float(np.mean([row[name] for row in rows])) for name in names}

    def illustrate(self, page, models):
        """Adds to a `page.Page` what trained models, a dict by name, make of the data.

        Nothing by default.
        """

    @property
    def steps(self):
        """Batches an epoch."""
        return len(self.batches(0))

    @property
    def total_steps(self):
        """Batches of the whole training."""
        return self.epochs * self.steps

    def with_steps(self, total_steps):
        """Returns the task with a training of another length, its schedule with it.

        Raises:
            ValueError: If `total_steps` is not a multiple of the steps of an epoch.
        """
        if total_steps < 1 or total_steps % self.steps:
            raise ValueError(
                f"A training must have a multiple of {self.steps} steps, which is one "
                f"epoch. Received: {total_steps}"
            )
        task = copy.copy(self)
        task.epochs = total_steps // self.steps
        return task

    def optimizer(self, learning_rate=None):
        """Returns a new optimizer as the recipe has it.

        Args:
            learning_rate: float, in place of the recipe's.
        """
        rate = self.learning_rate if learning_rate is None else learning_rate
        schedules = keras.optimizers.schedules
        total = self.total_steps
        if self.schedule == "cosine":
            rate = schedules.CosineDecay(rate, total, alpha=1e-4)
        elif self.schedule == "steps":
            ends = [int(total * part) for part in (0.3, 0.6, 0.8)]
            rate = schedules.PiecewiseConstantDecay(
                ends, [rate * 0.2**i for i in range(4)]
            )
        return self.make_optimizer(learning_rate=rate)

    def compile(self, model, learning_rate=None, optimizer=None, **kwargs):
        """Compiles a network of `model` with the recipe.

        Learned densities get an optimizer of their own: Adam with warm restarts, of
        which the first lasts ten epochs and each next one twice as long.

        Args:
            model: `keras.Model`.
            learning_rate: float, in place of the recipe's.
            optimizer: `keras.optimizers.Optimizer`, in place of the recipe's.
            **kwargs: for `keras.Model.compile`, such as `jit_compile`.
        """
        optimizer = optimizer or self.optimizer(learning_rate)
        if learned_layers(model):
            restarts = keras.optimizers.schedules.CosineDecayRestarts(
                self.density_learning_rate, 10 * self.steps, t_mul=2.0
            )
            optimizer = density_optimizer(optimizer, restarts)
        model.compile(optimizer, self.loss, metrics=list(self.metrics), **kwargs)
        # A backup of a training restores only what has been built.
        model.optimizer.build(model.trainable_variables)

    def fit(
        self,
        model,
        seed=0,
        epochs=None,
        callbacks=(),
        validate=False,
        backup_dir=None,
        verbose=0,
        **kwargs,
    ):
        """Trains a compiled network.

        With the same seed and backend, two trainings of the same initial network end
        the same, whether or not one of them was killed and resumed on the way.

        Args:
            model: compiled `keras.Model`.
            seed: int, of the batches and of what else is random.
            epochs: int, to stop before the recipe's `epochs`. The schedule of the
                learning rate stays that of the whole recipe.
            callbacks: Keras callbacks.
            validate: bool, whether every epoch ends with the validation metrics.
            backup_dir: optional folder. A training killed there goes on, when called
                again, after the last epoch that was finished.
            verbose: as in `keras.Model.fit`.
            **kwargs: for `keras.Model.fit`.

        Returns:
            `keras.callbacks.History`.
        """
        keras.utils.set_random_seed(seed)
        batches = self.batches(seed)
        callbacks = [_Epoch(batches), *callbacks]
        if backup_dir is not None:
            callbacks.append(keras.callbacks.BackupAndRestore(backup_dir))
        return model.fit(
            batches,
            epochs=self.epochs if epochs is None else epochs,
            validation_data=self.validation_data() if validate else None,
            callbacks=callbacks,
            shuffle=False,  # The batches come shuffled, by the seed and the epoch.
            verbose=verbose,
            **kwargs,
        )

    def get_config(self):
        """Returns what decides a result, as what JSON can hold."""
        model = self.model()
        optimizer = keras.optimizers.serialize(self.optimizer())
        del optimizer["config"]["name"]  # It counts the optimizers of the process.
        return {
            "task": self.name,
            "data": self.data.name,
            "network": model.name,
            "weights": {w.path: "x".join(map(str, w.shape)) for w in model.weights},
            "optimizer": optimizer,
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "density_learning_rate": self.density_learning_rate,
        }


class _Epoch(keras.callbacks.Callback):
    """Tells the batches which epoch it is, also after a resume."""

    def __init__(self, batches):
        super().__init__()
        self.batches = batches

    def on_epoch_begin(self, epoch, logs=None):
        self.batches.epoch = epoch
