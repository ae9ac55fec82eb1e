"""Copies and changes models; the only use of Keras's internals.

Keras has no public way to walk through the layers inside of a layer that is not a
model, to keep `clone_model` from compiling, to copy random seeds, to begin `fit` at
an epoch where a callback says so, to change the children of a layer that is built, to
compile a model as another one is, to see the very objects that it was compiled with, to
ask an optimizer for its variables and a `MultiOptimizer` for its rules, or to tell
PyTorch of variables that came later.
The private attributes used are `Layer._flatten_layers`, `Layer._tracker`,
`Layer._track_variables` and `Layer._torch_params` (PyTorch alone),
`Model._compile_config`, `Model._initial_epoch`, `Optimizer._trainable_variables` and
`MultiOptimizer._optimizer_map`, checked with Keras 3.10 and 3.15.
"""

import collections
import contextlib
import functools
import inspect
import tempfile
import warnings

import keras
from keras import ops


def sublayers(layer, recursive=False):
    """Returns the layers in a layer, in order: its children, or all that are inside."""
    return layer._flatten_layers(include_self=False, recursive=recursive)


def is_graph(layer):
    """Whether a layer is a Functional or Sequential model."""
    is_function = isinstance(layer, (keras.Sequential, keras.Function))
    return is_function and isinstance(layer, keras.Model)


def clone(model, clone_layer):
    """Copies a Functional or Sequential model, without its state and not compiled.

    Args:
        model: a built model; those inside of it are copied too.
        clone_layer: function of a layer that returns the layer for the copy.

    Raises:
        ValueError: If the model is subclassed or not built.
    """
    if not is_graph(model):
        raise ValueError(
            "`model` must be a Functional or Sequential `keras.Model`, unless it is "
            "changed in place, with `in_place=True`: a subclassed model makes its "
            "layers in its own code, and no copy can be made of it from outside. Or "
            "use the layers of `keras_wconv.layers` in that code, which take the "
            "arguments of Keras's. "
            f"Received: model={model} of type {type(model)}"
        )
    check_built(model)

    @functools.cache  # One copy of a layer that nested models share.
    def copy(layer):
        if not is_graph(layer):
            new = clone_layer(layer)
            share(layer, new)
            return new
        if not _has_own_behavior(layer):
            return copy_graph(layer)
        if not _is_made_of_tensors(layer):
            # `clone_model` would drop what the class does.
            if layer is not model:
                return clone_layer(layer)
            raise _no_copy(layer)
        new = copy_graph(layer)
        if type(new) is not type(layer):
            raise _no_copy(layer)
        return new

    def share(layer, new):
        """Lets the copy of a layer hold the copies of what it shares with others."""
        if new is layer or not isinstance(layer, keras.Layer):
            return
        attributes = _attributes(new)
        for name, held in _attributes(layer).items():
            own = attributes.get(name)
            if name not in ("_layers", "_modules") and not name.startswith("_self_"):
                value = share_value(new, held, own)
                if value is not own:
                    setattr(new, name, value)

    def share_value(holder, held, own):
        if isinstance(held, keras.Layer) and isinstance(own, keras.Layer):
            if id(held) not in shared:
                share(held, own)
                return own
            new = copy(held)
            if own.built and not new.built:
                build_like(new, held)
            if holder._tracker.is_in_store("layers", own):
                holder._tracker.replace_tracked_value("layers", own, new)
            return new
        if isinstance(held, dict) and isinstance(own, dict):
            for key in held.keys() & own.keys():
                own[key] = share_value(holder, held[key], own[key])
        elif isinstance(held, tuple) and isinstance(own, tuple):
            return tuple(
                share_value(holder, *pair) for pair in zip(held, own, strict=True)
            )
        elif isinstance(held, list) and isinstance(own, list):
            for index in range(min(len(held), len(own))):
                own[index] = share_value(holder, held[index], own[index])
        return own

    shared = _shared_layers(model)

    def copy_graph(graph):
        return keras.models.clone_model(graph, _new_inputs(graph), copy)

    with _uncompiled(model):
        return copy(model)


def graph_layers(model):
    """Returns by `id` the layers of a graph and of the graphs in it."""
    found = {}
    for layer in sublayers(model):
        found[id(layer)] = layer
        if is_graph(layer):
            found |= graph_layers(layer)
    return found


