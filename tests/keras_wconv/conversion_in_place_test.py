"""Tests of the conversion of models in place: subclassed ones, and layers of layers."""

import hypothesis
import keras
import numpy as np
import pytest
from extent import examples
from hypothesis import strategies as st
from keras import layers

import keras_wconv

TOLERANCE = 1e-5  # Float32, a few sums of about a hundred products.


def to_numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def relative_error(outputs, expected):
    outputs, expected = to_numpy(outputs), to_numpy(expected)
    return np.abs(outputs - expected).max() / np.abs(expected).max()


@keras.saving.register_keras_serializable(package="in_place_test")
class Block(layers.Layer):
    """Convolutions as attributes, in a list and in a dict."""

    def __init__(self, filters=3, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.conv = layers.Conv2D(filters, 3, padding="same", activation="tanh")
        self.more = [layers.DepthwiseConv2D(3, padding="same") for _ in range(2)]
        wide = layers.SeparableConv2D(filters, 5, padding="same", name="wide")
        self.by_name = {"wide": wide}
        self.norm = layers.BatchNormalization()

    def build(self, shape):
        self.conv.build(shape)
        shape = (*shape[:-1], self.filters)
        for layer in (*self.more, self.by_name["wide"], self.norm):
            layer.build(shape)

    def call(self, x):
        x = self.norm(self.conv(x))
        for layer in (*self.more, self.by_name["wide"]):
            x = layer(x)
        return x

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.blocks = [Block(3)]
        self.frames = layers.TimeDistributed(layers.Conv1D(2, 3))
        self.head = layers.Dense(2)

    def call(self, x):
        for block in self.blocks:
            x = block(x)
        return self.head(keras.ops.mean(self.frames(x), axis=(1, 2)))


def data(seed=0):
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(4, 8, 8, 3)).astype("float32")
    return inputs, rng.normal(size=(4, 2)).astype("float32")


def built(make=Subclassed):
    keras.utils.set_random_seed(0)
    model = make()
    model(data()[0])
    return model


DENSITY = {3: [0.6], 5: [0.2, 0.8]}


def convert(model, **kwargs):
    return keras_wconv.to_weighted(
        model, DENSITY, in_place=True, return_report=True, **kwargs
    )


@pytest.mark.parametrize("learned", [False, True])
def test_every_convolution_of_a_subclassed_model(learned, tmp_path):
    model = built()
    inputs, targets = data()
    model.compile("sgd", "mse", metrics=["mae"])
    expected = model.predict(inputs, verbose=0)  # It is traced with plain layers.
    plain_weights = [to_numpy(weight).copy() for weight in model.weights]
    loss = model.evaluate(inputs, targets, verbose=0)
    same, report = convert(model, density_trainable=learned)
    assert same is model
    names = [entry.name for entry in report.converted]
    # A block of one plain, two depthwise and one separable, and a wrapped one.
    assert len(set(names)) == len(names) == 5 and not report.left
    assert any(name.endswith("/wide") for name in names)
    assert any(name.startswith("time_distributed") for name in names)
    assert relative_error(model.predict(inputs, verbose=0), expected) < TOLERANCE
    np.testing.assert_allclose(
        model.evaluate(inputs, targets, verbose=0), loss, rtol=1e-4
    )
    weighted = keras_wconv.inspection.weighted_layers(model)
    assert len(weighted) == 5
    assert sum(int(np.prod(w.shape)) for w in model.weights) == sum(
        w.size for w in plain_weights
    ) + learned * (4 + 2)

    model.fit(inputs, targets, verbose=0)
    trained = model.predict(inputs, verbose=0)
    assert relative_error(trained, expected) > 1e-4
    if learned:
        moved = [layer.density_map for layer in weighted.values()]
        assert any(np.abs(phi - phi.round(2)).max() > 1e-8 for phi in moved)

    # Its weights are loaded where the same was done, and by no plain layer.
    model.save_weights(tmp_path / "model.weights.h5")
    other, _ = convert(built(), density_trainable=learned, preserve="kernel")
    other.load_weights(tmp_path / "model.weights.h5")
    assert relative_error(other.predict(inputs, verbose=0), trained) < TOLERANCE
    with pytest.raises(ValueError, match=r"expected [23] variables"):
        built().load_weights(tmp_path / "model.weights.h5")

    folded = keras_wconv.fold(model, in_place=True)
    assert folded is model
    assert relative_error(model.predict(inputs, verbose=0), trained) < TOLERANCE
    assert not keras_wconv.inspection.weighted_layers(model)
    assert [w.shape for w in model.weights] == [w.shape for w in plain_weights]
    model.save_weights(tmp_path / "plain.weights.h5")
    plain = built()
    plain.load_weights(tmp_path / "plain.weights.h5")
    assert relative_error(plain(inputs), trained) < TOLERANCE
    model.fit(inputs, targets, verbose=0)


