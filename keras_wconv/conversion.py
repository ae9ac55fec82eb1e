"""Converts a model of plain convolutions into a weighted one, and back."""

from __future__ import annotations

import dataclasses
import functools
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
    kernel_variable,
    penalties,
)
from .layers.layer_density import check_bools

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
_DENSITY_ATTRIBUTES = (
    "_density",
    "_normalize_density",
    "_density_per_channel",
    "_density_regularizer",
    "_density_constraint",
)
_NO_DENSITY = "no density"
_POINT = "a kernel of 1 has nothing to weight"
_EXCLUDED = "`where` excludes it"
_NOT_TRAINED = "its kernel is not trained"
_NO_STEP_MEANT = (_EXCLUDED, _POINT, _NOT_TRAINED)
# Relative and absolute rounding of each precision; smaller numbers may count as zero.
_ROUNDING = {
    "float16": (2.0**-10, 2.0**-24),
    "bfloat16": (2.0**-7, 2.0**-126),
    "float32": (2.0**-23, 2.0**-126),
    "float64": (2.0**-52, 2.0**-1022),
}


@dataclasses.dataclass(frozen=True)
class ReportEntry:
    """The conversion of one convolution: `reason` says why it was left, or is None."""

    name: str
    kernel_size: tuple[int, ...]
    density: densities.Density | None = None
    reason: str | None = None

    def __str__(self) -> str:
        fate = f"left: {self.reason}" if self.reason else f"density {self.density}"
        return f"{self.name} {self.kernel_size}: {fate}"


