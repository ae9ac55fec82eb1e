"""What training shows: the learned densities over time."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from . import visualization
from ._optional import require
from ._types import PathLike
from .inspection import effective_size, learned_layers

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class DensityLogger(keras.callbacks.Callback):
    """Callback that follows the learned densities of a model.

    The parameters of every layer with `density_trainable=True`, those in nested models
    too, are recorded before the first epoch and after each one: coefficients, the
    values of a map, the sigma of a Gaussian, the scale of a radial density. So are the
    effective sizes of their kernels: `keras_wconv.visualization.plot_sizes` draws them.

    Args:
        path: optional path of a CSV file with the columns epoch (0 is the start),
            layer, parameter, index and value. The parameter `effective_size` has one
            value for each axis. A resumed training appends to the file.
        log_dir: optional folder for TensorBoard, with one scalar for each value. Needs
            the package `tensorboard` and no TensorFlow.

    Attributes:
        history: dict by layer name, as of `keras_wconv.inspection.weighted_layers`, of
            dicts by parameter: a list of NumPy arrays, one for each record.
        sizes: dict by layer name of lists of tuples, the effective size of the kernel
            for each axis, as of `keras_wconv.inspection.effective_size`.

    Raises:
        ValueError: At the start of the training, if the model has no learned density.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> import keras_wconv
    >>> from keras_wconv.callbacks import DensityLogger
    >>> model = keras.Sequential([
    ...     keras.Input((6, 6, 1)),
    ...     keras_wconv.WeightedConv2D(
    ...         1, 5, density=[0.2, 0.8], density_trainable=True, name="conv"),
    ... ])
    >>> model.compile("sgd", "mse")
    >>> densities = DensityLogger("densities.csv")
    >>> history = model.fit(np.ones((4, 6, 6, 1)), np.ones((4, 2, 2, 1)), epochs=2,
    ...                     callbacks=[densities], verbose=0)
    >>> len(densities.history["conv"]["coefficients"])
    3
    >>> print(open("densities.csv").readline().strip())
    epoch,layer,parameter,index,value
    """

    def __init__(
        self,
        path: PathLike | None = None,
        log_dir: PathLike | None = None,
    ) -> None:
        super().__init__()
        self.path: Path | None = None if path is None else Path(path)
        self.log_dir = log_dir
        self.history: dict[str, dict[str, list[np.ndarray]]] = {}
        self.sizes: dict[str, list[tuple[int, ...]]] = {}
        self._writer = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.history, self.sizes = {}, {}
        if not learned_layers(self.model):
            raise ValueError(
                "DensityLogger follows learned densities, and the model has none. "
                "Build it with density_trainable=True."
            )
        if self.log_dir is not None:
            summary = require("tensorboard.summary", extra="dev")
            self._writer = summary.Writer(str(self.log_dir))

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if not self.history:  # A resumed training has written its start already.
            self._record(epoch, write=epoch == 0)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._record(epoch + 1, write=True)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def figure(self) -> Figure:
        """Draws every value over the epochs, one panel for each layer.

        Returns:
            A `matplotlib.figure.Figure`; `figure.savefig(path)` writes it.
        """
        return visualization.plot_history(self.history)

    def _record(self, epoch, write):
        rows = []
        for layer, weighted in learned_layers(self.model).items():
            for parameter, value in weighted.density.values().items():
                kept = self.history.setdefault(layer, {})
                kept.setdefault(parameter, []).append(value)
                for index, number in enumerate(value.flat):
                    rows.append((epoch, layer, parameter, index, float(number)))
            size = effective_size(weighted)
            self.sizes.setdefault(layer, []).append(size)
            for axis, taps in enumerate(size):
                rows.append((epoch, layer, "effective_size", axis, taps))
        if write and self.path is not None:
            is_new = not self.path.exists()
            with self.path.open("a", newline="") as file:
                writer = csv.writer(file)
                if is_new:
                    writer.writerow(("epoch", "layer", "parameter", "index", "value"))
                writer.writerows(rows)
        if write and self._writer is not None:
            for _, layer, parameter, index, number in rows:
                self._writer.add_scalar(f"{layer}/{parameter}_{index}", number, epoch)
            self._writer.flush()
