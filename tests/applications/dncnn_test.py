import keras
import numpy as np
import pytest

from keras_wconv import applications

DnCNN = applications.DnCNN


@pytest.mark.parametrize("density", [None, {3: [0.7]}])
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"depth": 17}, (557_057, 1_920)),
        ({"depth": 17, "batch_normalization": False}, (555_137, 0)),
        ({"depth": 17, "use_bias": False}, (556_032, 1_920)),
        ({"depth": 20}, (668_225, 2_304)),
        ({"depth": 20, "batch_normalization": False}, (665_921, 0)),
        ({"depth": 20, "use_bias": False}, (667_008, 2_304)),
        ({"depth": 20, "channels": 3}, (670_531, 2_304)),
        ({"depth": 20, "channels": 3, "batch_normalization": False}, (668_227, 0)),
        ({"depth": 20, "channels": 3, "use_bias": False}, (669_312, 2_304)),
    ],
)
def test_counts(counts, arguments, expected, density):
    assert counts(DnCNN, density=density, **arguments) == expected


def test_published_sizes(counts):
    assert counts(applications.DnCNN17) == counts(DnCNN, depth=17)
    assert counts(applications.DnCNN20, channels=3)[0] == 670_531


def test_residual_learning():
    model = DnCNN(depth=3, filters=4)
    x = np.random.default_rng(0).normal(size=(2, 9, 7, 1)).astype("float32")
    noise = keras.Model(model.input, model.get_layer("conv3").output)
    np.testing.assert_allclose(
        model.predict(x, verbose=0), x - noise.predict(x, verbose=0), rtol=1e-5
    )


@pytest.mark.parametrize(
    ("kernel_size", "density"),
    [(3, 0.7), (5, [0.2, 0.8]), (7, {7: [0.25, 0.15, 0.55]})],
)
def test_every_convolution_is_weighted(kernel_size, density):
    model = DnCNN(depth=4, filters=4, kernel_size=kernel_size, density=density)
    for i in range(1, 5):
        layer = model.get_layer(f"conv{i}")
        assert layer.kernel_size == (kernel_size, kernel_size)
        assert layer.density_map[0, 0] == pytest.approx(
            layer.density_profiles[0][0] ** 2
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 1}, "`depth` must be at least 2. Received: 1"),
        ({"input_shape": (8, 8, 3)}, "must have channels=1, as given"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        DnCNN(**{"depth": 3, "filters": 4, **arguments})
