"""The search for a density and its final comparison."""

import csv
import json
import shutil

import keras
import numpy as np
import pytest
import small_tasks

from keras_wconv import experiments
from keras_wconv.experiments import runs


@pytest.fixture
def task():
    return small_tasks.denoising(epochs=1)


def search(task, folder, **arguments):
    return experiments.search(
        task, folder, **{"trials": 3, "best": 1, "seeds": (1, 2), **arguments}
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder and the results of a search, which no test may change."""
    folder = tmp_path_factory.mktemp("finished")
    return folder, search(small_tasks.denoising(epochs=1), folder)


def test_what_the_folder_holds(task, finished):
    folder, results = finished
    with (folder / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    values = [float(row["density_3_1"]) for row in rows]
    # The middle of [0.5, 1.5], which is the standard convolution, then its thirds.
    np.testing.assert_allclose(values, [1, 1 + 1 / 3, 1 - 1 / 3])
    density = results.setups[task.total_steps]["B"].density
    best = keras.saving.load_model(folder / "best.keras", compile=False)
    assert best.get_layer("conv1").density_map[0, 1] == pytest.approx(density[0])
    folded = keras.saving.load_model(folder / "folded.keras")
    (inputs, _) = task.batches(seed=9)[0]
    np.testing.assert_allclose(
        folded.predict(inputs, verbose=0), best.predict(inputs, verbose=0), atol=1e-5
    )
    markdown = (folder / "report.md").read_text()
    # The first sentence is the verdict; a figure stands between it and the others.
    verdict, _, rest = results.conclusion().partition(". ")
    assert f"**{verdict}.**" in markdown
    assert rest in markdown
    assert "3 trials of DIRECT-L" in markdown
    assert json.loads((folder / "results.json").read_text())["seeds"] == [1, 2]
    # The conclusion compares with a standard network that was tuned as much.
    assert results.is_fair()
    assert results.trainings[task.total_steps] == {"A": 0, "ST": 3, "B": 3}


def test_a_kill_loses_at_most_the_training_in_progress(
    task, finished, tmp_path, monkeypatch
):
    _, whole = finished
    fit, trained = small_tasks.EagerDenoising.fit, []

    def killed(self, model, *args, **kwargs):
        if len(trained) == limit:
            raise KeyboardInterrupt
        trained.append(model)
        return fit(self, model, *args, **kwargs)

    monkeypatch.setattr(small_tasks.EagerDenoising, "fit", killed)
    for limit in (2, 3, 7):  # In the search, and twice in the final runs.
        with pytest.raises(KeyboardInterrupt):
            search(task, tmp_path)
        lines = (tmp_path / "runs.jsonl").read_text().splitlines()
        assert len(lines) == limit
    limit = None
    resumed = search(task, tmp_path)
    assert len(trained) == 3 + 3 + 6
    for arm, values in whole.metrics("test", "psnr").items():
        np.testing.assert_array_equal(values, resumed.metrics("test", "psnr")[arm])


def test_finished_search_trains_nothing_again_and_can_begin_anew(
    task, finished, tmp_path, monkeypatch
):
    folder, first = finished
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    with monkeypatch.context() as patch:
        patch.setattr(small_tasks.EagerDenoising, "fit", None)
        again = search(task, tmp_path)
    assert again.runs == first.runs
    # Without its networks, as after a clone, the best one is trained again.
    for path in (tmp_path / "models").iterdir():
        path.unlink()
    (tmp_path / "best.keras").unlink()
    search(task, tmp_path)
    assert (tmp_path / "best.keras").exists()
    before = (tmp_path / "runs.jsonl").read_text()
    search(task, tmp_path, overwrite=True, seeds=(3, 4))
    assert (tmp_path / "runs.jsonl").read_text() != before


def test_search_by_short_trainings(tmp_path):
    task = small_tasks.denoising(epochs=3)
    results = search(task, tmp_path, search_epochs=1)
    assert {record["steps"] for record in results.tuned} == {task.steps}
    assert results.budgets == [3 * task.steps]
    assert f"{task.steps} steps each" in (tmp_path / "report.md").read_text()
    # Those of another search in the folder are not this one's.
    search(task, tmp_path)
    assert len((tmp_path / "trials.csv").read_text().splitlines()) == 1 + 3
    with pytest.raises(ValueError, match="a multiple of"):
        search(task, tmp_path, search_epochs=0)


def test_search_that_tries_the_standard_convolution_alone(task, tmp_path):
    with pytest.raises(ValueError, match="no density but the standard convolution"):
        search(task, tmp_path, trials=1)


def test_bad_input(task, tmp_path):
    with pytest.raises(ValueError, match="`seeds` must be at least two"):
        search(task, tmp_path, seeds=(1,))


def test_density_of_ones_is_the_standard_network_to_the_last_bit(task, tmp_path):
    results = experiments.compare(task, tmp_path, [1.0], seeds=(1, 2), arms="A,B")
    values = results.metrics("test", "psnr")
    np.testing.assert_array_equal(values["A"], values["B"])
    assert runs.RunLog(
        tmp_path, json.loads((tmp_path / "settings.json").read_text())
    ).find({"arm": "B", "seed": 1})
