"""The identity of a run: a digest of everything that decides its result.

Names are not part of it: Keras numbers them in a process, and two different things may
have the same name.
"""

import dis
import functools
import hashlib
import inspect
import json
import re
import types

import keras
import numpy as np

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
            "code": _with_places(_read_by(part), names),
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
        if value.get("class_name") == "__lambda__":
            return None  # It has the name of its file; `_read_by` has the code.
        return {key: _with_places(one, names) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_with_places(one, names) for one in value]
    return names.get(value, value) if isinstance(value, str) else value


def _describe_object(value):
    if isinstance(value, types.FunctionType):
        return _described(value) or f"{value.__module__}.{value.__qualname__}"
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


def _repr(value):
    """Returns the same text in every process: no addresses, no order of a set."""
    if isinstance(value, frozenset):
        return f"frozenset{sorted(map(_repr, value))}"
    return re.sub(" at 0x[0-9a-f]+", "", repr(value))


def _describe_code(code):
    """Returns what code does: its instructions, without lines, comments, docstrings."""
    arguments = inspect.getargs(code)
    instructions = [
        _describe_code(one.argval)
        if isinstance(one.argval, types.CodeType)
        else [one.opname, _repr(one.argval)]
        for one in dis.get_instructions(code)
    ]
    return [arguments, instructions]


# === The code of a user and what it reads, which no config has ===

# A new version of these makes no other run.
_FRAMEWORKS = {
    *("keras", "keras_wconv", "tensorflow", "jax", "flax", "torch", "numpy"),
    *("builtins", "abc", "typing"),
}


def describe_code(*values):
    """Returns a digest of what classes, objects and functions of a user do, or None."""
    found = []
    for value in values:
        if isinstance(value, types.FunctionType):
            found.append(_described(value))
        elif isinstance(value, type):
            found.append(_described_class(value))
        elif hasattr(value, "__dict__"):
            read = _read_by(value)
            read.pop("name", None)  # Counted up in a process.
            found.append(read)
    own = [one for one in found if one]
    return digest(own) if own else None


def describe_attributes(task):
    """Returns what the `__init__` of a user's task keeps and no config has, as texts.

    What other methods assign, too, may change during a training.
    """
    kept, changed = set(), set()
    for name, function in _functions_of(type(task)).items():
        stored = _names(function.__code__, "STORE_ATTR")
        (kept if name.endswith(".__init__") else changed).update(stored)
    own = ((kept - changed) & vars(task).keys()) - task.get_config().keys()
    found = {name: _described_value(getattr(task, name)) for name in sorted(own)}
    return {name: _repr(value) for name, value in found.items()}  # JSON has no inf.


def _read_by(part):
    """Returns what a part reads that its config may lack, if a user wrote its code.

    These are its attributes, those of its class, and the globals of its functions.
    """
    of_class = _described_class(type(part))
    found, stored = dict(of_class), set()
    for member in _functions_of(type(part)).values():
        stored |= _names(member.__code__, "STORE_ATTR")
    for name, value in vars(part).items():
        if isinstance(value, types.FunctionType):
            found |= {name: _described(value)} if _described(value) else {}
        elif not of_class or (name.startswith("_") and name not in stored):
            continue  # Keras sets these itself.
        elif _is_plain(value):
            found[name] = _described_value(value)
    return found


def _described_class(kind):
    functions = _functions_of(kind)
    found = {name: _described(function) for name, function in functions.items()}
    for name, value in _members_of(kind).items():
        if name not in functions and ".__" not in name and _is_plain(value):
            found[name] = _described_value(value)
    return found


def _members_of(kind):
    return {
        f"{one.__name__}.{name}": member
        for one in kind.__mro__
        if not _is_of_frameworks(one)
        for name, member in vars(one).items()
    }


def _functions_of(kind):
    found = {}
    for name, member in _members_of(kind).items():
        member = getattr(member, "fget", member)  # Of a property.
        function = inspect.unwrap(getattr(member, "__func__", member))
        if isinstance(function, types.FunctionType):
            found[name] = function
    return found


def _described(function, within=()):
    """Returns a function's code and all that it reads, None if no user wrote it."""
    if _is_of_frameworks(function):
        return None
    if function in within:
        return function.__qualname__  # It calls itself.
    code, known = function.__code__, function.__globals__
    read = {name: known[name] for name in _names(code, "LOAD_GLOBAL") if name in known}
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            read[name] = cell.cell_contents
        except ValueError:  # Not yet set.
            continue
    read |= function.__kwdefaults__ or {}
    read |= {str(i): one for i, one in enumerate(function.__defaults__ or ())}
    within = (*within, function)
    return [
        _describe_code(code),
        {name: _described_value(read[name], within) for name in sorted(read)},
    ]


def _described_value(value, within=()):
    if isinstance(value, types.FunctionType):
        return _described(value, within) or value.__qualname__
    if isinstance(value, functools.partial):
        value = [value.func, value.args, value.keywords]
    if isinstance(value, list | tuple):
        return [_described_value(one, within) for one in value]
    if isinstance(value, set | frozenset):
        return sorted(repr(_described_value(one, within)) for one in value)
    if isinstance(value, dict):
        return {str(key): _described_value(value[key], within) for key in value}
    if not _is_plain(value):
        return getattr(value, "__qualname__", type(value).__qualname__)
    if not hasattr(value, "__array__"):
        return repr(value) if isinstance(value, complex) else value
    array = np.ascontiguousarray(keras.ops.convert_to_numpy(value))
    if array.dtype.hasobject:
        return repr(array.tolist())
    values = hashlib.sha256(array).hexdigest()
    return f"{array.dtype} {array.shape} {values}"


def _is_plain(value):
    """Whether it is a number, a text or an array, or a collection of them."""
    if isinstance(value, list | tuple | set | frozenset):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(isinstance(k, str | int) and _is_plain(value[k]) for k in value)
    if isinstance(value, keras.Variable | keras.KerasTensor):
        return False  # Weights are compared apart.
    plain = value is None or isinstance(value, bool | int | float | complex | str)
    return plain or (hasattr(value, "__array__") and not isinstance(value, type))


def _is_of_frameworks(value):
    return (value.__module__ or "").partition(".")[0] in _FRAMEWORKS


def _names(code, operation):
    """Returns the names that an operation of some code has, such as its globals."""
    instructions = dis.get_instructions(code)
    names = {one.argval for one in instructions if one.opname == operation}
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _names(constant, operation)
    return names
