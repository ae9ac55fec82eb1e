"""Copies and changes models; the only module that uses Keras's internals.

These private attributes have no public counterpart. They were checked with Keras 3.10
and 3.15.

- `Conv._kernel`: the kernel without LoRA's update.
- `Layer._flatten_layers`: the layers inside a layer that is not a model.
- `Layer._tracker`: the children of a layer that is built.
- `Layer._track_variables`, `Layer._torch_params`: variables that PyTorch sees.
- `Model._compile_config`: the objects that a model was compiled with.
- `Model._initial_epoch`: the epoch at which `fit` begins, set by a callback.
- `Optimizer._trainable_variables`: the variables of an optimizer.
- `MultiOptimizer._optimizer_map`: the rules of an optimizer.
"""

import collections
import contextlib
import functools
import inspect
import tempfile
import warnings

import keras
from keras import ops


def kernel_variable(layer, name):
    """Returns the variable of the kernel of this name, without LoRA."""
    return layer._kernel if hasattr(layer, "_kernel") else getattr(layer, name)


def sublayers(layer, recursive=False):
    """Returns the children of a layer in order, or all layers inside it."""
    return layer._flatten_layers(include_self=False, recursive=recursive)


def is_of_keras(cls):
    """Whether a class is Keras's own."""
    return cls.__module__.partition(".")[0] == "keras"


def is_graph(layer):
    """Whether a layer is a Functional or Sequential model."""
    is_function = isinstance(layer, (keras.Sequential, keras.Function))
    return is_function and isinstance(layer, keras.Model)


def clone(model, clone_layer):
    """Copies a Functional or Sequential model without its state, not compiled.

    Args:
        model: a model that `check_model` accepts. Nested models are copied, too.
        clone_layer: function of a layer that returns the layer for the copy.

    Raises:
        ValueError: If the class of a model changes what it does.
    """
    shared = _shared_layers(model)

    @functools.cache  # Nested models may share a layer, which has one copy.
    def copy(layer):
        if not is_graph(layer):
            new = clone_layer(layer)
            share(layer, new)
            return new
        has_own_behavior = _has_own_behavior(layer)
        if not has_own_behavior or _is_made_of_tensors(layer):
            new = keras.models.clone_model(layer, _new_inputs(layer), copy)
        elif layer is not model:
            return clone_layer(layer)
        else:
            new = None
        if has_own_behavior and type(new) is not type(layer):
            raise ValueError(
                f"`model` is of the class {type(layer).__name__}. A copy would lack "
                "its constructor, or its methods such as `call` and `train_step`. "
                "Change the model in place, with `in_place=True`. "
                f"Received: model={layer}"
            )
        return new

    def share(layer, new):
        """Makes the copy of a layer hold the copies of what it shares with others."""
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

    # `clone_model` would compile, too, which fails if a loss is not registered.
    compiled = [each for each in _with_inner(model) if getattr(each, "compiled", False)]
    for each in compiled:
        each.compiled = False
    try:
        return copy(model)
    finally:
        for each in compiled:
            each.compiled = True


def graph_layers(model):
    """Returns the ids of the layers of a graph and of the graphs in it."""
    found = set()
    for layer in sublayers(model):
        found.add(id(layer))
        if is_graph(layer):
            found |= graph_layers(layer)
    return found


def named_layers(root):
    """Returns the name of each layer in a layer, the layer, and all its holders.

    The name of a nested layer begins with the names of the layers around it, except
    the root: `"encoder/conv1"`. A layer that is used twice is listed once. Layers made
    in the code of another layer may share a name; the second gets a number.
    """
    found, names = {}, set()

    def visit(layer, name, holder):
        if id(layer) in found:
            holders = found[id(layer)][2]
            if not any(holder is other for other in holders):
                holders.append(holder)
            return
        unused, number = name, 1
        while unused in names:
            unused, number = f"{name}_{number}", number + 1
        found[id(layer)] = unused, layer, [holder]
        if layer is not root:
            names.add(unused)
        for inner in sublayers(layer):
            path = inner.name if layer is root else f"{name}/{inner.name}"
            visit(inner, path, layer)

    visit(root, root.name, None)
    return list(found.values())


def _shared_layers(model):
    """Returns the ids of layers with a holder that is no graph, and another holder."""
    in_graph = graph_layers(model)
    holders = collections.Counter(
        id(held)
        for layer in _with_inner(model)
        if not is_graph(layer)
        for held in sublayers(layer)
    )
    return {key for key, count in holders.items() if count > 1 or key in in_graph}