@dataclasses.dataclass
class ConversionReport:
    """What `to_weighted` did with every convolution of a model.

    Attributes:
        entries: list of `ReportEntry`, in the order of the model's graph.
    """

    entries: list[ReportEntry] = dataclasses.field(default_factory=list)

    @property
    def converted(self) -> list[ReportEntry]:
        """The entries of the layers that got the density."""
        return [entry for entry in self.entries if entry.reason is None]

    @property
    def left(self) -> list[ReportEntry]:
        """The entries of the layers that stayed as they were."""
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

    It converts the convolutions of Keras's ten classes: in a copy also those of nested
    models, in place those inside all layers of any class. Subclasses of them, and
    `ConvLSTM`, are not converted; a warning says how many were left, and the report
    why. Names, the order of the layers, `trainable` and all state are kept. A copy
    leaves `model` untouched.

    A convolution that is already weighted gets the new density, or becomes plain again
    where `density` has none for it: `to_weighted(model, None)` is the way back that
    keeps LoRA's weights separate.

    A copy is not compiled: the state of an optimizer belongs to the old kernels. A
    compiled model that is changed in place is compiled again, with the same loss and
    metrics and a new optimizer state. A copy of a model whose class only adds a
    constructor (a KerasHub backbone) is a plain Functional model.

    In place, each layer remains the same object, so everything that refers to it now
    has the weighted layer. Code that reads `kernel` must then read `effective_kernel`.
    Compile other models that share the layer, and functions that you traced, again.
    Save a subclassed model with `model.save_weights`, and load the file into a model
    that was built and converted in the same way. A whole saved model does not load: it
    is built by its code, which makes plain layers that refuse the weights.

    Args:
        model: a built Functional or Sequential model; with `in_place`, any built model
            or layer.
        density: None; one density, for all kernels that it fits; a dict by kernel
            size, `{3: [0.7], 7: [0.25, 0.15, 0.55]}`; or a function
            `f(name, kernel_size)` that returns a density or None. The name of a layer
            inside of others is that in the report, as in `"block_1/conv"`. See
            `keras_wconv.densities`.
        preserve: `"function"` keeps the outputs, up to rounding, by dividing the
            kernels by the density; `"kernel"` keeps the kernels and changes the
            outputs.
        where: function of a layer that returns True for the convolutions to convert.
            None converts all.
        return_report: whether a `ConversionReport` is returned too.
        in_place: whether `model` itself is changed. Needed for subclassed models and
            for convolutions inside custom layers or layers that hold others of the
            model.
        penalize: what kernel regularizers and constraints act on: `"kernel"`, the
            weight, as in new layers; or `"effective_kernel"`, the product with the
            density, as in the plain layer before. The second wraps them in a
            `keras_wconv.layers.EffectiveKernelRegularizer` or
            `EffectiveKernelConstraint` until the model is folded.
        **density_options: the other density arguments of the layers, such as
            `density_trainable`; see `keras_wconv.WeightedConv2D`.

    Returns:
        The weighted model; with `return_report`, that and the report.

    Raises:
        ValueError: If `model` is not built, or cannot be copied and `in_place` is
            False, if no convolution matches, if `density` does not fit, or if
            `preserve="function"` would have to divide by zero or by numbers too small
            for the precision that the layer computes in.

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
            "`penalize` must be 'kernel' or 'effective_kernel': what regularizers and "
            f"constraints of kernels act on. Received: penalize={penalize!r}"
        )
    if where is not None and not callable(where):
        raise ValueError(
            "`where` must be None or a function of a layer that returns whether to "
            f"convert it. Received: where={where!r}"
        )
    check_bools(return_report=return_report, in_place=in_place)
    check_density_options(density_options)
    choice = DensityChoice(density)
    chosen = []
    report = ConversionReport()
    ratios, zeros, converted = {}, {}, {}

    def replacement(layer, name, **overrides):
        """The unbuilt layer that takes the place of a convolution, or None."""
        entry = functools.partial(ReportEntry, name, layer.kernel_size)
        if where is not None and not where(layer):
            report.entries.append(entry(reason=_EXCLUDED))
            return None
        own = choice(name, layer.kernel_size, layer.padding == "causal")
        chosen.append((layer.kernel_size, own))
        if own is None and type(layer) not in _PLAIN:
            is_point = max(layer.kernel_size) == 1
            report.entries.append(entry(reason=_POINT if is_point else _NO_DENSITY))
            return None
        report.entries.append(entry(density=own))
        config = {**_plain_config(layer), **overrides}
        plain_class = _PLAIN.get(type(layer), type(layer))
        if own is None:
            new = plain_class.from_config(config)
        else:
            if penalize == "effective_kernel" or _penalizes_effective(layer):
                config |= _effective_penalties(layer)
            new = _WEIGHTED[plain_class].from_config(
                {**config, "density": own, **density_options}
            )
        ratios[id(layer)], taps = _ratio(layer, new)
        if taps:
            zeros[name] = taps
        converted[id(layer)] = name, layer, new
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

    if in_place:
        _keras.check_built(model)
        found = _convolutions(model)
        for name, layer, holders in found:
            reason = _out_of_reach_in_place(layer, holders)
            if reason is None:
                new = replacement(layer, name, activation=None)
            else:
                report.entries.append(
                    ReportEntry(name, layer.kernel_size, None, reason)
                )
        check()
        for _, layer, new in converted.values():
            _keras.build_like(new, layer)
            _assign(new, values(layer))
        weighted = model
    else:

        def convert(layer):
            new = None
            if _PLAIN.get(type(layer), type(layer)) in _WEIGHTED:
                new = replacement(layer, layer.name)
            else:
                report.entries += _out_of_reach(layer, in_graph)
            return _keras.copy_layer(layer) if new is None else new

        in_graph = _keras.graph_layers(model) if _keras.is_graph(model) else {}
        weighted = _keras.clone(model, convert)
        check()
        _keras.move_state(model, weighted, values, _children_of_both)
    if preserve == "function":
        _check_kept(converted.values())
        if penalize == "kernel":
            changed = [
                (name, layer)
                for name, layer, _ in converted.values()
                if np.any(ratios[id(layer)] != 1)
            ]
            _warn_of_penalties(_raw_penalties(changed), "weighted")
    if in_place:
        _warn_of_holders(found, converted)
        for _, layer, new in converted.values():
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
    keras_wconv. It takes the current values of learned densities, and merges LoRA's
    weights. Names, the order of the layers and `trainable` are kept. A compiled model
    is compiled again, with the same loss and metrics and a new optimizer state; a
    warning says where that is impossible. Regularizers, constraints and
    `SpectralNormalization` act on the raw kernel in training, which folding changes: a
    warning says so.

    With `trim`, each folded kernel loses outer rings of taps that contribute next to
    nothing, separately along each axis. All outputs keep their sizes, for every size of
    the input, and the remaining taps stay aligned. So a kernel with `valid` padding
    keeps its size, and no kernel becomes smaller than its strides. Plain convolutions
    do not change.

    Args:
        model: a built Functional or Sequential model; with `in_place`, any built model
            or layer. Weighted layers inside of wrappers (`TimeDistributed`) are folded
            too.
        trim: None, or the part of its L2 norm by which each channel of a kernel may
            change. 0.0 removes only zeros. Start with 0.01: 0.05 cost some small
            networks several points of accuracy.
        return_report: whether a `FoldReport` is returned too: sizes, weights,
            multiplications and a bound on the change of the output, for each layer.
        in_place: whether `model` itself is changed, as `to_weighted` does.

    Returns:
        The folded model; with `return_report`, that and the report.

    Raises:
        ValueError: If `model` is not built, or cannot be copied and `in_place` is
            False, if it holds a weighted layer that cannot be replaced, if `trim` is no
            such part, or if it is given with `in_place`.

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
            "`trim` changes the shapes of kernels, which only a copy can have: files "
            "of a subclassed model are read by code that makes the old shapes. Leave "
            "one of the two out; keras_wconv.inspection.effective_size(layer) says "
            f"which size to build. Received: trim={trim} with in_place=True"
        )
    trimming_plan = trimming.plan(model, trim)
    if in_place:
        _fold_in_place(model)
        return (model, trimming_plan.report) if return_report else model

    def clone_layer(layer):
        if type(layer) in _PLAIN:
            return _plain(layer, **_size_of(trimming_plan.kernel_size(layer)))
        sizes = trimming_plan.kernel_sizes_inside(layer)
        return _keras.copy_layer(layer, lambda config: _folded_config(config, sizes))

    folded = _keras.clone(model, clone_layer)
    _warn_of_folding(model)
    _check_replaced(
        layer
        for layer in _keras.sublayers(folded, recursive=True)
        if isinstance(layer, layers.WeightedConvolution)
    )

    def values(layer):
        if isinstance(layer, layers.WeightedConvolution):
            effective = trimming_plan.kernel(layer)
            return _keras.own_values(layer) | {_kernel_name(layer): effective}
        return None

    _keras.move_state(model, folded, values, _children_of_both)
    if getattr(model, "compiled", False):
        _say_if_not_compiled(_keras.compile_like(folded, model, _kernel_optimizer))
    return (folded, trimming_plan.report) if return_report else folded


