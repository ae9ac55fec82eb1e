"""The search for a density, from Python."""

import csv

import keras
import numpy as np
import pytest
from made_study import Stripes

from keras_wconv.applications import VGG
from keras_wconv.experiments import compare, search


def network(density=None, **options):
    return VGG(
        (1,), (4,), density=density, input_shape=(6, 6, 1), classes=2, hidden_units=(),
        **options,
    )  # fmt: skip


def task(**recipe):
    def build(input_shape=None, classes=None, **options):
        return network(**options)

    return Stripes(network=build, **recipe)


def test_a_search_writes_what_it_promises_and_goes_on(tmp_path):
    results = search(task(), tmp_path, trials=6, seeds=(0, 1), command="the command")
    written = {path.name for path in tmp_path.iterdir()}
    assert written >= {"report.md", "report.html", "trials.csv", "results.json"}
    assert written >= {"best.keras", "folded.keras"}
    best, folded = (
        keras.saving.load_model(tmp_path / f"{name}.keras", compile=False)
        for name in ("best", "folded")
    )
    assert not any(hasattr(layer, "density_map") for layer in folded.layers)
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 1)).astype("float32")
    # The product is rounded once in both; only the order of sums may differ.
    outputs = (keras.ops.convert_to_numpy(model(x)) for model in (folded, best))
    np.testing.assert_allclose(*outputs, atol=1e-5)
    with (tmp_path / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6 and {"density_3_1", "start", "accuracy"} <= set(rows[0])
    assert results.sides["proposal"] == ["weighted"]
    # The middle of [0.5, 1.5] is the standard convolution.
    assert float(rows[0]["density_3_1"]) == 1
    assert "`the command`" in (tmp_path / "report.md").read_text()
    log = (tmp_path / "runs.jsonl").read_text()
    again = search(task(), tmp_path, trials=6, seeds=(0, 1))
    assert (tmp_path / "runs.jsonl").read_text() == log
    assert again.verdict() == results.verdict()


def test_overwrite_begins_again(tmp_path, monkeypatch):
    (tmp_path / "runs.jsonl").write_text('{"arm": "A"}\n')
    with pytest.raises(ValueError, match="Give another folder"):
        search(task(), tmp_path, trials=3, seeds=(0, 1))
    # Found: a wrong argument lost the runs before it was refused.
    with pytest.raises(ValueError, match="`seeds` must be"):
        search(task(), tmp_path, trials=3, seeds=(0,), overwrite=True)
    assert '"arm"' in (tmp_path / "runs.jsonl").read_text()
    monkeypatch.setattr("keras_wconv.experiments.study.train._save", lambda *_: None)
    # Found: a network that cannot be saved left that of the search before.
    (tmp_path / "best.keras").write_text("old")
    search(task(), tmp_path, trials=3, seeds=(0, 1), overwrite=True)
    assert '"arm"' not in (tmp_path / "runs.jsonl").read_text()
    assert not (tmp_path / "best.keras").exists()


def test_the_short_form_asks_the_standard_question(tmp_path):
    results = compare(
        task(), tmp_path, density=[0.7], trials=3, seeds=(0, 1), controls=["one factor"]
    )
    assert list(results.effects()) == ["proposal - baseline", "one factor - baseline"]
    assert results.choice("baseline").startswith("standard")
    assert results.choice("proposal").startswith("weighted")
