"""Tests of exported models: what another runtime makes of them."""

import tempfile
from pathlib import Path

import hypothesis
import keras
import numpy as np
import pytest
from extent import examples, first
from hypothesis import strategies as st
from keras import layers
from runtimes import BACKEND, FORMATS, WRITTEN

import keras_wconv
from keras_wconv.export import ExportError, export

NOT_WRITTEN = {
    "tensorflow": [],
    "jax": ["openvino", "litert"],
    "torch": ["tf_saved_model"],
}
if "onnx" not in WRITTEN["torch"]:
    NOT_WRITTEN["torch"] += ["onnx"]
# Of those that TensorFlow writes, one file, a folder and two files; PyTorch is slow.
some_formats = pytest.mark.parametrize(
    "format", first(*WRITTEN[BACKEND], count=3 if BACKEND == "tensorflow" else 1)
)


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
        RuntimeError,
        match=rf"(?s)({BACKEND} backend: |The export fails).*KERAS_BACKEND=tensor",
    ):
        export(model, path, format)


def test_bad_arguments(model, tmp_path):
    with pytest.raises(ValueError, match="`format` must be one of"):
        export(model, tmp_path / "model", "coreml")
    with pytest.raises(ValueError, match=r"`path` must end with '\.onnx'"):
        export(model, tmp_path / "model.pb", "onnx")
    with pytest.raises(ValueError, match=r"'\.onnx', '\.xml' .*Received: .*xyz"):
        export(model, tmp_path / "model.xyz")


@some_formats
def test_the_ending_says_the_format_and_all_files_are_named(model, format, tmp_path):
    path = tmp_path / f"model{FORMATS[format][0]}"
    for _ in range(2):  # The second replaces the first.
        written = export(model, path)
    second = [path.with_suffix(".bin")] if format == "openvino" else []
    assert written == [path, *second]
    assert sorted(tmp_path.iterdir()) == sorted(written)


def test_nothing_but_an_older_export_is_replaced(model, tmp_path):
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "chapter.txt").write_text("a year of work")
    file = tmp_path / "model.keras"
    file.write_text("the model that is read")
    served = tmp_path / "serving"
    served.mkdir()
    (served / "saved_model.pb").write_text("an older export")
    (served / "labels.txt").write_text("what the user put beside it")
    beside = tmp_path / "model.bin"
    beside.mkdir()
    for path, format, lost in [
        (folder, None, "chapter.txt"),
        (file, "tf_saved_model", "model.keras"),
        (served, None, "labels.txt"),
        (tmp_path / "model.xml", None, "model.bin"),
    ]:
        with pytest.raises(
            ValueError, match=f"`path` holds something else.*{lost}'\\."
        ):
            export(model, path, format)
    assert (folder / "chapter.txt").read_text() and file.read_text()
    assert (served / "labels.txt").read_text() and beside.is_dir()


@some_formats
def test_a_file_that_computes_something_else_is_not_kept(
    model, format, tmp_path, monkeypatch
):
    original = keras.Model.export

    def faulty(folded, *arguments, **options):
        kernel = folded.layers[1].kernel
        kernel.assign(kernel * 1.01)
        original(folded, *arguments, **options)
        kernel.assign(kernel / 1.01)

    monkeypatch.setattr(keras.Model, "export", faulty)
    path = tmp_path / f"model{FORMATS[format][0]}"
    with pytest.raises(ExportError, match="computes something else than the model"):
        export(model, path)
    assert not list(tmp_path.iterdir())


@some_formats
def test_several_inputs_and_outputs(format, tmp_path):
    inputs = {name: keras.Input((8, 8, 2), name=name) for name in ("b", "a")}
    x = keras_wconv.WeightedConv2D(3, 3, density=[0.5])(inputs["a"])
    y = keras_wconv.WeightedConv2D(4, 5, density="gaussian")(inputs["b"])
    outputs = [layers.GlobalMaxPooling2D()(x), y]
    path = tmp_path / f"model{FORMATS[format][0]}"
    # `export` compares the outputs, whose order and shapes differ.
    assert export(keras.Model(inputs, outputs), path)[0] == path


@pytest.mark.skipif("litert" not in WRITTEN[BACKEND], reason="It writes no LiteRT.")
def test_a_file_of_litert_sorts_its_inputs_by_name(tmp_path):
    second, first = (keras.Input((8, 8, 2), name=name) for name in ("b", "a"))
    x = keras_wconv.WeightedConv2D(3, 3, density=[0.5])(first)
    outputs = [layers.GlobalMaxPooling2D()(x), layers.Flatten()(second)]
    path = tmp_path / "model.tflite"
    # `export` compares the outputs, which would differ if the inputs were exchanged.
    assert export(keras.Model([second, first], outputs), path) == [path]


