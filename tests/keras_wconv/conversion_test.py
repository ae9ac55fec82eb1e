"""Tests of the conversion of whole models, and of the way back."""

import os
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
from extent import first
from keras import layers

import keras_wconv
from keras_wconv import densities

BACKEND = keras.backend.backend()
CONVOLUTIONS = [
    ("Conv1D", {"padding": "causal", "dilation_rate": 2}, (8, 4)),
    ("Conv2D", {"groups": 2, "padding": "same"}, (8, 8, 4)),
    ("Conv3D", {"strides": 2}, (8, 8, 8, 4)),
    ("DepthwiseConv1D", {"depth_multiplier": 2}, (8, 4)),
    ("DepthwiseConv2D", {"use_bias": False}, (8, 8, 4)),
    ("SeparableConv1D", {}, (8, 4)),
    ("SeparableConv2D", {"activation": "tanh"}, (8, 8, 4)),
    ("Conv1DTranspose", {"strides": 2}, (8, 4)),
    ("Conv2DTranspose", {"strides": 2, "padding": "same"}, (8, 8, 4)),
    ("Conv3DTranspose", {}, (4, 4, 4, 4)),
]
# A third of keras.applications for each backend keeps the matrix quick. The sizes are
# the smallest that each network takes.
APPLICATIONS = {
    "tensorflow": first(("Xception", 71), ("DenseNet121", 32), ("InceptionV3", 75)),
    "jax": first(("MobileNetV2", 32), ("VGG16", 32)),
    "torch": first(("ResNet50V2", 32), ("EfficientNetV2B0", 32), ("ConvNeXtTiny", 32)),
}


