"""A model of plain convolutions into a weighted one, and back."""

import dataclasses
import functools
import warnings

import keras
import numpy as np
from keras import ops

from . import _keras, densities, layers, trimming
from ._density_choice import DensityChoice
from .layers.base import DENSITY_ARGUMENTS, check_density_options

_WEIGHTED = {
    cls.__bases__[-1]: cls
    for cls in vars(layers).values()
    if isinstance(cls, type)
    and issubclass(cls, layers.WeightedConvolution)
    and cls is not layers.WeightedConvolution
}
_PLAIN = {weighted: plain for plain, weighted in _WEIGHTED.items()}
_BY_REGISTERED_NAME = {
    keras.saving.get_registered_name(weighted): weighted for weighted in _PLAIN
}
_CONVOLUTIONS = (
    *_WEIGHTED,
    keras.layers.ConvLSTM1D,
    keras.layers.ConvLSTM2D,
    keras.layers.ConvLSTM3D,
)
_NO_DENSITY = "no density"


@dataclasses.dataclass(frozen=True)
class ReportEntry:
    """What became of one convolution: `reason` says why it was left, or is None."""

    name: str
    kernel_size: tuple
    density: densities.Density | None = None
    reason: str | None = None

    def __str__(self):
        fate = f"left: {self.reason}" if self.reason else f"density {self.density}"
        return f"{self.name} {self.kernel_size}: {fate}"


@dataclasses.dataclass
class ConversionReport:
    """What `to_weighted` did with every convolution of a model.

    Attributes:
        entries: list of `ReportEntry`, in the order of the model's graph.
    """

    entries: list = dataclasses.field(default_factory=list)

    @property
    def converted(self):
        """The entries of the layers that got the density."""
        return [entry for entry in self.entries if entry.reason is None]

    @property
    def left(self):
        """The entries of the layers that stayed as they were."""
        return [entry for entry in self.entries if entry.reason is not None]

    def __str__(self):
        title = f"{len(self.converted)} of {len(self.entries)} convolutions converted"
        return "\n".join([title, *(f"  {entry}" for entry in self.entries)])


