import functools

import keras
import numpy as np
import pytest

from keras_wconv import applications
from keras_wconv.applications import vgg

CIFAR = {"input_shape": (32, 32, 3), "batch_normalization": True}


@pytest.mark.skipif(
    keras.backend.backend() != "torch",
    reason="up to 0.6 GB a network, but for the meta device of PyTorch",
)
@pytest.mark.parametrize("density", [None, 0.7])
@pytest.mark.parametrize(
    ("build", "arguments", "expected"),
    [
        (vgg.VGG16, {}, (138_357_544, 0)),
        (vgg.VGG19, {}, (143_667_240, 0)),
        (vgg.VGG16, {"include_top": False}, (14_714_688, 0)),
        (vgg.VGG19, {"include_top": False}, (20_024_384, 0)),
        (vgg.VGG16, {"batch_normalization": True}, (138_365_992, 8_448)),
        (vgg.VGG19, {"batch_normalization": True}, (143_678_248, 11_008)),
        # torchvision's vgg11, vgg11_bn, vgg13 and vgg13_bn.
        (vgg.VGG11, {}, (132_863_336, 0)),
        (vgg.VGG11, {"batch_normalization": True}, (132_868_840, 5_504)),
        (vgg.VGG13, {}, (133_047_848, 0)),
        (vgg.VGG13, {"batch_normalization": True}, (133_053_736, 5_888)),
        (vgg.VGG16, {**CIFAR, "classes": 100}, (34_015_396, 8_448)),
    ],
)
def test_counts(counts, build, arguments, expected, density):
    assert counts(build, density=density, **arguments) == expected


@pytest.mark.parametrize("density", [None, {3: [0.7]}])
@pytest.mark.parametrize(
    ("classes", "expected"), [(10, (14_728_266, 8_448)), (100, (14_774_436, 8_448))]
)
def test_counts_with_the_cifar_head(counts, classes, expected, density):
    build = functools.partial(vgg.VGG16, hidden_units=(), classes=classes, **CIFAR)
    assert counts(build, density=density) == expected


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("VGG16", {"classes": 10, "input_shape": (32, 32, 3)}),
        ("VGG19", {"include_top": False, "pooling": "avg"}),
    ],
)
def test_takes_the_weights_of_keras_applications(name, arguments):
    theirs = getattr(keras.applications, name)(weights=None, **arguments)
    ours = getattr(applications, name)(**arguments)
    named = [layer.name for layer in ours.layers[1:] if layer.name != "avg_pool"]
    assert named == [
        layer.name for layer in theirs.layers[1:] if "global" not in layer.name
    ]
    ours.set_weights(theirs.get_weights())
    x = np.random.default_rng(0).normal(size=(1, 32, 32, 3)).astype("float32")
    np.testing.assert_allclose(
        ours.predict(x, verbose=0), theirs.predict(x, verbose=0), rtol=1e-5, atol=1e-5
    )


def test_normalized_density_keeps_the_variance():
    # Smaller images are mostly border, where zeros take a larger part of the kernel's
    # energy from a flat density than from a peaked one.
    x = np.random.default_rng(0).normal(size=(1, 64, 64, 3)).astype("float32")

    def variance(**arguments):
        keras.utils.set_random_seed(0)
        model = vgg.VGG16(include_top=False, **arguments)
        return np.var(model.predict(x, verbose=0))

    standard = variance()
    assert variance(density=0.7) < 1e-4 * standard
    normalized = variance(density=0.7, normalize_density=True)
    assert standard / 3 < normalized < 3 * standard


def test_dropout():
    model = vgg.VGG((1,), (4,), hidden_units=(5,), dropout=0.5, input_shape=(4, 4, 3))
    assert model.get_layer("fc1_dropout").rate == 0.5


def test_preprocessing_is_that_of_keras_applications():
    assert vgg.preprocess_input is keras.applications.vgg16.preprocess_input
