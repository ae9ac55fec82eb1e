import keras
import numpy as np
import pytest

from keras_wconv import applications


@pytest.mark.skipif(
    keras.backend.backend() != "torch",
    reason="takes long, but for the meta device of PyTorch",
)
@pytest.mark.parametrize("density", [None, {3: [0.8]}])
def test_counts(counts, density):
    assert counts(applications.UNet3D, density=density) == (19_075_523, 4_672)


def test_a_probability_of_each_class_for_every_voxel():
    model = applications.UNet3D(filters=(2, 2), classes=4, input_shape=(4, 2, 6, 1))
    x = np.random.default_rng(0).normal(size=(2, 4, 2, 6, 1)).astype("float32")
    outputs = model.predict(x, verbose=0)
    assert outputs.shape == (2, 4, 2, 6, 4)
    np.testing.assert_allclose(outputs.sum(axis=-1), 1, rtol=1e-5)


@pytest.mark.skipif(
    keras.backend.backend() != "torch",
    reason="TensorFlow has no such convolutions on CPUs, and one backend is enough",
)
@pytest.mark.parametrize(
    "activation", [keras.activations.softmax, "log_softmax", "sparsemax"]
)
def test_channels_first_activations_act_on_the_classes(activation):
    keras.config.set_image_data_format("channels_first")
    model, linear = (
        applications.UNet3D(
            (2, 2), input_shape=(1, 4, 2, 6), classifier_activation=each
        )
        for each in (activation, None)
    )
    linear.set_weights(model.get_weights())
    x = np.random.default_rng(0).normal(size=(2, 1, 4, 2, 6)).astype("float32")
    logits = np.moveaxis(linear.predict(x, verbose=0), 1, -1)
    expected = keras.activations.get(activation)(keras.ops.convert_to_tensor(logits))
    np.testing.assert_allclose(
        np.moveaxis(model.predict(x, verbose=0), 1, -1),
        keras.ops.convert_to_numpy(expected),
        rtol=1e-5,  # one order of float32 sums or another
        atol=1e-6,
    )


def test_logits():
    model = applications.UNet3D(filters=(2, 2), classifier_activation=None)
    assert model.get_layer("predictions").activation is keras.activations.linear


def test_channels_of_every_level():
    model = applications.UNet3D(filters=(2, 3, 4))
    channels = {
        layer.name: layer.filters
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv3D)
    }
    assert channels == {
        "encoder1_conv1": 2,
        "encoder1_conv2": 4,
        "encoder2_conv1": 3,
        "encoder2_conv2": 6,
        "encoder3_conv1": 4,
        "encoder3_conv2": 8,
        "decoder2_conv1": 6,
        "decoder2_conv2": 6,
        "decoder1_conv1": 4,
        "decoder1_conv2": 4,
        "logits": 3,
    }


def test_sizes_that_the_levels_do_not_divide():
    with pytest.raises(ValueError, match=r"sizes that 8 divides. Received: \(16, 20"):
        applications.UNet3D(input_shape=(16, 20, 16, 3))
