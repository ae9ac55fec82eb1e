"""Runs the examples of all docstrings, by import name."""

import doctest
import importlib
import pkgutil

import pytest

PACKAGES = (
    "keras_wconv",
    "keras_wconv.layers",
    "keras_wconv.applications",
    "keras_wconv.experiments",
    "keras_wconv.experiments.tasks",
    "keras_wconv.tuning",
)


def module_names():
    yield "keras_wconv_cli"
    for package in PACKAGES:
        yield package
        path = importlib.import_module(package).__path__
        yield from (
            f"{package}.{module.name}"
            for module in pkgutil.iter_modules(path)
            if not module.ispkg
        )


@pytest.mark.parametrize("name", module_names())
def test_examples_of_docstrings(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    result = doctest.testmod(importlib.import_module(name), optionflags=flags)
    assert result.failed == 0