def check_model(model, in_place, argument="model"):
    """Raises a `ValueError` for what is not built, or can only be changed in place."""
    if not in_place and not is_graph(model):
        raise ValueError(
            "`model` must be a Functional or Sequential `keras.Model`, unless it is "
            "changed in place, with `in_place=True`: the code of a subclassed model "
            "makes its layers, and no copy can be made from outside. Or use the layers "
            "of `keras_wconv.layers` in that code, which take the arguments of "
            f"Keras's. Received: model={model} of type {type(model)}"
        )
    if not isinstance(model, keras.Layer):
        raise ValueError(
            f"`{argument}` must be a `keras.Model` or `keras.Layer`. "
            f"Received: {argument}={model} of type {type(model)}"
        )
    if not model.built:
        raise ValueError(
            f"`{argument}` must be built: it has no weights yet. Call "
            f"`{argument}.build(input_shape)`, begin it with `keras.Input`, or call it "
            f"once on data. Received: {argument}={model}"
        )


# Methods with which the class of a Functional or Sequential model changes what it does.
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
    """Whether the class of a graph overrides one of these methods."""
    return any(
        name in vars(cls)
        for cls in type(model).__mro__
        if not is_of_keras(cls) and issubclass(cls, keras.Layer)
        for name in _BEHAVIOR
    )


def _is_made_of_tensors(model):
    """Whether a class is called like `keras.Model(inputs, outputs)`."""
    arguments = list(inspect.signature(type(model).__init__).parameters)
    return not isinstance(model, keras.Sequential) and arguments[1:] in (
        ["args", "kwargs"],
        ["inputs", "outputs", "name", "kwargs"],
    )


def _new_inputs(model):
    """Returns inputs like those of a model; `clone_model` would drop their names."""
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


def copy_layer(layer, rewrite=lambda config: config):
    """Copies a layer by its config, which `rewrite` may change.

    Raises:
        ValueError: If the layer cannot be made from its config.
    """
    if isinstance(layer, keras.layers.Lambda):
        return layer  # It has no state.
    inner = _with_inner(layer) if isinstance(layer, keras.Layer) else []
    classes = {type(each).__name__: type(each) for each in inner}
    # Keras's constructors take objects, but a config has functions only by name. The
    # `from_config` of other classes may need exactly what `get_config` returned.
    configs = [live_config, _quiet_config]
    if not is_of_keras(type(layer)):
        configs.reverse()
    error = None
    for get_config in configs:
        try:
            with keras.saving.CustomObjectScope(classes):
                return type(layer).from_config(rewrite(get_config(layer)))
        except Exception as raised:  # The layer's class may raise anything.
            error = raised if get_config is _quiet_config else error
    cause = str(error.__context__ or error).strip().partition("\n")[0]
    cause = cause if len(cause) < 300 else f"{cause[:300]}..."
    raise ValueError(
        f"The layer {layer.name!r} of class {type(layer).__name__} cannot be copied, "
        f"because it cannot be made from its config: {cause} Register functions and "
        "classes that it holds with `keras.saving.register_keras_serializable`, no "
        "lambdas. A class of your own needs a `get_config` with all arguments of its "
        "constructor, which takes `**kwargs` and passes them to `super().__init__`. Or "
        "change the model in place, with `in_place=True`, which copies nothing."
    ) from error


def live_config(layer):
    """Returns the config of a layer, with the layer's functions and objects in it.

    A config has functions by name, and lambdas as text, which Keras does not load. The
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
    if isinstance(value, str):  # Another function than Keras's may be called "relu".
        module = getattr(live, "__module__", None) or ""
        return live if callable(live) and not module.startswith("keras.") else value
    # {"value": ...} is what `keras.activations.serialize` makes of a lambda.
    if not isinstance(value, dict) or not value.keys() & {"class_name", "value"}:
        return value
    initial = getattr(live, "initial", None)  # A weighted layer's `density` has it.
    if value.get("class_name") == type(initial).__name__:
        return initial
    if isinstance(live, keras.Layer):
        if value.get("class_name") != type(live).__name__:
            return value
        return {**value, "config": live_config(live)}
    return live if callable(live) and not isinstance(live, type) else value


def own_values(layer):
    """Returns copies of a layer's variables by name, without those of its sublayers.

    JAX's training steps delete the arrays that they are given, so two models must not
    hold the same array.
    """
    return {name: ops.copy(value) for name, value in own_variables(layer).items()}


def own_variables(layer):
    """Returns a layer's variables by name, without those of its sublayers."""
    return {variable.name: variable for variable in _own_variables(layer)}


