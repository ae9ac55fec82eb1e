import keras
import numpy as np
import pytest

from keras_wconv import applications
from keras_wconv.applications import resnet

CIFAR = {"stem": "cifar"}


@pytest.mark.skipif(
    keras.backend.backend() != "torch",
    reason="takes long, but for the meta device of PyTorch",
)
@pytest.mark.parametrize("density", [None, {3: [0.7], 7: [0.25, 0.15, 0.55]}])
@pytest.mark.parametrize(
    ("build", "arguments", "expected"),
    [
        (resnet.ResNet18, {}, (11_689_512, 9_600)),
        (resnet.ResNet34, {}, (21_797_672, 17_024)),
        (resnet.ResNet50, {}, (25_557_032, 53_120)),
        (resnet.ResNet101, {}, (44_549_160, 105_344)),
        (resnet.ResNet152, {}, (60_192_808, 151_424)),
        (resnet.ResNet18, {**CIFAR, "classes": 100}, (11_220_132, 9_600)),
        (resnet.ResNet34, {**CIFAR, "classes": 100}, (21_328_292, 17_024)),
        (resnet.ResNet50, {**CIFAR, "classes": 100}, (23_705_252, 53_120)),
        (resnet.ResNet18, {**CIFAR, "classes": 10}, (11_173_962, 9_600)),
        (resnet.ResNet34, {**CIFAR, "classes": 10}, (21_282_122, 17_024)),
        (resnet.ResNet50, {**CIFAR, "classes": 10}, (23_520_842, 53_120)),
    ],
)
def test_counts(counts, build, arguments, expected, density):
    if density and arguments:
        density = {3: density[3]}
    assert counts(build, density=density, **arguments) == expected


@pytest.mark.parametrize("density", [None, 0.7])
@pytest.mark.parametrize(
    ("build", "classes", "expected"),
    [
        (resnet.ResNet20, 10, 269_722),
        (resnet.ResNet32, 10, 464_154),
        (resnet.ResNet56, 10, 853_018),
        (resnet.ResNet20, 100, 275_572),
        (resnet.ResNet32, 100, 470_004),
        (resnet.ResNet56, 100, 858_868),
    ],
)
def test_counts_of_the_cifar_networks(counts, build, classes, expected, density):
    assert counts(build, classes=classes, density=density)[0] == expected


@pytest.mark.parametrize("depth", [18, 20, 32, 34, 44, 50, 56, 101, 152])
def test_depth_counts_the_layers(depth, monkeypatch):
    """The depth in a name is of the layers on the main path that have weights."""
    given = {}
    monkeypatch.setattr(
        resnet, "ResNet", lambda blocks, **kwargs: given.update(kwargs, blocks=blocks)
    )
    getattr(resnet, f"ResNet{depth}")()
    convolutions = 3 if given.get("bottleneck") else 2
    assert depth == 2 + convolutions * sum(given["blocks"])
    assert given["name"] == f"resnet{depth}"


def published_forward(model, x, blocks, convolutions):
    """The features of `model`, by He et al., from its weights and PyTorch alone."""
    import torch
    import torch.nn.functional as F

    names = {layer.name for layer in model.layers}

    def convolve(x, name, stride=1):
        kernel, *statistics = (
            torch.tensor(weight)
            for layer in (f"{name}_conv", f"{name}_bn")
            for weight in model.get_layer(layer).get_weights()
        )
        gamma, beta, mean, variance = statistics
        kernel = kernel.permute(3, 2, 0, 1)
        x = F.conv2d(x, kernel, stride=stride, padding=kernel.shape[-1] // 2)
        return F.batch_norm(x, mean, variance, gamma, beta, eps=1e-5)

    x = torch.tensor(x).permute(0, 3, 1, 2)
    x = F.max_pool2d(F.relu(convolve(x, "conv1", 2)), 3, stride=2, padding=1)
    for stage, repeats in enumerate(blocks, start=2):
        for i in range(1, repeats + 1):
            name = f"conv{stage}_block{i}"
            strides = [1] * convolutions
            strides[-2] = 2 if stage > 2 and i == 1 else 1
            y = x
            for j, stride in enumerate(strides, start=1):
                y = convolve(F.relu(y) if j > 1 else y, f"{name}_{j}", stride)
            if f"{name}_0_conv" in names:
                x = convolve(x, f"{name}_0", strides[-2])
            x = F.relu(x + y)
    return x.permute(0, 2, 3, 1).numpy()


@pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="the reference is written in PyTorch"
)
@pytest.mark.parametrize(("bottleneck", "convolutions"), [(False, 2), (True, 3)])
@pytest.mark.parametrize("size", [32, 37])
def test_published_structure(bottleneck, convolutions, size):
    random = np.random.default_rng(0)
    model = resnet.ResNet((2, 1), (4, 6), bottleneck=bottleneck, include_top=False)
    model.set_weights([random.uniform(0.1, 1, w.shape) for w in model.get_weights()])
    x = random.normal(size=(2, size, size, 3)).astype("float32")
    expected = published_forward(model, x, (2, 1), convolutions)
    np.testing.assert_allclose(model.predict(x, verbose=0), expected, rtol=1e-4)


def test_strides_are_in_the_3x3_and_projections_where_shapes_change():
    model = resnet.ResNet((2, 2), (4, 6), bottleneck=True)
    convolutions = {
        layer.name: (layer.kernel_size[0], layer.strides[0])
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D)
    }
    assert not any(model.get_layer(name).use_bias for name in convolutions)
    strided = {name for name, (_, strides) in convolutions.items() if strides == 2}
    assert strided == {"conv1_conv", "conv3_block1_0_conv", "conv3_block1_2_conv"}
    assert convolutions["conv3_block1_2_conv"] == (3, 2)
    projections = {name for name in convolutions if name.endswith("_0_conv")}
    assert projections == {"conv2_block1_0_conv", "conv3_block1_0_conv"}


def test_shortcut_of_option_a_has_every_second_pixel_and_channels_of_zeros():
    model = resnet.ResNet((1, 1), (4, 7), stem="cifar", shortcut="padding")
    shortcut = keras.Model(
        model.get_layer("conv2_block1_out").output,
        model.get_layer("conv3_block1_0_pad").output,
    )
    x = np.random.default_rng(0).normal(size=(1, 32, 32, 4)).astype("float32")
    expected = np.pad(x[:, ::2, ::2], [(0, 0)] * 3 + [(1, 2)])
    np.testing.assert_array_equal(shortcut.predict(x, verbose=0), expected)


def test_preprocessing():
    x = np.random.default_rng(0).uniform(0, 255, size=(2, 4, 4, 3))
    expected = (x / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(resnet.preprocess_input(x.copy()), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stem": "CIFAR"}, '`stem` must be "imagenet" or "cifar"'),
        ({"shortcut": "A"}, '`shortcut` must be "projection" or "padding"'),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        applications.ResNet18(**arguments)
