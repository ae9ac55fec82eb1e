"""Converts models of plain convolutions into weighted ones, and back."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from typing import Literal, Unpack, overload

import keras
import numpy as np
from keras import ops

from . import _keras, densities, layers, trimming
from ._density_choice import DensityChoice, ModelDensity
from ._types import DensityOptions
from .layers.base import (
    DENSITY_ARGUMENTS,
    check_density_options,
    check_where,
    penalties,
)
from .layers.conv_transpose import WeightedConvolutionTranspose
from .layers.layer_density import check_bools

PAIRS = {  # Keras's class: the weighted one
    cls.__bases__[-1]: cls
    for cls in vars(layers).values()
    if isinstance(cls, type)
    and issubclass(cls, layers.WeightedConvolution)
    and cls is not layers.WeightedConvolution
}
# The weighted and the plain class of each of these classes, itself included.
_WEIGHTED = PAIRS | {weighted: weighted for weighted in PAIRS.values()}
_PLAIN = {weighted: plain for plain, weighted in PAIRS.items()}
_PLAIN |= {plain: plain for plain in PAIRS}
_CONVOLUTIONS = (
    *PAIRS,
    keras.layers.ConvLSTM1D,
    keras.layers.ConvLSTM2D,
    keras.layers.ConvLSTM3D,
)
_DENSITY_ATTRIBUTES = (
    "_density",
    "_normalize_density",
    "_density_per_channel",
    "_density_regularizer",
    "_density_constraint",
)
_EFFECTIVE_PENALTIES = (
    layers.EffectiveKernelRegularizer,
    layers.EffectiveKernelConstraint,
)
_NO_DENSITY = "no density"
_POINT = "a kernel of 1 has nothing to weight"
_EXCLUDED = "`where` excludes it"
_NOT_TRAINED = "its kernel is not trained"
# The relative rounding of each precision, and the least number that is surely not 0.
_ROUNDING = {
    "float16": (2.0**-10, 2.0**-24),
    "bfloat16": (2.0**-7, 2.0**-126),
    "float32": (2.0**-23, 2.0**-126),
    "float64": (2.0**-52, 2.0**-1022),
}


@dataclasses.dataclass(frozen=True)
class ReportEntry:
    """The conversion of one convolution; `reason` is None, or why it was left."""

    name: str
    kernel_size: tuple[int, ...]
    density: densities.Density | None = None
    reason: str | None = None

    def __str__(self) -> str:
        outcome = f"left: {self.reason}" if self.reason else f"density {self.density}"
        return f"{self.name} {self.kernel_size}: {outcome}"


@dataclasses.dataclass
class ConversionReport:
    """What `to_weighted` did to the convolutions of a model.

    Attributes:
        entries: list of `ReportEntry`, one for each convolution, in the order of the
            model.
    """

    entries: list[ReportEntry] = dataclasses.field(default_factory=list)

    @property
    def converted(self) -> list[ReportEntry]:
        """The entries of the layers that got the density."""
        return [entry for entry in self.entries if entry.reason is None]

    @property
    def left(self) -> list[ReportEntry]:
        """The entries of the layers that did not change."""
        return [entry for entry in self.entries if entry.reason is not None]

    def __str__(self) -> str:
        title = f"{len(self.converted)} of {len(self.entries)} convolutions converted"
        return "\n".join([title, *(f"  {entry}" for entry in self.entries)])


@overload
def to_weighted(
    model: keras.Layer,
    density: ModelDensity,
    preserve: str = ...,
    where: Callable[[keras.Layer], bool] | None = ...,
    return_report: Literal[False] = ...,
    in_place: bool = ...,
    penalize: str = ...,
    **density_options: Unpack[DensityOptions],
) -> keras.Model: ...


@overload
def to_weighted(
    model: keras.Layer,
    density: ModelDensity,
    preserve: str = ...,
    where: Callable[[keras.Layer], bool] | None = ...,
    *,
    return_report: Literal[True],
    in_place: bool = ...,
    penalize: str = ...,
    **density_options: Unpack[DensityOptions],
) -> tuple[keras.Model, ConversionReport]: ...


def to_weighted(
    model: keras.Layer,
    density: ModelDensity,
    preserve: str = "function",
    where: Callable[[keras.Layer], bool] | None = None,
    return_report: bool = False,
    in_place: bool = False,
    penalize: str = "kernel",
    **density_options: Unpack[DensityOptions],
) -> keras.Model | tuple[keras.Model, ConversionReport]:
    """Returns a copy of a model with weighted convolutions, or changes the model.

    Keras has ten classes of convolutions. A copy converts those of the model and of
    nested models; in place, those inside any other layer are converted, too. Subclasses
    and `ConvLSTM` are left: a warning says how many, and the report says why. Names,
    the order of the layers, `trainable` and all state are kept.

    A weighted convolution gets the new density. If `density` has none for it, it
    becomes plain: `to_weighted(model, None)` is the way back that keeps LoRA's weights
    separate.

    A copy is not compiled, because an optimizer's state belongs to the old kernels. A
    compiled model that is changed in place is compiled again, with the same loss and
    metrics and a new optimizer state. A copy of a model whose class only adds a
    constructor (a KerasHub backbone) is a plain Functional model.

    In place, each layer stays the same object, so all that refers to it now has the
    weighted layer. Code that reads `kernel` must read `effective_kernel` instead.
    Recompile other models that share the layer, and trace your own functions again.
    Save a subclassed model with `model.save_weights`, and load the file into a model
    that was built and converted in the same way. A saved model as a whole does not
    load, because its code makes plain layers, which refuse the weights.

    Args:
        model: a built Functional or Sequential model; with `in_place`, any built model
            or layer.
        density: None; one density, for all kernels that it fits; a dict by kernel
            size, `{3: [0.7], 7: [0.25, 0.15, 0.55]}`; or a function
            `f(name, kernel_size)` that returns a density or None. The names are those
            of `keras_wconv.inspection.weighted_layers`, as in `"block_1/conv"`. See
            `keras_wconv.densities`.
        preserve: `"function"` keeps the outputs, up to rounding, by dividing the
            kernels by the density; `"kernel"` keeps the kernels and changes the
            outputs.
        where: function of a layer that returns True for the convolutions to convert.
            None converts all.
        return_report: whether to return a `ConversionReport` as well.
        in_place: whether to change `model` itself. Needed for subclassed models, for
            convolutions inside custom layers, and for layers that hold other layers of
            the model.
        penalize: what kernel regularizers and constraints act on: `"kernel"`, the
            weight, as in new layers; or `"effective_kernel"`, its product with the
            density, as in the plain layer before. The second wraps them in
            `keras_wconv.layers.EffectiveKernelRegularizer` and
            `EffectiveKernelConstraint` until the model is folded.
        **density_options: the other density arguments of the layers, such as
            `density_trainable`; see `keras_wconv.WeightedConv2D`.

    Returns:
        The weighted model, or with `return_report` the model and the report.

    Raises:
        ValueError: If `model` is not built, or cannot be copied and `in_place` is
            False; if no convolution matches; if `density` does not fit; or if
            `preserve="function"` would divide by zero, or by numbers too small for the
            precision that the layer computes in.

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
    if penalize not in ("kernel", "effective_kernel"):
        raise ValueError(
            "`penalize` must be 'kernel' or 'effective_kernel': what kernel "
            f"regularizers and constraints act on. Received: penalize={penalize!r}"
        )
    check_where(where)
    check_bools(return_report=return_report, in_place=in_place)
    check_density_options(density_options)
    choice = DensityChoice(density)
    chosen = []
    report = ConversionReport()
    zeros, converted = {}, {}

    def replacement(layer, name, **overrides):
        """Returns the unbuilt layer that replaces a convolution, or None."""
        own = reason = None
        if where is not None and not where(layer):
            reason = _EXCLUDED
        else:
            own = choice(
                name,
                layer.kernel_size,
                layer.padding == "causal",
                _keras.kernel_variable(layer, _kernel_name(layer)).shape,
            )
            chosen.append((layer.kernel_size, own))
            if own is None and not isinstance(layer, layers.WeightedConvolution):
                reason = _POINT if max(layer.kernel_size) == 1 else _NO_DENSITY
        report.entries.append(ReportEntry(name, layer.kernel_size, own, reason))
        if reason is not None:
            return None
        config = {**_plain_config(layer), **overrides}
        if own is None:
            new = _PLAIN[type(layer)].from_config(config)
        else:
            if penalize == "effective_kernel" or _penalizes_effective(layer):
                config |= _effective_penalties(layer)
            new = _WEIGHTED[type(layer)].from_config(
                {**config, "density": own, **density_options}
            )
        ratio, taps = _ratio(layer, new)
        if taps:
            zeros[name] = taps
        converted[id(layer)] = name, layer, new, ratio
        return new

    def check():
        reasons = [entry.reason for entry in report.entries]
        if None in reasons or _NO_DENSITY in reasons:
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
        if id(layer) not in converted:
            return None
        values = _keras.own_values(layer)
        if preserve == "function":
            *_, ratio = converted[id(layer)]
            # Φ · (W + AB): LoRA's A has the kernel's spatial axes, and is scaled, too.
            scaled = {_kernel_name(layer), "lora_kernel_a"} & set(values)
            if len(scaled) > 1 and ratio.shape[-2:] != (1, 1):
                raise ValueError(
                    f"Layer {layer.name!r} has LoRA weights and a density for each "
                    "channel. No change of the LoRA weights keeps its function. Merge "
                    "them first, with `keras_wconv.fold(model)`."
                )
            for name in scaled:
                raw = ops.convert_to_numpy(values[name]).astype("float64")
                values[name] = raw * ratio
        return values

    _keras.check_model(model, in_place)
    if in_place:
        found = _convolutions(model)
        for name, layer, holders in found:
            reason = _out_of_reach_in_place(layer, holders)
            if reason is None:
                replacement(layer, name, activation=None)
            else:
                entry = ReportEntry(name, layer.kernel_size, reason=reason)
                report.entries.append(entry)
        check()
        for _, layer, new, _ in converted.values():
            _keras.build_like(new, layer)
            _assign(new, values(layer))
        weighted = model
    else:
        in_graph = _keras.graph_layers(model)
        names = {id(layer): name for name, layer, _ in _keras.named_layers(model)}

        def convert(layer):
            new = None
            if type(layer) in _WEIGHTED:
                new = replacement(layer, names[id(layer)])
            else:
                report.entries += _out_of_reach(layer, in_graph, names)
            return _keras.copy_layer(layer) if new is None else new

        weighted = _keras.clone(model, convert)
        check()
        _keras.move_state(model, weighted, values, _children_of_both)
    if preserve == "function":
        _check_kept(converted.values())
        if penalize == "kernel":
            changed = [
                (name, layer)
                for name, layer, _, ratio in converted.values()
                if np.any(ratio != 1)
            ]
            _warn_of_penalties(changed, "weighted")
    if in_place:
        _warn_of_holders(found, converted)
        for _, layer, new, _ in converted.values():
            _adopt(layer, new)
        _after_change(model)
    _warn_of_left(report, choice)
    return (weighted, report) if return_report else weighted


