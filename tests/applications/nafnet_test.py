import keras
import numpy as np
import pytest

from keras_wconv import applications
from keras_wconv.applications import nafnet
from keras_wconv.layers import WeightedConv2D, WeightedDepthwiseConv2D


@pytest.mark.skipif(
    keras.backend.backend() != "torch",
    reason="takes long, but for the meta device of PyTorch",
)
@pytest.mark.parametrize("density", [None, {3: [0.7]}])
@pytest.mark.parametrize(
    ("build", "width", "expected"),
    [
        (nafnet.NAFNetSIDD, 32, 29_159_715),
        (nafnet.NAFNetSIDD, 64, 115_982_915),
        (nafnet.NAFNetGoPro, 32, 17_111_907),
        (nafnet.NAFNetGoPro, 64, 67_888_835),
    ],
)
def test_counts(counts, build, width, expected, density):
    assert counts(build, width=width, density=density) == (expected, 0)


def test_counts_of_one_block():
    """By hand: what each layer of a block has, at a width of 4."""
    model = applications.NAFNet(4, (1,), 0, (0,))
    block = [layer for layer in model.layers if layer.name.startswith("encoder1_block")]
    expected = {
        "norm1": 4 + 4,
        "conv1": 4 * 8 + 8,
        "depthwise": 9 * 8 + 8,
        "attention_conv": 4 * 4 + 4,
        "conv2": 4 * 4 + 4,
        "beta": 4,
        "norm2": 4 + 4,
        "conv3": 4 * 8 + 8,
        "conv4": 4 * 4 + 4,
        "gamma": 4,
    }
    found = {layer.name.rsplit("block1_")[1]: layer.count_params() for layer in block}
    assert {name: count for name, count in found.items() if count} == expected


def test_density_is_for_the_kernels_of_3():
    model = applications.NAFNet(4, (1,), 1, (1,), density={3: 0.7})
    weighted = {
        layer.name: type(layer) for layer in model.layers if hasattr(layer, "density")
    }
    assert weighted == {
        "intro": WeightedConv2D,
        "encoder1_block1_depthwise": WeightedDepthwiseConv2D,
        "middle_block1_depthwise": WeightedDepthwiseConv2D,
        "decoder1_block1_depthwise": WeightedDepthwiseConv2D,
        "ending": WeightedConv2D,
    }


@pytest.mark.parametrize("size", [(8, 8), (7, 9)])
def test_starts_at_the_blocks_identity_and_takes_any_size(size):
    model = applications.NAFNet(4, (1, 1), 1, (1, 1))
    assert model.output_shape == (None, None, None, 3)
    ending = model.get_layer("ending")
    ending.kernel.assign(np.zeros(ending.kernel.shape))
    x = np.random.default_rng(0).normal(size=(1, *size, 3)).astype("float32")
    np.testing.assert_array_equal(model.predict(x, verbose=0), x)


def test_pixel_shuffle_is_that_of_its_paper():
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 18)).astype("float32")
    shuffled = nafnet.PixelShuffle(3, data_format="channels_last")(x)
    shuffled = keras.ops.convert_to_numpy(shuffled)
    assert shuffled.shape == (2, 9, 15, 2)
    for i, j, c in np.ndindex(9, 15, 2):
        source = x[:, i // 3, j // 3, c * 9 + 3 * (i % 3) + j % 3]
        np.testing.assert_array_equal(shuffled[:, i, j, c], source)


def test_simple_gate_multiplies_the_halves():
    x = np.arange(6, dtype="float32").reshape((1, 1, 6))
    gated = keras.ops.convert_to_numpy(nafnet.SimpleGate()(x))
    np.testing.assert_array_equal(gated, [[[0 * 3, 1 * 4, 2 * 5]]])


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_padding_and_cropping(data_format):
    sizes = (7, 8)
    shape = (2, *sizes, 3) if data_format == "channels_last" else (2, 3, *sizes)
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    pad = nafnet.PadToMultiple(4, data_format=data_format)
    padded = pad(x)
    assert tuple(padded.shape) == pad.compute_output_shape(shape)
    cropped = nafnet.CropTo()(padded, x)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(cropped), x)
    padded = keras.ops.convert_to_numpy(padded)
    assert padded.sum() == pytest.approx(x.sum(), rel=1e-4)


@pytest.mark.parametrize(
    "layer",
    [
        nafnet.SimpleGate(axis=1),
        nafnet.PixelShuffle(3, data_format="channels_first"),
        nafnet.PadToMultiple(3, data_format="channels_first"),
        nafnet.CropTo(),
    ],
)
def test_layers_are_serialisable(layer):
    serialized = keras.saving.serialize_keras_object(layer)
    assert serialized["registered_name"] == f"keras_wconv>{type(layer).__name__}"
    restored = keras.saving.deserialize_keras_object(serialized)
    assert restored.get_config() == layer.get_config()


def test_levels_have_to_match():
    with pytest.raises(ValueError, match="the same number of levels"):
        applications.NAFNet(4, (1, 1), 1, (1,))
