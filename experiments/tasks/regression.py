"""Prediction of numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Unpack

import keras
import numpy as np

from . import datasets
from .task import Recipe, Task

if TYPE_CHECKING:
    from .datasets import Dataset


class Regression(Task):
    """Train a network to predict numbers: squared error, mean absolute error.

    Inputs are standardized by the mean and deviation of the training split, targets are
    not. The defaults are 50 epochs of Adam in batches of 32, and a rate of 0.001 that
    falls to zero along a cosine.

    Args:
        data: `datasets.Dataset` of inputs and numbers.
        network: optional function of `density` and density options that returns a
            Keras model, for `model`.
        **recipe: `epochs`, `batch_size`, `learning_rate`, `optimizer`, `schedule`,
            `weight_decay` and `density_learning_rate`, see `Task`.

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
        **recipe: Unpack[Recipe],
    ) -> None:
        defaults: Recipe = {
            "epochs": 50,
            "batch_size": 32,
            "learning_rate": 1e-3,
            "optimizer": keras.optimizers.Adam,
            "schedule": "cosine",
        }
        super().__init__(data, network, **(defaults | recipe))
        self.batches(0)  # A batch may be larger than the training split.

    def check_data(self, data: Dataset) -> Dataset | None:
        if isinstance(data.train, datasets.Pictures):
            raise ValueError(
                "`data` must be a dataset of inputs and numbers. Received: "
                f"{data.name!r}, pictures without targets. They are for the task "
                "Denoising."
            )

    def chance(self, split: str = "test") -> float:
        """Returns the error of the median of the training targets for all."""
        _, targets = getattr(self.data, split)
        guess = np.median(self.data.train[1], axis=0)
        return float(np.mean(np.abs(targets - guess)))