@overload
def fold(
    model: keras.Layer,
    trim: float | None = ...,
    return_report: Literal[False] = ...,
    in_place: bool = ...,
) -> keras.Model: ...


@overload
def fold(
    model: keras.Layer,
    trim: float | None = ...,
    *,
    return_report: Literal[True],
    in_place: bool = ...,
) -> tuple[keras.Model, trimming.FoldReport]: ...


def fold(
    model: keras.Layer,
    trim: float | None = None,
    return_report: bool = False,
    in_place: bool = False,
) -> keras.Model | tuple[keras.Model, trimming.FoldReport]:
    """Returns a copy of a model in which each density is multiplied into its kernel.

    The copy computes the same outputs with Keras's own layers, and no longer needs
    keras_wconv. It has the current values of learned densities, and LoRA's weights are
    merged. Names, the order of the layers and `trainable` are kept. A compiled model is
    compiled again, with the same loss and metrics and a new optimizer state; a warning
    says if that is impossible. In training, regularizers, constraints and
    `SpectralNormalization` act on the raw kernel, which folding changes: a warning says
    so.

    With `trim`, each folded kernel loses outer rings of taps that contribute next to
    nothing, separately along each axis. For every size of the input, the outputs keep
    their sizes, and the remaining taps stay aligned. So a kernel with `valid` padding
    keeps its size, and no kernel becomes smaller than its strides. Plain convolutions
    do not change.

    Args:
        model: a built Functional or Sequential model; with `in_place`, any built model
            or layer. Weighted layers inside wrappers (`TimeDistributed`) are folded,
            too.
        trim: None, or the part of its L2 norm by which each channel of a kernel may
            change. 0.0 removes only zeros. Start with 0.01: 0.05 cost some small
            networks several points of accuracy.
        return_report: whether to return a `FoldReport` as well: for each layer the
            sizes, weights and multiplications, and a bound on the change of the output.
        in_place: whether to change `model` itself, as in `to_weighted`.

    Returns:
        The folded model, or with `return_report` the model and the report.

    Raises:
        ValueError: If `model` is not built, or cannot be copied and `in_place` is
            False; if it holds a weighted layer that cannot be replaced; if `trim` is
            not valid, or is given with `in_place`.

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
      conv (31, 31) -> (13, 13): outputs within 1.3
    weights: 11,536 -> 2,032
    multiplications: 11,808,768 -> 2,076,672
    """
    check_bools(return_report=return_report, in_place=in_place)
    if in_place and trim is not None:
        raise ValueError(
            "`trim` changes the shapes of kernels, which needs a copy: the code of a "
            "subclassed model makes kernels of the old shapes, and could not load its "
            "files. Omit one of the two; "
            "keras_wconv.inspection.effective_size(layer) says which size to build. "
            f"Received: trim={trim} with in_place=True"
        )
    _keras.check_model(model, in_place)
    windows, report = trimming.plan(model, trim)
    if in_place:
        _fold_in_place(model)
        return (model, report) if return_report else model

    def clone_layer(layer):
        if id(layer) in windows and type(layer) in _PLAIN:
            return _plain(layer, kernel_size=trimming.size_of(windows[id(layer)]))
        inner = []
        if isinstance(layer, keras.Layer):  # It may be an operation in a graph.
            inner = _keras.sublayers(layer, recursive=True)
        sizes = {
            each.name: trimming.size_of(windows[id(each)])
            for each in inner
            if id(each) in windows
        }
        return _keras.copy_layer(layer, lambda config: _folded_config(config, sizes))

    folded = _keras.clone(model, clone_layer)
    _warn_of_folding(_weighted(model))
    _check_replaced(
        layer
        for layer in _keras.sublayers(folded, recursive=True)
        if isinstance(layer, layers.WeightedConvolution)
    )

    def values(layer):
        if id(layer) not in windows:
            return None
        kernel = ops.copy(layer.effective_kernel[windows[id(layer)]])
        return _keras.own_values(layer) | {_kernel_name(layer): kernel}

    _keras.move_state(model, folded, values, _children_of_both)
    _compile_like(folded, model, _kernel_optimizer)
    return (folded, report) if return_report else folded


