"""Callbacks that record densities, or set them during training."""

from __future__ import annotations

import contextlib
import csv
import numbers
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from . import visualization
from ._dependence import gradient_factors
from ._keras import built_for, kernel_variable
from ._optional import require
from ._types import PathLike
from .conversion import hold_steps
from .densities import Map
from .inspection import effective_size, learned_layers, weighted_layers
from .layers import StepDensity
from .layers.base import check_where
from .optimizers import DensityOptimizer

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class DensityLogger(keras.callbacks.Callback):
    """Callback that records the learned densities of a model.

    It records the parameters of every layer with `density_trainable=True` before the
    first epoch and after each one, also in nested models: coefficients, the values of a
    map, the sigma of a Gaussian, the scale of a radial density. It also records the
    effective sizes of their kernels, which `keras_wconv.visualization.plot_sizes`
    draws.

    Args:
        path: optional path of a CSV file with the columns epoch (0 is the start),
            layer, parameter, index and value. The parameter `effective_size` has one
            value for each axis. A resumed training appends to the file, and one that
            begins at epoch 0 begins it anew.
        log_dir: optional folder for TensorBoard, with one scalar for each value. Needs
            the package `tensorboard`, but not TensorFlow.

    Attributes:
        history: dict by layer name (see `keras_wconv.inspection.weighted_layers`) of
            dicts by parameter of lists of NumPy arrays, one for each record.
        sizes: dict by layer name of lists of tuples, the results of
            `keras_wconv.inspection.effective_size`.

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
                "DensityLogger records learned densities, but the model has none. "
                "Build it with density_trainable=True."
            )
        if self.log_dir is not None:
            summary = require("tensorboard.summary", extra="dev")
            self._writer = summary.Writer(str(self.log_dir))

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if not self.history:  # The file already has the start of a resumed training.
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
            A `matplotlib.figure.Figure`. Write it with `figure.savefig(path)`.
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
            is_new = epoch == 0 or not self.path.exists()
            with self.path.open("w" if is_new else "a", newline="") as file:
                writer = csv.writer(file)
                if is_new:
                    writer.writerow(("epoch", "layer", "parameter", "index", "value"))
                writer.writerows(rows)
        if write and self._writer is not None:
            for _, layer, parameter, index, number in rows:
                self._writer.add_scalar(f"{layer}/{parameter}_{index}", number, epoch)
            self._writer.flush()


# By optimizer: Φ as a power of the factors, and the slots of a kernel. When a kernel is
# multiplied by a ratio, its slots are multiplied by these powers of the ratio, as
# gradients are by the power -1. The step of SGD grows with the gradient, so Φ acts on
# it twice; the steps of the others do not.
_OPTIMIZERS = {
    keras.optimizers.SGD: (0.5, {"momentum": 1}),
    keras.optimizers.Adam: (
        1.0,
        {"momentum": -1, "velocity": -2, "velocity_hat": -2},
    ),
    keras.optimizers.Nadam: (1.0, {"momentum": -1, "velocity": -2}),
    keras.optimizers.Adamax: (1.0, {"momentum": -1, "norm": -1}),
    keras.optimizers.RMSprop: (
        1.0,
        {"velocity": -2, "momentum": 1, "average_gradient": -1},
    ),
    keras.optimizers.Adagrad: (1.0, {"accumulator": -2}),
    keras.optimizers.Lion: (1.0, {"momentum": -1}),
}
_ALL_OPTIMIZERS = {"average": 1, "gradient_accumulator": -1}


class SpatialGradientScaling(keras.callbacks.Callback):
    """Callback that scales the step of each tap of a model's convolutions.

    A tap takes larger steps if its inputs tell more about the input under the middle
    tap. The factors G have a mean of 1 over a kernel. They come from the mutual
    information of neighboring values in the inputs of the layer: `data` go through the
    model at the beginning and again every few epochs. With SGD, G multiplies the
    gradient of the kernel. With Adam, AdamW, Nadam, Adamax, RMSprop, Adagrad and Lion,
    whose steps do not depend on the size of the gradient, G multiplies the update.

    A density Φ does this, which is √G for SGD and G for the others. When training
    begins, the convolutions of the model become weighted, in place. At each renewal, Φ
    is set and the kernel divided by it, so that the function stays. The optimizer's
    state of the kernel changes with it, so that momentum and moments continue as those
    of the effective kernel. Kernel regularizers act on the effective kernel. Clipping
    and Adam's epsilon act on the gradient of the kernel, which is Φ times that of the
    effective kernel.

    After training, `keras_wconv.fold(model)` is plain Keras. Φ is saved with the model.
    A resumed training, for example with `keras.callbacks.BackupAndRestore`, renews it
    at the same epochs.

    Convolutions with another density, transposed convolutions, subclasses of Keras's
    classes, kernels of 1 and kernels that are not trained are left.

    Args:
        data: inputs like those in training, for example one or two hundred examples: an
            array, or whatever the model accepts. More examples improve the estimate but
            take longer.
        every: int, the number of epochs between renewals.
        bins: int, the number of bins of the histograms, which have equal widths over
            the range of a channel. None is Sturges' rule, 1 + log2 of the number of
            values.
        power: float, the power of the dependence that the factors are proportional to.
            Smaller powers make milder factors; 0 makes all of them 1.
        where: function of a layer that returns True for the convolutions to scale. None
            scales all. What it has chosen stays chosen.

    Attributes:
        factors: dict by layer name (see `keras_wconv.inspection.weighted_layers`) of
            lists of the factors G, NumPy arrays, one for each renewal.
        report: `keras_wconv.conversion.ConversionReport`, which convolutions were left
            and why.

    Raises:
        ValueError: At the start of training, if there is nothing to scale, if a kernel
            has a constraint, if `data` do not reach a layer, or if the optimizer is
            not one of these.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> import keras_wconv
    >>> model = keras.Sequential([
    ...     keras.Input((8, 8, 1)),
    ...     keras.layers.Conv2D(2, 3, name="conv"),
    ... ])
    >>> model.compile("sgd", "mse")
    >>> x = np.random.default_rng(0).normal(size=(64, 8, 8, 1)).cumsum(1).cumsum(2)
    >>> scaling = keras_wconv.callbacks.SpatialGradientScaling(x, every=5)
    >>> history = model.fit(x, x[:, 1:-1, 1:-1], epochs=6, callbacks=[scaling],
    ...                     verbose=0)
    >>> first, second = scaling.factors["conv"]
    >>> float(first.mean().round(6)), bool(first[1, 1] > first[0, 1] > first[0, 0])
    (1.0, True)
    >>> type(keras_wconv.fold(model).get_layer("conv")).__name__
    'Conv2D'

    Source: A. Detkov et al., Reparameterization through Spatial Gradient Scaling,
    https://arxiv.org/abs/2303.02733. Normalizing the mutual information by the
    entropies, summing it over channels, and `power` are our choices.
    """

    def __init__(
        self,
        data: Any,
        every: int = 5,
        bins: int | None = None,
        power: float = 1.0,
        where: Callable[[keras.Layer], bool] | None = None,
    ) -> None:
        super().__init__()
        checked = [("every", every, 1)]
        if bins is not None:
            checked.append(("bins", bins, 2))
        for name, value, least in checked:
            is_int = isinstance(value, numbers.Integral) and not isinstance(value, bool)
            if not (is_int and value >= least):
                raise ValueError(
                    f"`{name}` must be an int of at least {least}. Received: "
                    f"{name}={value!r}"
                )
        if not (isinstance(power, numbers.Real) and 0 <= power < np.inf):
            raise ValueError(
                "`power` must be a finite number of at least 0. Received: "
                f"power={power!r}"
            )
        check_where(where)
        self.data = data
        self.power = power
        self.every = int(every)
        self.bins = bins
        self.where = where
        self._chosen = weakref.WeakSet()
        self.factors = {}
        self.report = None

    def set_model(self, model: keras.Model) -> None:
        # `on_train_begin` would be too late: `fit` makes the training step before it.
        super().set_model(model)
        for part in keras.tree.flatten(self.data):
            values = keras.ops.convert_to_numpy(part)
            is_float = values.dtype.kind == "f"
            if not values.size or (is_float and not np.isfinite(values).all()):
                raise ValueError(
                    "`data` must have examples, of finite numbers. Received: "
                    f"{'NaN or infinity' if values.size else 'no examples'}, in an "
                    f"array of shape {values.shape}"
                )
        if not model.built:
            model(self.data, training=False)
        self._phi_power, _ = _about(_of_kernels(model))
        self.report = hold_steps(model, self._chooses)
        if not self.report.converted:
            raise ValueError(
                "`model` must have a convolution whose steps can be scaled. Received: "
                f"{self.report}"
            )
        self._layers = {
            name: layer
            for name, layer in weighted_layers(model).items()
            if isinstance(layer.density, StepDensity)
            and layer in self._chosen
            and kernel_variable(layer, layer.weighted_kernel).trainable
        }

    def _chooses(self, layer):
        # `where` may not know a layer that has become weighted.
        if self.where is None or layer in self._chosen or self.where(layer):
            self._chosen.add(layer)
        return layer in self._chosen

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.factors = {name: [] for name in self._layers}

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        is_new = all((one.density_map == 1).all() for one in self._layers.values())
        # A resumed training is not new, nor one whose first factors were all 1.
        if epoch % self.every == 0 or (is_new and not any(self.factors.values())):
            self.renew()

    def renew(self) -> None:
        """Computes the factors of the model in its current state, and applies them."""
        for name, factors in self._find_factors().items():
            self.factors[name].append(factors)
            _set_step(self.model, self._layers[name], factors**self._phi_power)

    def _find_factors(self):
        found = {name: [] for name in self._layers}

        def note(name, layer, inputs):
            if layer.data_format == "channels_first":
                inputs = np.moveaxis(inputs, 1, -1)
            factors = gradient_factors(
                inputs,
                layer.kernel_size,
                layer.dilation_rate,
                layer.padding == "causal",
                self.bins,
                self.power,
            )
            found[name].append(factors)

        with contextlib.ExitStack() as stack:
            for name, layer in self._layers.items():
                stack.enter_context(_inputs_of(layer, name, note))
            self.model(self.data, training=False)
        unseen = [name for name, factors in found.items() if not factors]
        if unseen:
            raise ValueError(
                "`data` must reach every convolution that is scaled, in inference. "
                "Leave out with `where` the convolutions that inference does not use, "
                "and those in wrappers that compile or vectorize their layers. "
                f"Received no inputs of {unseen}"
            )
        # A layer that is used several times has several inputs.
        return {name: np.mean(factors, axis=0) for name, factors in found.items()}


@contextlib.contextmanager
def _inputs_of(layer, name, note):
    """Calls `note(name, layer, inputs)` whenever a layer is called eagerly."""
    call = layer.call

    def noting(inputs, *args, **kwargs):
        values = None
        # Inside a wrapper that compiles or vectorizes, tensors have no values.
        with contextlib.suppress(Exception):
            values = keras.ops.convert_to_numpy(keras.ops.cast(inputs, "float32"))
        if values is not None:
            note(name, layer, values)
        return call(inputs, *args, **kwargs)

    layer.call = noting
    try:
        yield
    finally:
        del layer.call


def _about(optimizer):
    """Returns the entry of `_OPTIMIZERS` for an optimizer."""
    for kind, about in _OPTIMIZERS.items():
        if isinstance(optimizer, kind):
            return about
    names = ", ".join(kind.__name__ for kind in _OPTIMIZERS)
    raise ValueError(
        f"`optimizer` of the model must be one of {names} or a subclass, because the "
        "effect of a density on the step of another optimizer is unknown. Received: "
        f"optimizer={optimizer}"
    )


def _of_kernels(model):
    """Returns the optimizer of a model's kernels."""
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    if isinstance(optimizer, DensityOptimizer):
        optimizer = optimizer.kernel_optimizer
    return optimizer


def _set_step(model, layer, phi):
    """Sets the density of a layer, and keeps its effective kernel and momentum."""
    kernel = kernel_variable(layer, layer.weighted_kernel)
    before = layer.density_map
    layer.density.assign(Map(phi))
    ratio = (before / layer.density_map)[..., None, None]
    _multiply(kernel, ratio)
    optimizer = _of_kernels(model)
    # In the optimizer's own order: layers may have been frozen since it was built.
    place = next((i for i, v in enumerate(built_for(optimizer)) if v is kernel), None)
    if place is None:
        return
    _, powers = _about(optimizer)
    for name, power in {**powers, **_ALL_OPTIMIZERS}.items():
        slots = [v for v in optimizer.variables if v.name.endswith(f"_{name}")]
        if slots:  # One for each variable, in their order.
            _multiply(slots[place], ratio**power)


def _multiply(variable, factor):
    value = keras.ops.convert_to_numpy(variable).astype("float64")
    variable.assign((value * factor).astype(variable.dtype))