def to_weighted(
    model,
    density,
    preserve="function",
    where=None,
    return_report=False,
    **density_options,
):
    """Copy of a model in which convolutions are weighted.

    Convolutions are found in nested models too, and are those of Keras's own ten
    classes: subclasses of them, convolutions inside of wrappers (`TimeDistributed`)
    and of layers made of layers, and `ConvLSTM` stay as they are, and the report says
    so. Names, the order of the layers, `trainable` and all state are those of `model`,
    which is left untouched.

    A convolution that is weighted already gets the new density in place of its own,
    or becomes plain again where `density` has none for it: `to_weighted(model, None)`
    is the way back that also keeps LoRA's weights apart.

    The copy is not compiled: an optimizer's state belongs to the kernels it was made
    for. A model whose class has a constructor of its own (a KerasHub backbone)
    becomes a plain Functional model.

    Args:
        model: a built Functional or Sequential model.
        density: None; one density, for all kernels that it fits; a dict by kernel
            size, `{3: [0.7], 7: [0.25, 0.15, 0.55]}`; or a function
            `f(name, kernel_size)` that returns a density or None. See
            `keras_wconv.densities`.
        preserve: `"function"`, the outputs stay as they are, to rounding, because
            kernels are divided by the density; or `"kernel"`, the kernels stay as
            they are and the outputs change.
        where: function of a layer, True for the convolutions to convert. None is all.
        return_report: whether a `ConversionReport` is returned too.
        **density_options: the other density arguments of the layers, such as
            `density_trainable`; see `keras_wconv.WeightedConv2D`.

    Returns:
        The weighted model; with `return_report`, that and the report.

    Raises:
        ValueError: If `model` is subclassed or not built, if no convolution matches,
            if `density` does not fit, or if `preserve="function"` would have to divide
            by zero.

    Example:

    >>> import keras
    >>> import keras_wconv
    >>> model = keras.Sequential([
    ...     keras.Input((8, 8, 3)),
    ...     keras.layers.Conv2D(4, 3, name="conv"),
    ...     keras.layers.Conv2D(2, 1, name="head"),
    ... ])
    >>> weighted, report = keras_wconv.to_weighted(model, [0.7], return_report=True)
    >>> print(report)
    1 of 2 convolutions converted
      conv (3, 3): density Separable(coefficients=[0.7])
      head (1, 1): left: a kernel of 1 has nothing to weight
    >>> weighted.count_params() == model.count_params()
    True

    Source: a weighted convolution is a plain one whose kernel is multiplied by Φ,
    https://arxiv.org/abs/2505.24558.
    """
    if preserve not in ("function", "kernel"):
        raise ValueError(
            "`preserve` must be 'function' (the outputs stay, kernels are divided by "
            "the density) or 'kernel' (the kernels stay, the outputs change). "
            f"Received: preserve={preserve!r}"
        )
    if where is not None and not callable(where):
        raise ValueError(
            "`where` must be None or a function of a layer that returns whether to "
            f"convert it. Received: where={where!r}"
        )
    check_density_options(density_options)
    choice = DensityChoice(density)
    chosen = []
    report = ConversionReport()
    ratios, zeros = {}, {}

    def convert(layer):
        plain_class = _PLAIN.get(type(layer), type(layer))
        if plain_class not in _WEIGHTED:
            report.entries += _out_of_reach(layer)
            return _keras.copy_layer(layer)
        entry = functools.partial(ReportEntry, layer.name, layer.kernel_size)
        if where is not None and not where(layer):
            report.entries.append(entry(reason="`where` excludes it"))
            return _keras.copy_layer(layer)
        own = choice(layer.name, layer.kernel_size, layer.padding == "causal")
        chosen.append((layer.kernel_size, own))
        if own is None and type(layer) is plain_class:
            is_point = max(layer.kernel_size) == 1
            reason = "a kernel of 1 has nothing to weight" if is_point else _NO_DENSITY
            report.entries.append(entry(reason=reason))
            return _keras.copy_layer(layer)
        report.entries.append(entry(density=own))
        config = _plain_config(layer)
        if own is None:
            new = plain_class.from_config(config)
        else:
            new = _WEIGHTED[plain_class].from_config(
                {**config, "density": own, **density_options}
            )
        ratios[id(layer)], taps = _ratio(layer, new)
        if taps:
            zeros[layer.name] = taps
        return new

    weighted = _keras.clone(model, convert)
    if report.converted or any(entry.reason == _NO_DENSITY for entry in report.left):
        choice.check_coverage(chosen)
    if density is not None and not report.converted:
        raise ValueError(
            "`density` and `where` match no convolution of the model. Expected at "
            f"least one match. Received: {report}"
        )
    if preserve == "function" and zeros:
        raise ValueError(
            "`preserve='function'` divides the kernels by the density. Expected no "
            f"zero in it. Received zeros at these taps of these layers: {zeros}. "
            "Leave the layers out with `where`, or use preserve='kernel', which "
            "changes the outputs."
        )

    def values(layer):
        if id(layer) not in ratios:
            return None
        values = _keras.own_values(layer)
        if preserve == "function":
            ratio = ratios[id(layer)]
            # LoRA's first factor has the kernel's spatial axes: Φ(W + AB) needs it too.
            scaled = {_kernel_name(layer), "lora_kernel_a"} & set(values)
            if len(scaled) > 1 and ratio.shape[-2:] != (1, 1):
                raise ValueError(
                    f"Layer {layer.name!r} has LoRA weights and a density for each "
                    "channel, which no change of the LoRA weights keeps. Merge them "
                    "first, with `keras_wconv.fold(model)`."
                )
            for name in scaled:
                raw = ops.convert_to_numpy(values[name]).astype("float64")
                values[name] = raw * ratio
        return values

    _keras.move_state(model, weighted, values)
    return (weighted, report) if return_report else weighted