def hold_steps(
    model: keras.Layer, where: Callable[[keras.Layer], bool] | None = None
) -> ConversionReport:
    """Gives convolutions a `layers.StepDensity` of 1, in place; the function stays.

    Unlike `to_weighted`, it keeps the optimizer of a compiled model, because the
    kernels remain the same variables. Convolutions that have such a density keep it.
    Left are transposed convolutions, whose taps do not meet neighbors of the input,
    layers with another density, and kernels that are not trained.

    Args:
        model: a built model or layer.
        where: function of a layer that returns True for the convolutions to take. None
            takes all.

    Raises:
        ValueError: If a kernel has a constraint.
    """
    _keras.check_model(model, in_place=True)
    report, is_changed = ConversionReport(), False
    for name, layer, holders in _convolutions(model):
        density, reason = getattr(layer, "density", None), None
        if where is not None and not where(layer):
            reason = _EXCLUDED
        elif not isinstance(density, layers.StepDensity):
            reason = _no_step(layer, holders)
            if reason is None:
                density = layers.StepDensity(
                    densities.Map(np.ones(layer.kernel_size)),
                    layer.kernel_size,
                    causal=layer.padding == "causal",
                    dtype=layer.dtype_policy,
                    name="density",
                )
                new = _WEIGHTED[type(layer)].from_config(
                    {
                        **_plain_config(layer),
                        **_effective_penalties(layer),
                        "activation": None,
                        "density": density,
                    }
                )
                _keras.build_like(new, layer)
                _assign(new, _keras.own_values(layer))
                _adopt(layer, new)
                is_changed = True
        elif not _keras.kernel_variable(layer, layer.weighted_kernel).trainable:
            reason = _NOT_TRAINED
        initial = None if reason else density.initial
        report.entries.append(ReportEntry(name, layer.kernel_size, initial, reason))
    if is_changed:
        _keras.forget_traces(model)
    meant = (_EXCLUDED, _POINT, _NOT_TRAINED)
    left = [entry for entry in report.left if entry.reason not in meant]
    if left:
        warnings.warn(
            f"The steps of {len(left)} of {len(report.entries)} convolutions are not "
            f"scaled: {'; '.join(map(str, left[:5]))}{'; ...' * (len(left) > 5)}.",
            stacklevel=3,
        )
    return report


