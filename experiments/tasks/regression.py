"""Prediction of numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import keras
import numpy as np

from . import datasets
from .task import Task

if TYPE_CHECKING:
    from .datasets import Dataset


class Regression(Task):
    """Regression with the squared error, measured by the mean absolute error.

    Inputs are standardized by the mean and deviation of the training split; targets are
    not.

    Args:
        data: `datasets.Dataset` of inputs and numbers.
        network: optional function of `density` and density options that returns a
            Keras model, for `model`.
        epochs, batch_size, learning_rate, optimizer, schedule, weight_decay,
            density_learning_rate: see `Task`.

    Raises:
        ValueError: If the data are pictures without targets.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> from keras_wconv.experiments import Regression, datasets
    >>> inputs = np.random.default_rng(0).normal(size=(100, 16, 1))
    >>> data = datasets.Dataset("means", (inputs, inputs.mean((1, 2))), 0.2, 0.2)
    >>> task = Regression(data, epochs=1)
    >>> model = keras.Sequential([
    ...     keras.layers.Conv1D(4, 3),
    ...     keras.layers.GlobalAveragePooling1D(),
    ...     keras.layers.Dense(1),
    ... ])
    >>> task.compile(model)
    >>> history = task.fit(model)
    >>> sorted(task.evaluate(model, "test"))
    ['loss', 'mae']
    """

    name = "regression"
    monitor = "mae"
    direction = "min"
    loss = "mse"
    metrics = ("mae",)
    standardize = True

    def __init__(
        self,
        data: Dataset,
        network: Callable[..., keras.Model] | None = None,
        epochs: int = 50,
        batch_size: int = 32,
        learning_rate: float = 1e-3,
        optimizer: Callable[..., keras.optimizers.Optimizer] = keras.optimizers.Adam,
        schedule: str = "cosine",
        weight_decay: float | None = None,
        density_learning_rate: float = 1e-2,
    ) -> None:
        recipe = epochs, batch_size, learning_rate, optimizer, schedule, weight_decay
        super().__init__(data, network, *recipe, density_learning_rate)
        self.batches(0)  # Raises if a batch is larger than the training split.

    def check_data(self, data: Dataset) -> Dataset | None:
        if isinstance(data.train, datasets.Pictures):
            raise ValueError(
                "`data` must be a dataset of inputs and numbers. Received: "
                f"{data.name!r}, pictures without targets. They are for the task "
                "Denoising."
            )
        if data.class_names is not None:
            raise ValueError(
                f"`data` must have numbers as targets. Received: {data.name!r}, with "
                f"the classes {data.class_names}, which are for Classification."
            )

    def chance(self, split: str = "test") -> float:
        """Returns the error of always predicting the median of the training targets."""
        _, targets = getattr(self.data, split)
        guess = np.median(self.data.train[1], axis=0)
        return float(np.mean(np.abs(targets - guess)))