def by_axis(name, kernel_size):
    """A density for kernels of any shape."""
    return [list(np.linspace(0.3, 0.9, (size - 1) // 2)) for size in kernel_size]


def to_numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def random_inputs(model, seed=0):
    rng = np.random.default_rng(seed)
    is_sequential = isinstance(model, keras.Sequential)
    return keras.tree.map_structure(
        lambda x: rng.normal(size=(2, *x.shape[1:])).astype("float32"),
        model.inputs[0] if is_sequential else model.input,
    )


def randomize(model, seed=0):
    """Gives every weight another value, so that a lost one is seen."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        factor = rng.uniform(0.8, 1.2, weight.shape)
        noise = rng.uniform(0.0, 0.01, weight.shape)
        if "float" in weight.dtype:
            weight.assign(to_numpy(weight) * factor + noise)


def relative_error(outputs, expected):
    outputs, expected = to_numpy(outputs), to_numpy(expected)
    scale = np.abs(expected).max()
    assert scale > 0
    return np.abs(outputs.astype("float64") - expected).max() / scale


def small_model(**kwargs):
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(4, 3, name="conv", **kwargs),
            layers.Conv2D(2, 1, name="head"),
        ]
    )


def saved_and_loaded(model, tmp_path):
    model.save(tmp_path / "model.keras")
    return keras.saving.load_model(tmp_path / "model.keras")


@pytest.mark.parametrize(("name", "size"), APPLICATIONS[BACKEND])
def test_keras_applications(name, size, tmp_path):
    build = getattr(keras.applications, name)
    model = build(weights=None, include_top=False, input_shape=(size, size, 3))
    randomize(model)
    inputs = np.random.default_rng(1).uniform(0, 1, (1, size, size, 3))
    expected = model(inputs, training=False)

    weighted = keras_wconv.to_weighted(model, by_axis)
    assert relative_error(weighted(inputs, training=False), expected) < 1e-4
    weighted = saved_and_loaded(weighted, tmp_path)
    folded = keras_wconv.fold(weighted)
    assert relative_error(folded(inputs, training=False), expected) < 1e-4

    names = [layer.name for layer in model.layers]
    assert [layer.name for layer in weighted.layers] == names
    assert [layer.name for layer in folded.layers] == names
    assert weighted.count_params() == model.count_params() == folded.count_params()
    weighted_layers = [
        layer
        for layer in weighted.layers
        if isinstance(layer, keras_wconv.layers.WeightedConvolution)
    ]
    assert len(weighted_layers) >= 13
    assert [type(a) for a in folded.layers] == [type(a) for a in model.layers]


@pytest.mark.parametrize(("name", "kwargs", "shape"), CONVOLUTIONS)
def test_every_family(name, kwargs, shape):
    arguments = (3,) if "Depthwise" in name else (4, 3)
    layer = getattr(layers, name)(*arguments, **kwargs)
    model = keras.Sequential([keras.Input(shape), layer])
    randomize(model)
    inputs = random_inputs(model)
    density = [0.3, 0.6] if kwargs.get("padding") == "causal" else 0.5

    weighted = keras_wconv.to_weighted(model, density)
    assert type(weighted.layers[0]).__name__ == f"Weighted{name}"
    assert relative_error(weighted(inputs), model(inputs)) < 1e-5
    folded = keras_wconv.fold(weighted)
    assert type(folded.layers[0]) is type(layer)
    assert relative_error(folded(inputs), model(inputs)) < 1e-5
    assert folded.layers[0].get_config() == layer.get_config()

    raw = keras_wconv.to_weighted(model, density, preserve="kernel")
    for old, new in zip(model.weights, raw.weights, strict=True):
        np.testing.assert_array_equal(to_numpy(old), to_numpy(new))
    assert relative_error(raw(inputs), model(inputs)) > 1e-2
    np.testing.assert_array_equal(
        to_numpy(keras_wconv.fold(raw)(inputs)), to_numpy(raw(inputs))
    )


def nested_model(share_across=True):
    """A layer that is shared inside and across nested models, and two inputs."""
    shared = layers.Conv2D(3, 3, padding="same", name="shared")
    inner_in = keras.Input((8, 8, 3), name="inner_in")
    inner = keras.Model(inner_in, shared(layers.ReLU()(shared(inner_in))), name="inner")
    stack = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(3, 5, padding="same", name="wide"),
            layers.BatchNormalization(name="norm"),
        ],
        name="stack",
    )
    a, b = keras.Input((8, 8, 3), name="a"), keras.Input((8, 8, 3), name="b")
    merged = inner(a) + stack(b) * 2.0
    first = inner(merged)
    if share_across:
        first = shared(first)
    outputs = {"first": first, "second": stack(merged)}
    return keras.Model({"a": a, "b": b}, outputs, name="outer")


def test_nested_and_shared_layers():
    model = nested_model()
    randomize(model)
    before = [to_numpy(weight).copy() for weight in model.weights]
    inputs = random_inputs(model)
    weighted = keras_wconv.to_weighted(model, {3: 0.6, 5: [0.2, 0.8]})
    folded = keras_wconv.fold(weighted)
    for copy in (weighted, folded):
        outputs, expected = copy(inputs), model(inputs)
        assert set(outputs) == {"first", "second"}
        for key in expected:
            assert relative_error(outputs[key], expected[key]) < 1e-5
        assert copy.name == "outer"
        assert [layer.name for layer in copy.layers] == [
            layer.name for layer in model.layers
        ]
        inner = copy.get_layer("inner")
        assert inner.layers[0].name == "inner_in"
        assert inner.get_layer("shared") is copy.get_layer("shared")
        assert copy.count_params() == model.count_params()
    shared = weighted.get_layer("shared")
    assert isinstance(shared, keras_wconv.WeightedConv2D)
    wide = weighted.get_layer("stack").get_layer("wide")
    assert wide.density_profiles[0].tolist() == [0.2, 0.8, 1.0, 0.8, 0.2]
    for old, new in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(old, to_numpy(new))


def test_a_sequential_model_built_by_its_first_call():
    model = keras.Sequential([layers.Conv1D(4, 3), layers.Flatten(), layers.Dense(2)])
    inputs = np.random.default_rng(0).normal(size=(2, 8, 3)).astype("float32")
    expected = model(inputs)
    weighted = keras_wconv.to_weighted(model, 0.5)
    assert relative_error(weighted(inputs), expected) < 1e-5
    assert relative_error(keras_wconv.fold(weighted)(inputs), expected) < 1e-5


@keras.saving.register_keras_serializable(package="conversion_test")
class OwnConv1D(layers.Conv1D):
    """A convolution that is not one of Keras's own classes."""


def test_what_is_left_alone_is_reported():
    inputs = keras.Input((2, 6, 3))
    x = layers.TimeDistributed(layers.Conv1D(3, 3), name="frames")(inputs)
    x = layers.Bidirectional(layers.ConvLSTM1D(2, 3), name="both")(x)
    x = layers.Conv1D(4, 3, name="conv", padding="same")(x)
    x = layers.Conv1D(4, 3, name="excluded", padding="same")(x)
    x = layers.Conv1D(4, 5, name="wide", padding="same")(x)
    x = OwnConv1D(4, 3, name="own", padding="same")(x)
    model = keras.Model(inputs, layers.Conv1D(2, 1, name="point")(x))
    randomize(model)
    weighted, report = keras_wconv.to_weighted(
        model, 0.6, where=lambda layer: layer.name != "excluded", return_report=True
    )
    assert [entry.name for entry in report.converted] == ["conv"]
    assert repr(report.converted[0].density) == "Separable(coefficients=0.6)"
    reasons = {entry.name: entry.reason for entry in report.left}
    assert reasons["excluded"] == "`where` excludes it"
    assert reasons["wide"] == "no density"
    assert reasons["point"] == "a kernel of 1 has nothing to weight"
    assert reasons["own"] == "of class OwnConv1D"
    inside = [name for name in reasons if name.startswith(("frames/", "both/"))]
    assert len(inside) == 3
    assert "TimeDistributed" in reasons[inside[0]]
    assert str(report).startswith("1 of 8 convolutions converted\n  frames/conv1d")

    data = random_inputs(model)
    assert relative_error(weighted(data), model(data)) < 1e-5
    assert type(weighted.get_layer("own")) is OwnConv1D


def test_state_that_is_no_plain_weight_moves_over():
    normalization = layers.Normalization(name="scale")
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            normalization,
            layers.Conv2D(4, 3),
            layers.BatchNormalization(),
            layers.Dropout(0.5, seed=1),
        ]
    )
    randomize(model)
    normalization.adapt(np.random.default_rng(0).normal(3, 2, (20, 8, 8, 3)))
    inputs = random_inputs(model)
    model(inputs, training=True)
    for copy in (keras_wconv.to_weighted(model, 0.5), keras_wconv.fold(model)):
        assert relative_error(copy(inputs), model(inputs)) < 1e-5
        old, new = model.layers[-1].variables, copy.layers[-1].variables
        assert len(new) == 1
        np.testing.assert_array_equal(to_numpy(old[0]), to_numpy(new[0]))


@pytest.mark.skipif(BACKEND != "tensorflow", reason="strings are TensorFlow's")
def test_a_vocabulary_moves_over():
    text = layers.TextVectorization(output_sequence_length=6)
    text.adapt(["one two three", "two three four"])
    inputs = keras.Input((1,), dtype="string")
    x = layers.Conv1D(4, 3)(layers.Embedding(10, 4)(text(inputs)))
    model = keras.Model(inputs, x)
    data = keras.ops.convert_to_tensor(np.array([["two four"], ["one five"]]))
    weighted = keras_wconv.to_weighted(model, 0.5)
    assert relative_error(weighted(data), model(data)) < 1e-5


def test_lora_moves_over_and_is_merged_by_folding():
    model = small_model()
    model.get_layer("conv").enable_lora(2, lora_alpha=3)
    randomize(model)
    inputs = random_inputs(model)
    weighted = keras_wconv.to_weighted(model, 0.4)
    conv = weighted.get_layer("conv")
    assert conv.lora_enabled
    assert len(conv.trainable_weights) == 3
    assert relative_error(weighted(inputs), model(inputs)) < 1e-5
    back = keras_wconv.to_weighted(weighted, None)
    assert len(back.get_layer("conv").weights) == 4
    assert relative_error(back(inputs), model(inputs)) < 1e-5
    folded = keras_wconv.fold(weighted)
    assert [w.name for w in folded.get_layer("conv").weights] == ["kernel", "bias"]
    assert relative_error(folded(inputs), model(inputs)) < 1e-5


def test_trainable_is_kept():
    model = nested_model()
    model.trainable = False
    model.get_layer("stack").trainable = True
    model.get_layer("stack").get_layer("norm").trainable = False
    weighted = keras_wconv.to_weighted(model, {3: 0.6, 5: [0.2, 0.8]})
    for copy in (weighted, keras_wconv.fold(weighted)):
        assert not copy.trainable
        assert not copy.get_layer("shared").trainable
        stack = copy.get_layer("stack")
        assert [layer.trainable for layer in (stack, *stack.layers)] == [1, 1, 0]


def test_weighted_copies_are_not_compiled_and_the_original_stays_so():
    model = small_model()
    model.compile("sgd", loss=lambda y, p: keras.ops.mean(keras.ops.square(y - p)))
    weighted = keras_wconv.to_weighted(model, 0.5)
    assert model.compiled
    assert not weighted.compiled
    assert not keras_wconv.fold(weighted).compiled
    weighted.compile("sgd", "mse")
    assert keras_wconv.fold(weighted).compiled


@pytest.mark.parametrize("preserve", ["function", "kernel"])
def test_training_the_original_leaves_its_copies_alone(preserve):
    model = small_model()
    model.add(layers.BatchNormalization())
    inputs = random_inputs(model)
    weighted = keras_wconv.to_weighted(model, 0.5, preserve)
    folded = keras_wconv.fold(weighted)
    for trained, copy in ((model, weighted), (weighted, folded)):
        before = to_numpy(copy(inputs)).copy()
        trained.compile("sgd", "mse")
        trained.fit(inputs, np.ones((2, 6, 6, 2)), verbose=0)
        np.testing.assert_array_equal(to_numpy(copy(inputs)), before)


def test_lambda_layers_keep_their_function():
    factor = 3.0
    model = keras.Sequential(
        [keras.Input((8, 3)), layers.Lambda(lambda x: x * factor), layers.Conv1D(2, 3)]
    )
    inputs = random_inputs(model)
    weighted = keras_wconv.to_weighted(model, 0.5)
    assert relative_error(weighted(inputs), model(inputs)) < 1e-5


def test_legacy_weights_load_into_a_weighted_model(tmp_path):
    model = nested_model()
    randomize(model)
    model.save(tmp_path / "legacy.h5")
    fresh = keras_wconv.to_weighted(nested_model(), {3: 0.6, 5: [0.2, 0.8]})
    fresh.load_weights(tmp_path / "legacy.h5")
    expected = keras_wconv.to_weighted(
        model, {3: 0.6, 5: [0.2, 0.8]}, preserve="kernel"
    )
    for old, new in zip(expected.weights, fresh.weights, strict=True):
        np.testing.assert_array_equal(to_numpy(old), to_numpy(new))


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "bfloat16"])
def test_precision_policies(policy):
    model = small_model(dtype=policy)
    inputs = random_inputs(model)
    weighted = keras_wconv.to_weighted(model, 0.5)
    conv = weighted.get_layer("conv")
    assert conv.dtype_policy.name == policy
    assert conv.kernel.dtype == model.get_layer("conv").kernel.dtype
    assert relative_error(weighted(inputs), model(inputs)) < 2e-2
    folded = keras_wconv.fold(weighted)
    assert relative_error(folded(inputs), model(inputs)) < 2e-2