def fold(model, trim: float | None = None, return_report: bool = False):
    """Copy of a model in which every density is multiplied into its kernel.

    The copy computes what `model` does, holds Keras's own layers in place of the
    weighted ones and needs keras_wconv no more. Learned densities are taken as they
    are now, and LoRA's weights are merged. Names, the order of the layers and
    `trainable` are kept; the copy is not compiled. Inside of `SpectralNormalization`
    only inference is kept, and a warning says so: in training, the wrapper acts on the
    raw kernel.

    With `trim`, every kernel that is folded loses its outer rings of taps that do next
    to nothing, each axis by itself. The sizes of all outputs stay, for every size of
    the input, and every tap that is left acts where it did: so a kernel keeps its size
    with `valid` padding, and does not become smaller than its strides. Convolutions
    that are not weighted stay as they are.

    Args:
        model: a built Functional or Sequential model. Weighted layers inside of
            wrappers (`TimeDistributed`) are folded too.
        trim: None, or the part of its L2 norm by which each channel of a kernel may
            change. 0.0 removes zeros alone.
        return_report: whether a `FoldReport` is returned too: sizes, weights,
            multiplications and a bound on the change of the output, for each layer.

    Returns:
        The folded model; with `return_report`, that and the report.

    Raises:
        ValueError: If `model` is subclassed or not built, if it holds a weighted
            layer that cannot be replaced, or if `trim` is no such part.

    Example:

    >>> import keras
    >>> import keras_wconv
    >>> model = keras.Sequential([
    ...     keras.Input((8, 8, 3)),
    ...     keras_wconv.WeightedConv2D(4, 3, density=[0.7], name="conv"),
    ... ])
    >>> type(keras_wconv.fold(model).get_layer("conv")).__name__
    'Conv2D'

    A large kernel whose density is narrow becomes a small one:

    >>> model = keras.Sequential([
    ...     keras.Input((32, 32, 3)),
    ...     keras_wconv.WeightedConv2D(4, 31, padding="same", name="conv",
    ...         kernel_initializer="ones", density=keras_wconv.densities.Gaussian(2.0)),
    ... ])
    >>> folded, report = keras_wconv.fold(model, trim=0.01, return_report=True)
    >>> print(report)
    1 of 1 folded kernels trimmed
      conv (31, 31) -> (13, 13): outputs within 0.15
    weights: 11,536 -> 2,032
    multiplications: 11,808,768 -> 2,076,672
    """
    trimming_plan = trimming.plan(model, trim)

    def clone_layer(layer):
        if type(layer) in _PLAIN:
            return _plain(layer, trimming_plan.kernel_size(layer))
        sizes = trimming_plan.kernel_sizes_inside(layer)
        return _keras.copy_layer(layer, lambda config: _folded_config(config, sizes))

    folded = _keras.clone(model, clone_layer)
    normalized = [
        layer.name
        for layer in _keras.sublayers(model, recursive=True)
        if isinstance(layer, keras.layers.SpectralNormalization)
        and isinstance(layer.layer, layers.WeightedConvolution)
    ]
    if normalized:
        warnings.warn(
            "The folded model is for inference. In training, SpectralNormalization "
            "divides the raw kernel, which is another one after folding, in the "
            f"layers {normalized}.",
            stacklevel=2,
        )
    left = [
        layer.name
        for layer in _keras.sublayers(folded, recursive=True)
        if isinstance(layer, layers.WeightedConvolution)
    ]
    if left:
        raise ValueError(
            "`model` holds weighted layers that cannot be replaced, because they are "
            "of a subclass or are made in the code of another layer. Replace them by "
            "Keras's own, to which their `effective_kernel` is assigned. "
            f"Received: {left}"
        )

    def values(layer):
        if isinstance(layer, layers.WeightedConvolution):
            effective = trimming_plan.kernel(layer)
            return _keras.own_values(layer) | {_kernel_name(layer): effective}
        return None

    _keras.move_state(model, folded, values)
    return (folded, trimming_plan.report) if return_report else folded


def _plain(layer, kernel_size=None):
    """The Keras layer that a weighted one is without density and LoRA, unbuilt."""
    config = _plain_config(layer)
    config.pop("lora_rank", None)
    config.pop("lora_alpha", None)
    config["kernel_size"] = kernel_size or layer.kernel_size
    return _PLAIN[type(layer)].from_config(config)


def _plain_config(layer):
    return {
        key: value
        for key, value in layer.get_config().items()
        if key not in DENSITY_ARGUMENTS
    }


def _folded_config(config, kernel_sizes):
    """The config of a layer made of layers, its weighted ones replaced."""
    if isinstance(config, (list, tuple)):
        return type(config)(_folded_config(item, kernel_sizes) for item in config)
    if not isinstance(config, dict):
        return config
    weighted_class = _BY_REGISTERED_NAME.get(config.get("registered_name"))
    if weighted_class is None:
        return {k: _folded_config(value, kernel_sizes) for k, value in config.items()}
    layer = weighted_class.from_config(config["config"])
    plain = _plain(layer, kernel_sizes.get(layer.name))
    return config | keras.saving.serialize_keras_object(plain)


def _out_of_reach(layer):
    """Entries of the convolutions in a layer that is none of Keras's ten classes."""
    if not isinstance(layer, keras.Layer):
        return []
    entries = []
    for inner in (layer, *_keras.sublayers(layer, recursive=True)):
        if isinstance(inner, _CONVOLUTIONS):
            name, reason = layer.name, f"of class {type(layer).__name__}"
            if inner is not layer:
                name, reason = f"{name}/{inner.name}", f"inside of {name}, {reason}"
            entries.append(ReportEntry(name, inner.kernel_size, reason=reason))
    return entries


def _ratio(old, new):
    """What kernels are multiplied by to keep the function, and the taps that forbid it.

    A tap that both densities make zero keeps its raw value.
    """
    old_map, new_map = _density_map(old), _density_map(new)
    old_map, new_map = np.broadcast_arrays(old_map, new_map)
    ratio = np.divide(old_map, new_map, out=np.ones(old_map.shape), where=new_map != 0)
    taps = np.argwhere((new_map == 0) & (old_map != 0))
    return ratio, sorted({tuple(tap[:-2]) for tap in taps.tolist()})


def _density_map(layer):
    """Φ in float64, zero where the precision that the layer computes in makes it so."""
    phi = getattr(layer, "density_map", np.ones(layer.kernel_size))
    if phi.ndim == len(layer.kernel_size):
        phi = phi[..., None, None]
    computed = ops.convert_to_numpy(ops.cast(phi, layer.compute_dtype))
    return np.where(computed == 0, 0.0, phi)


def _kernel_name(layer):
    return _WEIGHTED.get(type(layer), type(layer)).weighted_kernel