def test_weights_of_another_density_are_refused(tmp_path):
    # A graph: of a subclassed model, Keras tells the last of several errors alone.
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(4, 3)])
    keras_wconv.to_weighted(model, 0.6, in_place=True)
    model.save_weights(tmp_path / "model.weights.h5")
    other = keras_wconv.to_weighted(model, 0.5)
    with pytest.raises(ValueError, match="saved with another density"):
        other.load_weights(tmp_path / "model.weights.h5")


def model_of_blocks():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(3, 3, padding="same", name="first")(inputs)
    x = Block(3, name="block")(x)
    x = layers.Lambda(lambda x: keras.ops.mean(x, axis=(1, 2)))(x)
    return keras.Model(inputs, layers.Dense(2)(x))


def test_a_copy_says_what_it_leaves_and_in_place_reaches_it(tmp_path):
    model = built(model_of_blocks)
    inputs, _ = data()
    for conv in (model.get_layer("first"), model.get_layer("block").conv):
        conv.kernel.assign(to_numpy(conv.kernel) * np.eye(3)[1][:, None, None])
    expected = model(inputs)
    with pytest.warns(UserWarning, match="4 of 5 convolutions are left.*block/") as all:
        weighted = keras_wconv.to_weighted(model, DENSITY)
    assert sum("are left" in str(each.message) for each in all) == 1
    assert len(keras_wconv.inspection.weighted_layers(weighted)) == 1
    _, report = convert(weighted)
    assert len(report.converted) == 5
    assert relative_error(weighted(inputs), expected) < TOLERANCE
    # The block's code makes plain layers, so a copy is refused, or made by folding.
    with pytest.raises(ValueError, match=r"inside 'block'.*in_place=True"):
        keras_wconv.to_weighted(weighted, DENSITY)
    folded = keras_wconv.fold(weighted)
    assert relative_error(folded(inputs), expected) < TOLERANCE
    assert not keras_wconv.inspection.weighted_layers(folded)
    assert len(keras_wconv.inspection.weighted_layers(weighted)) == 5
    trimmed, trimming = keras_wconv.fold(weighted, trim=0.1, return_report=True)
    # Only the first has a size of its own; the block's code says that of the others.
    assert [entry.name for entry in trimming.trimmed] == ["first"]
    assert trimmed(inputs).shape == expected.shape
    with pytest.raises(ValueError, match="`trim` changes the shapes"):
        keras_wconv.fold(weighted, trim=0.1, in_place=True)


def test_a_whole_file_is_not_loaded_with_the_wrong_kernels(tmp_path):
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, Block(3, name="block")(inputs))
    convert(model)
    model.save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match=r"expected [23] variables"):
        keras.saving.load_model(tmp_path / "model.keras")


def test_a_graph_in_place_is_saved_and_loaded_as_any(tmp_path):
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(4, 3), layers.Conv2D(2, 5)]
    )
    inputs = data()[0]
    expected = model(inputs)
    convert(model)
    assert relative_error(model(inputs), expected) < TOLERANCE
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert len(keras_wconv.inspection.weighted_layers(loaded)) == 2
    assert relative_error(loaded(inputs), expected) < TOLERANCE
    copy = keras_wconv.to_weighted(model, {3: "gaussian", 5: None})
    assert [type(layer).__name__ for layer in copy.layers] == [
        "WeightedConv2D",
        "Conv2D",
    ]
    assert relative_error(copy(inputs), expected) < TOLERANCE
    keras_wconv.to_weighted(model, None, in_place=True)
    assert [type(layer).__name__ for layer in model.layers] == ["Conv2D"] * 2
    assert relative_error(model(inputs), expected) < TOLERANCE


def test_what_is_refused_leaves_the_model_as_it_was():
    model = built()
    inputs, _ = data()
    expected = to_numpy(model(inputs)).copy()
    weights = [to_numpy(weight).copy() for weight in model.weights]
    with pytest.raises(ValueError, match="zeros at these taps"):
        keras_wconv.to_weighted(model, {3: [0.0], 5: [0.2, 0.8]}, in_place=True)
    with pytest.raises(ValueError, match="lacks 5"):
        keras_wconv.to_weighted(model, {3: [0.6]}, in_place=True)
    for old, new in zip(weights, model.weights, strict=True):
        np.testing.assert_array_equal(old, to_numpy(new))
    np.testing.assert_array_equal(to_numpy(model(inputs)), expected)
    with pytest.raises(ValueError, match="must be built"):
        keras_wconv.to_weighted(Subclassed(), DENSITY, in_place=True)
    with pytest.raises(ValueError, match=r"in_place=True.*subclassed"):
        keras_wconv.to_weighted(model, DENSITY)
    with pytest.raises(ValueError, match=r"in_place=True.*subclassed"):
        keras_wconv.fold(model)