@pytest.mark.skipif(BACKEND == "tensorflow", reason="no channels_first on its CPU")
def test_channels_first():
    model = keras.Sequential(
        [keras.Input((3, 8, 8)), layers.Conv2D(4, 3, data_format="channels_first")]
    )
    inputs = random_inputs(model)
    weighted = keras_wconv.to_weighted(model, 0.5)
    assert weighted.layers[0].data_format == "channels_first"
    assert relative_error(weighted(inputs), model(inputs)) < 1e-5
    assert relative_error(keras_wconv.fold(weighted)(inputs), model(inputs)) < 1e-5


def test_density_options_reach_the_layers():
    weighted = keras_wconv.to_weighted(
        small_model(),
        [0.5],
        normalize_density=True,
        density_trainable=True,
        density_regularizer="l2",
        density_constraint="non_neg",
    )
    conv = weighted.get_layer("conv")
    assert conv.density.regularizer is not None
    assert conv.density.constraint is not None
    np.testing.assert_allclose(np.mean(conv.density_map**2), 1.0, rtol=1e-6)
    assert weighted.count_params() == small_model().count_params() + 1


@pytest.mark.parametrize("normalize", [False, True])
def test_a_learned_density_folds_as_it_is_now(normalize):
    model = small_model()
    weighted = keras_wconv.to_weighted(
        model, [0.5], density_trainable=True, normalize_density=normalize
    )
    inputs = random_inputs(model)
    assert relative_error(weighted(inputs), model(inputs)) < 1e-5
    weighted.get_layer("conv").density.assign([0.9])
    assert relative_error(weighted(inputs), model(inputs)) > 1e-2
    folded = keras_wconv.fold(weighted)
    assert folded.count_params() == model.count_params()
    assert relative_error(folded(inputs), weighted(inputs)) < 1e-6