def _no_step(layer, holders):
    """Returns why no density can change the step of a convolution, or None."""
    if max(layer.kernel_size) == 1:
        return _POINT
    if _is_weighted(layer):
        return "it has another density"
    if issubclass(_WEIGHTED.get(type(layer), object), WeightedConvolutionTranspose):
        return "transposed"
    reason = _out_of_reach_in_place(layer, holders)
    if reason is not None:
        return reason
    if not _keras.kernel_variable(layer, _kernel_name(layer)).trainable:
        return _NOT_TRAINED
    _, name = penalties(layer)
    constraint = getattr(layer, name)
    if constraint is not None:
        raise ValueError(
            "A constraint would act on a kernel that is divided by a density again and "
            f"again during training. Leave layer {layer.name!r} out with `where`, or "
            f"make it without the constraint. Received: {name}={constraint}"
        )
    return None


def _plain(layer, **overrides):
    """Returns the unbuilt Keras layer for a weighted one, without density and LoRA."""
    config = _plain_config(layer) | overrides
    for name in ("lora_rank", "lora_alpha"):
        config.pop(name, None)
    return _PLAIN[type(layer)].from_config(config)


def _plain_config(layer):
    return {
        key: _inner_penalty(value)
        for key, value in _keras.live_config(layer).items()
        if key not in DENSITY_ARGUMENTS
    }


