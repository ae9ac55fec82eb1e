import itertools
import json

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from benchmarks import RESULTS, _harness, cifar10, report


def test_the_readme_shows_what_the_files_of_results_say():
    results = report.load(RESULTS)
    readme = report.README.read_text()
    assert report.with_summary(readme, results) == readme
    assert report.tables(results) == (RESULTS / "README.md").read_text()


def test_the_table_of_costs_holds_the_median_and_the_largest_of_all_backends():
    results = report.load(RESULTS)
    _, _, *lines = report.costs(results).splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]

    def expected(benchmark, value, is_wanted):
        values = [
            value(row)
            for backend in ("tensorflow", "jax", "torch")
            for row in results[f"{benchmark}-{backend}"]["rows"]
            if is_wanted(row)
        ]
        return f"{np.median(values):.2f}, at most {np.max(values):.2f}"

    def ratio(row):
        return row["ratio"]["median"]

    def step(variant):
        def is_wanted(row):
            plain = row["policy"] == "float32" and "jit_compile" not in row
            return row["variant"] == variant and row["batch"] == 32 and plain

        return expected("networks", ratio, is_wanted)

    def memory(variant):
        return expected(
            "processes",
            ratio,
            lambda row: (
                (row["measure"], row.get("variant")) == ("peak memory", variant)
            ),
        )

    def inference(variant):
        return expected(
            "inference",
            ratio,
            lambda row: "network" in row and row["variant"] == variant,
        )

    assert [line[1:] for line in cells] == [
        [step("fixed"), step("learned"), step("standard again")],
        [memory("fixed"), memory("learned"), "–"],
        [inference("folded"), "–", inference("standard again")],
    ]


def test_the_guide_says_what_searches_found():
    rows = report.load(RESULTS)["best_found-tensorflow"]["rows"]
    guide = (report.README.parent / "guides" / "search_denoising.py").read_text()
    guide = " ".join(guide.split())

    def better(other, dimensions):
        cases = [row for row in rows if row["dimensions"] in dimensions]
        count = sum(row["direct_l"] < row[other] for row in cases)
        return f"{count} of {len(cases)}"

    assert f"random search's in {better('random', (2, 3, 6))} cases" in guide
    assert f"Bayesian optimization in {better('bayesian', (2,))} cases in two" in guide
    assert f"but only in {better('bayesian', (3, 6))} in three and six" in guide


def test_the_guide_says_what_samplers_of_optuna_found():
    rows = report.load(RESULTS)["optuna_samplers-tensorflow"]["rows"]
    guide = (report.README.parent / "guides" / "search_with_optuna.py").read_text()
    guide = " ".join(guide.split())

    def better(other):
        return sum(row["direct_l"] < row[other] for row in rows)

    assert f"random search in {better('random')} of {len(rows)} cases" in guide
    assert f"Optuna's default, in {better('tpe')}, of CMA-ES in" in guide
    assert f"of CMA-ES in {better('cma_es')} and of the Gaussian" in guide
    assert f"Gaussian process in {better('gaussian_process')} (medians" in guide
    many = [row for row in rows if row["dimensions"] > 2]
    lost = sum(row["gaussian_process"] < row["direct_l"] for row in many)
    assert f"process was better in {lost} of {len(many)} cases." in guide
    assert {row["same_points_as_the_oracle"] for row in rows} == {5}


def test_cifar10_is_made_of_the_files_of_the_package(tmp_path):
    rng = np.random.default_rng(0)
    pictures = {
        "train": rng.integers(256, size=(10, 32, 32, 3), dtype="uint8"),
        "test": rng.integers(256, size=(2, 32, 32, 3), dtype="uint8"),
    }
    labels = {"train": [6, 9, 9, 4, 1, 1, 2, 7, 8, 3], "test": [3, 8]}
    files = {f"data_batch_{i + 1}": pictures["train"][2 * i :][:2] for i in range(5)}
    for name, of_batch in {**files, "test_batch": pictures["test"]}.items():
        Image.fromarray(of_batch.reshape(2, 1024, 3)).save(tmp_path / f"{name}.png")
    for split, of_split in labels.items():
        (tmp_path / f"{split}_lables.json").write_text(json.dumps(of_split))

    builder = cifar10.prepare(tmp_path, tmp_path / "data")

    assert builder.info.features["label"].names[6] == "frog"
    for split in ("train", "test"):
        made = {e["id"]: e for e in tfds.as_numpy(builder.as_dataset(split=split))}
        for i, (picture, label) in enumerate(
            zip(pictures[split], labels[split], strict=True)
        ):
            example = made[f"{split}_{i:05}".encode()]
            np.testing.assert_array_equal(example["image"], picture)
            assert example["label"] == label


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