def test_a_weighted_model_gets_another_density_and_becomes_plain_again():
    model = small_model()
    inputs = random_inputs(model)
    first = keras_wconv.to_weighted(model, [0.5], density_trainable=True)
    second = keras_wconv.to_weighted(first, [0.8], density_trainable=True)
    conv = second.get_layer("conv")
    np.testing.assert_allclose(conv.density_profiles[0], [0.8, 1, 0.8], rtol=1e-6)
    assert relative_error(second(inputs), model(inputs)) < 1e-5

    back, report = keras_wconv.to_weighted(second, None, return_report=True)
    assert type(back.get_layer("conv")) is layers.Conv2D
    assert [str(entry) for entry in report.converted] == ["conv (3, 3): density None"]
    assert relative_error(back(inputs), model(inputs)) < 1e-5

    raw = keras_wconv.to_weighted(
        keras_wconv.to_weighted(model, 0.5, preserve="kernel"), None, preserve="kernel"
    )
    np.testing.assert_array_equal(to_numpy(raw(inputs)), to_numpy(model(inputs)))


def test_none_leaves_a_plain_model_plain():
    model = small_model()
    inputs = random_inputs(model)
    copy = keras_wconv.to_weighted(model, None)
    assert [type(a) for a in copy.layers] == [type(a) for a in model.layers]
    np.testing.assert_array_equal(to_numpy(copy(inputs)), to_numpy(model(inputs)))


