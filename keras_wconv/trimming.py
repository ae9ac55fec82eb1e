"""Smaller kernels: the taps that `keras_wconv.fold` removes with `trim`."""

from __future__ import annotations

import collections
import dataclasses
import math
import numbers

import keras
import numpy as np
from keras import ops

from ._keras import is_graph, is_of_keras, sublayers
from .inspection import centered, find_layers
from .layers import WeightedConvolution
from .layers.conv_transpose import WeightedConvolutionTranspose
from .layers.depthwise_conv import WeightedDepthwiseConvolution
from .layers.separable_conv import WeightedSeparableConvolution


@dataclasses.dataclass(frozen=True)
class FoldEntry:
    """The kernel of one layer before and after folding.

    Attributes:
        name: str, the layer's name in `keras_wconv.inspection.weighted_layers`.
        kernel_size, new_kernel_size: tuples of int.
        weights, new_weights: ints, the layer's parameters in plain Keras.
        multiplications, new_multiplications: ints, for one example of the size that
            the layer was built for. None if that size is not fixed.
        bound: float. For inputs within [-1, 1], no output changes by more than this
            before the activation. It is the largest sum, over the channels, of the
            absolute values that were removed.
        reason: str, why the kernel is no smaller. None if it became smaller and only
            the tolerance limited it.
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
    """What `fold` did to the kernels of a model.

    Attributes:
        entries: list of `FoldEntry`, one for each weighted layer, in the order of the
            model.
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
        """Sums a field, such as `"weights"`, over the layers; None if one is None."""
        values = [getattr(entry, field) for entry in self.entries]
        return None if None in values else sum(values)

    def totals(self) -> list[str]:
        """Returns the lines of the totals over all layers, before and after."""
        return [
            f"{field}: {self.total(field):,} -> {self.total(f'new_{field}'):,}"
            for field in ("weights", "multiplications")
            if self.trimmed and self.total(field) is not None
        ]

    def __str__(self) -> str:
        title = f"{len(self.trimmed)} of {len(self.entries)} folded kernels trimmed"
        return "\n".join([title, *(f"  {e}" for e in self.entries), *self.totals()])


def plan(
    model: keras.Layer, tolerance: float | None
) -> tuple[dict[int, tuple[slice, ...]], FoldReport]:
    """Chooses the taps of a model's weighted layers that stay.

    Every channel of a kernel may change by `tolerance` of its L2 norm; so the whole
    kernel changes by no more. The axes with more than one tap share the square of this
    equally, and are trimmed independently.

    Args:
        model: `keras.Model`.
        tolerance: float from 0 to below 1, or None to keep all taps.

    Returns:
        Dict by `id` of a weighted layer of the taps that stay, a tuple of slices, one
        for each axis; and the report.

    Raises:
        ValueError: If `tolerance` is not valid, or a weighted layer is not built.
    """
    is_number = isinstance(tolerance, numbers.Real) and not isinstance(tolerance, bool)
    if tolerance is not None and not (is_number and 0 <= tolerance < 1):
        raise ValueError(
            "`trim` must be None or a number from 0 to below 1: the part of its L2 "
            "norm by which each channel of a kernel may change. 0.0 removes only "
            f"zeros. Received: trim={tolerance!r}"
        )
    same_names, in_code = _ids_with_the_same_name(model), _ids_made_in_code(model)
    windows, entries = {}, []
    found = find_layers(model, lambda layer: isinstance(layer, WeightedConvolution))
    unbuilt = [name for name, layer in found.items() if not layer.built]
    if unbuilt:
        raise ValueError(
            "`model` must be built, with all its weighted layers. Call it once in a "
            f"way that uses these layers, or remove them. Received: {unbuilt}"
        )
    for name, layer in found.items():
        window = tuple(slice(0, size) for size in layer.kernel_size)
        if tolerance is None:
            reason = "`trim` is None"
        elif max(layer.kernel_size) == 1:
            reason = "a kernel of 1 has nothing to trim"
        elif id(layer) in same_names:
            reason = "another layer inside the same one has its name"
        elif id(layer) in in_code:
            reason = "the code of the layer around it decides its size"
        else:
            window, reason = _window(layer, tolerance)
        windows[id(layer)] = window
        entries.append(_entry(name, layer, window, reason))
    return windows, FoldReport(entries)


def _ids_with_the_same_name(model):
    """Ids of the weighted layers that share a name inside a layer that is no model."""
    same = set()
    for layer in sublayers(model):
        if is_graph(layer):
            same |= _ids_with_the_same_name(layer)
            continue
        inner = {
            id(found): found.name
            for found in sublayers(layer, recursive=True)
            if isinstance(found, WeightedConvolution)
        }
        counts = collections.Counter(inner.values())
        same |= {key for key, name in inner.items() if counts[name] > 1}
    return same


