"""Export of weighted models to the formats that `keras.Model.export` writes."""

import contextlib
import importlib.util
import shutil
import sys
import tempfile
from pathlib import Path

import keras

from .conversion import fold

_SUFFIXES = {
    "onnx": ".onnx",
    "tf_saved_model": "",
    "openvino": ".xml",
    "litert": ".tflite",
}


def export(model, path, format="onnx", verbose=False, **options):
    """Folds a model and exports it for inference.

    The artifact holds plain convolutions: it costs nothing extra and needs neither
    Keras nor keras_wconv.

    TensorFlow's backend writes every format. JAX's writes `tf_saved_model` (and `onnx`
    where jax2onnx is installed), PyTorch's `onnx` and `openvino` (and `litert` where
    litert-torch, `tf_saved_model` where torch_xla is installed).

    Args:
        model: a built Functional or Sequential model, weighted or not.
        path: file or, for `tf_saved_model`, folder to write.
        format: `"onnx"` (a file `.onnx`), `"tf_saved_model"`, `"openvino"` (`.xml`,
            and a `.bin` beside it) or `"litert"` (`.tflite`).
        verbose: whether the exporter prints what it does.
        **options: for `keras.Model.export`, such as `input_signature`.

    Raises:
        ValueError: If `format` is unknown, if `path` has the suffix of another, or if
            `model` cannot be folded.
        RuntimeError: If the backend cannot export the model to this format. Nothing is
            left at `path` then, or what was there before.

    Example:

    >>> import keras
    >>> import keras_wconv
    >>> from keras_wconv.export import export
    >>> model = keras.Sequential([
    ...     keras.Input((8, 8, 3)),
    ...     keras_wconv.WeightedConv2D(4, 3, density=[0.7]),
    ... ])
    >>> export(model, "model.onnx", format="onnx")  # doctest: +SKIP

    Source: https://keras.io/api/models/model_saving_apis/export/
    """
    if format not in _SUFFIXES:
        raise ValueError(
            f"`format` must be one of {list(_SUFFIXES)}. Received: format={format!r}"
        )
    path = str(path)
    if not path.endswith(_SUFFIXES[format]):
        raise ValueError(
            f"`path` must end with '{_SUFFIXES[format]}' for format={format!r}. "
            f"Received: path={path!r}"
        )
    folded = fold(model)
    # Keras refuses models that were never called, as one that was just made.
    is_sequential = isinstance(folded, keras.Sequential)
    folded(folded.inputs[0] if is_sequential else folded.input)
    try:
        _export_whole(folded, Path(path), format=format, verbose=verbose, **options)
    except OSError:  # Of the disk, such as a full one.
        raise
    except Exception as error:
        raise RuntimeError(
            f"format={format!r} could not be exported with the "
            f"{keras.backend.backend()} backend: {error}\n"
            "The TensorFlow backend exports every format. Save the model with "
            "`keras_wconv.fold(model).save('folded.keras')` and export that file with "
            "KERAS_BACKEND=tensorflow set."
        ) from error


def _export_whole(model, path, **options):
    """Exports beside `path`, and moves there what is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=path.parent) as folder:
        with _openvino_on_new_pythons(options["format"]):
            model.export(str(Path(folder) / path.name), **options)
        for made in Path(folder).iterdir():  # OpenVINO writes two files.
            target = path.parent / made.name
            if target.is_dir():
                shutil.rmtree(target)
            made.replace(target)


@contextlib.contextmanager
def _openvino_on_new_pythons(format):
    """Lets OpenVINO convert where TensorFlow is imported and Python is 3.13 or newer.

    A function of OpenVINO, 2026.4 too, imports TensorFlow by `exec` and deletes the
    name by another one. From Python 3.13 on, the second does not see what the first
    defined. Neither is needed, since `sys.modules` is what the function reads.
    """
    fails = sys.version_info >= (3, 13) and "tensorflow" in sys.modules
    if format != "openvino" or not fails or not importlib.util.find_spec("openvino"):
        yield
        return
    from openvino.frontend.tensorflow import utils

    utils.exec = lambda code: None
    try:
        yield
    finally:
        del utils.exec
