"""Initial values that depend only on a seed and the shapes of the weights.

A model is built after `keras.utils.set_random_seed`, but that does not pair two models:
one more random layer in one of them, such as a dropout, shifts all draws after it. So
each weight that its layer's initializer drew is drawn again, from the run's seed and
its place among such weights. Weights that `build` has loaded or assigned, and those of
initializers with a seed, do not change.
"""

import hashlib

import keras
import numpy as np
from keras import ops

from ..._keras import sublayers
from ...conversion import PAIRS
from ...layers.layer_density import LearnedDensity


def start(candidate, hp, seed, factor=1.0, task=None):
    """Builds the model of a candidate, with the initial values of a seed.

    Args:
        candidate: `Candidate`.
        hp: `keras_tuner.HyperParameters` with its values.
        seed: int.
        factor: float, by which all convolution kernels are multiplied.
        task: `Task` that checks the model, or None.

    Returns:
        The model, and a digest of what was drawn or loaded, before the factor. Models
        with the same digest share their initial values.

    Raises:
        ValueError: If an initializer or a factor reaches no convolution kernel.
    """
    keras.utils.set_random_seed(seed)
    model = candidate.model(hp)
    if task is not None:
        task.check_model(model)
    initialized = _initialized(model, tuple(PAIRS))
    kernels = {
        id(weight): weight for weight, _ in initialized if "kernel" in weight.name
    }
    if not kernels and (factor != 1 or candidate.initial is not None):
        asked = "initial" if candidate.initial is not None else "start"
        raise ValueError(
            f"The candidate {candidate.name!r} has no convolution kernel that "
            f"`{asked}` could change. Leave it out, or build the model of Keras's "
            "convolutions or subclasses of them."
        )
    drawn = hashlib.sha256()
    found = _drawn(model)
    own = _own_values(model, found)
    for place, (weight, initializer) in enumerate(found):
        if candidate.initial is not None and id(weight) in kernels:
            initializer = keras.initializers.get(candidate.initial)
        # A new one, and any inside of it, take their seeds from here.
        at_place = np.random.SeedSequence((seed, place)).generate_state(1)
        keras.utils.set_random_seed(int(at_place[0]))
        initializer = keras.initializers.deserialize(
            keras.initializers.serialize(initializer)
        )
        weight.assign(initializer(weight.shape, weight.dtype))
        _update(drawn, weight)
    for weight in own:
        _update(drawn, weight)
    if factor != 1:
        for weight in kernels.values():
            weight.assign(weight * ops.cast(factor, weight.dtype))
    keras.utils.set_random_seed(seed)
    return model, drawn.hexdigest()[:16]


def is_from(model, initializer):
    """Whether an initializer, without a seed, is that of all convolution kernels."""
    config = keras.initializers.serialize(keras.initializers.get(initializer))
    return all(
        keras.initializers.serialize(own) == config
        for weight, own in _initialized(model, tuple(PAIRS))
        if "kernel" in weight.name
    )


def values_digest(model):
    """Returns a digest of the values of all weights of a model."""
    digest = hashlib.sha256()
    for weight in model.weights:
        digest.update(f"{tuple(weight.shape)}{weight.dtype}".encode())
        # Cast by NumPy: JAX has no float64, and warns.
        values = ops.convert_to_numpy(weight).astype("float64")
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()[:16]


def _drawn(model):
    """Returns each weight that its layer's initializer drew, with the initializer."""
    found = []
    for weight, initializer in _initialized(model):
        if set(_seeds(initializer.get_config())) != {None}:
            continue  # A constant, or a seed of the user.
        # An initializer takes a seed when it is made, and always draws the same.
        again = ops.convert_to_numpy(initializer(weight.shape, weight.dtype))
        if np.array_equal(again, ops.convert_to_numpy(weight)):
            found.append((weight, initializer))
    return found


def _own_values(model, drawn):
    """Returns the weights with values that were loaded or that the model itself drew.

    They are those that `drawn` lacks, but for constants, as biases and normalizations
    have them, and for densities, which the candidates are to differ by.
    """
    known = {id(weight) for weight, _ in drawn}
    for layer in sublayers(model, recursive=True):
        if isinstance(layer, LearnedDensity):
            known |= {id(weight) for weight in layer.weights}
    initializers = {id(weight): one for weight, one in _initialized(model)}
    own = []
    for weight in model.weights:
        if id(weight) in known:
            continue
        initializer, first = initializers.get(id(weight)), None
        value = ops.convert_to_numpy(weight)
        if initializer is None:
            first = np.full_like(value, value.flat[0]) if value.size else value
        elif not set(_seeds(initializer.get_config())):
            first = ops.convert_to_numpy(initializer(weight.shape, weight.dtype))
        if not np.array_equal(value, first):
            own.append(weight)
    return own


def _update(digest, weight):
    digest.update(str(tuple(weight.shape)).encode())
    digest.update(np.ascontiguousarray(ops.convert_to_numpy(weight)).tobytes())


def _initialized(model, kinds=keras.layers.Layer):
    """Yields the weights of layers of a kind, with their initializers.

    That of the weight `kernel` is the layer's `kernel_initializer`, and that of
    `depthwise_kernel` is `depthwise_initializer`.
    """
    for layer in (model, *sublayers(model, recursive=True)):
        if not isinstance(layer, kinds):
            continue
        inner = sublayers(layer, recursive=True)
        of_others = {id(weight) for one in inner for weight in one.weights}
        for weight in layer.weights:
            if id(weight) in of_others:
                continue
            names = (weight.name, weight.name.removesuffix("_kernel"))
            found = (getattr(layer, f"{name}_initializer", None) for name in names)
            initializer = next(filter(None, found), None)
            if isinstance(initializer, keras.initializers.Initializer):
                yield weight, initializer


def _seeds(config):
    """Yields all seeds in the config of an initializer."""
    if isinstance(config, dict):
        for key, value in config.items():
            if key == "seed":
                yield value if not isinstance(value, dict) else "given"
            else:
                yield from _seeds(value)
    elif isinstance(config, list | tuple):
        for value in config:
            yield from _seeds(value)