def _ids_made_in_code(model):
    """Ids of the weighted layers that the code of a class made, as plain ones."""
    return {
        id(inner)
        for layer in sublayers(model, recursive=True)
        if not is_of_keras(type(layer))
        for inner in sublayers(layer, recursive=True)
        if isinstance(inner, WeightedConvolution) and inner.converted_in_place
    }


def _window(layer, tolerance):
    """Returns the taps that stay, a slice for each axis, and why there are not fewer.

    The second is None where only the tolerance limits them.
    """
    energy = np.square(_to_float64(layer.effective_kernel))
    axes = [axis for axis, size in enumerate(layer.kernel_size) if size > 1]
    share = tolerance**2 / len(axes)
    window, is_held = [slice(0, 1)] * len(layer.kernel_size), False
    for axis in axes:
        others = set(range(energy.ndim)) - {axis, *_channel_axes(layer)}
        taps = np.moveaxis(energy.sum(axis=tuple(others), keepdims=True), axis, 0)
        # Sums run from the outside in, so that sums of zeros are exactly zero.
        before = np.cumsum(np.concatenate([0 * taps[:1], taps]), axis=0)
        after = np.cumsum(np.concatenate([0 * taps[:1], taps[::-1]]), axis=0)
        size = len(taps)
        small = [
            part
            for part in centered(size, layer.padding)
            if np.all(
                before[part.start] + after[size - part.stop] <= share * before[-1]
            )
            or part == slice(0, size)
        ]
        window[axis] = next(part for part in small if _is_aligned(layer, axis, part))
        is_held |= window[axis] != small[0]
    reason = None
    if is_held:
        reason = (
            f"with padding={layer.padding!r} and strides={layer.strides}, a smaller "
            "kernel would shift or resize the output"
        )
    elif size_of(window) == layer.kernel_size:
        reason = "no outer ring is within the tolerance"
    return tuple(window), reason


def _is_aligned(layer, axis, part):
    """Whether a kernel of the taps in a slice gives outputs of the same size and place.

    It must do so for every size of the input.
    """
    old_positions, old_extent = _alignment(layer, axis, layer.kernel_size[axis])
    positions, extent = _alignment(layer, axis, part.stop - part.start)
    moved = [
        position + part.start * layer.dilation_rate[axis] for position in positions
    ]
    return moved == old_positions and extent == old_extent


def _alignment(layer, axis, size):
    """Returns where a kernel of `size` taps begins, and its part of the output's size.

    The first is the distance, in samples, from the first tap to the sample that the
    output is aligned with. It is a list, because with `same` padding and strides it
    depends on the size of the input.
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
    """The axes of a kernel that distinguish the channels of the output."""
    first = len(layer.kernel_size)
    if isinstance(layer, (WeightedDepthwiseConvolution, WeightedSeparableConvolution)):
        return {first, first + 1}
    return {first if isinstance(layer, WeightedConvolutionTranspose) else first + 1}


def _entry(name, layer, window, reason):
    shape = getattr(layer, layer.weighted_kernel).shape
    new_size = size_of(window)
    is_separable = isinstance(layer, WeightedSeparableConvolution)
    pointwise = math.prod(layer.pointwise_kernel.shape) if is_separable else 0
    bias = math.prod(layer.bias.shape) if layer.use_bias else 0
    positions = _positions(layer)
    kernels = [
        math.prod(size) * math.prod(shape[len(window) :]) + pointwise
        for size in (layer.kernel_size, new_size)
    ]
    return FoldEntry(
        name,
        layer.kernel_size,
        new_size,
        *(kernel + bias for kernel in kernels),
        *(positions and positions * kernel for kernel in kernels),
        0.0 if new_size == layer.kernel_size else _bound(layer, window),
        reason,
    )


def _bound(layer, window):
    """The largest change of an output for inputs within [-1, 1]."""
    removed = np.abs(_to_float64(layer.effective_kernel))
    removed[window] = 0
    others = set(range(removed.ndim)) - _channel_axes(layer)
    bound = removed.sum(axis=tuple(others))
    if isinstance(layer, WeightedSeparableConvolution):
        pointwise = np.abs(_to_float64(layer.pointwise_kernel))
        bound = bound.reshape(-1) @ pointwise.reshape(bound.size, -1)
    return float(bound.max())


def _positions(layer):
    """The number of places where the kernel is applied, or None if it is not fixed."""
    shape = (layer.get_build_config() or {}).get("input_shape")
    if shape is None:
        return None
    if not isinstance(layer, WeightedConvolutionTranspose):
        shape = layer.compute_output_shape(tuple(shape))
    spatial = shape[1:-1] if layer.data_format == "channels_last" else shape[2:]
    return None if None in spatial else math.prod(spatial)


def size_of(window):
    return tuple(part.stop - part.start for part in window)


def _to_float64(tensor):
    return ops.convert_to_numpy(tensor).astype("float64")
