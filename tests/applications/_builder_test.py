"""What every builder owes, shown on small networks of each kind."""

import functools

import keras
import numpy as np
import pytest
from extent import first

from keras_wconv import applications

DENSITY = {
    2: None,
    3: [0.7],
    5: [0.2, 0.8],
    7: [0.25, 0.15, 0.55],
    8: [0.2, 0.5, 0.8],
    (3, 7, 7): [[0.7], [0.25, 0.15, 0.55], [0.25, 0.15, 0.55]],
}
# A small network of each kind, and the shape of its input.
NETWORKS = {
    "dncnn": (functools.partial(applications.DnCNN, 3, 4), (12, 10, 1)),
    "vgg": (
        functools.partial(
            applications.VGG,
            (1, 1),
            filters=(4, 6),
            batch_normalization=True,
            hidden_units=(5,),
            dropout=0.1,
            input_shape=(12, 10, 3),
            classes=3,
        ),
        (12, 10, 3),
    ),
    "resnet": (
        functools.partial(
            applications.ResNet,
            (1, 1),
            filters=(4, 6),
            bottleneck=True,
            input_shape=(12, 10, 3),
            classes=3,
        ),
        (12, 10, 3),
    ),
    "resnet_cifar": (
        functools.partial(
            applications.ResNet,
            (1, 1),
            filters=(4, 6),
            stem="cifar",
            shortcut="padding",
            input_shape=(12, 10, 3),
            classes=3,
        ),
        (12, 10, 3),
    ),
    "nafnet": (functools.partial(applications.NAFNet, 4, (1,), 0, (0,)), (11, 10, 3)),
    "convnext": (
        functools.partial(
            applications.ConvNeXt,
            (1, 1),
            widths=(4, 6),
            drop_path_rate=0.1,
            layer_scale=1.0,
            input_shape=(12, 10, 3),
            classes=3,
        ),
        (12, 10, 3),
    ),
    "time_series_resnet": (
        functools.partial(applications.TimeSeriesResNet, (4, 4)),
        (12, 1),
    ),
    "r3d": (
        functools.partial(
            applications.R3D,
            (1,),
            filters=(2,),
            input_shape=(2, 8, 6, 3),
            classes=3,
        ),
        (2, 8, 6, 3),
    ),
    "unet3d": (functools.partial(applications.UNet3D, (2, 2)), (2, 4, 6, 3)),
}


@pytest.fixture(params=NETWORKS)
def network(request):
    build, shape = NETWORKS[request.param]
    x = np.random.default_rng(0).normal(size=(2, *shape)).astype("float32")
    return build, x


