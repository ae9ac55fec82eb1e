"""Smaller kernels: what `keras_wconv.fold` removes with `trim`."""

from __future__ import annotations

import collections
import dataclasses
import math

import keras
import numpy as np
from keras import ops

from ._keras import is_graph, sublayers
from ._types import Tensor
from .inspection import centered, find_layers
from .layers import WeightedConvolution
from .layers.conv_transpose import WeightedConvolutionTranspose
from .layers.depthwise_conv import WeightedDepthwiseConvolution
from .layers.separable_conv import WeightedSeparableConvolution


@dataclasses.dataclass(frozen=True)
class FoldEntry:
    """What became of the kernel of one folded layer.

    Attributes:
        name: str, the layer, as of `keras_wconv.inspection.weighted_layers`.
        kernel_size, new_kernel_size: tuples of int, before and after.
        weights, new_weights: ints, the layer's parameters in plain Keras.
        multiplications, new_multiplications: ints, of one call with one example of
            the size that the layer was built for, or None where it has no fixed size.
        bound: float. With inputs within [-1, 1], no output changes by more than this,
            before the activation: the sum of the absolute values that were removed, at
            the channel where it is largest.
        reason: str, why the kernel is no smaller, or None where only the tolerance
            decided and it has become smaller.
    """

    name: str
    kernel_size: tuple[int, ...]
    new_kernel_size: tuple[int, ...]
    weights: int
    new_weights: int
    multiplications: int | None
    new_multiplications: int | None
    bound: float
    reason: str | None = None

    def __str__(self) -> str:
        if self.new_kernel_size == self.kernel_size:
            return f"{self.name} {self.kernel_size}: kept: {self.reason}"
        rest = f" ({self.reason})" if self.reason else ""
        return (
            f"{self.name} {self.kernel_size} -> {self.new_kernel_size}: outputs within "
            f"{self.bound:.2g}{rest}"
        )


@dataclasses.dataclass
class FoldReport:
    """What `fold` did with the kernel of every weighted layer of a model.

    Attributes:
        entries: list of `FoldEntry`, in the order of the model.
    """

    entries: list[FoldEntry] = dataclasses.field(default_factory=list)

    @property
    def trimmed(self) -> list[FoldEntry]:
        """The entries of the layers whose kernel became smaller."""
        return [e for e in self.entries if e.new_kernel_size != e.kernel_size]

    @property
    def kept(self) -> list[FoldEntry]:
        """The entries of the layers whose kernel kept its size."""
        return [e for e in self.entries if e.new_kernel_size == e.kernel_size]

    def total(self, field: str) -> int | None:
        """Sum over the layers of a field, such as `"weights"`; None if one is None."""
        values = [getattr(entry, field) for entry in self.entries]
        return None if None in values else sum(values)

    def totals(self) -> list[str]:
        """Lines of what all layers have in all, before and after."""
        return [
            f"{field}: {self.total(field):,} -> {self.total(f'new_{field}'):,}"
            for field in ("weights", "multiplications")
            if self.trimmed and self.total(field) is not None
        ]

    def __str__(self) -> str:
        title = f"{len(self.trimmed)} of {len(self.entries)} folded kernels trimmed"
        return "\n".join([title, *(f"  {e}" for e in self.entries), *self.totals()])


@dataclasses.dataclass
class Trimming:
    """Which taps of the weighted layers of a model stay.

    Attributes:
        windows: dict by `id` of a layer of tuples of slices, one for each axis.
        report: `FoldReport`.
    """

    windows: dict[int, tuple[slice, ...]]
    report: FoldReport

    def kernel_size(self, layer: keras.Layer) -> tuple[int, ...] | None:
        """Returns the new kernel size of a weighted layer, or None if it has none."""
        window = self.windows.get(id(layer))
        return None if window is None else _size(window)

    def kernel_sizes_inside(
        self, layer: keras.Layer
    ) -> dict[str, tuple[int, ...] | None]:
        """Returns by name the new sizes of the weighted layers inside of another."""
        if not isinstance(layer, keras.Layer):  # An operation in a graph.
            return {}
        return {
            inner.name: self.kernel_size(inner)
            for inner in sublayers(layer, recursive=True)
            if id(inner) in self.windows
        }

    def kernel(self, layer: WeightedConvolution) -> Tensor:
        """Returns a copy of what a weighted layer's effective kernel becomes."""
        return ops.copy(layer.effective_kernel[self.windows.get(id(layer), ...)])


