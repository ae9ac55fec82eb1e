import keras
import numpy as np
import pytest
from extent import first

from keras_wconv import applications, fold
from keras_wconv.applications import convnext
from keras_wconv.densities import Gaussian
from keras_wconv.inspection import weighted_layers


@pytest.mark.skipif(
    keras.backend.backend() != "torch",
    reason="takes long, but for the meta device of PyTorch",
)
@pytest.mark.parametrize("density", [None, {7: Gaussian(2.0)}])
@pytest.mark.parametrize(
    ("build", "expected"),
    [  # timm's table of these sizes, in millions; from Tiny on, keras.applications
        (convnext.ConvNeXtAtto, 3.70),
        (convnext.ConvNeXtFemto, 5.22),
        (convnext.ConvNeXtPico, 9.05),
        (convnext.ConvNeXtNano, 15.59),
        (convnext.ConvNeXtTiny, 28_589_128),
        (convnext.ConvNeXtSmall, 50_223_688),
        (convnext.ConvNeXtBase, 88_591_464),
    ],
)
def test_counts(counts, build, expected, density):
    trainable, others = counts(build, density=density)
    assert others == 0
    if isinstance(expected, float):
        assert round(trainable / 1e6, 2) == expected
    else:
        assert trainable == expected


def small(**arguments):
    arguments = {"input_shape": (32, 32, 3), "classes": 3, **arguments}
    return applications.ConvNeXt((1, 2), (8, 12), layer_scale=0.5, **arguments)


@pytest.mark.skipif(
    keras.config.image_data_format() != "channels_last",
    reason="that of Keras is channels_last",
)
def test_computes_what_keras_applications_computes():
    """The same weights in the same order, but for the 1x1 kernels, give the same."""
    shape = (64, 64, 3)
    theirs = keras.applications.ConvNeXtTiny(
        weights=None, include_preprocessing=False, input_shape=shape
    )
    ours = applications.ConvNeXtTiny(input_shape=shape)
    rng = np.random.default_rng(0)
    weights = [0.05 * rng.normal(size=w.shape) for w in theirs.weights]
    theirs.set_weights(weights)
    ours.set_weights(
        [
            value.reshape(weight.shape)
            for weight, value in zip(ours.weights, weights, strict=True)
        ]
    )
    images = rng.normal(size=(2, *shape)).astype("float32")
    expected = theirs.predict(images, verbose=0)
    # Two orders of float32 sums through 18 blocks.
    np.testing.assert_allclose(
        ours.predict(images, verbose=0), expected, rtol=1e-3, atol=1e-7
    )


def test_pooled_features_are_what_the_classifier_sees():
    whole = small()
    features = keras.Model(whole.input, whole.get_layer("norm").output)
    pooled = small(include_top=False, pooling="avg")
    rng = np.random.default_rng(0)
    pooled.set_weights([0.5 * rng.normal(size=w.shape) for w in pooled.weights])
    # Those of the classifier, the last two, are the only others.
    whole.set_weights(pooled.get_weights() + whole.get_weights()[-2:])
    images = rng.normal(size=(2, 32, 32, 3)).astype("float32")
    np.testing.assert_allclose(
        pooled.predict(images, verbose=0),
        features.predict(images, verbose=0),
        rtol=1e-5,
    )


def test_density_is_for_the_depthwise_kernels():
    model = small(density=Gaussian(2.0))
    expected = [
        f"stage{name}_depthwise" for name in ("1_block1", "2_block1", "2_block2")
    ]
    assert list(weighted_layers(model)) == expected


@pytest.mark.parametrize("kernel_size", first(31, ((5, 11),), 3, 9, count=2))
def test_kernels_of_any_size_with_a_width_for_each_channel(kernel_size):
    model = small(
        kernel_size=kernel_size,
        density=Gaussian(2.0),
        density_trainable=True,
        density_per_channel=True,
    )
    sizes = kernel_size if isinstance(kernel_size, tuple) else (kernel_size,) * 2
    for layer in weighted_layers(model).values():
        channels = layer.kernel.shape[-2]
        assert layer.density_map.shape == (*sizes, channels, 1)
    images = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
    np.testing.assert_allclose(
        fold(model).predict(images, verbose=0),
        model.predict(images, verbose=0),
        rtol=1e-5,  # one float32 product more or less
        atol=1e-7,
    )


def test_stochastic_depth_grows_with_the_block():
    model = small(drop_path_rate=0.3)
    rates = {
        layer.name: layer.rate for layer in model.layers if "drop_path" in layer.name
    }
    assert rates == {
        "stage2_block1_drop_path": pytest.approx(0.15),
        "stage2_block2_drop_path": pytest.approx(0.3),
    }
    # Without training, nothing is dropped.
    images = np.ones((1, 32, 32, 3), "float32")
    np.testing.assert_array_equal(*(model.predict(images, verbose=0) for _ in range(2)))


def test_patch_size_sets_the_resolution_of_the_first_stage():
    model = small(patch_size=2)
    assert model.get_layer("stage1_block1_depthwise").output.shape[1] == 16
    assert model.get_layer("stem").kernel.shape == (2, 2, 3, 8)
