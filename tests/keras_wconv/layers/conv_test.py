"""What the convolutions alone have: causal padding, and low-rank adapters."""

import keras
import numpy as np
import pytest
from layer_checks import DATA_FORMATS, assert_same_bits, normal, to_numpy

import keras_wconv


@pytest.mark.parametrize("data_format", DATA_FORMATS)
@pytest.mark.parametrize("factor", ["strides", "dilation_rate", "groups"])
def test_density_none_is_the_causal_layer_of_keras(factor, data_format):
    assert_same_bits(
        keras_wconv.WeightedConv1D,
        keras.layers.Conv1D,
        spatial=(9,),
        filters=4,
        kernel_size=3,
        padding="causal",
        data_format=data_format,
        **{factor: 2},
    )


@pytest.mark.parametrize("data_format", DATA_FORMATS)
def test_causal_density_looks_back_from_the_last_tap(data_format):
    layer = keras_wconv.WeightedConv1D(
        1,
        3,
        padding="causal",
        dilation_rate=2,
        data_format=data_format,
        density=[0.25, 0.5],
        kernel_initializer="ones",
    )
    impulse = np.zeros((1, 8, 1), "float32")
    impulse[0, 2] = 1.0
    if data_format == "channels_first":
        impulse = np.moveaxis(impulse, -1, 1)
    response = to_numpy(layer(impulse)).ravel()
    np.testing.assert_array_equal(response, [0, 0, 1, 0, 0.5, 0, 0.25, 0])


def test_causal_layer_does_not_see_the_future():
    layer = keras_wconv.WeightedConv1D(2, 3, padding="causal", density=[0.3, 0.6])
    inputs = normal((1, 8, 2))
    before = to_numpy(layer(inputs))[:, :5]
    inputs[:, 5:] = 9.0
    np.testing.assert_array_equal(to_numpy(layer(inputs))[:, :5], before)


def test_the_density_multiplies_the_merged_kernel_of_lora():
    layer = keras_wconv.WeightedConv2D(4, 3, density=0.7)
    inputs = normal((1, 5, 5, 2))
    layer.build(inputs.shape)
    layer.enable_lora(2)
    layer.lora_kernel_b.assign(normal((2, 4)))
    plain = keras.layers.Conv2D(4, 3)
    plain.build(inputs.shape)
    phi = layer.density_map[..., np.newaxis, np.newaxis]
    plain.set_weights([to_numpy(layer.kernel) * phi, to_numpy(layer.bias)])
    np.testing.assert_allclose(
        to_numpy(layer(inputs)), to_numpy(plain(inputs)), rtol=1e-5, atol=1e-6
    )