def _shared_layers(model):
    """Ids of the layers that are in a graph or in several layers, and in a layer."""
    in_graph = graph_layers(model)
    holders = collections.Counter(
        id(held)
        for layer in _with_inner(model)
        if not is_graph(layer)
        for held in sublayers(layer)
    )
    return {key for key, count in holders.items() if count > 1 or key in in_graph}


def check_built(layer):
    """Raises a `ValueError` for what is no layer or model, or has no weights yet."""
    if not isinstance(layer, keras.Layer):
        raise ValueError(
            "`model` must be a `keras.Model` or `keras.Layer`. "
            f"Received: model={layer} of type {type(layer)}"
        )
    if not layer.built:
        raise ValueError(
            "`model` must be built: it has no weights yet. Call "
            "`model.build(input_shape)` first, begin it with `keras.Input`, or call it "
            f"once on data. Received: model={layer}"
        )


# What a subclass of a Functional or Sequential model may do in another way.
_BEHAVIOR = (
    "__call__",
    "call",
    "compute_loss",
    "compute_metrics",
    "fit",
    "make_predict_function",
    "make_test_function",
    "make_train_function",
    "predict_step",
    "test_step",
    "train_step",
)


def _has_own_behavior(model):
    """Whether the class of a graph does more than to hold its layers."""
    return any(
        name in vars(cls)
        for cls in type(model).__mro__
        if cls.__module__.partition(".")[0] not in ("keras", "builtins")
        and issubclass(cls, keras.Layer)
        for name in _BEHAVIOR
    )


def _is_made_of_tensors(model):
    """Whether a class of graphs is made as `keras.Model(inputs, outputs)` is."""
    arguments = list(inspect.signature(type(model).__init__).parameters)
    return not isinstance(model, keras.Sequential) and arguments[1:] in (
        ["args", "kwargs"],
        ["inputs", "outputs", "name", "kwargs"],
    )


def _no_copy(model):
    return ValueError(
        f"`model` is of the class {type(model).__name__}, whose methods, such as "
        "`call` and `train_step`, or whose constructor a copy would lack. Change the "
        f"model in place, with `in_place=True`. Received: model={model}"
    )


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
        lambda tensor: copy_layer(inputs[id(tensor)]).output, model.input
    )


@contextlib.contextmanager
def _uncompiled(model):
    """Keeps `clone_model` from compiling, which fails for unregistered losses."""
    compiled = [
        layer for layer in _with_inner(model) if getattr(layer, "compiled", False)
    ]
    for layer in compiled:
        layer.compiled = False
    try:
        yield
    finally:
        for layer in compiled:
            layer.compiled = True


def copy_layer(layer, rewrite=lambda config: config):
    """Copies a layer by its config, which `rewrite` may change.

    Raises:
        ValueError: If the layer has no config that leads to it.
    """
    if isinstance(layer, keras.layers.Lambda):
        return layer  # It has no state.
    inner = _with_inner(layer) if isinstance(layer, keras.Layer) else []
    classes = {type(each).__name__: type(each) for each in inner}
    # Keras's constructors take objects. The `from_config` of a class of anyone's may
    # want what `get_config` gave, and Keras's knows own functions by their names alone.
    configs = [live_config, _quiet_config]
    if not type(layer).__module__.startswith("keras."):
        configs.reverse()
    error = None
    for get_config in configs:
        try:
            with keras.saving.CustomObjectScope(classes):
                return type(layer).from_config(rewrite(get_config(layer)))
        except Exception as raised:  # The code of the layer's class is anyone's.
            error = raised if get_config is _quiet_config else error
    raise ValueError(
        f"The layer {layer.name!r} of class {type(layer).__name__} cannot be "
        f"copied, because it cannot be made of its config: {_brief(error)} Let its "
        "class have a `get_config` with all arguments of its constructor, which "
        "takes `**kwargs` and hands them to `super().__init__`, or change the "
        "model in place, with `in_place=True`, which copies nothing."
    ) from error


def _brief(error):
    first = str(error.__context__ or error).strip().partition("\n")[0]
    return first if len(first) < 300 else f"{first[:300]}..."


def live_config(layer):
    """The config of a layer, with its functions and objects as the layer has them.

    A config has functions by name and lambdas as text, which Keras does not load; the
    constructors of its layers take the objects themselves.
    """
    return {
        key: _live_value(value, getattr(layer, key, getattr(layer, f"_{key}", None)))
        for key, value in _quiet_config(layer).items()
    }


