"""Tests of exported models: what another runtime makes of them."""

import keras
import numpy as np
import pytest
from keras import layers
from runtimes import BACKEND, FORMATS, WRITTEN

import keras_wconv
from keras_wconv.export import export

NOT_WRITTEN = {
    "tensorflow": [],
    "jax": ["openvino", "litert"],
    "torch": ["tf_saved_model"],
}


@pytest.fixture(scope="module")
def model():
    inputs = keras.Input((8, 8, 3), name="picture")
    x = keras_wconv.WeightedConv2D(4, 3, density=[0.5], density_trainable=True)(inputs)
    x = layers.BatchNormalization()(x)
    return keras.Model(inputs, layers.GlobalAveragePooling2D()(x))


@pytest.mark.parametrize("format", WRITTEN[BACKEND])
def test_another_runtime_computes_the_same(model, format, tmp_path):
    suffix, run = FORMATS[format]
    path = str(tmp_path / f"model{suffix}")
    if format in ("onnx", "openvino"):
        pytest.importorskip(format)
    export(model, path, format)
    inputs = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    expected = keras.ops.convert_to_numpy(model(inputs))
    np.testing.assert_allclose(run(path, inputs), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("format", NOT_WRITTEN[BACKEND])
def test_what_a_backend_cannot_export_is_said(model, format, tmp_path):
    path = tmp_path / f"model{FORMATS[format][0]}"
    with pytest.raises(
        RuntimeError, match=rf"(?s){BACKEND} backend: .*KERAS_BACKEND=tensor"
    ):
        export(model, path, format)


def test_bad_arguments(model, tmp_path):
    with pytest.raises(ValueError, match="`format` must be one of"):
        export(model, tmp_path / "model", "coreml")
    with pytest.raises(ValueError, match=r"`path` must end with '\.onnx'"):
        export(model, tmp_path / "model.pb", "onnx")
