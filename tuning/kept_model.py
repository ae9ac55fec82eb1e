"""One compiled model for trials that differ only in densities and learning rates."""

import functools
import hashlib
import inspect
from collections.abc import Mapping, Set

import keras

from .. import densities
from .._keras import built_for, compiled_with, sublayers
from ..inspection import weighted_layers
from ..layers import FixedDensity, HeldDensity
from ..layers.layer_density import precision


class KeptModel:
    """A copy of a model that can start over with other densities or learning rates.

    The copy holds each fixed density as a weight that is not trained, and its optimizer
    holds a constant learning rate as a variable. New values are assigned to them, so
    the training step is compiled once. Schedules are part of the step.

    Args:
        model: Compiled functional or sequential `keras.Model`.

    Raises:
        ValueError: If the config of the model does not describe it completely.
    """

    def __init__(self, model):
        _check_described_by_config(model)
        if not _has_optimizer_for_its_weights(model):
            raise ValueError(_OTHER_WEIGHTS)
        self._signature = _signature(model)
        self._description = _description(model)
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
        lost = _difference(self._description, _description(self.model))
        if lost is not None:
            raise ValueError(f"its config does not hold all of it: {lost} in a copy")
        self._optimizer = self.model.optimizer
        self._own_signature = _signature(self.model), _variables(self.model)
        self._densities = {
            name: layer.density
            for name, layer in weighted_layers(self.model).items()
            if isinstance(layer.density, HeldDensity)
        }
        self.start_as(model)

    def start_as(self, model):
        """Takes the state, the densities and the learning rates of a new model.

        Returns:
            `None`, or a string that says why it cannot.
        """
        if self.model.optimizer is not self._optimizer:
            return "the training compiles the model again"
        difference = _difference(self._signature, _signature(model))
        if difference is not None:
            return difference
        if _functions(model) != self._functions:
            return "a loss or activation function is made anew for each trial"
        if not _has_optimizer_for_its_weights(model):
            return _OTHER_WEIGHTS
        difference = _difference(self._description, _description(model))
        if difference is not None:
            return difference

        own = [*_without_densities(self.model), *self._optimizer.variables]
        values = [*model.variables, *model.optimizer.variables]
        for variable, value in zip(own, values, strict=True):
            # A copy: JAX's training steps delete the arrays that they are given.
            variable.assign(keras.ops.copy(value))
        layers = weighted_layers(model)
        for name, density in self._densities.items():
            density.assign(_in_compute_precision(layers[name]))
        now = _signature(self.model), _variables(self.model)
        return _difference(self._own_signature, now)


def _check_described_by_config(model):
    for part in (model, *sublayers(model, recursive=True)):
        is_of_keras = type(part).__module__.partition(".")[0] == "keras"
        if isinstance(part, keras.Model) and not is_of_keras:
            raise ValueError(f"{type(part).__name__} is not a class of Keras")
    if not (model.built and model.compiled):
        raise ValueError("it is not built, for want of a keras.Input, or not compiled")


def _hold_density(layer):
    config = layer.get_config()
    if isinstance(getattr(layer, "density", None), FixedDensity):
        config["normalize_density"] = False  # The map is normalized already.
        config["density"] = HeldDensity(
            densities.Map(layer.density_map),
            layer.kernel_size,
            dtype=layer.dtype_policy,
            name="density",
        )
    return type(layer).from_config(config)


def _in_compute_precision(layer):
    # A compiler that keeps extra precision would only round constants.
    phi = layer.density_map.astype(precision(layer.variable_dtype))
    return keras.ops.convert_to_numpy(keras.ops.cast(phi, layer.compute_dtype))


def _has_optimizer_for_its_weights(model):
    if not model.optimizer.built:  # A second time would add its variables once more.
        model.optimizer.build(model.trainable_variables)
    built = [id(variable) for variable in built_for(model.optimizer)]
    return built == [id(variable) for variable in model.trainable_variables]


# On JAX, Keras refuses to train such a model.
_OTHER_WEIGHTS = (
    "layers were frozen, or made trainable, after the optimizer was built, which holds "
    "a state for other weights; freeze them before `compile`"
)


def _functions(model):
    """Functions that a config only names, although they may be new in each trial."""
    used = keras.tree.flatten(model.loss)
    layers = sublayers(model, recursive=True)
    used += [getattr(layer, "activation", None) for layer in layers]
    return [function for function in used if inspect.isfunction(function)]


def _signature(model):
    signature = keras.saving.serialize_keras_object(model)
    _hide_densities(signature)
    # Saving an .h5 file takes it out of the compile config (keras pull request 23475).
    optimizer = keras.saving.serialize_keras_object(model.optimizer)
    _hide_learning_rates(optimizer)
    signature["compile_config"]["optimizer"] = optimizer
    return signature


def _hide_densities(model_config):
    for layer in model_config["config"]["layers"]:
        config = layer["config"]
        if "layers" in config:
            _hide_densities(layer)
        elif (
            config.get("density") is not None
            and config.get("density_trainable") is False
        ):
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


# === What the config of a model does not say ===


