"""Tests of reading PyTorch's state dictionaries, against PyTorch's own outputs."""

import pickle
import warnings

import keras
import numpy as np
import pytest
from keras import layers

import keras_wconv
from keras_wconv.pytorch import load_state_dict

torch = pytest.importorskip("torch")


class Convolution(torch.nn.Module):
    """A convolution as the published one: a kernel multiplied by Φ."""

    def __init__(self, rank, channels_in, filters, profile, groups=1, learned=False):
        super().__init__()
        size = len(profile)
        shape = (filters, channels_in // groups, *[size] * rank)
        self.weight = torch.nn.Parameter(torch.randn(shape))
        self.bias = torch.nn.Parameter(torch.randn(filters))
        if learned:
            self.den = torch.nn.Parameter(torch.tensor(profile[: (size - 1) // 2]))
        self.register_buffer("alfa", torch.tensor(profile))
        phi = self.alfa
        for _ in range(rank - 1):
            phi = phi[..., None] * self.alfa
        self.register_buffer("Phi", phi)
        self.rank, self.groups = rank, groups

    def forward(self, x):
        conv = getattr(torch.nn.functional, f"conv{self.rank}d")
        return conv(x, self.weight * self.Phi, self.bias, groups=self.groups)


def outputs_of_both(module, layer, channels_in, size=6):
    """Outputs of a PyTorch module and of a Keras layer, channels last."""
    rank = getattr(layer, "rank", 2)
    inputs = np.random.default_rng(0).normal(size=(2, *[size] * rank, channels_in))
    inputs = inputs.astype("float32")
    with torch.no_grad():
        expected = module.eval()(torch.tensor(np.moveaxis(inputs, -1, 1))).numpy()
    outputs = keras.ops.convert_to_numpy(layer(inputs))
    return outputs, np.moveaxis(expected, 1, -1)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("groups", [1, 2])
def test_weighted_convolutions(rank, groups):
    module = Convolution(rank, 4, 6, [0.2, 0.8, 1.0, 0.8, 0.2], groups)
    layer = getattr(keras_wconv, f"WeightedConv{rank}D")(
        6, 5, groups=groups, density=[0.2, 0.8]
    )
    layer.build((None, *[None] * rank, 4))
    load_state_dict(layer, module.state_dict())
    np.testing.assert_allclose(*outputs_of_both(module, layer, 4), rtol=1e-3, atol=1e-4)


def test_depthwise_convolutions():
    module = Convolution(2, 4, 8, [0.7, 1.0, 0.7], groups=4)
    layer = keras_wconv.WeightedDepthwiseConv2D(3, depth_multiplier=2, density=0.7)
    layer.build((None, None, None, 4))
    load_state_dict(layer, module.state_dict())
    np.testing.assert_allclose(*outputs_of_both(module, layer, 4), rtol=1e-3, atol=1e-4)


def test_plain_and_transposed_convolutions():
    module = torch.nn.ConvTranspose2d(4, 3, 3, stride=2)
    layer = layers.Conv2DTranspose(3, 3, strides=2)
    layer.build((None, None, None, 4))
    load_state_dict(layer, module.state_dict())
    np.testing.assert_allclose(*outputs_of_both(module, layer, 4), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("start", [[0.5], [[0.5], [0.5]], np.full((3, 3), 0.5)])
def test_a_learned_density_takes_the_published_one(start):
    module = Convolution(2, 4, 6, [0.7, 1.0, 0.7], learned=True)
    layer = keras_wconv.WeightedConv2D(6, 3, density=start, density_trainable=True)
    layer.build((None, None, None, 4))
    load_state_dict(layer, module.state_dict())
    np.testing.assert_allclose(layer.density_profiles[0], [0.7, 1, 0.7], rtol=1e-6)
    np.testing.assert_allclose(*outputs_of_both(module, layer, 4), rtol=1e-3, atol=1e-4)


def networks():
    module = torch.nn.Sequential(
        Convolution(2, 3, 4, [0.7, 1.0, 0.7]),
        torch.nn.BatchNorm2d(4),
        torch.nn.ReLU(),
        torch.nn.Conv2d(4, 5, 1),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(5, 2),
    )
    module[1].running_mean.uniform_(-1, 1)
    module[1].running_var.uniform_(0.5, 2)
    model = keras.Sequential(
        [
            keras.Input((6, 6, 3)),
            keras_wconv.WeightedConv2D(4, 3, density=[0.7], name="conv"),
            layers.BatchNormalization(epsilon=1e-5, name="norm"),
            layers.ReLU(),
            layers.Conv2D(5, 1, name="point"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2, name="dense"),
        ]
    )
    return module, model


@pytest.mark.parametrize(
    "names", [None, {"conv": "0", "norm": "1", "point": "3", "dense": "6"}]
)
def test_a_network_from_a_file(names, tmp_path):
    module, model = networks()
    torch.save(module.state_dict(), tmp_path / "state.pt")
    load_state_dict(model, tmp_path / "state.pt", names)
    np.testing.assert_allclose(*outputs_of_both(module, model, 3), rtol=1e-3, atol=1e-4)


def test_another_epsilon_is_said():
    module, _ = networks()
    model = keras.Sequential(
        [
            keras.Input((6, 6, 3)),
            keras_wconv.WeightedConv2D(4, 3, density=[0.7]),
            layers.BatchNormalization(name="norm"),
            layers.Conv2D(5, 1),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2),
        ]
    )
    with pytest.warns(UserWarning, match=r"epsilon of these layers: \['norm \(0.001"):
        load_state_dict(model, module.state_dict())


@pytest.mark.parametrize(
    ("module", "layer"),
    [
        (torch.nn.LayerNorm(4), layers.LayerNormalization),
        (
            torch.nn.GroupNorm(2, 4),
            lambda **epsilon: layers.GroupNormalization(2, **epsilon),
        ),
    ],
)
def test_the_epsilon_of_other_normalizations(module, layer):
    x = 0.03 * np.random.default_rng(0).normal(size=(2, 4)).astype("float32")
    model = keras.Sequential([keras.Input((4,)), layer(epsilon=1e-5)])
    load_state_dict(model, module.state_dict())
    # The rounding of float32, of numbers of about 1.
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(model(x)),
        module(torch.tensor(x)).detach().numpy(),
        atol=1e-5,
    )
    model = keras.Sequential([keras.Input((4,)), layer()])
    with pytest.warns(UserWarning, match=r"epsilon of these layers: .*\(0.001\)"):
        load_state_dict(model, module.state_dict())


def nested(*names):
    return keras.Sequential(
        [
            keras.Input((6, 6, 3)),
            *(
                keras.Sequential([layers.Conv2D(3, 3, name="conv1")], name=name)
                for name in names
            ),
        ]
    )


@pytest.mark.parametrize("names", [None, {"enc/conv1": "0.0", "dec/conv1": "1.0"}])
def test_nested_models_with_equal_inner_names(names):
    module = torch.nn.Sequential(
        *(torch.nn.Sequential(torch.nn.Conv2d(3, 3, 3)) for _ in range(2))
    )
    model = nested("enc", "dec")
    load_state_dict(model, module.state_dict(), names)
    np.testing.assert_allclose(*outputs_of_both(module, model, 3), rtol=1e-3, atol=1e-4)


def test_a_nested_name_without_its_model():
    state = torch.nn.Conv2d(3, 3, 3).state_dict()
    load_state_dict(nested("enc"), state, {"conv1": ""})
    with pytest.raises(ValueError, match=r"has 'conv1', which is .* not the only one"):
        load_state_dict(nested("enc", "dec"), state, {"conv1": ""})


class Scaled(layers.Layer):
    """A layer that holds a layer and a weight."""

    def __init__(self):
        super().__init__()
        self.conv = layers.Conv2D(3, 3)

    def build(self, input_shape):
        self.gain = self.add_weight(shape=(), name="gain")
        self.conv.build(input_shape)

    def call(self, inputs):
        return self.gain * self.conv(inputs)


def test_a_weight_that_no_module_gives_is_listed():
    model = keras.Sequential([keras.Input((6, 6, 3)), Scaled()])
    with pytest.raises(ValueError, match=r"weight '.*gain' has no module"):
        load_state_dict(model, torch.nn.Conv2d(3, 3, 3).state_dict())


def test_a_factor_of_each_channel():
    """Its kernel has one axis."""
    scale = layers.EinsumDense("bc,c->bc", (3,), name="scale")
    model = keras.Sequential([keras.Input((3,)), scale])
    load_state_dict(model, {"scale.weight": np.arange(3)})
    np.testing.assert_array_equal(model.get_weights()[0], [0, 1, 2])
    with pytest.raises(ValueError, match=r"has shape \(2,\), expected \(3,\)"):
        load_state_dict(model, {"scale.weight": np.arange(2)})


def test_a_plain_convolution_into_a_weighted_layer_is_said():
    module = torch.nn.Conv2d(4, 6, 3)
    layer = keras_wconv.WeightedConv2D(6, 3, density=[0.7], name="conv")
    layer.build((None, None, None, 4))
    with pytest.warns(UserWarning, match=r"multiply the weight by theirs: \['conv'"):
        load_state_dict(layer, module.state_dict())
    # The way that the warning names.
    model = keras.Sequential([keras.Input((6, 6, 4)), layers.Conv2D(6, 3)])
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        load_state_dict(model, module.state_dict())
        same = keras_wconv.WeightedConv2D(6, 3, density=[1.0])
        same.build((None, None, None, 4))
        load_state_dict(same, module.state_dict())
    weighted = keras_wconv.to_weighted(model, [0.7])
    np.testing.assert_allclose(
        *outputs_of_both(module, weighted, 4), rtol=1e-3, atol=1e-4
    )


def test_a_target_is_a_built_layer_or_model():
    with pytest.raises(ValueError, match="`target` must be built"):
        load_state_dict(keras_wconv.WeightedConv2D(2, 3), {"weight": np.ones(3)})
    with pytest.raises(ValueError, match=r"`target` must be .* of type"):
        load_state_dict("net", {"weight": np.ones(3)})


def test_all_that_does_not_match_is_listed():
    module, model = networks()
    before = keras.ops.convert_to_numpy(model.weights[0]).copy()
    state = dict(module.state_dict())
    state["0.Phi"] = torch.ones(3, 3)
    state["1.extra"] = torch.ones(1)
    state["3.weight"] = torch.ones(5, 4, 3, 3)
    del state["6.bias"]
    state["7.weight"] = torch.ones(1)
    with pytest.raises(ValueError, match="does not fit") as error:
        load_state_dict(model, state)
    for text in (
        "'0' for layer 'conv': `Phi` is a density of profile [1.0, 1.0, 1.0], that of "
        "the layer would be [0.7, 1.0, 0.7]",
        "'1' for layer 'norm': `extra` is not expected",
        "'3' for layer 'point': `weight` has shape (5, 4, 3, 3), expected (5, 4, 1, 1)",
        "'6' for layer 'dense': `bias` is missing",
        "module '7' has no layer",
    ):
        assert text in str(error.value)
    np.testing.assert_array_equal(before, keras.ops.convert_to_numpy(model.weights[0]))


@pytest.mark.parametrize("key", ["den", "alfa"])
def test_a_density_for_a_layer_without_a_kernel_is_listed(key):
    """Found: IndexError, or TypeError, instead of the list of all that is wrong."""
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.BatchNormalization(),
            keras_wconv.WeightedConv2D(2, 3, density=0.7),
        ]
    )
    norm = ("weight", "bias", "running_mean", "running_var")
    state = {"conv.weight": np.ones((2, 1, 3, 3)), "conv.bias": np.ones(2)}
    state |= {f"conv.{key}": np.array([0.7])}
    state |= {f"bn.{name}": np.ones(1) for name in norm}
    with pytest.raises(ValueError, match=f"`{key}` is not expected"):
        load_state_dict(model, state)


def test_bad_input():
    module, model = networks()
    state = module.state_dict()
    with pytest.raises(ValueError, match="layer 'dense' has no module"):
        load_state_dict(model, state, {"conv": "0", "norm": "1", "point": "3"})
    with pytest.raises(ValueError, match="`names` has 'none'"):
        load_state_dict(model, state, {"none": "0"})
    with pytest.raises(ValueError, match="several parts"):
        load_state_dict(model, {"epoch": 3, "state_dict": state})
    layer = keras_wconv.WeightedConv2D(4, 5, density=[0.2, 0.8])
    layer.build((None, None, None, 3))
    wrong = {
        "weight": np.ones((4, 3, 5, 5)),
        "bias": np.ones(4),
        "Phi": np.ones((3, 3)),
    }
    with pytest.raises(ValueError, match=r"`Phi` has shape \(3, 3\)"):
        load_state_dict(layer, wrong)
    with pytest.raises(ValueError, match="`den` has shape"):
        load_state_dict(layer, wrong | {"den": np.ones(1)})
    with pytest.raises(ValueError, match="full profile of a kernel"):
        load_state_dict(layer, {"alfa": np.ones(3)})


def test_nothing_pickled_is_read(tmp_path):
    _, model = networks()
    torch.save({"0.weight": Convolution(1, 1, 1, [1.0])}, tmp_path / "state.pt")
    with pytest.raises(pickle.UnpicklingError, match="weights_only"):
        load_state_dict(model, tmp_path / "state.pt")
