"""The density of one layer, which is fixed, learned or held."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import constraints, ops, regularizers

from .. import densities
from .._types import Identifier, Tensor
from ..densities import DensityLike
from ..regularizers import KernelSize

# Kernels are far smaller. This keeps a stranger's file from filling the memory: a map
# of so many taps takes 32 MB, and the density is made before the kernel.
MAX_TAPS = 2**22


class LayerDensity:
    """A density at the kernel size of one layer.

    Attributes:
        initial: the `keras_wconv.densities.Density` that was given.
        kernel_size: tuple of int.
        causal: bool, whether the last tap is the reference sample.
        normalize: bool, whether Φ is divided by its root mean square.
        learned: bool, whether training changes it.
    """

    learned = False

    def map(self) -> Tensor:
        """Returns Φ as a differentiable tensor that broadcasts to the kernel."""
        raise NotImplementedError

    def multiply(self, kernel: Tensor) -> Tensor:
        """Returns the product of a kernel and Φ, which is differentiable.

        Args:
            kernel: `keras.Variable` or tensor.
        """
        raise NotImplementedError

    def map_value(self, normalize: bool | None = None) -> np.ndarray:
        """Returns the current Φ, a float64 NumPy array.

        Args:
            normalize: bool, instead of the attribute.

        Returns:
            An array of shape `kernel_size`, with two more axes if channels have
            separate densities.
        """
        raise NotImplementedError

    def values(self) -> dict[str, np.ndarray]:
        """Returns the learned parameters by name, as NumPy arrays."""
        return {}

    def profiles(self) -> list[np.ndarray]:
        """Returns the profile of each axis, before normalization."""
        phi = self.map_value(normalize=False)
        rank = len(self.kernel_size)
        return densities.lines_through_center(phi, self.causal, rank)


class _Constants:
    """Arrays that a density computes with and that are not weights.

    TensorFlow and JAX make them constants of a compiled function. PyTorch would copy an
    array to the device in each call, and wait for it. It gets tensors instead, which
    are made again when the model moves to another device.

    Args:
        arrays: list of NumPy arrays.
        dtype: str, the dtype of the tensors, except of integers.
    """

    def __init__(self, arrays, dtype):
        self.arrays = arrays
        self._dtype = dtype
        is_eager = keras.backend.backend() == "torch"
        self._tensors = self._make_tensors() if is_eager else []

    def for_device_of(self, tensor):
        """Returns the constants in a form to compute with a tensor."""
        kept = self._tensors
        if not kept:
            return self.arrays
        if kept[0].device == tensor.device:
            return kept
        moved = self._make_tensors()
        # Tensors of a trace are of no use outside it; those on "meta" have no values.
        if type(moved[0]) is type(kept[0]) and not moved[0].is_meta:
            self._tensors = moved
        return moved

    def _make_tensors(self):
        return [
            ops.convert_to_tensor(a, "int64" if a.dtype.kind == "i" else self._dtype)
            for a in self.arrays
        ]


class FixedDensity(LayerDensity):
    """A constant density without weights.

    Args:
        initial, kernel_size, causal, normalize: see `LayerDensity`.
        dtype: str, the dtype of the weights that Φ multiplies.
    """

    def __init__(
        self,
        initial: densities.Density,
        kernel_size: Sequence[int],
        causal: bool,
        normalize: bool,
        dtype: str,
    ) -> None:
        self.initial = initial
        self.kernel_size = _checked_size(kernel_size)
        self.causal = causal
        self.normalize = normalize
        phi = self.map_value()
        # In the precision of weights, so that a learned density with the same values
        # gives the same bits after the cast to the compute dtype.
        phi = phi[_channel_axes(phi.shape, len(self.kernel_size))]
        phi = phi.astype(precision(dtype))
        self._constants = _Constants([phi], precision(dtype))

    def build(self, kernel_shape: Sequence[int]) -> None:
        """Checks Φ against the shape of the kernel."""
        [phi] = self._constants.arrays
        _check_channels(phi.shape, kernel_shape, self.kernel_size)

    def map(self) -> Tensor:
        return ops.convert_to_tensor(self._constants.arrays[0])

    def multiply(self, kernel: Tensor) -> Tensor:
        kernel = ops.convert_to_tensor(kernel)
        [phi] = self._constants.for_device_of(kernel)
        # In an eager backend, `ops.multiply` would take four times as long.
        return kernel * ops.cast(phi, kernel.dtype)

    def map_value(self, normalize: bool | None = None) -> np.ndarray:
        phi = _full_map(
            self.initial(self.kernel_size, self.causal), self.initial, self.kernel_size
        )
        if self.normalize if normalize is None else normalize:
            return densities.normalize(phi, rank=len(self.kernel_size))
        return phi

    def __repr__(self) -> str:
        return repr(self.initial)


@keras.saving.register_keras_serializable(package="keras_wconv")
class LearnedDensity(LayerDensity, keras.Layer):
    """A learned density: the child layer named `density`, which holds its weights.

    There is one weight for each parameter of the density: `coefficients`, or for a
    vector for each axis `coefficients_0`, `coefficients_1`, ...; `map` for a map;
    `log_sigma` for a Gaussian and `log_scale` for a radial density, because learning
    the logarithm keeps a parameter positive; `raw_<name>` for any other parameter of
    your own density.

    Args:
        initial, kernel_size, causal, normalize: see `LayerDensity`. Learning starts at
            `initial`.
        channel_axis: None, or the axis of the kernel, -1 or -2, along which channels
            have separate parameters.
        regularizer: regularizer of each weight, or a `KernelSize` of the map.
        constraint: constraint of each weight.

    Raises:
        ValueError: If `initial` does not fit `kernel_size` or has nothing to learn.

    Example:

    >>> import keras_wconv
    >>> layer = keras_wconv.WeightedConv2D(8, 5, density=[0.2, 0.8],
    ...                                    density_trainable=True)
    >>> layer.build((None, None, None, 3))
    >>> [weight.name for weight in layer.density.weights]
    ['coefficients']
    >>> layer.density.values()["coefficients"].round(3).tolist()
    [0.2, 0.8]
    """

    learned = True

    def __init__(
        self,
        initial: DensityLike,
        kernel_size: Sequence[int],
        causal: bool = False,
        normalize: bool = False,
        channel_axis: int | None = None,
        regularizer: Identifier = None,
        constraint: Identifier = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_bools(causal=causal, normalize=normalize)
        self.initial = densities.get(initial)
        self.kernel_size = _checked_size(kernel_size)
        self.causal = causal
        self.normalize = normalize
        self.channel_axis = channel_axis
        self.regularizer = regularizers.get(regularizer)
        self.constraint = constraints.get(constraint)
        self._start = {}
        if self.initial is not None:
            self._start = self._parameters_of(self.initial)
        if not any(start.size for start in self._start.values()):
            raise ValueError(
                "`density_trainable=True` has nothing to learn. Expected a `density` "
                f"with parameters for kernel_size={self.kernel_size}. Start from a "
                "list of coefficients, an array, 'gaussian' or 'radial', for instance "
                "density=[1.0] for kernels of 3, or leave the density fixed. "
                f"Received: density={self.initial}"
            )
        taps = self.initial.taps(self.kernel_size, causal)
        phi = self.initial.map(taps, np, **self._start)
        phi = _full_map(phi, self.initial, self.kernel_size)
        if channel_axis is not None and phi.ndim > len(self.kernel_size):
            raise ValueError(
                "`density_per_channel=True` gives every channel a density of its own. "
                "Expected an array without the axes of the channels as `density`, of "
                f"shape {self.kernel_size}. Received: one of shape {phi.shape}"
            )
        self._taps = taps if channel_axis is None else [t[..., None] for t in taps]
        self.map_value()  # A map of zeros cannot be normalized.

    def _parameters_of(self, density):
        parameters = density.parameters(self.kernel_size, self.causal)
        for name, value in parameters.items():
            if name in density.positive and not np.all(value > 0):
                raise ValueError(
                    f"`density` must have a positive {name!r}, whose logarithm is "
                    f"learned. Received: {name}={value}"
                )
        return parameters

    def build(self, kernel_shape: Sequence[int]) -> None:
        starts = dict(self._start)
        if self.channel_axis is not None:
            count = kernel_shape[self.channel_axis]
            starts = {
                name: np.repeat(start[..., None], count, -1)
                for name, start in starts.items()
            }
        self._learned = {}
        is_price = isinstance(self.regularizer, KernelSize)
        regularizer = _PriceOfMap(self) if is_price else self.regularizer
        for name, start in starts.items():
            positive = name in self.initial.positive
            start = np.log(start) if positive else start
            self._learned[name] = self.add_weight(
                name=_weight_name(name, positive),
                shape=start.shape,
                initializer=lambda shape, dtype, start=start: ops.cast(start, dtype),
                regularizer=regularizer,
                constraint=self.constraint,
                # Φ is computed in full precision and cast once.
                autocast=False,
            )
            if is_price:
                regularizer = None  # The map has only one price.
        phi = self.initial.map(self._taps, np, **starts)
        self._channel_axes = _channel_axes(
            phi.shape, len(self.kernel_size), self.channel_axis
        )
        _check_channels(phi[self._channel_axes].shape, kernel_shape, self.kernel_size)
        self._constants = _Constants(self._taps, precision(self.dtype))
        self.built = True

    def map(self) -> Tensor:
        parameters = {
            name: ops.exp(weight)
            if name in self.initial.positive
            else ops.convert_to_tensor(weight)
            for name, weight in self._learned.items()
        }
        taps = self._constants.for_device_of(next(iter(parameters.values())))
        phi = self.initial.map(taps, ops, **parameters)
        if self.normalize:
            phi = densities.normalize(phi, ops, rank=len(self.kernel_size))
        return phi[self._channel_axes]

    def price(self) -> Tensor:
        """Returns the price of the map, if the regularizer is a `KernelSize`."""
        phi = self.map()
        # An axis whose profile is 1 everywhere may have a size of 1.
        return self.regularizer(
            ops.broadcast_to(phi, (*self.kernel_size, *phi.shape[-2:]))
        )

    def multiply(self, kernel: Tensor) -> Tensor:
        product = ops.convert_to_tensor(kernel) * ops.cast(self.map(), kernel.dtype)
        if self.learned and keras.backend.backend() == "torch":
            # PyTorch's convolution returns a gradient whose memory layout differs from
            # the kernel's. Their product, for the density's gradient, is slow unless
            # the first is copied; the gradient of a reshape does that.
            product = product.reshape(-1).reshape(product.shape)
        return product

    def map_value(self, normalize: bool | None = None) -> np.ndarray:
        normalize = self.normalize if normalize is None else normalize
        parameters = self.values() if self.built else self._start
        taps = self._taps
        if self.channel_axis is not None and not self.built:
            taps = [each[..., 0] for each in taps]
        rank = len(self.kernel_size)
        phi = self.initial.map(taps, np, **parameters)
        if normalize:
            phi = densities.normalize(phi, rank=rank)
        phi = np.broadcast_to(phi, (*self.kernel_size, *phi.shape[rank:]))
        if self.channel_axis is not None:
            phi = phi[_channel_axes(phi.shape, rank, self.channel_axis)]
        return phi.astype("float64")

    def values(self) -> dict[str, np.ndarray]:
        values = {}
        for name, weight in self._learned.items():
            value = ops.convert_to_numpy(weight).astype("float64")
            values[name] = np.exp(value) if name in self.initial.positive else value
        return values

    def assign(self, density: DensityLike) -> None:
        """Sets the weights to a density of the same kind as the initial one.

        Args:
            density: what the `density` argument of a layer accepts.

        Raises:
            ValueError: If the layer is not built, or the density is of another kind.
        """
        if not self.built:
            raise ValueError(
                "`assign` sets weights, and this layer has none before it is built. "
                "Build it first, or give it the density when it is made."
            )
        density = densities.get(density)
        values = {}
        if type(density) is type(self.initial):
            values = self._parameters_of(density)
        shapes = {name: start.shape for name, start in self._start.items()}
        is_like = shapes == {name: value.shape for name, value in values.items()}
        if is_like:  # What is not learned, such as a function, may be another.
            maps = (
                each.map(each.taps(self.kernel_size, self.causal), np, **values)
                for each in (self.initial, density)
            )
            is_like = np.array_equal(*maps)
        if not is_like:
            raise ValueError(
                f"`density` must have the form of this layer's, {self.initial}. "
                f"Received: density={density}"
            )
        for name, value in values.items():
            weight = self._learned[name]
            value = np.log(value) if name in self.initial.positive else value
            if self.channel_axis is not None:
                value = np.broadcast_to(value[..., None], weight.shape)
            weight.assign(value)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "initial": densities.serialize(self.initial),
            "kernel_size": self.kernel_size,
            "causal": self.causal,
            "normalize": self.normalize,
            "channel_axis": self.channel_axis,
            "regularizer": regularizers.serialize(self.regularizer),
            "constraint": constraints.serialize(self.constraint),
        }


class _PriceOfMap(keras.regularizers.Regularizer):
    """Regularizer of one weight that charges the price of the whole map.

    It is a class because variables of Keras before 3.15 accept no functions.
    """

    def __init__(self, density):
        self.density = density

    def __call__(self, weight):
        return self.density.price()


@keras.saving.register_keras_serializable(package="keras_wconv")
class HeldDensity(LearnedDensity):
    """A density whose weights are assigned and never trained.

    Setting `trainable` on it, or on a layer around it, has no effect. A tuner assigns
    one density after the other, so that all trials share a compiled training step.
    """

    learned = False

    def build(self, kernel_shape: Sequence[int]) -> None:
        super().build(kernel_shape)
        for weight in self.weights:
            weight.trainable = False

    @property
    def trainable(self) -> bool:
        return False

    @trainable.setter
    def trainable(self, value: bool) -> None:
        pass


@keras.saving.register_keras_serializable(package="keras_wconv")
class StepDensity(HeldDensity):
    """A density that changes the training steps but not the function.

    Whenever it is set, the kernel is divided by it. It is part of the training state,
    so files of a model contain it; of another held density they contain the initial
    one. `keras_wconv.callbacks.SpatialGradientScaling` makes it.
    """


def check_bools(**arguments: object) -> None:
    """Raises a `ValueError` for an argument that is not a bool, such as `"yes"`."""
    for name, value in arguments.items():
        if not isinstance(value, (bool, np.bool_)):
            raise ValueError(
                f"`{name}` must be True or False. Received: {name}={value!r} of type "
                f"{type(value)}"
            )


def precision(dtype: str) -> str:
    """Returns the precision of a density for weights of a dtype."""
    return "float64" if dtype == "float64" else "float32"


def _weight_name(name, positive):
    # `keras_wconv.optimizers` finds the weights by these names.
    if positive:
        return f"log_{name}"
    if name == "map" or name.startswith("coefficients"):
        return name
    return f"raw_{name}"


def _checked_size(kernel_size: Sequence[int]) -> tuple[int, ...]:
    kernel_size = tuple(kernel_size)
    if math.prod(kernel_size) > MAX_TAPS:
        raise ValueError(
            f"`kernel_size` must have at most {MAX_TAPS:,} taps where the kernel has a "
            f"density. Received: kernel_size={kernel_size}"
        )
    return kernel_size


def _full_map(phi, density, kernel_size):
    """Returns the map of a density, which a user's own class may get wrong."""
    phi = densities.Map(phi).values  # They are finite.
    rank = len(kernel_size)
    pairs = zip(phi.shape, kernel_size, strict=False)
    if phi.ndim not in (rank, rank + 2) or any(own not in (1, k) for own, k in pairs):
        raise ValueError(
            "`density` must make a map of the kernel's shape "
            f"{kernel_size}. Received: one of shape {phi.shape}, made by {density}"
        )
    return np.broadcast_to(phi, (*kernel_size, *phi.shape[rank:])).copy()


def _channel_axes(shape, rank, channel_axis=None):
    """Returns the index that gives Φ the two channel axes of a kernel."""
    if len(shape) == rank + 2:
        return (...,)
    if len(shape) == rank:
        return (..., None, None)
    return (..., None, slice(None)) if channel_axis == -1 else (..., None)


def _check_channels(shape, kernel_shape, kernel_size):
    given, channels = shape[-2:], tuple(kernel_shape[-2:])
    if any(own not in (1, size) for own, size in zip(given, channels, strict=True)):
        raise ValueError(
            "`density` must be a map whose last two axes broadcast to those of the "
            f"kernel, which has the shape {tuple(kernel_shape)}. Received: a map of "
            f"shape {tuple(kernel_size) + given}"
        )