def test_lora_and_frozen_layers_in_place():
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(4, 3), layers.Conv2D(2, 3)]
    )
    model.layers[0].enable_lora(2)
    model.layers[0].lora_kernel_b.assign(np.ones((2, 4)))
    model.layers[1].trainable = False
    inputs = data()[0]
    expected = model(inputs)
    keras_wconv.to_weighted(model, 0.5, in_place=True, density_trainable=True)
    assert relative_error(model(inputs), expected) < TOLERANCE
    assert len(model.layers[0].trainable_weights) == 4  # LoRA's, bias, density.
    assert not model.layers[1].trainable_weights
    assert not model.layers[1].density.trainable
    keras_wconv.fold(model, in_place=True)
    assert relative_error(model(inputs), expected) < TOLERANCE
    assert [w.name for w in model.layers[0].trainable_weights] == ["kernel", "bias"]
    assert not model.layers[1].trainable_weights


def test_spectral_normalization_keeps_its_layer():
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.SpectralNormalization(layers.Conv2D(4, 3)),
            layers.Conv2D(4, 3),
        ]
    )
    with pytest.warns(UserWarning, match="1 of 2 convolutions are left"):
        _, report = keras_wconv.to_weighted(
            model, 0.5, in_place=True, return_report=True
        )
    assert "divides the raw kernel" in report.left[0].reason


class CodeWeighted(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.conv = keras_wconv.WeightedConv2D(2, 3, density=0.5)

    def call(self, x):
        return self.conv(x)


def test_folding_what_code_makes_weighted_is_said():
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, CodeWeighted()(inputs))
    x = data()[0]
    expected = model(x)
    with pytest.raises(ValueError, match=r"made in the code of.*in_place=True"):
        keras_wconv.fold(model)
    with pytest.warns(UserWarning, match="multiply by the density again"):
        keras_wconv.fold(model, in_place=True)
    assert relative_error(model(x), expected) < TOLERANCE


class Tied(layers.Layer):
    """A layer that holds another one of the model, as in weight tying."""

    def __init__(self, conv, in_list=False, **kwargs):
        super().__init__(**kwargs)
        self.held = [conv] if in_list else conv

    @property
    def conv(self):
        return self.held[0] if isinstance(self.held, list) else self.held

    def call(self, x):
        return 2.0 * self.conv(x)

    def get_config(self):
        conv = keras.saving.serialize_keras_object(self.conv)
        return {
            **super().get_config(),
            "conv": conv,
            "in_list": self.held is not self.conv,
        }

    @classmethod
    def from_config(cls, config):
        conv = keras.saving.deserialize_keras_object(config.pop("conv"))
        return cls(conv, **config)


@hypothesis.settings(max_examples=examples(4, 8), deadline=None, derandomize=True)
@hypothesis.given(
    in_list=st.booleans(),
    holder_first=st.booleans(),
    size=st.sampled_from([3, 4]),
    groups=st.sampled_from([1, 3]),
)
def test_a_layer_held_by_another_of_the_model(holder_first, in_list, size, groups):
    conv = layers.Conv2D(3, size, padding="same", groups=groups, name="conv")
    tied = Tied(conv, in_list, name="tied")
    inputs = keras.Input((8, 8, 3))
    order = (tied, conv) if holder_first else (conv, tied)
    model = keras.Model(inputs, order[1](order[0](inputs)))
    x = data()[0]
    expected = model(x)
    weighted = keras_wconv.to_weighted(model, 0.5)
    for copy in (weighted, keras_wconv.fold(weighted)):
        assert copy.get_layer("tied").conv is copy.get_layer("conv")
        assert copy.get_layer("conv") is not conv
        assert len(copy.weights) == 2
        assert relative_error(copy(x), expected) < TOLERANCE
    with pytest.warns(UserWarning, match=r"conv \(held by"):
        keras_wconv.to_weighted(model, 0.5, in_place=True)
    assert tied.conv is conv and type(conv) is keras_wconv.WeightedConv2D
    assert len(model.weights) == 2
    assert relative_error(model(x), expected) < TOLERANCE


def test_a_wrapper_shares_a_graph_with_its_model():
    encoder = keras.Sequential(
        [keras.Input((None, None, 2)), layers.Conv2D(2, 3, padding="same")],
        name="encoder",
    )
    inputs = keras.Input((3, 8, 8, 2))
    x = layers.TimeDistributed(encoder, name="frames")(inputs)[:, 0] * 2
    model = keras.Model(inputs, encoder(x))
    x = np.random.default_rng(0).normal(size=(2, 3, 8, 8, 2)).astype("float32")
    expected = model(x)
    weighted, report = keras_wconv.to_weighted(model, 0.5, return_report=True)
    assert len(report.entries) == 1
    for copy in (weighted, keras_wconv.fold(weighted)):
        assert copy.get_layer("frames").layer is copy.get_layer("encoder")
        assert len(copy.weights) == 2
        assert relative_error(copy(x), expected) < TOLERANCE


def test_tied_variables_are_not_untied():
    first, second = layers.Dense(3, use_bias=False), layers.Dense(3, use_bias=False)
    inputs = keras.Input((4, 3))
    x = layers.Conv1D(3, 3, padding="same")(inputs)
    model = keras.Model(inputs, second(first(x)))
    second.__dict__["_kernel"] = first._kernel
    second._trainable_variables[:] = [first._kernel]
    with pytest.raises(ValueError, match="share the weight"):
        keras_wconv.to_weighted(model, 0.5)
