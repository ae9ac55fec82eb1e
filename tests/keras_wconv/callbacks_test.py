import csv

import keras
import numpy as np
import pytest

import keras_wconv
from keras_wconv import visualization
from keras_wconv.callbacks import DensityLogger


def model(**density):
    network = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras_wconv.WeightedConv2D(2, 5, name="first", **density),
            keras_wconv.WeightedConv2D(1, 3, density=[0.7], name="second"),
        ]
    )
    network.compile(keras.optimizers.SGD(0.1), "mse")
    return network


def fit(network, logger, **kwargs):
    x = np.random.default_rng(0).normal(size=(8, 8, 8, 1))
    network.fit(x, np.ones((8, 2, 2, 1)), callbacks=[logger], verbose=0, **kwargs)


LEARNED = {"density": [[0.2, 0.8], [0.3, 0.9]], "density_trainable": True}


def test_densities_are_followed_from_the_start(tmp_path):
    network, logger = model(**LEARNED), DensityLogger(tmp_path / "log.csv")
    fit(network, logger, epochs=2)
    assert list(logger.history) == ["first"]
    weights = logger.history["first"]
    assert list(weights) == ["coefficients_0", "coefficients_1"]
    np.testing.assert_allclose(weights["coefficients_0"][0], [0.2, 0.8], rtol=1e-6)
    for weight, values in zip(
        network.get_layer("first").density.weights, weights.values(), strict=True
    ):
        assert len(values) == 3
        np.testing.assert_array_equal(values[-1], keras.ops.convert_to_numpy(weight))
        assert not np.array_equal(values[0], values[-1])


def test_csv_holds_every_coefficient_and_goes_on_after_a_resume(tmp_path):
    path = tmp_path / "log.csv"
    network = model(**LEARNED)
    fit(network, DensityLogger(path), epochs=1)
    fit(network, DensityLogger(path), epochs=2, initial_epoch=1)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows[::6]] == ["0", "1", "2"]
    assert {row["layer"] for row in rows} == {"first"}
    assert float(rows[1]["value"]) == pytest.approx(0.8)


def test_another_training_begins_the_csv_anew(tmp_path):
    """As Keras's CSVLogger does: two trainings in one file cannot be told apart."""
    path = tmp_path / "log.csv"
    for epochs in (3, 1):
        fit(model(**LEARNED), DensityLogger(path), epochs=epochs)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows[::6]] == ["0", "1"]


def test_effective_sizes_are_followed_and_drawn(tmp_path):
    path = tmp_path / "log.csv"
    network, logger = model(**LEARNED), DensityLogger(path)
    layer = network.get_layer("first")
    kernel = np.zeros((5, 5, 1, 2), "float32")
    kernel[2, 1:4] = 1
    layer.kernel.assign(kernel)
    network.optimizer.learning_rate = 0.0
    fit(network, logger, epochs=1)
    kernel[0] = 1
    layer.kernel.assign(kernel)
    fit(network, DensityLogger(path), epochs=2, initial_epoch=1)
    assert logger.sizes == {"first": [(1, 3), (1, 3)]}
    # Of the energy, 4.1 % are in the first row now and 0.3 % in the outer columns.
    figure = visualization.plot_sizes(path)
    label = figure.axes[0].get_yticklabels()[0].get_text()
    (image,) = figure.axes[0].get_images()
    assert label == "first: 5 × 3"
    assert image.get_array().tolist() == [[2, 2, 4]]
    with path.open("w") as file:
        file.write("epoch,layer,parameter,index,value\n")
    with pytest.raises(ValueError, match="which has no such rows"):
        visualization.plot_sizes(path)


def test_figures_of_a_logger_that_has_recorded_nothing():
    logger = DensityLogger()
    with pytest.raises(ValueError, match="`history` must have the records"):
        logger.figure()
    with pytest.raises(ValueError, match="`history` must have the records"):
        visualization.plot_sizes(logger.sizes)


def test_tensorboard_gets_a_scalar_for_each_coefficient(tmp_path):
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    )
    fit(model(**LEARNED), DensityLogger(log_dir=tmp_path), epochs=2)
    events = accumulator.EventAccumulator(str(tmp_path))
    events.Reload()
    tags = events.Tags()["tensors"] or events.Tags()["scalars"]
    assert len(tags) == 6
    assert {"first/coefficients_0_1", "first/effective_size_1"} < set(tags)
    assert [event.step for event in events.Tensors(tags[0])] == [0, 1, 2]


def test_figure_has_a_panel_a_layer_and_a_curve_a_coefficient():
    logger = DensityLogger()
    fit(model(**LEARNED), logger, epochs=2)
    (axes,) = [ax for ax in logger.figure().axes if ax.get_title()]
    assert axes.get_title() == "first"
    curves = [line for line in axes.get_lines() if len(line.get_xdata()) == 3]
    assert len(curves) == 4


def test_model_without_learned_densities_is_refused():
    with pytest.raises(ValueError, match="the model has none"):
        fit(model(density=[0.2, 0.8]), DensityLogger(), epochs=1)