def hold_steps(
    model: keras.Layer, where: Callable[[keras.Layer], bool] | None = None
) -> ConversionReport:
    """Gives convolutions a `layers.StepDensity` of 1, in place; the function stays.

    Unlike `to_weighted`, it keeps the optimizer of a compiled model, since the kernels
    stay the variables that they are. Convolutions that have one already keep it. What
    has no step to change is left: transposed convolutions, whose taps do not meet
    neighbors of the input, densities of the user's, and kernels that are not trained.

    Args:
        model: a built model or layer.
        where: function of a layer, True for the convolutions to take. None is all.

    Raises:
        ValueError: If a kernel has a constraint.
    """
    _keras.check_built(model)
    report, is_changed = ConversionReport(), False
    for name, layer, holders in _convolutions(model):
        entry = functools.partial(ReportEntry, name, layer.kernel_size)
        density = getattr(layer, "density", None)
        if where is not None and not where(layer):
            report.entries.append(entry(reason=_EXCLUDED))
        elif isinstance(density, layers.StepDensity):
            report.entries.append(entry(density=density.initial))
        elif reason := _no_step(layer, holders):
            report.entries.append(entry(reason=reason))
        else:
            density = layers.StepDensity(
                densities.Map(np.ones(layer.kernel_size)),
                layer.kernel_size,
                causal=layer.padding == "causal",
                dtype=layer.dtype_policy,
                name="density",
            )
            weighted_class = _WEIGHTED[_PLAIN.get(type(layer), type(layer))]
            new = weighted_class.from_config(
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
            report.entries.append(entry(density=density.initial))
    if is_changed:
        _keras.forget_traces(model)
    left = [entry for entry in report.left if entry.reason not in _NO_STEP_MEANT]
    if left:
        warnings.warn(
            f"The steps of {len(left)} of {len(report.entries)} convolutions are not "
            f"scaled: {'; '.join(map(str, left[:5]))}{'; ...' * (len(left) > 5)}.",
            stacklevel=3,
        )
    return report


def _no_step(layer, holders):
    """Why no density can change the step of a convolution, or None."""
    if max(layer.kernel_size) == 1:
        return _POINT
    if _is_weighted(layer):
        return "it has a density of its own"
    if isinstance(
        layer,
        (
            keras.layers.Conv1DTranspose,
            keras.layers.Conv2DTranspose,
            keras.layers.Conv3DTranspose,
        ),
    ):
        return "transposed"
    reason = _out_of_reach_in_place(layer, holders)
    if reason is not None:
        return reason
    if not kernel_variable(layer, _kernel_name(layer)).trainable:
        return _NOT_TRAINED
    constraint = getattr(layer, penalties(layer)[1])
    if constraint is not None:
        raise ValueError(
            "A constraint acts on a kernel that is divided by a density anew during "
            f"the training. Leave layer {layer.name!r} out with `where`, or make it "
            f"without. Received: {penalties(layer)[1]}={constraint}"
        )
    return None


def _plain(layer, **overrides):
    """The Keras layer that a weighted one is without density and LoRA, unbuilt."""
    config = _plain_config(layer)
    config.pop("lora_rank", None)
    config.pop("lora_alpha", None)
    config |= overrides
    return _PLAIN[type(layer)].from_config(config)


def _plain_config(layer):
    config = {
        key: value
        for key, value in _keras.live_config(layer).items()
        if key not in DENSITY_ARGUMENTS
    }
    for name in penalties(layer):
        config[name] = _inner_penalty(getattr(layer, name))
    return config


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
    plain = _plain(layer, **_size_of(kernel_sizes.get(layer.name)))
    header = keras.saving.serialize_keras_object(plain)
    return {**config, **header, "config": _keras.live_config(plain)}


def _size_of(kernel_size):
    """Returns what a config says of a kernel that is trimmed; None is as it was."""
    return {} if kernel_size is None else {"kernel_size": kernel_size}


def _out_of_reach(layer, in_graph):
    """Entries of the convolutions in a layer that is none of Keras's ten classes.

    What a layer holds and a graph has, too, is of the graph.
    """
    if not isinstance(layer, keras.Layer):
        return []
    entries = []
    for inner in (layer, *_keras.sublayers(layer, recursive=True)):
        if inner is not layer and id(inner) in in_graph:
            continue
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


def _convolutions(root):
    """The convolutions in a layer, each once: their name, layer and all who hold it.

    The name begins with those of the layers around it, without models that are graphs.
    """
    found, seen = {}, set()

    def visit(layer, name, holder):
        if isinstance(layer, _CONVOLUTIONS):
            holders = found.setdefault(id(layer), (name, layer, []))[2]
            if not any(holder is other for other in holders):
                holders.append(holder)
        if id(layer) in seen:
            return
        seen.add(id(layer))
        is_transparent = layer is root or _keras.is_graph(layer)
        path = name.rpartition("/")[0] if is_transparent else name
        for child in _keras.sublayers(layer):
            visit(child, f"{path}/{child.name}".lstrip("/"), layer)

    visit(root, root.name, None)
    return list(found.values())


def _out_of_reach_in_place(layer, holders):
    """Why a convolution cannot be converted where it is, or None."""
    if _PLAIN.get(type(layer), type(layer)) not in _WEIGHTED:
        return f"of class {type(layer).__name__}"
    if not layer.built:
        return "it is not built"
    if any(isinstance(each, keras.layers.SpectralNormalization) for each in holders):
        return "inside of SpectralNormalization, which divides the raw kernel"
    return None


def _children_of_both(layer):
    """The layers in a convolution that it has with and without a density."""
    return [
        child
        for child in _keras.sublayers(layer)
        if not isinstance(child, layers.LayerDensity)
    ]


def _assign(layer, values):
    for name, variable in _keras.own_variables(layer).items():
        variable.assign(values[name])


def _adopt(layer, new):
    """Makes a layer, where it is, what its replacement is."""
    is_weighted = isinstance(new, layers.WeightedConvolution)
    remove = [*_DENSITY_ATTRIBUTES, "converted_in_place"]
    attributes = {}
    if is_weighted:
        attributes = {name: getattr(new, name) for name in _DENSITY_ATTRIBUTES}
        attributes["converted_in_place"] = True
    merged = getattr(layer, "lora_enabled", False) and not new.lora_enabled
    if merged:
        remove += ["lora_kernel_a", "lora_kernel_b"]
        attributes |= {"lora_enabled": False, "lora_rank": None, "lora_alpha": None}
    for name in penalties(layer):
        attributes[name] = getattr(new, name)
    kernel = kernel_variable(layer, _kernel_name(layer))
    own = kernel_variable(new, _kernel_name(new))
    _keras.become(layer, type(new), remove, attributes)
    kernel.regularizer, kernel.constraint = own.regularizer, own.constraint
    if merged:
        kernel.trainable = layer.trainable
    if _is_learned(new) and not layer.trainable:
        new.density.trainable = False
    _assign(layer, _keras.own_values(new))


def _fold_in_place(model):
    _keras.check_built(model)
    weighted = _weighted(model)
    _check_replaced(layer for _, layer, _ in weighted if type(layer) not in _PLAIN)
    _warn_of_folding(model)
    made_in_code = [
        name
        for name, layer, holders in weighted
        if not layer.converted_in_place
        and not all(map(_is_of_keras, (model, *filter(None, holders))))
    ]
    if made_in_code:
        warnings.warn(
            "Where the code of a class makes the weighted layers, files of the folded "
            "model are for the same code with Keras's own layers in their place; the "
            "weighted ones would multiply by the density again. It concerns "
            f"{made_in_code}, unless a config makes them.",
            stacklevel=3,
        )
    for _, layer, _ in weighted:
        new = _plain(layer, activation=None)
        _keras.build_like(new, layer)
        effective = ops.copy(layer.effective_kernel)
        _assign(new, _keras.own_values(layer) | {_kernel_name(layer): effective})
        _adopt(layer, new)
    _after_change(model, _kernel_optimizer)


def _weighted(model):
    return [
        found
        for found in _convolutions(model)
        if isinstance(found[1], layers.WeightedConvolution)
    ]


def _warn_of_folding(model):
    """Warns of what acts on kernels and will act on others in the folded model."""
    weighted = _weighted(model)
    normalized = [
        holder.name
        for _, _, holders in weighted
        for holder in holders
        if isinstance(holder, keras.layers.SpectralNormalization)
    ]
    if normalized:
        warnings.warn(
            "The folded model is for inference. In training, SpectralNormalization "
            "divides the raw kernel, which is another one after folding, in the "
            f"layers {normalized}.",
            stacklevel=3,
        )
    changed = [(name, layer) for name, layer, _ in weighted if _changes(layer)]
    _warn_of_penalties(_raw_penalties(changed), "folded")


def _check_replaced(left):
    left = [layer.name for layer in left]
    if left:
        raise ValueError(
            "`model` holds weighted layers that cannot be replaced, because they are "
            "of a subclass or are made in the code of another layer, which "
            "`in_place=True` reaches. Replace them by Keras's own, to which their "
            f"`effective_kernel` is assigned. Received: {left}"
        )


def _after_change(model, optimizer=lambda optimizer: optimizer):
    """Lets a model that was changed in place compute and train as it is now."""
    _keras.forget_traces(model)
    for part in (model, *_keras.sublayers(model, recursive=True)):
        if getattr(part, "compiled", False):
            _say_if_not_compiled(_keras.compile_like(part, part, optimizer))


def _say_if_not_compiled(reason):
    if reason is not None:
        warnings.warn(
            "Compile the model before it is trained or evaluated: it could not be "
            f"compiled as it was, because {reason}.",
            stacklevel=4,
        )


def _kernel_optimizer(optimizer):
    """The optimizer of the kernels alone, where the densities have one of their own."""
    optimizer = getattr(optimizer, "kernel_optimizer", optimizer)
    rules = _keras.optimizer_rules(optimizer)
    is_of_densities = rules is not None and all("/density/" in rule for rule in rules)
    return rules.default_optimizer if is_of_densities else optimizer


def _check_kept(converted):
    """Raises where the precision of a layer does not give its old kernel back."""
    faults = []
    for name, old, new in converted:
        before, _ = _computed_kernel(old)
        after, precision = _computed_kernel(new)
        relative, absolute = _ROUNDING[precision]
        # Weights, densities and products are rounded once each, on both sides.
        size = np.abs(before)
        if getattr(new, "lora_enabled", False):
            raw = ops.convert_to_numpy(kernel_variable(new, "kernel"))
            size, relative = size + np.abs(raw).max(), 8 * relative
        if _is_learned(old) or _is_learned(new):
            relative += 64 * _ROUNDING["float32"][0]  # Of an exponential, as Gaussians.
        factor = max(1.0, np.abs(new.density_map).max() if _is_weighted(new) else 1.0)
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
            "numbers that the layers' precision can multiply by it again. Received a "
            "density that changes the product in these layers: "
            + "; ".join(faults)
            + ". Use a density that is milder, or layers in float32, or leave the "
            "layers out with `where`; or use preserve='kernel', which changes the "
            "outputs."
        )