def _folded_config(config, kernel_sizes):
    """Returns the config of a layer without keras_wconv's layers and penalties."""
    if isinstance(config, (list, tuple)):
        return type(config)(_folded_config(item, kernel_sizes) for item in config)
    if not isinstance(config, dict):
        return _inner_penalty(config)
    cls = keras.saving.get_registered_object(config.get("registered_name"))
    if cls in _EFFECTIVE_PENALTIES:
        [inner] = config["config"].values()
        return inner
    if cls not in PAIRS.values():
        return {k: _folded_config(value, kernel_sizes) for k, value in config.items()}
    layer = cls.from_config(config["config"])
    size = kernel_sizes.get(layer.name, layer.kernel_size)
    plain = _plain(layer, kernel_size=size)
    header = keras.saving.serialize_keras_object(plain)
    return {**config, **header, "config": _keras.live_config(plain)}


def _out_of_reach(layer, in_graph, names):
    """Returns the entries of the convolutions in a layer of any other class.

    Convolutions that also belong to a graph are left to it.
    """
    if not isinstance(layer, keras.Layer):
        return []
    entries = []
    for inner in (layer, *_keras.sublayers(layer, recursive=True)):
        if inner is not layer and id(inner) in in_graph:
            continue
        if isinstance(inner, _CONVOLUTIONS):
            reason = f"of class {type(layer).__name__}"
            if inner is not layer:
                reason = f"inside {names[id(layer)]}, {reason}"
            name = names[id(inner)]
            entries.append(ReportEntry(name, inner.kernel_size, reason=reason))
    return entries