def test_folding_reaches_into_wrappers():
    frame = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras_wconv.WeightedConv2D(2, 3, density=[0.5], density_trainable=True),
        ]
    )
    model = keras.Sequential(
        [
            keras.Input((2, 8, 8, 3)),
            layers.TimeDistributed(frame),
            layers.TimeDistributed(keras_wconv.WeightedConv2D(2, 3, density=0.7)),
        ]
    )
    randomize(model)
    inputs = random_inputs(model)
    folded = keras_wconv.fold(model)
    assert not any(
        type(layer).__module__.startswith("keras_wconv")
        for layer in folded._flatten_layers()
    )
    assert relative_error(folded(inputs), model(inputs)) < 1e-6


def test_a_folded_model_loads_without_keras_wconv(tmp_path):
    # Keras does not load a layer again that is shared across nested models.
    weighted = keras_wconv.to_weighted(
        nested_model(share_across=False),
        {3: [0.6], 5: [0.2, 0.8]},
        density_trainable=True,
    )
    weighted.compile(keras_wconv.optimizers.density_optimizer("adam"), "mse")
    randomize(weighted)
    inputs = random_inputs(weighted)
    keras_wconv.fold(weighted).save(tmp_path / "folded.keras")
    np.savez(tmp_path / "inputs.npz", **inputs)
    script = f"""
        import sys
        sys.modules["keras_wconv"] = None
        import keras, numpy as np
        model = keras.saving.load_model({str(tmp_path / "folded.keras")!r})
        outputs = model(dict(np.load({str(tmp_path / "inputs.npz")!r})))
        outputs = {{k: keras.ops.convert_to_numpy(v) for k, v in outputs.items()}}
        np.savez({str(tmp_path / "outputs.npz")!r}, **outputs)
    """
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], check=True, env=os.environ
    )
    outputs, expected = np.load(tmp_path / "outputs.npz"), weighted(inputs)
    for key in expected:
        assert relative_error(outputs[key], expected[key]) < 1e-5


def test_a_zero_in_the_density_is_refused_unless_kernels_are_kept():
    model = small_model()
    with pytest.raises(ValueError, match=r"zeros at these taps .*'conv': \[\(0, 0\)"):
        keras_wconv.to_weighted(model, [0.0])
    zeroed = keras_wconv.to_weighted(model, [0.0], preserve="kernel")
    inputs = random_inputs(model)
    assert relative_error(keras_wconv.fold(zeroed)(inputs), zeroed(inputs)) < 1e-6
    # Taps that are zero already may stay so.
    again = keras_wconv.to_weighted(zeroed, [0.0])
    np.testing.assert_array_equal(to_numpy(again(inputs)), to_numpy(zeroed(inputs)))
    with pytest.raises(ValueError, match="divides the kernels by the density"):
        keras_wconv.to_weighted(small_model(dtype="mixed_float16"), [1e-9])


