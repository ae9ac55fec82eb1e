"""One compiled model for trials that differ in densities and learning rates alone."""

import inspect

import keras

from .. import densities
from .._keras import sublayers
from ..inspection import weighted_layers
from ..layers import FixedDensity, HeldDensity
from ..layers.layer_density import precision


class KeptModel:
    """A copy of a model that can start over as one of other densities or rates.

    The copy holds each fixed density as a weight that is not trained, and its optimizer
    a constant learning rate as a variable: new ones are assigned, and the compiled
    training step stays. Schedules are part of the step.

    Args:
        model: Compiled functional or sequential `keras.Model`.

    Raises:
        ValueError: If the config of the model does not tell all that it is.
    """

    def __init__(self, model):
        _check_described_by_config(model)
        self._signature = _signature(model)
        self._functions = _functions(model)
        self.model = keras.models.clone_model(
            model, clone_function=_hold_density, recursive=True
        )
        self.model.compile_from_config(model.get_compile_config())
        if _functions(self.model) != self._functions:
            raise ValueError(
                "its config does not lead to its loss or activation function; "
                "keras.saving.register_keras_serializable registers one"
            )
        self._optimizer = self.model.optimizer
        self._own_signature = _signature(self.model)
        self._densities = {
            name: layer.density
            for name, layer in weighted_layers(self.model).items()
            if isinstance(layer.density, HeldDensity)
        }
        self.start_as(model)

    def start_as(self, model):
        """Takes the state of a model just built, its densities and learning rates.

        Returns:
            `None`, or what stands in the way: a string.
        """
        if self.model.optimizer is not self._optimizer:
            return "the training compiles the model again"
        difference = _difference(self._signature, _signature(model))
        if difference is not None:
            return difference
        if _functions(model) != self._functions:
            return "a loss or activation function is made anew for each trial"

        held = {
            id(weight)
            for density in self._densities.values()
            for weight in density.weights
        }
        own = [v for v in self.model.variables if id(v) not in held]
        self._assign(own, model.variables)
        model.optimizer.build(model.trainable_variables)
        self._assign(self._optimizer.variables, model.optimizer.variables)
        layers = weighted_layers(model)
        for name, density in self._densities.items():
            density.assign(_in_compute_precision(layers[name]))
        return _difference(self._own_signature, _signature(self.model))

    @staticmethod
    def _assign(variables, values):
        for variable, value in zip(variables, values, strict=True):
            # Its own array: JAX's training steps delete those that they are given.
            variable.assign(keras.ops.copy(value))


def _check_described_by_config(model):
    for part in (model, *sublayers(model, recursive=True)):
        if isinstance(part, keras.Model) and not _is_of_keras(part):
            raise ValueError(f"{type(part).__name__} is not a class of Keras")
    if not (model.built and model.compiled):
        raise ValueError("it is not built, for want of a keras.Input, or not compiled")


def _is_of_keras(model):
    return type(model).__module__.partition(".")[0] == "keras"


def _has_fixed_density(layer):
    return isinstance(getattr(layer, "density", None), FixedDensity)


def _hold_density(layer):
    config = layer.get_config()
    if _has_fixed_density(layer):
        config["normalize_density"] = False  # The map is normalized already.
        config["density"] = HeldDensity(
            densities.Map(layer.density_map),
            layer.kernel_size,
            dtype=layer.dtype_policy,
            name="density",
        )
    return type(layer).from_config(config)


def _in_compute_precision(layer):
    # A compiler that keeps more precision than asked for would round constants alone.
    phi = layer.density_map.astype(precision(layer.variable_dtype))
    return keras.ops.convert_to_numpy(keras.ops.cast(phi, layer.compute_dtype))


def _functions(model):
    """What a config knows by name alone, though it may be made for one trial."""
    used = keras.tree.flatten(model.loss)
    layers = sublayers(model, recursive=True)
    used += [getattr(layer, "activation", None) for layer in layers]
    return [function for function in used if inspect.isfunction(function)]


def _signature(model):
    signature = keras.saving.serialize_keras_object(model)
    _hide_densities(signature)
    _hide_learning_rates(signature["compile_config"]["optimizer"])
    return signature


def _hide_densities(model_config):
    for layer in model_config["config"]["layers"]:
        config = layer["config"]
        if "layers" in config:
            _hide_densities(layer)
        elif config.get("density") is not None and config["density_trainable"] is False:
            config["density"] = "any"


def _hide_learning_rates(optimizer):
    """Hides those that are variables of the optimizer, or of those inside of it."""
    if not isinstance(optimizer, dict):
        return
    if str(optimizer.get("module")).partition(".")[0] == "keras":
        config = optimizer["config"]
        if isinstance(config.get("learning_rate"), float):
            config["learning_rate"] = "any"
    for part in optimizer.values():
        _hide_learning_rates(part)


def _difference(before, now, path=""):
    """Where two nested configs differ, as text, or `None`."""
    if isinstance(before, dict) and isinstance(now, dict):
        pairs = {key: (before.get(key), now.get(key)) for key in {**before, **now}}
    elif isinstance(before, (list, tuple)) and len(before) == len(now):
        pairs = dict(enumerate(zip(before, now, strict=True)))
    elif before != now:
        return f"{path.strip('/')} was {before} and is {now}"
    else:
        return None
    found = (_difference(*pair, f"{path}/{key}") for key, pair in pairs.items())
    return next((difference for difference in found if difference is not None), None)