def _ratio(old, new):
    """Returns the factor of the kernel that keeps the function, and taps without one.

    A tap that both densities make zero keeps its raw value.
    """
    old_map, new_map = _density_map(old), _density_map(new)
    old_map, new_map = np.broadcast_arrays(old_map, new_map)
    ratio = np.divide(old_map, new_map, out=np.ones(old_map.shape), where=new_map != 0)
    taps = np.argwhere((new_map == 0) & (old_map != 0))
    return ratio, sorted({tuple(tap[:-2]) for tap in taps.tolist()})


def _density_map(layer):
    """Returns Φ in float64, but 0 where it is 0 in the layer's precision."""
    phi = getattr(layer, "density_map", np.ones(layer.kernel_size))
    if phi.ndim == len(layer.kernel_size):
        phi = phi[..., None, None]
    computed = ops.convert_to_numpy(ops.cast(phi, layer.compute_dtype))
    return np.where(computed == 0, 0.0, phi)


def _kernel_name(layer):
    return _WEIGHTED[type(layer)].weighted_kernel


def _convolutions(root):
    """Returns the name of each convolution in a layer, itself, and all its holders."""
    return [
        found
        for found in _keras.named_layers(root)
        if isinstance(found[1], _CONVOLUTIONS)
    ]


def _out_of_reach_in_place(layer, holders):
    """Returns why a convolution cannot be converted in place, or None."""
    if type(layer) not in _WEIGHTED:
        return f"of class {type(layer).__name__}"
    if not layer.built:
        return "it is not built"
    if any(isinstance(each, keras.layers.SpectralNormalization) for each in holders):
        return "inside SpectralNormalization, which divides the raw kernel"
    return None


def _children_of_both(layer):
    """The children that a convolution has with and without a density."""
    return [
        child
        for child in _keras.sublayers(layer)
        if not isinstance(child, layers.LayerDensity)
    ]


def _assign(layer, values):
    for name, variable in _keras.own_variables(layer).items():
        variable.assign(values[name])


def _adopt(layer, new):
    """Turns a layer into its replacement, in place."""
    remove = [*_DENSITY_ATTRIBUTES, "converted_in_place"]
    attributes = {}
    if isinstance(new, layers.WeightedConvolution):
        attributes = {name: getattr(new, name) for name in _DENSITY_ATTRIBUTES}
        attributes["converted_in_place"] = True
    merged = getattr(layer, "lora_enabled", False) and not new.lora_enabled
    if merged:
        remove += ["lora_kernel_a", "lora_kernel_b"]
        attributes |= {"lora_enabled": False, "lora_rank": None, "lora_alpha": None}
    for name in penalties(layer):
        attributes[name] = getattr(new, name)
    kernel = _keras.kernel_variable(layer, _kernel_name(layer))
    own = _keras.kernel_variable(new, _kernel_name(new))
    _keras.become(layer, type(new), remove, attributes)
    kernel.regularizer, kernel.constraint = own.regularizer, own.constraint
    if merged:
        kernel.trainable = layer.trainable
    if _has_density_weights(new) and not layer.trainable:
        new.density.trainable = False
    _assign(layer, _keras.own_values(new))


def _fold_in_place(model):
    weighted = _weighted(model)
    _check_replaced(layer for _, layer, _ in weighted if type(layer) not in _PLAIN)
    _warn_of_folding(weighted)
    made_in_code = [
        name
        for name, layer, holders in weighted
        if not layer.converted_in_place
        and not all(
            _keras.is_of_keras(type(each))
            for each in (model, *holders)
            if each is not None
        )
    ]
    if made_in_code:
        warnings.warn(
            "If the code of a class makes these weighted layers, change it to make "
            "Keras's own layers before it loads files of the folded model; the "
            f"weighted ones would multiply by the density again: {made_in_code}.",
            stacklevel=3,
        )
    for _, layer, _ in weighted:
        new = _plain(layer, activation=None)
        _keras.build_like(new, layer)
        effective = ops.copy(layer.effective_kernel)
        _assign(new, _keras.own_values(layer) | {_kernel_name(layer): effective})
        _adopt(layer, new)
    # Other layers and weights may have penalties of the effective kernel, too.
    every_layer = (layer for _, layer, _ in _keras.named_layers(model))
    for owner in (*every_layer, *model.variables):
        for name, value in list(vars(owner).items()):
            if isinstance(value, _EFFECTIVE_PENALTIES):
                setattr(owner, name, _inner_penalty(value))
    _after_change(model, _kernel_optimizer)


