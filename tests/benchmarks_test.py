import itertools
import json

import numpy as np

from benchmarks import RESULTS, _harness, report


def test_the_readme_shows_what_the_files_of_results_say():
    results = report.load(RESULTS)
    readme = report.README.read_text()
    assert report.with_summary(readme, results) == readme
    assert report.tables(results) == (RESULTS / "README.md").read_text()


def test_functions_are_timed_in_turn_and_the_order_turns_round():
    calls = []
    steps = {name: lambda name=name: calls.append(name) for name in "AB"}
    times = _harness.compare(steps, seconds=0, min_rounds=4)
    assert [len(values) for values in times.values()] == [4, 4]
    # Two calls to warm up, one to see how long it takes, then four rounds.
    samples = [name for name, _ in itertools.groupby(calls[6:])]
    assert samples == ["A", "B", "A", "B", "A"]


def test_ratios_are_taken_within_a_round():
    times = {"standard": [1.0, 2.0, 4.0], "fixed": [1.1, 2.2, 4.4]}
    (row,) = _harness.ratios(times, batch=8)
    assert row["ratio"] == {"lower": 1.1, "median": 1.1, "upper": 1.1}
    assert (row["batch"], row["variant"], row["rounds"]) == (8, "fixed", 3)
    assert row["standard_milliseconds"] == 2000


def test_a_saved_result_says_how_to_get_it_and_where_it_is_from(tmp_path):
    options = type("Options", (), {"quick": True, "output": tmp_path})
    rows = [{"variant": "fixed", "ratio": _harness.quartiles(np.ones(3))}]
    result = json.loads(_harness.save("layers", rows, options).read_text())
    assert result["rows"] == rows
    assert result["command"].endswith("--only layers --quick")
    assert result["machine"]["cores"] >= 1
    assert "keras" in result["machine"]["versions"]
    report.write(tmp_path)
    assert "| fixed | 1.00 (1.00–1.00) |" in (tmp_path / "README.md").read_text()