def plan(model: keras.Layer, tolerance: float | None) -> Trimming:
    """Chooses the taps that the weighted layers of a model lose.

    Every channel of a kernel may change by `tolerance` of its own L2 norm, so that
    the widest decides and the whole kernel changes by no more. Of the square of that,
    every axis that has more than one tap gets the same share: axes are trimmed one by
    one, whatever their order.

    Args:
        model: `keras.Model`.
        tolerance: float from 0 to below 1, or None to leave all kernels as they are.

    Returns:
        A `Trimming`.

    Raises:
        ValueError: If `tolerance` is none of these.
    """
    if tolerance is not None and not _is_tolerance(tolerance):
        raise ValueError(
            "`trim` must be None or a number from 0 to below 1: the part of its L2 "
            "norm by which each channel of a kernel may change. 0.0 removes zeros "
            f"alone. Received: trim={tolerance!r}"
        )
    alike, in_code = _ids_with_the_same_name(model), _ids_made_in_code(model)
    windows, entries = {}, []
    found = find_layers(model, lambda layer: isinstance(layer, WeightedConvolution))
    for name, layer in found.items():
        window, reason = tuple(slice(0, size) for size in layer.kernel_size), None
        if tolerance is None:
            reason = "`trim` is None"
        elif max(layer.kernel_size) == 1:
            reason = "a kernel of 1 has nothing to trim"
        elif id(layer) in alike:
            reason = "another layer inside of the same one has its name"
        elif id(layer) in in_code:
            reason = "the code of the layer that it is in decides its size"
        else:
            window, reason = _window(layer, tolerance)
        windows[id(layer)] = window
        entries.append(_entry(name, layer, window, reason))
    return Trimming(windows, FoldReport(entries))


def _is_tolerance(value):
    is_number = isinstance(value, (int, float, np.floating, np.integer))
    return is_number and not isinstance(value, bool) and 0 <= value < 1


def _ids_with_the_same_name(model):
    """Weighted layers that the config of the layer they are in cannot tell apart."""
    alike = set()
    for layer in sublayers(model):
        if is_graph(layer):
            alike |= _ids_with_the_same_name(layer)
            continue
        inner = {
            id(found): found.name
            for found in sublayers(layer, recursive=True)
            if isinstance(found, WeightedConvolution)
        }
        counts = collections.Counter(inner.values())
        alike |= {key for key, name in inner.items() if counts[name] > 1}
    return alike


def _ids_made_in_code(model):
    """Weighted layers that no config makes: they were plain ones inside of others."""
    return {
        id(inner)
        for layer in sublayers(model, recursive=True)
        if not type(layer).__module__.startswith("keras.")
        for inner in sublayers(layer, recursive=True)
        if isinstance(inner, WeightedConvolution) and inner.converted_in_place
    }


def _window(layer, tolerance):
    """The taps that stay, as a slice for each axis, and why not fewer."""
    kernel = _to_float64(layer.effective_kernel)
    axes = [axis for axis, size in enumerate(layer.kernel_size) if size > 1]
    share = tolerance**2 / len(axes)
    window, is_held = [slice(0, 1)] * len(layer.kernel_size), False
    for axis in axes:
        is_small = _negligible(kernel, axis, _channel_axes(layer), share)
        size = layer.kernel_size[axis]
        small = [part for part in centered(size, layer.padding) if is_small(part)]
        window[axis] = next(part for part in small if _is_aligned(layer, axis, part))
        is_held |= window[axis] != small[0]
    reason = None
    if is_held:
        reason = (
            f"with padding={layer.padding!r} and strides={layer.strides}, a smaller "
            "kernel would shift or resize the output"
        )
    elif _size(window) == layer.kernel_size:
        reason = "no outer ring is within the tolerance"
    return tuple(window), reason


