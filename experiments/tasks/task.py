"""What the tasks share: data, a training recipe, and the evaluation."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, Unpack

import keras
import numpy as np

from ...inspection import learned_layers
from ...optimizers import density_optimizer
from .batches import Batches

if TYPE_CHECKING:
    from ..._density_choice import ModelDensity
    from ..._types import DensityOptions, PathLike
    from .datasets import Dataset

SCHEDULES = ("constant", "cosine", "steps")
TUNING_SEED = 1_000_000  # Seeds from here on tune; a user's are below.


class Task:
    """Data, and a recipe to train and evaluate any Keras model on them.

    To define another task, set the class attributes. That is enough for arrays of
    inputs and targets; for other data override `batches` and `examples`.
    `Classification`, `Denoising` and `Regression` are made that way.

    Args:
        data: `datasets.Dataset`.
        network: optional function of `density` and density options that returns a
            Keras model, for `model`.
        epochs: int.
        batch_size: int.
        learning_rate: float, the peak of the schedule.
        optimizer: function of `learning_rate` that returns a Keras optimizer.
        schedule: `"constant"`, `"cosine"` or `"steps"` (times 0.2 at 30, 60 and 80 % of
            the training).
        weight_decay: float; by default that of the optimizer.
        density_learning_rate: float, for learned densities.

    Attributes:
        name: str, of the task.
        monitor: str, the metric to choose by: `evaluate(model)[task.monitor]`, and
            `"val_" + task.monitor` in the logs of a training.
        direction: `"max"` or `"min"`, which values of `monitor` are better.
        scale, unit: the factor of `monitor` in reports, and its unit there.
        differences: tuple of floats, differences of `monitor` in `unit`. Reports say
            how many seeds would show them.
        loss, metrics: for `keras.Model.compile`.
        row_keys: the keys of a row of `measure` that are not metrics.
        standardize: bool, whether inputs are standardized by the mean and the standard
            deviation of each channel of the training split.

    Raises:
        ValueError: If the schedule is unknown or the data do not suit the task.

    Example:

    >>> import keras
    >>> from keras_wconv import experiments
    >>> class Quantiles(experiments.Task):
    ...     name, loss = "quantiles", "mae"
    ...     monitor, direction, metrics = "mae", "min", ("mae",)
    """

    name: str | None = None
    monitor: str | None = None
    direction: str | None = None
    loss: str | keras.losses.Loss | None = None
    unit: str = ""
    scale: float = 1
    differences: tuple[float, ...] = ()
    metrics: Sequence[str | keras.metrics.Metric] = ()
    row_keys: tuple[str, ...] = ("example",)
    standardize: bool = False

    def __init__(
        self,
        data: Dataset,
        network: Callable[..., keras.Model] | None,
        epochs: int,
        batch_size: int,
        learning_rate: float,
        optimizer: Callable[..., keras.optimizers.Optimizer],
        schedule: str = "constant",
        weight_decay: float | None = None,
        density_learning_rate: float = 1e-2,
    ) -> None:
        if schedule not in SCHEDULES:
            raise ValueError(
                f"`schedule` must be one of {SCHEDULES}. Received: {schedule!r}"
            )
        data = self.check_data(data) or data
        self.network = network
        self.epochs = epochs
        self.steps_per_epoch = None
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.make_optimizer = optimizer
        self.schedule = schedule
        self.weight_decay = weight_decay
        self.density_learning_rate = density_learning_rate
        self._whole, self._count, self._resample, self.folds = data, None, False, None
        self._see(data)

    def _see(self, data):
        self.data = data
        if self.standardize:
            inputs = data.train[0]
            axes = tuple(range(inputs.ndim - 1))
            self._mean = inputs.mean(axes, dtype="float64")
            std = inputs.std(axes, dtype="float64")
            varies = std > 1e-7 * np.abs(self._mean)  # The precision of float32.
            self._std = np.where(varies, std, 1.0)

    def check_data(self, data: Dataset) -> Dataset | None:
        """Raises a ValueError if the data do not suit the task.

        Returns:
            The data to use instead, or None to use them unchanged.
        """

    def model(
        self, density: ModelDensity = None, **density_options: Unpack[DensityOptions]
    ) -> keras.Model:
        """Builds the network, not compiled; the standard one for `density=None`.

        Raises:
            ValueError: If the task has no network, or it does not fit the data.
        """
        if self.network is None:
            raise ValueError(
                "`network` must be given to the task to build a model by its density. "
                f"Received: a {type(self).__name__} without a network. Give it one, or "
                "compare models of your own: Candidate(name, build)."
            )
        model = self.build(density=density, **density_options)
        self.check_model(model)
        return model

    def build(self, **options: Any) -> keras.Model:
        """Calls `network`, with what else it needs to know about the data."""
        return self.network(**options)

    def check_model(self, model: keras.Model) -> None:
        """Raises a ValueError if a Keras model does not fit the data.

        A model of unknown shapes, such as a subclassed one, is built by calling it on
        two examples.
        """
        inputs = self.sample(2)
        expected = inputs.shape[1:]
        must = (
            f"`model` {model.name!r} must take examples of shape {expected}, those of "
            f"{self.data.name!r}, and return one tensor. Received:"
        )
        hint = channel_hint(expected)
        received = example_shape(model, "input_shape")
        if received is not None and not _fits(received, expected):
            raise ValueError(f"{must} a network of inputs of shape {received}.{hint}")
        output = example_shape(model, "output_shape")
        try:
            if received is None or output is None:
                output = model(inputs, training=False)
                if isinstance(output, (dict, list, tuple)):
                    raise TypeError(f"a {type(output).__name__} of {len(output)}")
                output = tuple(output.shape)[1:]
            elif None in output:
                output = tuple(model.compute_output_shape((None, *expected)))[1:]
        except Exception as error:  # Layers raise many kinds.
            raise ValueError(f"{must} {error}{hint}") from error
        self.check_output(model, output)

    def check_output(self, model: keras.Model, shape: Sequence[int | None]) -> None:
        """Raises a ValueError if the shape of a model's output is wrong.

        Args:
            model: `keras.Model`.
            shape: of the output for one example.
        """
        expected = self.data.train[1].shape[1:]
        if shape != expected and not (expected == () and shape == (1,)):
            raise ValueError(
                f"`model` {model.name!r} must return {expected or '(1,)'} for an "
                f"example, the shape of the targets of {self.data.name!r}. Received: "
                f"{shape}"
            )

    def sample(self, count: int) -> np.ndarray:
        """Returns the first training inputs as the network sees them."""
        return self._standardized(self.data.train[0][:count])

    def batches(self, seed: int) -> Batches:
        """Returns the training batches, a `Batches`."""
        inputs, targets = self.data.train

        def load(indices, rng):
            x = self._augmented(inputs[indices], rng)
            return self._standardized(x), targets[indices]

        return Batches(len(inputs), self.batch_size, load, seed, self.steps_per_epoch)

    def examples(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """Returns `(inputs, targets)` of the `"validation"` or the `"test"` split."""
        inputs, targets = getattr(self.data, split)
        return self._standardized(inputs), targets

    def _augmented(self, inputs, rng):
        return inputs

    def _standardized(self, inputs):
        if not self.standardize:
            return inputs
        return ((inputs - self._mean) / self._std).astype("float32")

    def validation_data(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns `(inputs, targets)` for the metrics of every epoch of a training."""
        return self.examples("validation")

    def evaluate(
        self, model: keras.Model, split: str = "validation"
    ) -> dict[str, float]:
        """Returns the metrics on the `"validation"` or the `"test"` split, a dict."""
        inputs, targets = self.examples(split)
        metrics = model.evaluate(inputs, targets, verbose=0, return_dict=True)
        return {name: float(value) for name, value in metrics.items()}

    def measure(self, model: keras.Model, split: str = "test") -> list[dict[str, Any]]:
        """Returns the metrics of a split, a list of one dict for each `"example"`.

        Tasks that measure the split as a whole return one dict.
        """
        return [{"example": split, **self.evaluate(model, split)}]

    @classmethod
    def average(cls, rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """Returns the means of the metrics of `measure`."""
        names = [name for name in rows[0] if name not in cls.row_keys]
        return {name: float(np.mean([row[name] for row in rows])) for name in names}

    def chance(self, split: str = "test") -> float | None:
        """Returns `monitor` of a network that has learned nothing, None if unknown.

        Args:
            split: `"validation"` or `"test"`.
        """

    def failed(self, value: float, split: str = "test") -> bool:
        """Returns whether a result is not finite, or not better than `chance`.

        Args:
            value: float, of `monitor`.
            split: `"validation"` or `"test"`, on which it was measured.
        """
        chance = self.chance(split)
        if not math.isfinite(value) or chance is None:
            return not math.isfinite(value)
        gain = value - chance if self.direction == "max" else chance - value
        return not gain > self.margin(split)

    def margin(self, split: str = "test") -> float:
        """Returns by how much a result must be better than `chance`."""
        return 0.0

    def illustrate(self, page: Any, models: Mapping[str, keras.Model]) -> None:
        """Adds what trained models, a dict by name, make of the data to a `page.Page`.

        By default nothing.
        """

    @property
    def steps(self) -> int:
        """Batches per epoch."""
        return len(self.batches(0))

    @property
    def total_steps(self) -> int:
        """Batches of the whole training."""
        return self.epochs * self.steps

    def with_steps(self, total_steps: int) -> Self:
        """Returns the task with another length of the training and of its schedule.

        Epochs become longer if `total_steps` is not a multiple of their steps; there
        may be only one.

        Raises:
            ValueError: If `total_steps` is not a positive integer.
        """
        if total_steps < 1 or total_steps != int(total_steps):
            raise ValueError(
                f"`total_steps` must be a positive integer. Received: {total_steps}"
            )
        most = max(1, int(total_steps) // self.steps)
        epochs = next(n for n in range(most, 0, -1) if total_steps % n == 0)
        steps = int(total_steps) // epochs
        return self._with(epochs=epochs, steps_per_epoch=steps)._checked(total_steps)

    def with_examples(self, n: int) -> Self:
        """Returns the task with `n` examples to train on and as many steps as before.

        The examples are those of seed 0; `for_seed` draws those of another seed. The
        examples of a smaller `n` are among those of a larger one. Inputs are
        standardized by these examples only.

        Args:
            n: int, examples (pictures for `Denoising`).

        Raises:
            ValueError: If there are fewer examples, or `n` is too small.
        """
        count = self._whole.count()
        if not 1 <= n <= count or n != int(n):
            raise ValueError(
                f"`n` must be a number of examples from 1 to the {count} of the "
                f"training split. Received: {n}"
            )
        few = self._with(steps_per_epoch=self.steps, _count=int(n)).for_seed(0)
        return few._checked(self.total_steps)

    def with_resampling(self) -> Self:
        """Returns a task that divides the examples again for each seed.

        See `datasets.Dataset.resampled`. Seed 0 keeps the splits.
        """
        return self._with(_resample=True).for_seed(0)

    def with_folds(self, folds: int) -> Self:
        """Returns a task that tunes candidates by cross-validation.

        The training and the validation examples are divided into `folds` parts, with
        the classes in proportion. A trial has a run for each part, which is trained on
        the others; its score is the mean. Final runs keep the splits. It is for data
        with few examples, where one validation split says little.

        Args:
            folds: int, at least 2.

        Raises:
            ValueError: If there are fewer examples than folds, a class has only one, or
                they are pictures.

        Example:

        >>> from keras_wconv.experiments import Classification
        >>> task = Classification.digits().with_folds(4)
        """
        self._whole.fold(0, folds)  # Raises if it is wrong.
        return self._with(folds=int(folds))

    def for_seed(self, seed: int) -> Self:
        """Returns the task with the examples that a seed draws.

        It is the task itself, unless it comes from `with_examples`, `with_resampling`
        or `with_folds`.
        """
        tunes = self.folds is not None and seed >= TUNING_SEED
        if self._count is None and not self._resample and not tunes:
            return self
        data = self._whole.resampled(seed) if self._resample else self._whole
        if tunes:
            data = data.fold(seed - TUNING_SEED, self.folds)
        if self._count is not None:
            if self._count > data.count():
                raise ValueError(
                    f"`folds` must leave the {self._count} examples to train on. "
                    f"Received: {self.folds}, which leave {data.count()}"
                )
            data = data.take(data.order(seed)[: self._count])
        task = self._with()
        task._see(data)
        return task

    def _with(self, **attributes):
        task = copy.copy(self)
        vars(task).update(attributes)
        return task

    def _checked(self, total_steps):
        if self.total_steps != total_steps:
            raise ValueError(
                "`batches` of a task must give `steps_per_epoch` to Batches. Received: "
                f"{self.steps} steps from {type(self).__name__}.batches, not "
                f"{self.steps_per_epoch}"
            )
        return self

    def optimizer(
        self, learning_rate: float | None = None, weight_decay: float | None = None
    ) -> keras.optimizers.Optimizer:
        """Returns a new optimizer of the recipe.

        Args:
            learning_rate, weight_decay: float; by default those of the recipe.
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
        optimizer = self.make_optimizer(learning_rate=rate)
        decay = self.weight_decay if weight_decay is None else weight_decay
        if decay is not None:
            optimizer.weight_decay = decay
        return optimizer

    def compile(
        self,
        model: keras.Model,
        learning_rate: float | None = None,
        weight_decay: float | None = None,
        optimizer: keras.optimizers.Optimizer | None = None,
        **kwargs: Any,
    ) -> None:
        """Compiles a Keras model with the recipe.

        Learned densities get their own optimizer: Adam with warm restarts, the first
        one after ten epochs, and then each after twice as many.

        Args:
            model: `keras.Model`.
            learning_rate, weight_decay: float; by default those of the recipe.
            optimizer: `keras.optimizers.Optimizer`; by default that of the recipe.
            **kwargs: for `keras.Model.compile`, such as `jit_compile`.

        Raises:
            ValueError: If the model does not fit the data.
        """
        if optimizer is not None and (learning_rate, weight_decay) != (None, None):
            raise ValueError(
                "`optimizer` brings its own learning rate and weight decay. Received: "
                f"optimizer={optimizer}, learning_rate={learning_rate}, "
                f"weight_decay={weight_decay}"
            )
        self.check_model(model)
        optimizer = optimizer or self.optimizer(learning_rate, weight_decay)
        if learned_layers(model):
            restarts = keras.optimizers.schedules.CosineDecayRestarts(
                self.density_learning_rate, 10 * self.steps, t_mul=2.0
            )
            optimizer = density_optimizer(optimizer, restarts)
        loss = self.loss_of(model)
        model.compile(optimizer, loss, metrics=list(self.metrics), **kwargs)
        # A backup restores only variables that are built.
        model.optimizer.build(model.trainable_variables)

    def loss_of(self, model: keras.Model) -> Any:
        """Returns the loss that a model is compiled with."""
        return self.loss

    def fit(
        self,
        model: keras.Model,
        seed: int = 0,
        epochs: int | None = None,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        validate: bool = False,
        backup_dir: PathLike | None = None,
        verbose: int | str = 0,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """Trains a compiled network.

        Two runs of the same initial network with the same seed and backend end the
        same, even if one of them was killed and resumed.

        Args:
            model: compiled `keras.Model`.
            seed: int, of the batches and of everything else that is random.
            epochs: int, to stop before the recipe's `epochs`. The learning rate keeps
                the schedule of the whole recipe.
            callbacks: Keras callbacks.
            validate: bool, whether every epoch ends with the validation metrics.
            backup_dir: optional folder of a backup. After a kill, the same call goes on
                after the last finished epoch.
            verbose: see `keras.Model.fit`.
            **kwargs: for `keras.Model.fit`.

        Returns:
            `keras.callbacks.History`.
        """
        keras.utils.set_random_seed(seed)
        batches = self.batches(seed)

        def begin(epoch, logs):
            batches.epoch = epoch  # Also after a resume.

        callbacks = [keras.callbacks.LambdaCallback(on_epoch_begin=begin), *callbacks]
        if backup_dir is not None:
            callbacks.append(keras.callbacks.BackupAndRestore(backup_dir))
        return model.fit(
            batches,
            epochs=self.epochs if epochs is None else epochs,
            validation_data=self.validation_data() if validate else None,
            callbacks=callbacks,
            shuffle=False,  # The seed and the epoch have shuffled the batches.
            verbose=verbose,
            **kwargs,
        )

    def get_config(self) -> dict[str, Any]:
        """Returns what decides a result besides the model and the data.

        It can be written as JSON, and is the same in every process.
        """
        optimizer = keras.optimizers.serialize(self.optimizer())
        config = {
            "task": self.name,
            "loss": without_names(keras.saving.serialize_keras_object(self.loss)),
            "metrics": without_names(
                keras.saving.serialize_keras_object(list(self.metrics))
            ),
            "monitor": self.monitor,
            "optimizer": without_names(optimizer),
            "epochs": self.epochs,
            "steps": self.steps,
            "batch_size": self.batch_size,
            "standardize": self.standardize,
            "density_learning_rate": self.density_learning_rate,
            "examples": self._count,
            "resample": self._resample,
            **({} if self.folds is None else {"folds": self.folds}),
        }
        return json.loads(json.dumps(config, default=lambda x: np.asarray(x).tolist()))


def without_names(config):
    """Drops the names of optimizers and losses, which Keras numbers in a process."""
    if isinstance(config, dict):
        return {k: without_names(v) for k, v in config.items() if k != "name"}
    if isinstance(config, (list, tuple)):
        return [without_names(value) for value in config]
    return config


def example_shape(model: keras.Model, name: str) -> tuple[int | None, ...] | None:
    """Returns a model's `"input_shape"` or `"output_shape"` for an example, or None."""
    if not isinstance(model, keras.Model):
        raise ValueError(f"`model` must be a keras.Model. Received: {model}")
    shape = getattr(model, name, None)
    if shape is not None and not (
        isinstance(shape, tuple) and all(n is None or isinstance(n, int) for n in shape)
    ):
        raise ValueError(
            f"`model` {model.name!r} must have one input and one output. Received: "
            f"{name}={shape}"
        )
    return shape and shape[1:]


def _fits(shape, expected):
    return len(shape) == len(expected) and all(
        have in (None, want) for have, want in zip(shape, expected, strict=True)
    )


def channel_hint(shape: Sequence[int | None]) -> str:
    """Returns a hint for an error about the shape of an example."""
    if len(shape) > 2 or shape[-1:] == (1,):
        return ""
    return f" If examples of shape {shape} lack a channel axis: inputs[..., None]."