def _weighted(model):
    return [
        found
        for found in _convolutions(model)
        if isinstance(found[1], layers.WeightedConvolution)
    ]


def _warn_of_folding(weighted):
    """Warns of penalties and normalizations of kernels that folding changes."""
    normalized = [
        holder.name
        for _, _, holders in weighted
        for holder in holders
        if isinstance(holder, keras.layers.SpectralNormalization)
    ]
    if normalized:
        warnings.warn(
            "The folded model is for inference. In training, SpectralNormalization "
            "divides the raw kernel, which folding has changed, in the layers "
            f"{normalized}.",
            stacklevel=3,
        )
    changed = [
        (name, layer) for name, layer, _ in weighted if np.any(layer.density_map != 1)
    ]
    _warn_of_penalties(changed, "folded")


def _check_replaced(left):
    left = [layer.name for layer in left]
    if left:
        raise ValueError(
            "`model` holds weighted layers that cannot be replaced, because they are "
            "of a subclass or are made in the code of another layer. "
            "`in_place=True` reaches the second kind. Replace the first by Keras's "
            f"own, and assign the `effective_kernel` to them. Received: {left}"
        )


def _after_change(model, optimizer=lambda optimizer: optimizer):
    """Makes a model that was changed in place compute and train with its new layers."""
    _keras.forget_traces(model)
    for part in (model, *_keras.sublayers(model, recursive=True)):
        _compile_like(part, part, optimizer)


def _compile_like(new, old, optimizer):
    """Compiles a model like another one if that is compiled, or warns why it cannot."""
    if not getattr(old, "compiled", False):
        return
    reason = _keras.compile_like(new, old, optimizer)
    if reason is not None:
        warnings.warn(
            "Compile the model before it is trained or evaluated: it could not be "
            f"compiled as before, because {reason}.",
            stacklevel=4,
        )


def _kernel_optimizer(optimizer):
    """Returns the kernels' optimizer of one that trains densities with another."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        inner = _kernel_optimizer(optimizer.inner_optimizer)
        inner = keras.saving.serialize_keras_object(inner)
        config = {**optimizer.get_config(), "inner_optimizer": inner}
        return type(optimizer).from_config(config)
    optimizer = getattr(optimizer, "kernel_optimizer", optimizer)
    rules = _keras.optimizer_rules(optimizer)
    is_of_densities = rules is not None and all("/density/" in rule for rule in rules)
    return rules.default_optimizer if is_of_densities else optimizer


def _check_kept(converted):
    """Raises if the precision of a layer is too low to give its old kernel back."""
    faults = []
    for name, old, new, _ in converted:
        before, _ = _computed_kernel(old)
        after, precision = _computed_kernel(new)
        relative, absolute = _ROUNDING[precision]
        # Weights, densities and products are rounded, once each and on both sides.
        size = np.abs(before)
        if getattr(new, "lora_enabled", False):
            raw = ops.convert_to_numpy(_keras.kernel_variable(new, "kernel"))
            size, relative = size + np.abs(raw).max(), 8 * relative
        if _has_density_weights(old) or _has_density_weights(new):
            relative += 64 * _ROUNDING["float32"][0]  # A Gaussian has an exponential.
        factor = max(1.0, np.abs(_density_map(new)).max())
        bound = 4 * (relative * size + absolute * factor)
        error = np.abs(after - before)
        wrong = ~(error <= bound) & np.isfinite(before)
        if wrong.any():
            spatial = np.argwhere(wrong.any(axis=(-2, -1)))
            taps = [tuple(tap) for tap in spatial.tolist()]
            more = f" and {len(taps) - 4} more" if len(taps) > 4 else ""
            largest = np.max(error[wrong]) / np.max(size[np.isfinite(size)])
            by = f"{largest:.1%}" if np.isfinite(largest) else "more than any number"
            faults.append(
                f"{name!r} in {new.compute_dtype}, taps {taps[:4]}{more}, by up to "
                f"{by} of its largest value"
            )
    if faults:
        raise ValueError(
            "`preserve='function'` divides the kernels by the density. Expected "
            "quotients whose product with it is the kernel in the layer's precision. "
            "Received a density that changes the kernel in these layers: "
            + "; ".join(faults)
            + ". Use a milder density, or layers in float32, or leave the layers out "
            "with `where`; or use preserve='kernel', which changes the outputs."
        )


def _computed_kernel(layer):
    """Returns the effective kernel as computed, in float64, and its precision."""
    kernel = ops.cast(getattr(layer, _kernel_name(layer)), layer.compute_dtype)
    if _is_weighted(layer):
        kernel = layer.density.multiply(kernel)
    computed = ops.convert_to_numpy(kernel)
    precision = layer.compute_dtype
    if precision == "float64":  # On JAX it may still be float32.
        precision = computed.dtype.name
    return computed.astype("float64"), precision


def _is_weighted(layer):
    return getattr(layer, "density", None) is not None


def _has_density_weights(layer):
    return isinstance(getattr(layer, "density", None), keras.Layer)


def _inner_penalty(penalty):
    if isinstance(penalty, layers.EffectiveKernelRegularizer):
        return penalty.regularizer
    if isinstance(penalty, layers.EffectiveKernelConstraint):
        return penalty.constraint
    return penalty


def _penalizes_effective(layer):
    own = [getattr(layer, name) for name in penalties(layer)]
    return any(isinstance(penalty, _EFFECTIVE_PENALTIES) for penalty in own)


def _effective_penalties(layer):
    """Returns the config of a kernel's penalties, on the effective kernel instead."""
    names = penalties(layer)
    config = {}
    for name, kind in zip(names, _EFFECTIVE_PENALTIES, strict=True):
        inner = _inner_penalty(getattr(layer, name))
        if inner is not None:
            config[name] = kind(inner)
    return config