def test_bad_arguments():
    model = small_model()
    with pytest.raises(ValueError, match=r"`preserve` must be 'function'.*'outputs'"):
        keras_wconv.to_weighted(model, 0.5, preserve="outputs")
    with pytest.raises(ValueError, match="`where` must be None or a function"):
        keras_wconv.to_weighted(model, 0.5, where="conv")
    with pytest.raises(ValueError, match=r"(?s)no convolution.*`where` excludes"):
        keras_wconv.to_weighted(model, 0.5, where=lambda layer: False)
    with pytest.raises(ValueError, match="match no convolution"):
        keras_wconv.to_weighted(model, lambda name, kernel_size: None)
    dense = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    with pytest.raises(ValueError, match="0 of 0 convolutions"):
        keras_wconv.to_weighted(dense, 0.5)
    with pytest.raises(ValueError, match="lacks 3"):
        keras_wconv.to_weighted(model, {7: [0.25, 0.15, 0.55]})
    with pytest.raises(ValueError, match=r"fits no kernel.*kernels of 3"):
        keras_wconv.to_weighted(model, [0.2, 0.8])
    with pytest.raises(TypeError, match="normalize_density"):
        keras_wconv.to_weighted(model, 0.5, normalise_density=True)


@pytest.mark.parametrize(
    "convert", [lambda model: keras_wconv.to_weighted(model, 0.5), keras_wconv.fold]
)
def test_models_that_cannot_be_copied(convert):
    class Subclassed(keras.Model):
        pass

    with pytest.raises(ValueError, match=r"subclassed model.*use the layers of"):
        convert(Subclassed())
    with pytest.raises(ValueError, match="must be a Functional or Sequential"):
        convert(layers.Conv2D(2, 3))
    with pytest.raises(ValueError, match="must be built"):
        convert(keras.Sequential([layers.Conv2D(2, 3)]))
    with pytest.raises(ValueError, match="must be built"):
        convert(keras.Sequential([keras_wconv.WeightedConv2D(2, 3, density=[0.7])]))


@pytest.mark.parametrize("in_place", [False, True])
def test_fold_names_what_is_not_a_built_model(in_place):
    unbuilt = keras.Sequential([keras_wconv.WeightedConv2D(2, 3, density=0.5)])
    with pytest.raises(ValueError, match="must be built"):
        keras_wconv.fold(unbuilt, in_place=in_place)
    with pytest.raises(ValueError, match=r"`model` must be .*model=net of type"):
        keras_wconv.fold("net", in_place=in_place)


def test_fold_names_a_layer_that_nothing_has_built():
    class Holder(layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.spare = keras_wconv.WeightedConv2D(2, 3, density=0.5, name="spare")

        def call(self, inputs):
            return inputs

    model = keras.Sequential([keras.Input((8, 8, 1)), Holder(name="holder")])
    with pytest.raises(ValueError, match=r"must be built.*'holder/spare'"):
        keras_wconv.fold(model, in_place=True)


def test_fold_refuses_what_it_cannot_make_plain():
    class Own(keras_wconv.WeightedConv2D):
        pass

    model = keras.Sequential([keras.Input((8, 8, 1)), Own(2, 3, density=0.5)])
    with pytest.raises(ValueError, match=r"cannot be replaced.*'own'"):
        keras_wconv.fold(model)


def test_a_density_of_any_kind_converts():
    model = small_model()
    inputs = random_inputs(model)
    for density in ("gaussian", densities.Radial("inverse"), np.full((3, 3), 0.5)):
        weighted = keras_wconv.to_weighted(model, density)
        assert relative_error(weighted(inputs), model(inputs)) < 1e-5


def test_folding_inside_spectral_normalization_is_for_inference():
    layer = layers.SpectralNormalization(keras_wconv.WeightedConv2D(4, 3, density=0.5))
    model = keras.Sequential([keras.Input((8, 8, 3)), layer])
    inputs = random_inputs(model)
    with pytest.warns(UserWarning, match="for inference.*spectral_normalization"):
        folded = keras_wconv.fold(model)
    assert relative_error(folded(inputs), model(inputs)) < 1e-6
    in_training = folded(inputs, training=True)
    assert relative_error(in_training, model(inputs, training=True)) > 1e-2