def _computed_kernel(layer):
    """The effective kernel as the layer computes it, in float64, and its precision."""
    kernel = ops.cast(getattr(layer, _kernel_name(layer)), layer.compute_dtype)
    if _is_weighted(layer):
        kernel = layer.density.multiply(kernel)
    computed = ops.convert_to_numpy(kernel)
    precision = layer.compute_dtype
    if precision == "float64":  # On JAX, it may be float32 all the same.
        precision = computed.dtype.name
    return computed.astype("float64"), precision


def _is_weighted(layer):
    return getattr(layer, "density", None) is not None


def _is_learned(layer):
    return isinstance(getattr(layer, "density", None), keras.Layer)


def _inner_penalty(penalty):
    if isinstance(penalty, layers.EffectiveKernelRegularizer):
        return penalty.regularizer
    if isinstance(penalty, layers.EffectiveKernelConstraint):
        return penalty.constraint
    return penalty


def _penalizes_effective(layer):
    own = [getattr(layer, name) for name in penalties(layer)]
    return any(_inner_penalty(penalty) is not penalty for penalty in own)


def _effective_penalties(layer):
    """The penalties of a layer's kernel, as those of its effective kernel."""
    names = penalties(layer)
    kinds = layers.EffectiveKernelRegularizer, layers.EffectiveKernelConstraint
    config = {}
    for name, kind in zip(names, kinds, strict=True):
        inner = _inner_penalty(getattr(layer, name))
        if inner is not None:
            config[name] = kind(inner)
    return config


