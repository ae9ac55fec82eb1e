"""Tests of the table and the pictures of densities."""

import sys
import tempfile

import keras
import keras_tuner as kt
import matplotlib.pyplot as plt
import numpy as np
import optuna
import pytest
from keras import layers
from rich.console import Console

import keras_wconv
from keras_wconv import visualization


@pytest.fixture
def model():
    inner = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras_wconv.WeightedConv2D(3, 3, density=0.7, name="first"),
            keras_wconv.WeightedConv2D(3, 3, density=0.7, name="second"),
        ],
        name="inner",
    )
    return keras.Sequential(
        [
            keras.Input((2, 8, 8, 3)),
            layers.TimeDistributed(inner),
            keras_wconv.WeightedConv3D(
                2,
                (1, 3, 3),
                density=[[], [0.5], [1.5]],
                density_trainable=True,
                normalize_density=True,
                name="third",
            ),
            keras_wconv.WeightedConv3D(2, 1, name="plain"),
        ],
        name="outer",
    )


def test_summary(model):
    console = Console(record=True, width=120)
    visualization.summary(model, console)
    text = console.export_text()
    assert "Weighted layers of outer" in text
    assert "plain" not in text
    first, second, third = (text.index(name) for name in ("first", "second", "third"))
    assert first < third
    assert second < third
    assert "0.7  1  0.7" in text
    assert "0.436" in text
    assert "1 × 3 × 3" in text
    assert "Separable, learned, normalized" in text
    assert "1.5  1  1.5" in text


def test_gain_is_the_factor_on_the_variance():
    layer = keras_wconv.WeightedConv2D(512, 3, density=[0.25], use_bias=False)
    plain = layers.Conv2D(512, 3, use_bias=False)
    inputs = np.random.default_rng(0).normal(size=(4, 8, 8, 16)).astype("float32")
    weighted, standard = (
        np.var(keras.ops.convert_to_numpy(one(inputs))) for one in (layer, plain)
    )
    np.testing.assert_allclose(weighted / standard, visualization.gain(layer), rtol=0.1)


def test_layers_of_one_density_share_a_row(model, tmp_path):
    figure = visualization.plot_densities(model)
    maps = [axes for axes in figure.axes if axes.get_images()]
    assert [axes.get_title() for axes in maps] == [
        "2 layers, time_distributed/inner/first to "
        "time_distributed/inner/second\ngain 0.436",
        "third\ngain 1",
    ]
    np.testing.assert_allclose(
        maps[0].get_images()[0].get_array()[0], [0.49, 0.7, 0.49]
    )
    labels = [
        [t.get_text() for t in a.get_legend().get_texts()]
        for a in figure.axes
        if a.get_legend()
    ]
    assert labels[1] == ["axis 0", "axis 1", "axis 2", "standard"]
    figure.savefig(tmp_path / "densities.png")
    plt.close(figure)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_one_layer_of_any_rank(rank):
    layer = getattr(keras_wconv, f"WeightedConv{rank}D")(1, 5, density=[0.2, 0.8])
    figure = visualization.plot_densities(layer)
    lines = [axes.get_lines() for axes in figure.axes if axes.get_lines()]
    assert [line.get_label() for line in lines[0]] == ["every axis", "standard"]
    np.testing.assert_allclose(lines[0][0].get_ydata(), [0.2, 0.8, 1, 0.8, 0.2])
    plt.close(figure)


def test_a_model_without_densities_is_refused():
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(2, 3)])
    for function in (visualization.summary, visualization.plot_densities):
        with pytest.raises(ValueError, match="no weighted layer with a density"):
            function(model)


def test_matplotlib_is_asked_for_when_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    layer = keras_wconv.WeightedConv2D(1, 3, density=0.7)
    with pytest.raises(ImportError, match=r"keras_wconv\[plot\]"):
        visualization.plot_densities(layer)


def test_no_figure_stays_open(model):
    # A notebook shows an open one below the one that is returned.
    figures = [
        visualization.plot_densities(model),
        visualization.plot_search({"d1": [1.0]}, [0.5]),
    ]
    assert not plt.get_fignums()
    assert all(figure.axes for figure in figures)


