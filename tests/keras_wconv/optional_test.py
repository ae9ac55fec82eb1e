"""Tests of the packages that extras bring: where they are named, and if missing."""

import ast
import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

import keras
import pytest

from keras_wconv._optional import require

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="No backend takes part."
)


def make_package(folder, name, content):
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"not installed. Install it with: pip install .keras_wconv\[tuning\]"),
        # What KerasTuner does: the extra is there, and something that it needs is not.
        ("import absent_six.moves", "imports `absent_six`.*pip install absent_six$"),
        ("from os import absent", r"cannot import name.*Reinstall it.*\[tuning\]"),
        ("from .absent import x", r"not installed.*\[tuning\]"),
    ],
)
def test_the_module_that_is_missing_is_named(content, message, tmp_path, monkeypatch):
    name = f"package_{abs(hash(content))}"
    monkeypatch.syspath_prepend(tmp_path)
    if content is not None:
        make_package(tmp_path, name, content)
    with pytest.raises(ImportError, match=message) as error:
        require(name, extra="tuning")
    assert name in str(error.value)


def canonical(name):
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", name)[0]).lower()


def declared(project, extra=None):
    """The distributions that the package, or an extra of it, asks for."""
    found = set()
    extras = project["optional-dependencies"]
    for requirement in project["dependencies"] if extra is None else extras[extra]:
        if canonical(requirement) == project["name"].replace("_", "-"):
            inner = requirement[requirement.index("[") + 1 : requirement.index("]")]
            for name in inner.split(","):
                found |= declared(project, name)
        else:
            found.add(canonical(requirement))
    return found


def imports():
    """Yields (file, module, extra) of what the packages import; extra may be None."""
    for folder in ("keras_wconv", "applications", "tuning", "experiments"):
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Import):
                    for alias in node.names:
                        yield file, alias.name, None
                elif isinstance(node, ast.ImportFrom) and not node.level:
                    yield file, node.module, None
                elif (
                    isinstance(node, ast.Call)
                    and getattr(node.func, "id", None) == "require"
                ):
                    [keyword] = node.keywords
                    yield file, node.args[0].value, keyword.value.value


def test_what_is_imported_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    packages = importlib.metadata.packages_distributions()
    own = {*sys.stdlib_module_names, "keras_wconv", "keras_wconv_cli"}
    everywhere = declared(project)
    for extra in project["optional-dependencies"]:
        everywhere |= declared(project, extra)
    found = list(imports())
    assert {"keras", "h5py"} <= {module for _, module, _ in found}
    for file, module, extra in found:
        top = module.partition(".")[0]
        if top in own:
            continue
        names = {canonical(name) for name in packages[top]}
        asked = everywhere if extra is None else declared(project, extra)
        assert names & asked, f"{file.relative_to(ROOT)}: {module} of {extra}"


def test_all_is_every_extra_but_the_backends():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = set(project["optional-dependencies"])
    users = extras - {"tensorflow", "jax", "torch", "docs", "dev", "all"}
    for extra in users:
        assert declared(project, extra) <= declared(project, "all"), extra
    backends = {"tensorflow", "jax", "torch"}
    assert not backends & (declared(project, "all") | declared(project))
