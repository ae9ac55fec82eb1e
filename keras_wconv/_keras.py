"""Copies of models and of their state, and all that this takes of Keras's internals.

Keras has no public way to walk through the layers inside of a layer that is not a
model, to keep `clone_model` from compiling, to copy random seeds, or to begin `fit` at
an epoch where a callback says so. The private attributes used are
`Layer._flatten_layers` and `Model._initial_epoch`, checked with Keras 3.15.
"""

import contextlib
import functools
import tempfile

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
    def copy(layer):
        return copy_graph(layer) if is_graph(layer) else clone_layer(layer)

    def copy_graph(graph):
        return keras.models.clone_model(graph, _new_inputs(graph), copy)

    with _uncompiled(model):
        return copy_graph(model)


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
    layers = [model, *sublayers(model, recursive=True)]
    compiled = [layer for layer in layers if getattr(layer, "compiled", False)]
    for layer in compiled:
        layer.compiled = False
    try:
        yield
    finally:
        for layer in compiled:
            layer.compiled = True


def copy_layer(layer, rewrite=lambda config: config):
    """Copies a layer by its config, which `rewrite` may change."""
    if isinstance(layer, keras.layers.Lambda):
        # It has no state, and Keras does not load a Python lambda from a config.
        return layer
    return type(layer).from_config(rewrite(layer.get_config()))


def own_values(layer):
    """Returns copies of a layer's variables by name, without those of its sublayers.

    JAX's training steps delete the arrays that they were given, so two models must not
    hold the same one.
    """
    return {variable.name: ops.copy(variable) for variable in _own_variables(layer)}


def move_state(old, new, values):
    """Gives the copy of a layer, and all layers in it, the state of the original.

    Args:
        old: the layer.
        new: its copy.
        values: function of a layer that returns the values of the variables by name
            where the copy is of another kind than the layer, and None elsewhere.
    """
    if new.trainable != old.trainable:
        new.trainable = old.trainable
    replaced = values(old)
    if replaced is not None:
        for variable in _own_variables(new):
            variable.assign(replaced[variable.name])
        return
    _move_own_state(old, new)
    for old_child, new_child in zip(sublayers(old), sublayers(new), strict=True):
        move_state(old_child, new_child, values)


def _own_variables(layer):
    """Variables of a layer, random seeds included, without those of its sublayers."""
    inner = {
        id(variable)
        for sublayer in sublayers(layer, recursive=True)
        for variable in sublayer.variables
    }
    return [variable for variable in layer.variables if id(variable) not in inner]


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


def begin_at_epoch(model, epoch):
    """Makes a `fit` that is at its beginning begin at an epoch, as a resumed one does.

    Args:
        model: `keras.Model`.
        epoch: int. With 0, the `initial_epoch` of `fit` counts.
    """
    model._initial_epoch = epoch