def finished_oracle():
    hp = kt.HyperParameters()
    hp.Float("d1", 0.5, 1.5, default=1.0)
    hp.Choice("stem", ["a", "b"])
    hp.Float("rate", 1e-4, 1e-1, sampling="log")
    oracle = kt.oracles.RandomSearchOracle(
        kt.Objective("val_psnr", "max"), max_trials=4, hyperparameters=hp, seed=0
    )
    oracle.max_consecutive_failed_trials = 2
    with tempfile.TemporaryDirectory() as folder:
        oracle._set_project_dir(folder, "search")
        for score in (20.0, None, 22.0, 21.0):
            trial = oracle.create_trial("tuner0")
            if score is None:
                trial.status = "FAILED"
            else:
                oracle.update_trial(trial.trial_id, {"val_psnr": score})
                trial.status = "COMPLETED"
            oracle.end_trial(trial)
    return oracle


def test_search_of_an_oracle():
    oracle = finished_oracle()
    figure = visualization.plot_search(oracle)
    first, *panels = figure.axes[:4]
    assert first.get_ylabel() == "val_psnr"
    trials, so_far = (line.get_ydata() for line in first.get_lines())
    np.testing.assert_array_equal(trials, [20, np.nan, 22, 21])
    np.testing.assert_array_equal(so_far, [20, 20, 22, 22])
    assert [panel.get_xlabel() for panel in panels] == ["d1", "stem", "rate"]
    values = oracle.trials["2"].hyperparameters.values
    best = panels[0].get_lines()[-1]
    assert (best.get_xdata()[0], best.get_ydata()[0]) == (values["d1"], 22)


def test_search_of_a_study():
    study = optuna.create_study()
    study.enqueue_trial({"x": 0.5})
    study.enqueue_trial({"x": 0.25})
    study.optimize(lambda trial: trial.suggest_float("x", 0.0, 1.0), n_trials=2)
    figure = visualization.plot_search(study)
    _, so_far = (line.get_ydata() for line in figure.axes[0].get_lines())
    np.testing.assert_array_equal(so_far, [0.5, 0.25])
    assert figure.axes[1].get_xlabel() == "x"


@pytest.mark.parametrize("search", [None, {"d1": [1.0]}, [1.0]])
def test_what_is_no_search_is_refused(search):
    with pytest.raises(ValueError, match="`search` must be a tuner or an oracle"):
        visualization.plot_search(search)


def test_a_direction_is_max_or_min():
    with pytest.raises(ValueError, match="`direction` must be 'max' or 'min'"):
        visualization.plot_search({"d1": [1.0]}, [0.5], direction="maximize")


def test_a_search_without_a_score_is_refused():
    with pytest.raises(ValueError, match="`search` must have a trial with a score"):
        visualization.plot_search({"d1": [1.0]}, [None])


def test_effective_taps_of_channels_with_negative_values_and_of_zeros(capsys):
    phi = np.zeros((4, 1, 3))
    phi[:, 0, 0] = [1, -1, 1, -1]
    phi[:, 0, 1] = [0, -2, 0, 0]
    layer = keras_wconv.WeightedConv1D(3, 4, density=phi)
    visualization.summary(layer, Console(width=160))
    shown = " ".join(capsys.readouterr().out.split())
    # The quartiles of 4 equal taps, 1 tap and none.
    assert "quartiles of effective taps: 0 0.5 1 2.5 4" in shown
    assert "narrowest, 2: 0 0 0 0" in shown
    assert "widest, 0: 1 -1 1 -1" in shown


@pytest.mark.parametrize(
    ("normalize", "label"),
    [(None, "density, before normalization"), (False, "density")],
)
def test_profiles_of_a_normalized_density_say_so(normalize, label):
    layer = keras_wconv.WeightedConv1D(
        1, 5, density="gaussian", normalize_density=normalize
    )
    figure = visualization.plot_densities(layer)
    assert label in [axes.get_ylabel() for axes in figure.axes]