def _raw_penalties(named_layers):
    """Lines that name the penalties of raw kernels."""
    lines = []
    for name, layer in named_layers:
        own = {attribute: getattr(layer, attribute) for attribute in penalties(layer)}
        raw = [
            f"{attribute}={type(penalty).__name__}"
            for attribute, penalty in own.items()
            if penalty is not None and _inner_penalty(penalty) is penalty
        ]
        if raw:
            lines.append(f"{name} ({', '.join(raw)})")
    return lines


def _changes(layer):
    """Whether a layer has a density that changes its kernel."""
    return _is_weighted(layer) and bool(np.any(layer.density_map != 1))


def _warn_of_penalties(lines, made):
    if not lines:
        return
    remedy = (
        "Give `penalize='effective_kernel'` to let them act on what they acted on"
        if made == "weighted"
        else "Take them off, or choose their strength anew, if it is to be trained"
    )
    warnings.warn(
        f"The outputs of the {made} model are those of the given one, its training and "
        "its loss are not: regularizers and constraints act on the kernels, which are "
        f"others now. {remedy}. It concerns {lines}.",
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
            "These layers are held by several others. Where the code of one reads "
            "their `kernel`, let it read their `effective_kernel`, or the function of "
            f"the model has changed: {shared}",
            stacklevel=3,
        )


def _warn_of_left(report, choice):
    """Warns once of the convolutions that were left and not meant to be."""
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
        "those inside of other layers.",
        stacklevel=3,
    )


def _is_of_keras(layer):
    return type(layer).__module__.partition(".")[0] == "keras"
