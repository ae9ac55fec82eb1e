"""What `make test` does of a matter, and `make test-all` does in full."""

import os

import pytest

ALL = "TEST_ALL" in os.environ


def first(*cases, count=1):
    """Returns the parameters of a test, of which `make test` runs the first alone."""
    parameters = []
    for number, case in enumerate(cases):
        marks = [pytest.mark.exhaustive] if number >= count else []
        values = case if isinstance(case, tuple) else (case,)
        parameters.append(pytest.param(*values, marks=marks))
    return parameters


def examples(few, many):
    """Returns how many examples hypothesis is to draw."""
    return many if ALL else few
