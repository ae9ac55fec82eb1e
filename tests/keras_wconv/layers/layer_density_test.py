"""Tests of what the densities of layers are given, and of the device they are on."""

import keras
import numpy as np
import pytest
from layer_checks import BACKEND, normal, to_numpy

import keras_wconv
from keras_wconv import densities
from keras_wconv.applications import DnCNN
from keras_wconv.layers.layer_density import HeldDensity

LAYERS = {
    "conv": lambda **options: keras_wconv.WeightedConv2D(4, 3, **options),
    "depthwise": lambda **options: keras_wconv.WeightedDepthwiseConv2D(3, **options),
    "separable": lambda **options: keras_wconv.WeightedSeparableConv2D(4, 3, **options),
    "transposed": lambda **options: keras_wconv.WeightedConv2DTranspose(
        4, 3, **options
    ),
}
on_torch = pytest.mark.skipif(
    BACKEND != "torch", reason="Elsewhere a constant belongs to no device."
)


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize(
    "name", ["density_trainable", "normalize_density", "density_per_channel"]
)
@pytest.mark.parametrize("value", ["yes", 1, "False", [True]])
def test_what_is_no_bool_is_refused(make, name, value):
    options = {"density_trainable": True} | {name: value}
    with pytest.raises(ValueError, match=rf"`{name}` must be True or False.*{name}="):
        make(density=[0.7], **options)


def test_conversion_refuses_what_is_no_bool():
    model = keras.Sequential([keras.Input((6, 6, 2)), keras.layers.Conv2D(3, 3)])
    with pytest.raises(ValueError, match="`density_trainable` must be True or False"):
        keras_wconv.to_weighted(model, [0.7], density_trainable="yes")


@pytest.mark.parametrize("name", ["in_place", "return_report"])
def test_conversion_itself_has_bools_too(name):
    model = keras.Sequential([keras.Input((6, 6, 2)), keras.layers.Conv2D(3, 3)])
    with pytest.raises(ValueError, match=f"`{name}` must be True or False"):
        keras_wconv.to_weighted(model, [0.7], **{name: "no"})
    with pytest.raises(ValueError, match=f"`{name}` must be True or False"):
        keras_wconv.fold(model, **{name: "no"})


@pytest.mark.parametrize(
    "name", ["density_trainable", "normalize_density", "density_per_channel"]
)
def test_a_network_refuses_what_is_no_bool_without_a_density_too(name):
    with pytest.raises(ValueError, match=f"`{name}` must be True or False"):
        DnCNN(3, 4, density=None, **{name: "yes"})


@pytest.mark.parametrize("name", ["causal", "normalize"])
def test_a_density_refuses_what_is_no_bool(name):
    with pytest.raises(ValueError, match=f"`{name}` must be True or False"):
        HeldDensity([0.7], (3, 3), **{name: "yes"})


@pytest.mark.parametrize("value", [np.True_, np.False_])
def test_a_bool_of_numpy_is_one(value):
    layer = keras_wconv.WeightedConv2D(4, 3, density=[0.7], normalize_density=value)
    model = keras.Sequential([keras.Input((6, 6, 2)), layer])
    assert keras.models.model_from_json(model.to_json()).layers[
        0
    ].normalize_density is (bool(value))


DENSITIES = {
    "plain": {},
    "fixed": {"density": [0.7]},
    "fixed map": {"density": np.full((3, 3), 0.5)},
    "learned": {"density": [0.7], "density_trainable": True},
    "learned map": {"density": np.full((3, 3), 0.5), "density_trainable": True},
    "gaussian": {"density": "gaussian", "density_trainable": True},
    "radial": {"density": "radial", "density_trainable": True},
    "normalized": {
        "density": "gaussian",
        "density_trainable": True,
        "normalize_density": True,
    },
    "per channel": {
        "density": "gaussian",
        "density_trainable": True,
        "density_per_channel": True,
    },
}


@on_torch
@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("options", DENSITIES.values(), ids=DENSITIES)
def test_a_moved_model_computes_where_it_is(make, options):
    # "meta" is a device that every machine has. It refuses tensors of another one.
    import torch

    model = keras.Sequential([keras.Input((6, 6, 2)), make(**options)])
    inputs = normal((2, 6, 6, 2))
    before = to_numpy(model(inputs))
    model.to("meta")
    with keras.device("meta"):
        moved = model(torch.ones((2, 6, 6, 2), device="meta"))
    assert moved.device.type == "meta" and tuple(moved.shape) == before.shape
    # The constants of "meta", which have no values, are not kept.
    np.testing.assert_array_equal(to_numpy(model(inputs)), before)


