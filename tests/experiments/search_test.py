"""The final selection: paired, chosen on validation, resumable."""

import numpy as np
import pytest
import small_tasks

from keras_wconv.experiments import comparison, search


@pytest.fixture
def task():
    return small_tasks.denoising(epochs=1)


def test_density_of_ones_is_the_standard_network_to_the_last_bit(task, tmp_path):
    chosen = search.select(task, tmp_path, [[1.0]], seeds=(1, 2))
    np.testing.assert_array_equal(chosen.test["chosen"], chosen.test["standard"])
    assert chosen.effect.mean == 0
    assert not chosen.helps


def test_validation_chooses_and_test_does_not(task, tmp_path, monkeypatch):
    """The candidate that is best on the test split is not chosen for it."""
    scores = {
        None: {"validation": 1.0, "test": 1.0},
        0.5: {"validation": 2.0, "test": 0.0},
        0.9: {"validation": 1.5, "test": 9.0},
    }

    class Model:
        def __init__(self, density):
            self.density = density

        def save(self, path):
            path.write_text(str(self.density))

    class Arm:
        def __init__(self, letter, task, density):
            self.density = None if letter == "A" else density[0]

        def train(self, seed, callbacks):
            return Model(self.density)

    def evaluate(model, split):
        return {"psnr": scores[model.density][split]}

    monkeypatch.setattr(search, "Arm", Arm)
    monkeypatch.setattr(task, "evaluate", evaluate)
    chosen = search.select(task, tmp_path, [[0.9], [0.5]], seeds=(1, 2))
    assert chosen.density == [0.5]
    assert chosen.helps
    assert chosen.model.read_text() == "0.5"
    assert chosen.effect.mean == -1.0
    assert "side of the standard network" in search.conclusion(chosen, task)


def test_a_kill_loses_at_most_the_run_in_progress(task, tmp_path, monkeypatch):
    whole = search.select(task, tmp_path / "whole", [[0.7]], seeds=(1, 2))
    train, trained = comparison.Arm.train, []

    def killed_at_the_third(self, seed, callbacks=()):
        if len(trained) == 2:
            raise KeyboardInterrupt
        trained.append(seed)
        return train(self, seed, callbacks)

    monkeypatch.setattr(comparison.Arm, "train", killed_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        search.select(task, tmp_path / "killed", [[0.7]], seeds=(1, 2))

    def counted(self, seed, callbacks=()):
        trained.append(seed)
        return train(self, seed, callbacks)

    monkeypatch.setattr(comparison.Arm, "train", counted)
    resumed = search.select(task, tmp_path / "killed", [[0.7]], seeds=(1, 2))
    assert trained == [1, 2, 1, 2]
    for name in ("chosen", "standard"):
        np.testing.assert_array_equal(whole.test[name], resumed.test[name])


def test_bad_input(task, tmp_path):
    with pytest.raises(ValueError, match="`seeds` should be two at least"):
        search.select(task, tmp_path, [[0.7]], seeds=(1,))
    with pytest.raises(ValueError, match="`candidates` should have a density"):
        search.select(task, tmp_path, [])
