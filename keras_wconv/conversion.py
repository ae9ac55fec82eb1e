"""A model of plain convolutions into a weighted one, and back."""

import contextlib
import dataclasses
import functools
import tempfile

import keras
import numpy as np
from keras import ops

from . import densities, layers

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
_DENSITY_ARGUMENTS = {
    "density",
    "normalize_density",
    "density_trainable",
    "density_regularizer",
    "density_constraint",
}


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
    *,
    normalize_density=False,
    density_trainable=False,
    density_regularizer=None,
    density_constraint=None,
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
        normalize_density: as for the layers, as the three that follow.
        density_trainable: whether the densities are learned.
        density_regularizer: regularizer of the learned coefficients.
        density_constraint: constraint of the learned coefficients.

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
    selection = densities.Selection(density)
    options = {
        "normalize_density": normalize_density,
        "density_trainable": density_trainable,
        "density_regularizer": density_regularizer,
        "density_constraint": density_constraint,
    }
    report = ConversionReport()
    ratios, zeros = {}, {}

    def convert(layer):
        plain_class = _PLAIN.get(type(layer), type(layer))
        if plain_class not in _WEIGHTED:
            report.entries += _out_of_reach(layer)
            return _copy(layer)
        entry = functools.partial(ReportEntry, layer.name, layer.kernel_size)
        if where is not None and not where(layer):
            report.entries.append(entry(reason="`where` excludes it"))
            return _copy(layer)
        causal = layer.padding == "causal"
        chosen = selection(layer.name, layer.kernel_size, causal)
        if chosen is None and type(layer) is plain_class:
            is_point = max(layer.kernel_size) == 1
            reason = "a kernel of 1 has nothing to weight" if is_point else _NO_DENSITY
            report.entries.append(entry(reason=reason))
            return _copy(layer)
        report.entries.append(entry(density=chosen))
        config = _plain_config(layer)
        if chosen is None:
            new = plain_class.from_config(config)
        else:
            new = _WEIGHTED[plain_class].from_config(
                {**config, "density": chosen, **options}
            )
        ratios[id(layer)], taps = _ratio(layer, new)
        if taps:
            zeros[layer.name] = taps
        return new

    weighted = _clone(model, convert)
    if report.converted or any(entry.reason == _NO_DENSITY for entry in report.left):
        selection.check()
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
        values = _values(layer)
        if preserve == "function":
            # LoRA's first factor has the kernel's spatial axes: Φ(W + AB) needs it too.
            for name in {_kernel_name(layer), "lora_kernel_a"} & set(values):
                raw = ops.convert_to_numpy(values[name]).astype("float64")
                values[name] = raw * ratios[id(layer)][..., None, None]
        return values

    _move_state(model, weighted, values)
    return (weighted, report) if return_report else weighted


