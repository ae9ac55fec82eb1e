"""What training shows: the learned densities over time."""

import csv
from pathlib import Path

import keras
import numpy as np
from keras import ops

from ._optional import require


class DensityLogger(keras.callbacks.Callback):
    """Callback that follows the learned densities of a model.

    The coefficients of every layer with `density_trainable=True` are noted before the
    first epoch and after each one.

    Args:
        path: optional path of a CSV file with the columns epoch (0 is the start),
            layer, weight, index and value. A resumed training appends to it.
        log_dir: optional folder for TensorBoard, with one scalar a coefficient. Needs
            the package `tensorboard` and no TensorFlow.

    Attributes:
        history: dict by layer name of dicts by weight name: a list of NumPy arrays, one
            a note.

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
    epoch,layer,weight,index,value
    """

    def __init__(self, path=None, log_dir=None):
        super().__init__()
        self.path = None if path is None else Path(path)
        self.log_dir = log_dir
        self.history = {}
        self._writer = None

    def on_train_begin(self, logs=None):
        self.history = {}
        if not self._weights():
            raise ValueError(
                "DensityLogger follows learned densities, and the model has none. "
                "Build it with density_trainable=True."
            )
        if self.log_dir is not None:
            summary = require("tensorboard.summary", extra="dev")
            self._writer = summary.Writer(str(self.log_dir))

    def on_epoch_begin(self, epoch, logs=None):
        if not self.history:  # A resumed training has written its start already.
            self._note(epoch, write=epoch == 0)

    def on_epoch_end(self, epoch, logs=None):
        self._note(epoch + 1, write=True)

    def on_train_end(self, logs=None):
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def figure(self):
        """Draw every coefficient over the epochs, one panel a layer.

        Returns:
            A Matplotlib figure, to be saved with its `savefig`.
        """
        plt = require("matplotlib.pyplot", extra="plot")
        columns = min(4, len(self.history))
        rows = -(-len(self.history) // columns)
        figure, axes = plt.subplots(
            rows,
            columns,
            figsize=(3 * columns, 2.2 * rows),
            sharex=True,
            squeeze=False,
            layout="tight",
        )
        for ax in axes.flat[len(self.history) :]:
            ax.set_axis_off()
        for ax, (layer, weights) in zip(axes.flat, self.history.items(), strict=False):
            for name, values in weights.items():
                curves = np.reshape(values, (len(values), -1))
                for index, curve in enumerate(curves.T):
                    ax.plot(curve, label=f"{name}[{index}]")
            ax.axhline(1, color="grey", linewidth=0.6)
            ax.set_title(layer, fontsize=9)
            if curves.shape[1] <= 4:
                ax.legend(fontsize=6)
        figure.supxlabel("epoch")
        plt.close(figure)
        return figure

    def _weights(self):
        return {
            layer.name: layer.density.weights
            for layer in self.model.layers
            if getattr(layer, "density_trainable", False)
        }

    def _note(self, epoch, write):
        rows = []
        for layer, weights in self._weights().items():
            for weight in weights:
                value = ops.convert_to_numpy(weight)
                kept = self.history.setdefault(layer, {})
                kept.setdefault(weight.name, []).append(value)
                for index, number in enumerate(value.flat):
                    rows.append((epoch, layer, weight.name, index, float(number)))
        if write and self.path is not None:
            begins = not self.path.exists()
            with self.path.open("a", newline="") as file:
                writer = csv.writer(file)
                if begins:
                    writer.writerow(("epoch", "layer", "weight", "index", "value"))
                writer.writerows(rows)
        if write and self._writer is not None:
            for _, layer, weight, index, number in rows:
                self._writer.add_scalar(f"{layer}/{weight}_{index}", number, epoch)
            self._writer.flush()
