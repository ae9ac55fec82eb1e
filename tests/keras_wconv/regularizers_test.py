"""A price on the size of a kernel: what it charges, and that training pays it."""

import keras
import numpy as np
import pytest
from layer_checks import normal, randomize, to_numpy
from own_density import Cauchy

import keras_wconv
from keras_wconv import densities
from keras_wconv.regularizers import KernelSize

FORMS = {
    "gaussian": {"density": "gaussian"},
    "gaussian of each axis": {"density": densities.Gaussian([1.0, 2.0])},
    "radial": {"density": "radial"},
    "own": {"density": Cauchy(1.5)},
    "coefficients": {"density": [[0.7], [0.2, 0.8]]},
    "one axis": {"density": [[], [0.2, 0.8]], "kernel_size": (2, 5)},
    "map": {"density": np.ones((3, 5))},
    "gaussian of each filter": {"density": "gaussian", "density_per_channel": True},
    "normalized": {"density": [[0.7], [0.2, 0.8]], "normalize_density": True},
}


def layer_of(form, **arguments):
    arguments = {"filters": 3, "kernel_size": (3, 5), "name": "conv", **arguments}
    return keras_wconv.WeightedConv2D(**{**arguments, **form}, density_trainable=True)


def taps(phi):
    """The mean over the channels of the effective number of taps, in NumPy."""
    phi = phi.reshape(phi.shape[0] * phi.shape[1], -1)
    return np.mean(np.abs(phi).sum(0) ** 2 / (phi**2).sum(0))


@pytest.mark.parametrize("form", FORMS.values(), ids=list(FORMS))
def test_the_price_is_that_of_the_effective_taps(form, tmp_path):
    layer = layer_of(form, density_regularizer=KernelSize(0.01))
    model = keras.Sequential([keras.Input((8, 9, 2)), layer])
    randomize(layer)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    for each in (layer, loaded.layers[0]):
        [loss] = each.losses  # One, of however many weights.
        expected = 0.01 * taps(each.density_map)
        # The sums of 15 taps in float32.
        assert float(loss) == pytest.approx(expected, rel=1e-5)
    assert loaded.layers[0].density_regularizer.strength == 0.01


@pytest.mark.parametrize("window", [1, 5, 15])
def test_a_window_costs_its_taps(window):
    phi = np.zeros((15, 1, 1))
    phi[:window] = -2.0
    assert float(KernelSize(1.0)(phi)) == pytest.approx(window, rel=1e-6)


def test_a_gaussian_costs_as_many_taps_as_its_integrals_say():
    sigma = 3.0
    phi = densities.Gaussian(sigma)((65,))[:, None, None]
    # The sums are integrals to far below 1e-6 where sigma is above 1.
    expected = 2 * np.sqrt(np.pi) * sigma
    assert float(KernelSize(1.0)(phi)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("form", FORMS.values(), ids=list(FORMS))
def test_training_pays_the_price(form):
    """Every density shrinks where the task does not mind, and none without a price."""
    layer = layer_of(form, density_regularizer=KernelSize(1.0))
    model = keras.Sequential([keras.Input((8, 9, 2)), layer])
    randomize(layer)
    before = taps(layer.density_map)
    model.compile(
        keras.optimizers.Adam(0.01), lambda targets, outputs: 0 * keras.ops.sum(outputs)
    )
    inputs = normal((4, 8, 9, 2))
    targets = np.zeros(model.compute_output_shape(inputs.shape))
    model.fit(inputs, targets, epochs=5, verbose=0)
    assert taps(layer.density_map) < before - 1e-3


def test_a_shared_layer_pays_once_and_a_frozen_density_nothing():
    layer = layer_of(FORMS["gaussian"], density_regularizer=KernelSize(1.0))
    layer = keras_wconv.WeightedConv2D.from_config(
        layer.get_config() | {"filters": 2, "padding": "same"}
    )
    inputs = keras.Input((8, 9, 2))
    model = keras.Model(inputs, layer(layer(inputs)))
    assert len(model.losses) == 1
    layer.density.trainable = False
    assert model.losses == []


def test_the_regularizers_of_keras_are_given_the_weights():
    layer = layer_of(
        FORMS["coefficients"], density_regularizer=keras.regularizers.L2(1)
    )
    layer.build((None, 8, 9, 2))
    charged = sum(float(loss) for loss in layer.losses)
    values = layer.density.values().values()
    assert charged == pytest.approx(sum(np.sum(v**2) for v in values), rel=1e-6)


def test_mixed_precision():
    keras.config.set_dtype_policy("mixed_float16")
    layer = layer_of(FORMS["gaussian"], density_regularizer=KernelSize(0.01))
    model = keras.Sequential([keras.Input((8, 9, 2)), layer])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    before = layer.density_map
    model.fit(normal((4, 8, 9, 2)), normal((4, 6, 5, 3)), verbose=0)
    assert np.all(np.isfinite(to_numpy(layer.density.weights[0])))
    assert np.any(layer.density_map != before)


@pytest.mark.parametrize("strength", [-1.0, float("nan"), float("inf"), "much"])
def test_bad_strength(strength):
    with pytest.raises(ValueError, match="`strength` must be the price of one tap"):
        KernelSize(strength)


@pytest.mark.parametrize("taps", [255, 256, 1000])
def test_the_price_of_many_taps_in_float16(taps):
    phi = keras.ops.ones((taps, 1, 1), dtype="float16")
    # 1,000 taps cost a number of float16, but their square is none.
    assert float(KernelSize(1.0)(phi)) == pytest.approx(taps, rel=1e-6)


def test_training_in_float16_pays_the_price():
    keras.config.set_dtype_policy("float16")
    layer = keras_wconv.WeightedConv1D(
        1,
        300,
        padding="same",
        density=np.linspace(0.5, 1.5, 300),
        density_trainable=True,
        density_regularizer=KernelSize(0.01),
    )
    model = keras.Sequential([keras.Input((20, 1)), layer])
    model.compile(keras.optimizers.SGD(0.01), "mse")
    history = model.fit(normal((4, 20, 1)), normal((4, 20, 1)), verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    assert np.isfinite(layer.density_map).all()
