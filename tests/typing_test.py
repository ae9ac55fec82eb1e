"""What type checkers and editors see of the public names."""

import ast
import inspect
import json
import subprocess
import sys
import types
from pathlib import Path

import keras
import pytest

import keras_wconv
from keras_wconv import applications, experiments, tuning

SCRIPT = Path(__file__).parent / "support" / "every_public_name.py"


def public_names():
    """Yields `(module, name, value)` of what users call."""
    listed = [keras_wconv, keras_wconv.layers, applications, tuning, experiments]
    whole = [
        getattr(keras_wconv, name)
        for name in keras_wconv.__all__
        if isinstance(getattr(keras_wconv, name), types.ModuleType)
        and getattr(keras_wconv, name) is not keras_wconv.layers
    ]
    for module in listed:
        for name in module.__all__:
            yield module, name, getattr(module, name)
    for module in [*whole, experiments.datasets]:
        for name, value in vars(module).items():
            is_own = getattr(value, "__module__", None) == module.__name__
            if is_own and not name.startswith("_"):
                yield module, name, value


NAMES = [
    pytest.param(value, id=f"{module.__name__.removeprefix('keras_wconv.')}.{name}")
    for module, name, value in public_names()
    if isinstance(value, (type, types.FunctionType))
]


def functions_of(value):
    """Yields what a public name runs: itself, or the methods that the class defines."""
    if not isinstance(value, type):
        yield value
        return
    for name, member in vars(value).items():
        if not name.startswith("_") or name in ("__init__", "__call__"):
            if isinstance(member, property):
                yield from filter(None, (member.fget, member.fset))
            member = getattr(member, "__func__", member)  # of a class method
            if isinstance(member, types.FunctionType):
                yield inspect.unwrap(member)


@pytest.mark.parametrize("value", NAMES)
def test_every_parameter_and_every_return_has_a_type(value):
    for function in functions_of(value):
        signature = inspect.signature(function)
        missing = [
            name
            for name, parameter in signature.parameters.items()
            if parameter.annotation is parameter.empty and name not in ("self", "cls")
        ]
        if signature.return_annotation is signature.empty:
            missing.append("return")
        assert not missing, f"{function.__qualname__}: {missing}"


def test_the_script_uses_every_public_name():
    used = set()
    for node in ast.walk(ast.parse(SCRIPT.read_text())):
        if isinstance(node, ast.Attribute):
            used.add(node.attr)
        elif isinstance(node, ast.alias):
            used.add(node.name)
    assert {name for _, name, _ in public_names()} <= used


def test_pyright_agrees_with_the_script(tmp_path):
    settings = {
        "typeCheckingMode": "basic",
        # The mistakes in the script are to be found.
        "reportUnnecessaryTypeIgnoreComment": "error",
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    (tmp_path / "script.py").write_text(SCRIPT.read_text())
    result = subprocess.run(
        [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "script.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def written_signature(family):
    """The parameters of `__init__` in the block for type checkers alone."""
    tree = ast.parse(inspect.getsource(family))
    [function] = [n for n in ast.walk(tree) if getattr(n, "name", "") == "__init__"]
    function.decorator_list = []
    code = f"def made{ast.unparse(function).removeprefix('def __init__')}"
    names = dict(vars(inspect.getmodule(family)))
    exec(code, names)
    return inspect.signature(names["made"])


def as_one(default):
    """Keras writes strides as `(1, 1)` where all axes share the 1 that is written."""
    is_repeated = isinstance(default, tuple) and len(set(default)) == 1
    return default[0] if is_repeated else default


@pytest.mark.parametrize(
    "name", [n for n in keras_wconv.__all__ if n.startswith("Weighted")]
)
def test_written_signature_is_that_of_the_layer_and_of_keras(name):
    layer = getattr(keras_wconv, name)
    family = layer.__mro__[1]
    _, *written = written_signature(family).parameters.values()
    actual = list(inspect.signature(layer).parameters.values())
    plain = inspect.signature(layer.__bases__[-1]).parameters
    assert issubclass(layer.__bases__[-1], keras.Layer)
    assert {p.name for p in written} == {p.name for p in actual} > set(plain)
    by_position = [p.name for p in written if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert by_position == [p.name for p in actual][: len(by_position)]
    defaults = {p.name: as_one(p.default) for p in actual}
    assert {p.name: p.default for p in written} == defaults


def test_a_builder_shows_what_it_hands_on():
    general = inspect.signature(applications.VGG).parameters
    shown = inspect.signature(applications.VGG16).parameters
    assert list(general) == ["convolutions", *[n for n in general if n in shown]]
    assert shown["name"].default == "vgg16"
    own = {"name", "density_options"}
    assert {n: p.default for n, p in shown.items() if n not in own} == {
        n: general[n].default for n in shown if n not in own
    }
    assert inspect.signature(applications.ResNet20).parameters["classes"].default == 10
    assert "stem" not in inspect.signature(applications.ResNet20).parameters