def strided(size, kernel_size=3, strides=2, padding="same"):
    convolution = keras_wconv.WeightedConv2D(
        4, kernel_size, strides=strides, padding=padding, density="gaussian"
    )
    pool = layers.GlobalAveragePooling2D()
    return keras.Sequential([keras.Input((size, size, 3)), convolution, pool])


def assert_exported(model, format, path, sizes):
    for size in sizes:
        inputs = np.random.default_rng(size).normal(size=(2, size, size, 3))
        inputs = inputs.astype("float32")
        expected = keras.ops.convert_to_numpy(model(inputs))
        found = FORMATS[format][1](str(path), inputs)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


# PyTorch's and JAX's exporters of Keras cannot write strides with sizes that are not
# known. That of PyTorch does not say so, and its file is wrong for even sizes:
# https://github.com/keras-team/keras/issues/22076
FIRST = next(iter(WRITTEN[BACKEND]), None)
writes = pytest.mark.skipif(
    FIRST is None, reason="Keras before 3.15 writes files of PyTorch for one example"
)


@writes
def test_a_file_that_is_wrong_for_some_sizes_is_refused(tmp_path):
    model, path = strided(None), tmp_path / f"model{FORMATS[FIRST][0]}"
    if BACKEND == "tensorflow":
        export(model, path)
        assert_exported(model, FIRST, path, (7, 8, 32, 33))
        return
    with pytest.raises(ExportError, match="Say with `input_signature`") as error:
        export(model, path)
    assert not list(tmp_path.iterdir())
    if BACKEND == "torch":
        assert "something else than the model: for inputs of the shapes [(2, 32," in (
            str(error.value)
        )
    # The way out that it names.
    spec = "keras.InputSpec(shape=(None, 32, 32, 3), dtype='float32')"
    assert f"such as [{spec}]." in str(error.value)
    export(model, path, input_signature=[eval(spec)])
    assert_exported(model, FIRST, path, [32])


@writes
@hypothesis.settings(
    max_examples=examples(2, 6), derandomize=True, database=None, deadline=None
)
@hypothesis.given(
    st.sampled_from([None, 20, 21]),
    st.integers(2, 5),
    st.integers(1, 3),
    st.sampled_from(["same", "valid"]),
)
def test_what_is_kept_computes_what_the_model_does(size, kernel_size, strides, padding):
    model = strided(size, kernel_size, strides, padding)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"model{FORMATS[FIRST][0]}"
        try:
            export(model, path)
        except ExportError:
            assert BACKEND != "tensorflow" and size is None
            assert not any(Path(folder).iterdir())
            return
        assert_exported(model, FIRST, path, [size] if size else range(20, 28))


@pytest.mark.skipif(
    BACKEND != "tensorflow", reason="Elsewhere Keras writes no such network."
)
def test_sizes_that_a_network_does_not_take_are_left_out(tmp_path):
    inputs = keras.Input((None, None, 3))
    x = layers.AveragePooling2D(8)(inputs)
    x = keras_wconv.WeightedConv2D(3, 3, padding="same", density=[0.5])(x)
    outputs = layers.Add()([inputs, layers.UpSampling2D(8)(x)])
    model = keras.Model(inputs, outputs)
    path = tmp_path / "exported"
    export(model, path)
    assert_exported(model, "tf_saved_model", path, [16, 32])


@writes
def test_a_model_that_cannot_be_checked_is_not_exported(tmp_path):
    model = strided(8)
    model.layers[0].kernel.assign(np.full(model.layers[0].kernel.shape, np.nan))
    with pytest.raises(ExportError, match=r"could not be checked.*not finite"):
        export(model, tmp_path / f"model{FORMATS[FIRST][0]}")
    assert not list(tmp_path.iterdir())


class SingularValues(layers.Layer):
    """What ONNX has no operator for."""

    def call(self, inputs):
        return keras.ops.svd(inputs)[1]


@pytest.mark.skipif(BACKEND != "torch", reason="It is PyTorch that prints its graph.")
def test_a_failed_export_prints_nothing(tmp_path, capfd):
    model = keras.Sequential([keras.Input((8, 8, 3)), SingularValues()])
    with pytest.raises(ExportError, match="linalg_svd") as error:
        export(model, tmp_path / "model.onnx")
    printed = capfd.readouterr()
    assert printed.out == "" and "graph" not in printed.err
    assert len(str(error.value).splitlines()) < 10