def _warn_of_penalties(changed, made):
    """Warns of penalties of raw kernels that change: pairs of name and layer."""
    lines = []
    for name, layer in changed:
        own = {attribute: getattr(layer, attribute) for attribute in penalties(layer)}
        raw = [
            f"{attribute}={type(penalty).__name__}"
            for attribute, penalty in own.items()
            if penalty is not None and _inner_penalty(penalty) is penalty
        ]
        if raw:
            lines.append(f"{name} ({', '.join(raw)})")
    if not lines:
        return
    remedy = (
        "`penalize='effective_kernel'` lets them act on the same kernels as before"
        if made == "weighted"
        else "Before you train it, remove them or choose their strength again"
    )
    warnings.warn(
        f"The {made} model computes the same outputs, but its loss and its training "
        "differ: kernel regularizers and constraints act on the kernels, which have "
        f"changed. {remedy}. These layers have some: {lines}.",
        stacklevel=4,
    )


def _warn_of_holders(found, converted):
    shared = [
        f"{name} (held by {', '.join(holder.name for holder in holders)})"
        for name, layer, holders in found
        if id(layer) in converted
        and len(holders) > 1
        and not all(_keras.is_graph(holder) for holder in holders)
    ]
    if shared:
        warnings.warn(
            "Several layers hold these layers. If the code of one reads their "
            "`kernel`, it must read their `effective_kernel`, or the function of the "
            f"model has changed: {shared}",
            stacklevel=3,
        )


def _warn_of_left(report, choice):
    """Warns of the convolutions that were left although nobody asked for it."""
    meant = {_EXCLUDED, _POINT} | (set() if choice.is_one else {_NO_DENSITY})
    left = [
        entry
        for entry in report.left
        if entry.reason not in meant and max(entry.kernel_size) > 1
    ]
    if not left or choice.is_none:
        return
    names = ", ".join(entry.name for entry in left[:5]) + ", ..." * (len(left) > 5)
    warnings.warn(
        f"{len(left)} of {len(report.entries)} convolutions are left without a new "
        f"density: {names}. `return_report=True` says why; `in_place=True` reaches "
        "those inside other layers.",
        stacklevel=3,
    )
