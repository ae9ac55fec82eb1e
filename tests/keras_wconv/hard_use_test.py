"""Weighted layers go through what plain Keras goes through: the table of the docs."""

import pytest

from benchmarks import RESULTS, hard_use


@pytest.mark.parametrize("case", hard_use.CASES, ids=lambda case: case.name)
def test_holds_where_plain_keras_does(case):
    holds, reason = hard_use.attempt(case)
    if holds in (hard_use.REFUSED, hard_use.ABSENT):
        pytest.skip(f"{holds}: {reason}")
    assert holds == hard_use.HOLDS, reason


def test_the_table_has_every_case_and_none_that_fails():
    rows = (RESULTS / "hard_use.md").read_text().splitlines()
    names = [row.split(" | ")[0].strip("| ") for row in rows if row.startswith("| ")]
    assert names[2:] == [case.name for case in hard_use.CASES]
    assert not any(f"| {hard_use.FAILS} [" in row for row in rows)