def has_bfloat16_conv3d():
    """Whether its gradients are finite: in TensorFlow and PyTorch on CPUs, not all."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return bool(tf.config.get_visible_devices("GPU"))
    if keras.backend.backend() == "torch":
        import torch

        return torch.cuda.is_available()
    return True


# TensorFlow and JAX compile each anew.
POLICIES = ["mixed_bfloat16", "float32"]
COUNT = 2 if keras.backend.backend() == "torch" else 1


@pytest.mark.parametrize("policy", first(*POLICIES, count=COUNT))
def test_trains_a_step(network, policy):
    build, x = network
    if x.ndim == 5 and policy == "mixed_bfloat16" and not has_bfloat16_conv3d():
        pytest.skip("The backend's own gradients are not finite.")
    keras.config.set_dtype_policy(policy)
    model = build(density=DENSITY)
    assert model.layers[1].compute_dtype == policy.removeprefix("mixed_")
    before = model.get_weights()
    # Plain gradient descent: a gradient that is not finite shows in its weight.
    model.compile(keras.optimizers.SGD(1e-3), "mse")
    y = np.zeros([2, *model.compute_output_shape(x.shape)[1:]])
    assert np.isfinite(model.train_on_batch(x, y))
    after = model.get_weights()
    assert all(np.isfinite(value).all() for value in after)
    assert any((old != new).any() for old, new in zip(before, after, strict=True))


def test_density_changes_the_layers_and_nothing_else(network):
    build, _ = network
    keras.utils.set_random_seed(1)
    standard = build()
    keras.utils.set_random_seed(1)
    weighted = build(density=DENSITY)

    for plain, layer in zip(standard.layers[1:], weighted.layers[1:], strict=True):
        assert layer.name == plain.name
        kernel_size = getattr(plain, "kernel_size", (1,))
        patches = getattr(plain, "strides", None) == kernel_size  # without overlap
        if max(kernel_size) > 2 and not patches:
            assert type(layer).__name__ == f"Weighted{type(plain).__name__}"
        else:
            assert type(layer) is type(plain)
    for old, new in zip(standard.get_weights(), weighted.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.skipif(
    keras.backend.backend() != "torch",
    reason="TensorFlow has no such convolutions on CPUs, and one backend is enough",
)
def test_channels_first(network):
    build, x = network
    last = build(density=DENSITY)
    keras.config.set_image_data_format("channels_first")
    if "input_shape" in build.keywords:
        *sizes, channels = build.keywords["input_shape"]
        build = functools.partial(build, input_shape=(channels, *sizes))
    first = build(density=DENSITY)
    first.set_weights(last.get_weights())

    outputs = first.predict(np.moveaxis(x, -1, 1), verbose=0)
    if outputs.ndim == x.ndim:
        outputs = np.moveaxis(outputs, 1, -1)
    np.testing.assert_allclose(
        outputs, last.predict(x, verbose=0), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("name", ["convnext", "nafnet", "resnet_cifar", "r3d"])
def test_saves_and_loads(name, tmp_path):
    build, shape = NETWORKS[name]
    model = build(density=DENSITY)
    x = np.random.default_rng(0).normal(size=(1, *shape)).astype("float32")
    expected = keras.ops.convert_to_numpy(model(x))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    outputs = keras.ops.convert_to_numpy(loaded(x))
    np.testing.assert_allclose(outputs, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras", ".h5"])
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_weights_from_a_file(suffix, tmp_path):
    build, _ = NETWORKS["vgg"]
    model = build(density=DENSITY)
    model.compile("adam", "mse")
    path = tmp_path / f"vgg{suffix}"
    (model.save_weights if suffix == ".weights.h5" else model.save)(path)
    loaded = build(density=DENSITY, weights=str(path))
    for old, new in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(
    "arguments",
    [
        {"classes": 4},
        {"filters": (4, 7)},
        {"convolutions": (1, 2)},
        {"include_top": False},
        {"density": 0.7},
        # Keras would take the convolutions and ignore the rest of the file.
        {"batch_normalization": False},
    ],
)
@pytest.mark.filterwarnings("ignore:Skipping nested container")
def test_weights_of_another_network(arguments, tmp_path):
    build, _ = NETWORKS["vgg"]
    path = tmp_path / "vgg.weights.h5"
    build().save_weights(path)
    arguments = {"convolutions": (1, 1), **arguments}
    with pytest.raises(ValueError, match="`weights` are not those of this network"):
        applications.VGG(**{**build.keywords, **arguments}, weights=path)


def test_weights_that_are_no_file():
    with pytest.raises(ValueError, match=r"No file of this name was found: imagenet"):
        applications.DnCNN(3, 4, weights="imagenet")


def test_input_tensor():
    image = keras.Input((8, 8, 1))
    noisy = keras.layers.GaussianNoise(0.1)(image)
    model = applications.DnCNN(3, 4, input_tensor=noisy)
    assert model.input is image
    assert model.output_shape == (None, 8, 8, 1)


def test_density_by_function():
    asked = {}

    def density(name, kernel_size):
        asked[name] = kernel_size
        return [0.7] if name == "conv2" else None

    model = applications.DnCNN(3, 4, density=density)
    assert asked == dict.fromkeys(["conv1", "conv2", "conv3"], (3, 3))
    weighted = [layer.name for layer in model.layers if hasattr(layer, "density")]
    assert weighted == ["conv2"]


def test_density_arguments_reach_the_layers():
    model = applications.DnCNN(
        3,
        4,
        density=0.7,
        normalize_density=True,
        density_trainable=True,
        density_regularizer="l2",
        density_constraint="non_neg",
    )
    layer = model.get_layer("conv2")
    assert layer.normalize_density
    assert layer.density.trainable_weights
    assert layer.get_config()["density_regularizer"] is not None
    assert layer.get_config()["density_constraint"] is not None


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("resnet", {"density": {3: 0.7}}, "is a dict by kernel size and lacks 7"),
        ("resnet_cifar", {"density": {5: [0.2, 0.8]}}, "lacks 3"),
        ("dncnn", {"density": [0.2, 0.8]}, "fits no kernel of the network"),
        (
            "dncnn",
            {"density": lambda name, size: {"conv_2": 0.7}.get(name)},
            "None for every layer.*Received: None for conv1, conv2, conv3",
        ),
        ("dncnn", {"density_trainable": True}, "`density_trainable` needs a `density`"),
        ("resnet", {"input_shape": (7, 8, 3)}, "spatial sizes of at least 8"),
        ("vgg", {"input_shape": (8, 3, 3)}, "spatial sizes of at least 4"),
        ("vgg", {"input_shape": (None, 8, 3)}, "known sizes"),
        ("vgg", {"input_shape": (8, 8, None)}, "a known number of channels"),
        ("vgg", {"input_tensor": keras.Input((8, 3))}, "`input_tensor` .* 3 axes"),
        ("unet3d", {"input_shape": (8, 8, 9, 1)}, "sizes that 2 divides"),
        ("vgg", {"filters": (4,)}, "`convolutions` and `filters` .* same number of"),
        ("resnet", {"filters": (4,)}, r"of levels.*blocks=\(1, 1\), filters=\(4,\)"),
        ("resnet_cifar", {"filters": (6, 4)}, "`filters` must not decrease"),
        ("convnext", {"widths": (4,)}, "`depths` and `widths` .* number of levels"),
        ("r3d", {"filters": (2, 4)}, "`blocks` and `filters` .* number of levels"),
        ("r3d", {"include_top": False, "pooling": "min"}, "`pooling` must be None"),
    ],
)
def test_bad_arguments(name, arguments, message):
    build, _ = NETWORKS[name]
    with pytest.raises(ValueError, match=message):
        build(**arguments)


def test_unknown_argument():
    with pytest.raises(TypeError, match="density_normalized"):
        applications.DnCNN(3, 4, density_normalized=True)
