"""The identity of a run: a digest of everything that decides its result.

Names are not part of it: Keras numbers them in a process, and two different things may
have the same name.
"""

import hashlib
import inspect
import json
import types

import keras

from ..._keras import sublayers
from ..tasks.task import without_names


def digest(*parts):
    """Returns a short digest of values that are written as JSON."""
    text = json.dumps(parts, sort_keys=True, default=_describe_object)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def describe_model(model):
    """Returns a line for each part of a model, by which networks differ.

    A line has the class, the shapes of the weights, and a digest of the config and of
    code that is not of Keras.
    """
    parts = [model, *sublayers(model, recursive=True)]
    operations = [
        operation
        for part in parts
        if isinstance(part, keras.Function)
        for operation in part.operations
    ]
    names = {}
    for part in (*parts, *operations):
        names.setdefault(part.name, f"#{len(names)}")
    lines = []
    for part in parts:
        about = {
            "config": _with_places(_config(part), names),
            "code": _code_of(part),
            "trainable": part.trainable,
        }
        shapes = [tuple(weight.shape) for weight in part.weights]
        lines.append(f"{type(part).__name__} {shapes} {digest(about)}")
    return lines


def describe_recipe(model):
    """Returns how a model was compiled, for JSON."""
    config = model.optimizer.get_config()
    return {
        "optimizer": type(model.optimizer).__name__,
        "config": without_names(json.loads(json.dumps(config, default=str))),
        "loss": _describe_object(model.loss),
    }


def _config(part):
    try:
        return part.get_config()
    except (NotImplementedError, TypeError, ValueError):
        return {}  # Its code and its parts identify it.


def _with_places(value, names):
    """Replaces the names of layers, which Keras numbers, by their places."""
    if isinstance(value, dict):
        return {key: _with_places(one, names) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_with_places(one, names) for one in value]
    return names.get(value, value) if isinstance(value, str) else value


def _code_of(part):
    """Returns descriptions of a part's code and functions that are not of Keras.

    A config has only the names of functions.
    """
    found = {}
    for kind in type(part).__mro__:
        if _is_known(kind.__module__):
            continue
        for name, value in vars(kind).items():
            function = inspect.unwrap(getattr(value, "__func__", value))
            if isinstance(function, types.FunctionType):
                found[f"{kind.__name__}.{name}"] = _describe_function(function)
    for name, value in vars(part).items():
        if isinstance(value, types.FunctionType) and not _is_known(value.__module__):
            found[name] = _describe_function(value)
    return found


def _is_known(module):
    return (module or "").partition(".")[0] in ("keras", "keras_wconv", "builtins")


def _describe_object(value):
    if isinstance(value, types.FunctionType):
        return _describe_function(value)
    if isinstance(value, type):
        return value.__qualname__
    if isinstance(value, keras.losses.Loss):
        return [type(value).__name__, without_names(value.get_config())]
    if hasattr(value, "get_config"):
        return [type(value).__name__, value.get_config()]
    if hasattr(value, "tolist"):
        return value.tolist()
    # Not repr, which may hold an address.
    return value if isinstance(value, str) else f"{type(value).__name__}"


def _describe_function(function):
    """Returns the code, defaults and closure of a function as text."""
    if _is_known(function.__module__):
        return f"{function.__module__}.{function.__qualname__}"
    cells = []
    for cell in function.__closure__ or ():
        try:
            value = cell.cell_contents
        except ValueError:  # Not yet set.
            continue
        plain = isinstance(value, int | float | str | bool | None | tuple | list)
        cells.append(repr(value) if plain else _describe_object(value))
    return json.dumps(
        [_describe_code(function.__code__), repr(function.__defaults__), cells],
        default=str,
    )


def _describe_code(code):
    constants = [
        _describe_code(one) if isinstance(one, types.CodeType) else repr(one)
        for one in code.co_consts
    ]
    names = [*code.co_names, *code.co_varnames]
    return [code.co_code.hex(), constants, names]