def move_state(old, new, values, children, moved=None):
    """Gives the copy of a layer, and all layers in it, the state of the original.

    Args:
        old: the layer.
        new: its copy.
        values: function of a layer. If the copy is of another kind, it returns the
            values of the variables by name, and otherwise None.
        children: function that returns the children of a layer that a copy of another
            kind has, too.
        moved: dict of the weights that already have a copy, for the recursion.

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
        for name, variable in own_variables(new).items():
            variable.assign(replaced[name])
            variable.trainable = sources[name].trainable
            _note_copy(old, sources[name], variable, moved)
    else:
        _move_own_state(old, new, moved)
    if len(pairs[0]) != len(pairs[1]):
        raise ValueError(
            f"The layer {old.name!r} of class {type(old).__name__} cannot be copied: "
            f"it holds {len(pairs[0])} layers, but a layer made from its config holds "
            f"{len(pairs[1])}. Change the model in place, with `in_place=True`."
        )
    for old_child, new_child in zip(*pairs, strict=True):
        if type(old_child) is not type(new_child) and values(old_child) is None:
            raise ValueError(
                f"The layer {old_child.name!r} inside {old.name!r} cannot be copied: "
                f"it is a {type(old_child).__name__}, but the code of "
                f"{type(old).__name__} makes a {type(new_child).__name__}. Change the "
                "model in place, with `in_place=True`."
            )
        move_state(old_child, new_child, values, children, moved)


def _note_copy(layer, source, target, moved):
    first, name = moved.setdefault(id(source), (target, layer.name))
    if first is not target:
        raise ValueError(
            f"The layers {name!r} and {layer.name!r} of `model` share the weight "
            f"{source.path!r}, but copies made from their configs would not. Change "
            "the model in place, with `in_place=True`."
        )


def _own_variables(layer):
    """Returns a layer's variables and random seeds, without those of its sublayers."""
    inner = {
        id(variable)
        for sublayer in sublayers(layer, recursive=True)
        for variable in sublayer.variables
    }
    return [variable for variable in layer.variables if id(variable) not in inner]


def _move_own_state(old, new, moved):
    # `load_own_variables` also refreshes what layers derive from their variables
    # (`Normalization`), but it omits random seeds, and merges LoRA's weights.
    store = {}
    old.save_own_variables(store)
    new.load_own_variables(store)
    weights = {id(weight) for weight in old.weights}
    for source, target in zip(_own_variables(old), _own_variables(new), strict=True):
        target.assign(ops.copy(source))
        target.trainable = source.trainable
        if id(source) in weights:  # Random seeds are not weights.
            _note_copy(old, source, target, moved)
    if hasattr(old, "save_assets"):
        with tempfile.TemporaryDirectory() as folder:
            old.save_assets(folder)
            new.load_assets(folder)


def build_like(new, layer):
    """Builds a layer like another one, with variables at the same paths."""
    with contextlib.ExitStack() as scopes:
        for name in (layer.path or layer.name).split("/")[:-1]:
            scopes.enter_context(keras.name_scope(name))
        new.build_from_config(layer.get_build_config())


def become(layer, cls, remove, attributes):
    """Changes the class of a built layer to one with the same layout.

    Args:
        layer: the layer, which stays the same object.
        cls: the class.
        remove: names of attributes to remove, if it has them.
        attributes: dict of attributes to set. Keras tracks new layers and variables,
            and no longer those that were removed.
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
    # PyTorch keeps layers in a separate dict.
    return {**vars(layer), **vars(layer).get("_modules", {})}


def forget_traces(model):
    """Makes a model compute with its current layers.

    Its compiled functions hold the former code of the layers.
    """
    # PyTorch has separate lists of the variables in a layer, made from the inside out.
    for layer in reversed(_with_inner(model)):
        if isinstance(layer, keras.Model):
            layer.train_function = layer.test_function = layer.predict_function = None
        if hasattr(layer, "_torch_params"):
            layer._track_variables()


def compile_like(new, old, optimizer):
    """Compiles a model like another one, with a new optimizer state.

    Args:
        new: the model to compile; it may be `old` itself.
        old: a compiled model.
        optimizer: function of its optimizer that returns the one to use.

    Returns:
        None, or a string that says why it is impossible.
    """
    if type(old).compile is not keras.Model.compile:
        return f"the class {type(old).__name__} has its own `compile`"
    if not hasattr(old, "_compile_config"):
        return "Keras does not say how it was compiled"
    # The serialized form lacks functions that are not registered.
    config = dict(old._compile_config.config)
    # Saving a .h5 file takes the optimizer out.
    given = config.get("optimizer") or old.optimizer
    try:
        config["optimizer"] = _fresh(optimizer(given))
        if new is not old:
            for key in ("metrics", "weighted_metrics"):
                config[key] = keras.tree.map_structure(_fresh, config.get(key))
        new.compile(**config)
    except Exception as error:  # Classes of optimizers and metrics may raise anything.
        return f"its optimizer or metrics cannot be made from their configs: {error}"
    return None


def built_for(optimizer):
    """Returns the variables that an optimizer was built for, in its order."""
    # Before 3.15 a `LossScaleOptimizer` does not know its variables.
    return getattr(optimizer, "inner_optimizer", optimizer)._trainable_variables


def optimizer_rules(optimizer):
    """Returns the `OptimizerMap` of a `MultiOptimizer`, or None for any other."""
    return getattr(optimizer, "_optimizer_map", None)


def _fresh(thing):
    """Returns a copy of an optimizer or metric without its state, or anything else."""
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
        epoch: int. With 0, `fit` begins at its `initial_epoch`.
    """
    model._initial_epoch = epoch


def compiled_with(model):
    """Returns the arguments of a model's `compile` by name, as the same objects.

    The config of a metric may lack some of it, and `model.metrics` has the metrics only
    after the first batch.
    """
    return model._compile_config.config