def _negligible(kernel, axis, channel_axes, share):
    """Function of a slice: whether every channel allows that the taps outside of it go.

    Sums run from the outside in, so that those of zeros are zero.
    """
    others = set(range(kernel.ndim)) - {axis, *channel_axes}
    energy = np.square(kernel).sum(axis=tuple(others), keepdims=True)
    energy = np.moveaxis(energy, axis, 0)
    before = np.cumsum(np.concatenate([0 * energy[:1], energy]), axis=0)
    after = np.cumsum(np.concatenate([0 * energy[:1], energy[::-1]]), axis=0)
    allowed = share * before[-1]

    def is_small(part):
        removed = before[part.start] + after[len(energy) - part.stop]
        return part == slice(0, len(energy)) or bool(np.all(removed <= allowed))

    return is_small


def _is_aligned(layer, axis, part):
    """Whether the taps of a slice alone act where they did, in an output of one size.

    It must hold for every size of the input.
    """
    old_positions, old_extent = _alignment(layer, axis, layer.kernel_size[axis])
    positions, extent = _alignment(layer, axis, part.stop - part.start)
    moved = [
        position + part.start * layer.dilation_rate[axis] for position in positions
    ]
    return moved == old_positions and extent == old_extent


def _alignment(layer, axis, size):
    """Where the first of `size` taps lies along an axis, and the output's size.

    The first tap lies so many samples before the sample that the output is aligned
    with. For `same` padding that is a list, since it depends on how many samples of the
    input are left over by the strides. Of the output's size, it is what depends on the
    kernel.
    """
    stride, dilation = layer.strides[axis], layer.dilation_rate[axis]
    span = (size - 1) * dilation + 1
    if isinstance(layer, WeightedConvolutionTranspose):
        extra = layer.output_padding and layer.output_padding[axis]
        if layer.padding == "valid":
            return [0], max(span, stride) if extra is None else span + extra
        extent = stride if extra is None else span % 2 + extra
        return [max(span - extent, 0) // 2], extent
    if layer.padding == "valid":
        return [0], span
    if layer.padding == "causal":
        return [span - 1], None
    return [max(span - stride + left, 0) // 2 for left in range(stride)], None


def _channel_axes(layer):
    """The axes of a kernel along which channels of the output are apart."""
    first = len(layer.kernel_size)
    if isinstance(layer, (WeightedDepthwiseConvolution, WeightedSeparableConvolution)):
        return {first, first + 1}
    return {first if isinstance(layer, WeightedConvolutionTranspose) else first + 1}


def _entry(name, layer, window, reason):
    shape = tuple(getattr(layer, layer.weighted_kernel).shape)
    channels = math.prod(shape[len(window) :])
    weights = math.prod(shape)
    new_weights = math.prod(_size(window)) * channels
    rest = 0
    if isinstance(layer, WeightedSeparableConvolution):
        rest = math.prod(layer.pointwise_kernel.shape)
    bias = math.prod(layer.bias.shape) if layer.use_bias else 0
    positions = _positions(layer)
    return FoldEntry(
        name,
        layer.kernel_size,
        _size(window),
        weights + rest + bias,
        new_weights + rest + bias,
        None if positions is None else positions * (weights + rest),
        None if positions is None else positions * (new_weights + rest),
        0.0 if new_weights == weights else _bound(layer, window),
        reason,
    )


def _bound(layer, window):
    """The most that an output changes if the inputs are within [-1, 1]."""
    removed = np.abs(_to_float64(layer.effective_kernel))
    removed[window] = 0
    others = set(range(removed.ndim)) - _channel_axes(layer)
    bound = removed.sum(axis=tuple(others))
    if isinstance(layer, WeightedSeparableConvolution):
        pointwise = np.abs(_to_float64(layer.pointwise_kernel))
        bound = bound.reshape(-1) @ pointwise.reshape(bound.size, -1)
    return float(bound.max())


def _positions(layer):
    """At how many places the kernel is applied to one example; None if not fixed."""
    shape = (layer.get_build_config() or {}).get("input_shape")
    if shape is None:
        return None
    if not isinstance(layer, WeightedConvolutionTranspose):
        shape = layer.compute_output_shape(tuple(shape))
    spatial = shape[1:-1] if layer.data_format == "channels_last" else shape[2:]
    return None if None in spatial else math.prod(spatial)


def _size(window):
    return tuple(part.stop - part.start for part in window)


def _to_float64(tensor):
    return ops.convert_to_numpy(tensor).astype("float64")