@on_torch
def test_a_layer_made_on_one_device_computes_on_another():
    with keras.device("meta"):
        layer = keras_wconv.WeightedConv2D(
            4, 3, density=[0.7], kernel_initializer="ones"
        )
    inputs = np.ones((1, 3, 3, 2), "float32")
    # Two channels; a kernel of ones times the density [0.7, 1, 0.7] along each axis.
    expected = np.full((1, 1, 1, 4), 2 * 2.4**2)
    for _ in range(2):
        np.testing.assert_allclose(to_numpy(layer(inputs)), expected, rtol=1e-6)


@keras.saving.register_keras_serializable(package="wrong_density")
class Wrong(densities.Density):
    """A density of a user's own, with whatever map and start it is given."""

    positive = ("width",)

    def __init__(self, phi, width=1.0):
        self.phi, self.width = np.array(phi), width

    def __call__(self, kernel_size, causal=False):
        return self.phi

    def parameters(self, kernel_size, causal=False):
        return {"width": np.array(self.width)}

    def map(self, taps, xp, width):
        return xp.multiply(self.phi, width)


@pytest.mark.parametrize("trainable", [False, True])
@pytest.mark.parametrize(
    ("phi", "message"),
    [
        (np.full((3, 3), np.nan), "finite, real values"),
        (
            np.ones(3),
            r"kernel's shape \(3, 3\). Received: one of shape \(3,\), made by Wrong",
        ),
        (np.ones((3, 5)), r"kernel's shape \(3, 3\)"),
        (np.ones((3, 3, 1)), r"kernel's shape \(3, 3\)"),
    ],
)
def test_the_map_of_an_own_density_is_checked(phi, message, trainable):
    with pytest.raises(ValueError, match=message):
        keras_wconv.WeightedConv2D(
            4, 3, density=Wrong(phi), density_trainable=trainable
        )


def test_an_axis_of_size_1_is_the_same_for_all_taps():
    rows = np.array([[0.5], [1.0], [0.5]])
    for trainable in (False, True):
        layer = keras_wconv.WeightedConv2D(
            4,
            3,
            density=Wrong(rows),
            density_trainable=trainable,
            normalize_density=False,
        )
        layer.build((None, 6, 6, 2))
        np.testing.assert_array_equal(layer.density_map, np.tile(rows, (1, 3)))


def test_a_positive_parameter_must_start_positive():
    with pytest.raises(ValueError, match=r"must have a positive 'width'.*width=-1"):
        keras_wconv.WeightedConv2D(
            4, 3, density=Wrong(np.ones((3, 3)), -1.0), density_trainable=True
        )
    layer = keras_wconv.WeightedConv2D(
        4, 3, density=Wrong(np.ones((3, 3))), density_trainable=True
    )
    layer.build((None, 6, 6, 2))
    with pytest.raises(ValueError, match=r"must have a positive 'width'.*width=-1"):
        layer.density.assign(Wrong(np.ones((3, 3)), -1.0))


def test_a_map_of_each_channel_does_not_learn_one_for_each():
    with pytest.raises(ValueError, match=r"shape \(3, 3\). Received: .*\(3, 3, 1, 4\)"):
        keras_wconv.WeightedConv2D(
            4,
            3,
            density=np.ones((3, 3, 1, 4)),
            density_trainable=True,
            density_per_channel=True,
        )


@pytest.mark.parametrize("per_channel", [False, True])
def test_assign_refuses_what_is_not_learned(per_channel):
    layer = keras_wconv.WeightedConv1D(
        2,
        5,
        density=densities.Radial("exponential"),
        density_trainable=True,
        density_per_channel=per_channel,
        normalize_density=False,
    )
    layer.build((None, 9, 1))
    with pytest.raises(ValueError, match="must have the form of this layer's"):
        layer.density.assign(densities.Radial("inverse", 2.0))
    layer.density.assign(densities.Radial("exponential", 2.0))
    expected = np.exp(-np.array([2, 1, 0, 1, 2]) / 2)
    found = layer.density_map
    # The logarithm of the scale is rounded to float32.
    np.testing.assert_allclose(
        found,
        np.broadcast_to(expected.reshape(5, *[1] * (found.ndim - 1)), found.shape),
        rtol=1e-6,
    )