def _quiet_config(layer):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The object being serialized includes a `la")
        return layer.get_config()


def _live_value(value, live):
    if isinstance(value, (list, tuple)) and isinstance(live, (list, tuple)):
        if len(value) == len(live):
            return type(value)(map(_live_value, value, live))
        return value
    if isinstance(value, str):  # An own function may be called "relu".
        is_own = callable(live) and not getattr(live, "__module__", "keras").startswith(
            "keras."
        )
        return live if is_own else value
    # {"value": ...} is what `keras.activations.serialize` makes of a lambda.
    if not isinstance(value, dict) or not value.keys() & {"class_name", "value"}:
        return value
    if isinstance(live, keras.Layer):
        if value.get("class_name") != type(live).__name__:
            return value
        return {**value, "config": live_config(live)}
    return live if callable(live) and not isinstance(live, type) else value


def own_values(layer):
    """Returns copies of a layer's variables by name, without those of its sublayers.

    JAX's training steps delete the arrays that they were given, so two models must not
    hold the same one.
    """
    return {name: ops.copy(value) for name, value in own_variables(layer).items()}


def own_variables(layer):
    """Returns a layer's variables by name, without those of its sublayers."""
    return {variable.name: variable for variable in _own_variables(layer)}


def move_state(old, new, values, children=sublayers, moved=None):
    """Gives the copy of a layer, and all layers in it, the state of the original.

    Args:
        old: the layer.
        new: its copy.
        values: function of a layer that returns the values of the variables by name
            where the copy is of another kind than the layer, and None elsewhere.
        children: function of a layer of another kind that returns the children which
            both have.
        moved: dict of the weights that have a copy already, for the recursion.

    Raises:
        ValueError: If layers share weights whose copies are not shared.
    """
    moved = {} if moved is None else moved
    if new.trainable != old.trainable:
        new.trainable = old.trainable
    replaced = values(old)
    pairs = sublayers(old), sublayers(new)
    if replaced is not None:
        pairs = children(old), children(new)
        sources = own_variables(old)
        for variable in _own_variables(new):
            variable.assign(replaced[variable.name])
            variable.trainable = sources[variable.name].trainable
            _note_copy(old, sources[variable.name], variable, moved)
    else:
        _move_own_state(old, new, moved)
    if len(pairs[0]) != len(pairs[1]):
        raise ValueError(
            f"The layer {old.name!r} of class {type(old).__name__} cannot be copied: "
            f"it holds {len(pairs[0])} layers, and what its config leads to holds "
            f"{len(pairs[1])}. Change the model in place, with `in_place=True`."
        )
    for old_child, new_child in zip(*pairs, strict=True):
        if type(old_child) is not type(new_child) and values(old_child) is None:
            raise ValueError(
                f"The layer {old_child.name!r} inside of {old.name!r} cannot be "
                f"copied: it is a {type(old_child).__name__}, and what the code of "
                f"{type(old).__name__} makes is a {type(new_child).__name__}. Change "
                "the model in place, with `in_place=True`."
            )
        move_state(old_child, new_child, values, children, moved)


def _note_copy(layer, source, target, moved):
    first, name = moved.setdefault(id(source), (target, layer.name))
    if first is not target:
        raise ValueError(
            f"The layers {name!r} and {layer.name!r} of `model` share the weight "
            f"{source.path!r}, and copies made of their configs would not. Change the "
            "model in place, with `in_place=True`."
        )


def _own_variables(layer):
    """Variables of a layer, random seeds included, without those of its sublayers."""
    inner = {
        id(variable)
        for sublayer in sublayers(layer, recursive=True)
        for variable in sublayer.variables
    }
    return [variable for variable in layer.variables if id(variable) not in inner]


def _move_own_state(old, new, moved):
    # `load_own_variables` also refreshes what layers derive from their variables
    # (`Normalization`), but it lacks random seeds, and merges LoRA's weights.
    store = {}
    old.save_own_variables(store)
    new.load_own_variables(store)
    weights = {id(weight) for weight in old.weights}
    pairs = zip(_own_variables(old), _own_variables(new), strict=True)
    for source, target in pairs:
        target.assign(ops.copy(source))
        target.trainable = source.trainable
        if id(source) in weights:  # Not random seeds.
            _note_copy(old, source, target, moved)
    if hasattr(old, "save_assets"):
        with tempfile.TemporaryDirectory() as folder:
            old.save_assets(folder)
            new.load_assets(folder)


def build_like(new, layer):
    """Builds a layer as another one is built, with variables at the same paths."""
    with contextlib.ExitStack() as scopes:
        for name in (layer.path or layer.name).split("/")[:-1]:
            scopes.enter_context(keras.name_scope(name))
        new.build_from_config(layer.get_build_config())


def become(layer, cls, remove, attributes):
    """Changes the class of a built layer to one with the same layout.

    Args:
        layer: the layer, which remains the same object.
        cls: the class.
        remove: names of attributes to remove where it has them.
        attributes: dict of attributes to set. New layers and variables among them are
            tracked, removed ones are not.
    """
    layer._tracker.unlock()
    try:
        for name in (*remove, *attributes):
            if name in _attributes(layer):
                layer._tracker.untrack(getattr(layer, name))
                delattr(layer, name)
        layer.__class__ = cls
        for name, value in attributes.items():
            setattr(layer, name, value)
    finally:
        layer._tracker.lock()


def _attributes(layer):
    # PyTorch keeps layers apart from other attributes.
    return {**vars(layer), **vars(layer).get("_modules", {})}


def forget_traces(model):
    """Makes a model compute with its current layers.

    What it has compiled holds the code of its layers as they were.
    """
    for layer in _with_inner(model):
        if isinstance(layer, keras.Model):
            layer.train_function = layer.test_function = layer.predict_function = None
    if keras.backend.backend() == "torch":
        # PyTorch has lists of its own of the variables in a layer.
        for layer in reversed(_with_inner(model)):
            if hasattr(layer, "_torch_params"):
                layer._track_variables()


def compile_like(new, old, optimizer=lambda optimizer: optimizer):
    """Compiles a model like another one, with a new optimizer state.

    Args:
        new: the model to compile; it may be `old` itself.
        old: a compiled model.
        optimizer: function of its optimizer that returns the one to take.

    Returns:
        None, or what stands in the way, a string.
    """
    if type(old).compile is not keras.Model.compile:
        return f"the class {type(old).__name__} has a `compile` of its own"
    if not hasattr(old, "_compile_config"):
        return "Keras does not say how it was compiled"
    # Its serialized form lacks functions that are not registered.
    config = dict(old._compile_config.config)
    # To save a .h5 file takes the optimizer out.
    given = optimizer(config.get("optimizer") or old.optimizer)
    try:
        config["optimizer"] = _anew(given)
        if new is not old:
            for key in ("metrics", "weighted_metrics"):
                config[key] = keras.tree.map_structure(_anew, config.get(key))
        new.compile(**config)
    except Exception as error:  # Optimizers and metrics are anyone's.
        return f"its optimizer or metrics cannot be made of their configs: {error}"
    return None


def is_built_for(optimizer, variables):
    """Whether an optimizer was built for these variables, and for no others."""
    # Before 3.15 a `LossScaleOptimizer` does not know its own.
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    known = optimizer._trainable_variables
    return [id(each) for each in known] == [id(each) for each in variables]


def optimizer_rules(optimizer):
    """The map of a `MultiOptimizer` from patterns to optimizers, or None."""
    return getattr(optimizer, "_optimizer_map", None)


def _anew(thing):
    """A copy of an optimizer or metric without its state; else the thing itself."""
    if isinstance(thing, (keras.optimizers.Optimizer, keras.metrics.Metric)):
        classes = {type(thing).__name__: type(thing)}
        with keras.saving.CustomObjectScope(classes):
            return type(thing).from_config(thing.get_config())
    return thing


def _with_inner(layer):
    return [layer, *sublayers(layer, recursive=True)]


def begin_at_epoch(model, epoch):
    """Makes a `fit` that has just started begin at an epoch, like a resumed one.

    Args:
        model: `keras.Model`.
        epoch: int. With 0, the `initial_epoch` of `fit` counts.
    """
    model._initial_epoch = epoch


def compiled_with(model):
    """Returns the arguments of a model's `compile` by name, the objects themselves.

    The config of a metric does not hold all that it is, and `model.metrics` has the
    metrics after the first batch only.
    """
    return model._compile_config.config