def _description(model):
    """Describes what a config may lack, in plain values that can be compared.

    These are attributes that were set later or that `get_config` leaves out, hooks,
    methods replaced on an instance, and settings of the optimizer.
    """
    parts = [model, *sublayers(model, recursive=True)]
    apart = FixedDensity, HeldDensity, keras.layers.InputLayer
    parts = [part for part in parts if not isinstance(part, apart)]
    compiled = {
        **compiled_with(model),
        "optimizer": model.optimizer,
        "loss": model.loss,
    }
    return {
        "layers": [_attributes(part) for part in parts],
        "variables": _variables(model),
        "compiled": _describe(compiled, ()),
    }


def _without_densities(model):
    """Returns the variables of a model, except those of held densities."""
    held = {
        id(weight)
        for layer in sublayers(model, recursive=True)
        if isinstance(layer, HeldDensity)
        for weight in layer.weights
    }
    return [variable for variable in model.variables if id(variable) not in held]


def _variables(model):
    """Describes how each variable is trained, except those of densities."""
    return {
        f"{number} {variable.name}": {
            "shape": tuple(variable.shape),
            "dtype": variable.dtype,
            "trainable": variable.trainable,
            "regularizer": _describe(variable.regularizer, ()),
            "constraint": _describe(variable.constraint, ()),
        }
        for number, variable in enumerate(_without_densities(model))
    }


# Set by `fit` and `compile`, or described apart.
_OF_MODELS = {
    *("optimizer", "loss", "history", "stop_training"),
    *("train_function", "test_function", "predict_function"),
}


def _attributes(part, outer=()):
    """Describes the attributes of an object, except those that Keras sets."""
    is_internal = type(part).__module__.partition(".")[0] in ("keras", "keras_wconv")
    is_model = isinstance(part, keras.Model)
    found = {"class": type(part)}
    for name, value in vars(part).items():
        if name.startswith("_"):
            # Keep hooks of PyTorch, and the private settings of optimizers.
            if is_internal and not (
                name.endswith("_hooks") or isinstance(part, keras.optimizers.Optimizer)
            ):
                continue
            if name.startswith("_self_") or name.endswith("_cache"):
                continue
            if name in _private_names() and not name.endswith("_hooks"):
                continue
        if name.endswith("_initializer") or (is_model and name in _OF_MODELS):
            continue  # Initial values are assigned.
        if name.startswith("_auto_config"):
            continue  # How Keras was given the arguments, by position or by name.
        if name in ("_density", "_normalize_density") and isinstance(
            getattr(part, "density", None), (FixedDensity, HeldDensity)
        ):
            continue
        if name in ("build", "quantize") and inspect.isroutine(value):
            continue  # Keras wraps them, for each layer anew.
        if value is None or value is False:
            continue  # Keras sets some late, such as when it loads weights.
        found[name] = _describe(value, (*outer, part))
    return found


@functools.cache
def _private_names():
    """The private attributes that Keras gives every layer, metric, loss, optimizer."""
    own = (
        keras.layers.Layer,
        keras.metrics.Mean,
        keras.losses.Loss,
        keras.optimizers.SGD,
    )
    names = {name for kind in own for name in vars(kind())}
    return {name for name in names if name.startswith("_")}


def _describe(value, outer):
    """Describes a value; `outer` are the objects that contain it."""
    if isinstance(value, (keras.Variable, keras.random.SeedGenerator)):
        return "assigned"
    if isinstance(value, keras.KerasTensor):
        return f"tensor of {value.shape}, {value.dtype}"
    if keras.ops.is_tensor(value) or type(value).__module__ == "numpy":
        array = keras.ops.convert_to_numpy(value)
        digest = hashlib.sha256(array.tobytes()).hexdigest()[:8]
        return f"array of {array.shape}, {array.dtype}, {digest}"
    if isinstance(value, Mapping):
        return {str(key): _describe(one, outer) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_describe(one, outer) for one in value]
    if isinstance(value, Set):
        return sorted(repr(_describe(one, outer)) for one in value)
    if isinstance(value, functools.partial):
        return _describe((value.func, value.args, value.keywords), outer)
    if inspect.ismethod(value):
        return value.__func__
    is_opaque = inspect.isroutine(value) or isinstance(value, type)
    if is_opaque or not hasattr(value, "__dict__"):
        return value if is_opaque or type(value).__hash__ else type(value)
    if isinstance(value, keras.layers.Layer) or len(outer) > 4:
        return type(value)  # Layers are described one by one.
    if any(value is one for one in outer):
        return "itself"
    return _attributes(value, outer)


def _difference(before, now, path=""):
    """Describes the first difference of two nested configs, or returns `None`."""
    if isinstance(before, dict) and isinstance(now, dict):
        pairs = {key: (before.get(key), now.get(key)) for key in {**before, **now}}
    elif _is_list(before) and _is_list(now) and len(before) == len(now):
        pairs = dict(enumerate(zip(before, now, strict=True)))
    elif before != now:
        return f"{path.strip('/')} was {before} and is {now}"
    else:
        return None
    found = (_difference(*pair, f"{path}/{key}") for key, pair in pairs.items())
    return next((difference for difference in found if difference is not None), None)


def _is_list(value):
    return isinstance(value, (list, tuple))