def fold(model):
    """Copy of a model in which every density is multiplied into its kernel.

    The copy computes what `model` does, holds Keras's own layers in place of the
    weighted ones and needs keras_wconv no more. Learned densities are taken as they
    are now, and LoRA's weights are merged. Names, the order of the layers and
    `trainable` are kept; the copy is not compiled.

    Args:
        model: a built Functional or Sequential model. Weighted layers inside of
            wrappers (`TimeDistributed`) are folded too.

    Returns:
        The folded model.

    Raises:
        ValueError: If `model` is subclassed or not built, or if it holds a weighted
            layer that cannot be replaced.

    Example:

    >>> import keras
    >>> import keras_wconv
    >>> model = keras.Sequential([
    ...     keras.Input((8, 8, 3)),
    ...     keras_wconv.WeightedConv2D(4, 3, density=[0.7], name="conv"),
    ... ])
    >>> type(keras_wconv.fold(model).get_layer("conv")).__name__
    'Conv2D'
    """

    def clone(layer):
        if type(layer) in _PLAIN:
            return _plain(layer)
        return _copy(layer, _folded_config)

    folded = _clone(model, clone)
    left = [
        layer.name
        for layer in folded._flatten_layers()
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
            effective = ops.copy(layer.effective_kernel)
            return _values(layer) | {_kernel_name(layer): effective}
        return None

    _move_state(model, folded, values)
    return folded


def _clone(model, clone_layer):
    """Copy of a model whose layers `clone_layer` makes, without its state."""
    if not _is_graph(model):
        raise ValueError(
            "`model` must be a Functional or Sequential `keras.Model`. A subclassed "
            "model makes its layers in its own code: use the layers of "
            "`keras_wconv.layers` there, which take the arguments of Keras's, or make "
            "a Functional model of it, for instance with "
            "`keras.Model(inputs, model.call(inputs))`. "
            f"Received: model={model} of type {type(model)}"
        )
    if not model.built:
        raise ValueError(
            "`model` must be built: it has no weights yet. Call "
            "`model.build(input_shape)` first, or begin it with `keras.Input`. "
            f"Received: model={model}"
        )

    @functools.cache  # One copy of a layer that nested models share.
    def clone(layer):
        return clone_graph(layer) if _is_graph(layer) else clone_layer(layer)

    def clone_graph(graph):
        return keras.models.clone_model(graph, _new_inputs(graph), clone)

    with _uncompiled(model):
        return clone_graph(model)


def _is_graph(layer):
    is_graph = isinstance(layer, (keras.Sequential, keras.Function))
    return is_graph and isinstance(layer, keras.Model)


def _new_inputs(model):
    """Inputs like those of a model; `clone_model` by itself drops their names."""
    if isinstance(model, keras.Sequential):
        return None
    inputs = {
        id(layer.output): layer
        for layer in model.layers
        if isinstance(layer, keras.layers.InputLayer)
    }
    return keras.tree.map_structure(
        lambda tensor: _copy(inputs[id(tensor)]).output, model.input
    )


@contextlib.contextmanager
def _uncompiled(model):
    """Keeps `clone_model` from compiling, which fails for unregistered losses."""
    compiled = [
        layer for layer in model._flatten_layers() if getattr(layer, "compiled", False)
    ]
    for layer in compiled:
        layer.compiled = False
    try:
        yield
    finally:
        for layer in compiled:
            layer.compiled = True


def _copy(layer, rewrite=lambda config: config):
    if isinstance(layer, keras.layers.Lambda):
        # It has no state, and Keras does not load a Python lambda from a config.
        return layer
    return type(layer).from_config(rewrite(layer.get_config()))


def _plain(layer):
    """The Keras layer that a weighted one is without density and LoRA, unbuilt."""
    config = _plain_config(layer)
    config.pop("lora_rank", None)
    config.pop("lora_alpha", None)
    return _PLAIN[type(layer)].from_config(config)


def _plain_config(layer):
    return {
        key: value
        for key, value in layer.get_config().items()
        if key not in _DENSITY_ARGUMENTS
    }


def _folded_config(config):
    """The config of a layer made of layers, its weighted ones replaced."""
    if isinstance(config, (list, tuple)):
        return type(config)(_folded_config(item) for item in config)
    if not isinstance(config, dict):
        return config
    weighted_class = _BY_REGISTERED_NAME.get(config.get("registered_name"))
    if weighted_class is None:
        return {key: _folded_config(value) for key, value in config.items()}
    plain = _plain(weighted_class.from_config(config["config"]))
    return config | keras.saving.serialize_keras_object(plain)


def _out_of_reach(layer):
    """Entries of the convolutions in a layer that is none of Keras's ten classes."""
    if not isinstance(layer, keras.Layer):
        return []
    entries = []
    for inner in layer._flatten_layers():
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
    ratio = np.divide(old_map, new_map, out=np.ones_like(old_map), where=new_map != 0)
    taps = np.argwhere((new_map == 0) & (old_map != 0))
    return ratio, [tuple(tap) for tap in taps.tolist()]


def _density_map(layer):
    """Φ in float64, zero where the precision that the layer computes in makes it so."""
    phi = getattr(layer, "density_map", np.ones(layer.kernel_size))
    computed = ops.convert_to_numpy(ops.cast(phi, layer.compute_dtype))
    return np.where(computed == 0, 0.0, phi)


def _kernel_name(layer):
    return _WEIGHTED.get(type(layer), type(layer)).weighted_kernel


def _own_variables(layer):
    """Variables of a layer, random seeds included, without those of its sublayers."""
    sublayers = layer._flatten_layers(include_self=False)
    inner = {id(variable) for sub in sublayers for variable in sub.variables}
    return [variable for variable in layer.variables if id(variable) not in inner]


def _values(layer):
    """Copies of a layer's variables by name.

    JAX's training steps delete the arrays that they were given, so that two models
    must not hold the same one.
    """
    return {variable.name: ops.copy(variable) for variable in _own_variables(layer)}


def _move_state(old, new, values):
    """Gives a copy of a layer, and all layers in it, the state of the original.

    `values(layer)` gives the variables' values by name where the copy is of another
    kind than the layer, and None elsewhere.
    """
    if new.trainable != old.trainable:
        new.trainable = old.trainable
    replaced = values(old)
    if replaced is not None:
        for variable in _own_variables(new):
            variable.assign(replaced[variable.name])
        return
    _move_own_state(old, new)
    children = zip(
        old._flatten_layers(include_self=False, recursive=False),
        new._flatten_layers(include_self=False, recursive=False),
        strict=True,
    )
    for old_child, new_child in children:
        _move_state(old_child, new_child, values)


def _move_own_state(old, new):
    # `load_own_variables` also refreshes what layers derive from their variables
    # (`Normalization`), but it lacks random seeds, and merges LoRA's weights.
    store = {}
    old.save_own_variables(store)
    new.load_own_variables(store)
    pairs = zip(_own_variables(old), _own_variables(new), strict=True)
    for source, target in pairs:
        target.assign(ops.copy(source))
        target.trainable = source.trainable
    if hasattr(old, "save_assets"):
        with tempfile.TemporaryDirectory() as folder:
            old.save_assets(folder)
            new.load_assets(folder)
