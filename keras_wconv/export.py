"""Export of models to the formats that `keras.Model.export` writes."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np

from . import _keras
from ._optional import require
from ._types import PathLike
from .conversion import fold

_SUFFIXES = {
    "onnx": ".onnx",
    "tf_saved_model": "",
    "openvino": ".xml",
    "litert": ".tflite",
}

# What Keras and TensorFlow write into the folder of a SavedModel.
_SAVED_MODEL = {
    "assets",
    "assets.extra",
    "fingerprint.pb",
    "keras_metadata.pb",
    "saved_model.pb",
    "variables",
}

# Even and odd sizes at which an export is checked if the model leaves sizes unknown.
# The larger ones are for models that accept none of the first.
_SIZES = ((32, 33, 38), (96, 97, 102))
# Relative to the largest output. They allow for the rounding of deep networks, and are
# far below the effect of a wrong padding.
_TOLERANCES = {"bfloat16": 0.1, "float16": 0.02}
_TOLERANCE = 1e-3


class ExportError(RuntimeError):
    """A model could not be exported, or its file computes other outputs.

    Attributes:
        reason: str, the message without the remedy.
    """

    def __init__(self, reason: object, remedy: str = "") -> None:
        super().__init__(f"{reason}\n{remedy}".rstrip())
        self.reason = reason


def export(
    model: keras.Model,
    path: PathLike,
    format: str | None = None,
    verbose: bool = False,
    **options: Any,
) -> list[Path]:
    """Folds a model, exports it for inference, and checks the files.

    The export holds plain convolutions. So the density costs nothing, and neither Keras
    nor keras_wconv is needed to run it. Before it is kept, it is run once and must
    compute the same outputs as the model. If the model leaves sizes unknown, they are
    compared at even and odd sizes.

    The TensorFlow backend writes every format. JAX writes `tf_saved_model` (and `onnx`
    if jax2onnx is installed). PyTorch writes `onnx` and `openvino` (and `litert` if
    litert-torch, `tf_saved_model` if torch_xla is installed). Keras before 3.13 lacks
    `openvino` and `litert`. Before 3.15, an `onnx` from PyTorch takes only one example
    at a time, and is refused unless `input_signature` says so.

    Args:
        model: a built Functional or Sequential model, weighted or not.
        path: file to write, or for `tf_saved_model` a folder. It replaces an older
            export.
        format: `"onnx"` (a file `.onnx`), `"tf_saved_model"`, `"openvino"` (`.xml`,
            with a `.bin` beside it) or `"litert"` (`.tflite`). By default, the suffix
            of `path` decides; without a suffix it is `tf_saved_model`.
        verbose: whether the exporter prints messages.
        **options: for `keras.Model.export`, such as `input_signature`.

    Returns:
        The files or the folder that were written, a list of `pathlib.Path`.

    Raises:
        ValueError: If `format` is unknown, if `path` has the suffix of another format
            or holds anything but an older export, or if `model` cannot be folded.
        ImportError: If the package that runs the export is not installed.
        ExportError: A `RuntimeError`, if the backend cannot export the model to this
            format, or the outputs of the export differ. `path` is not changed then.

    Example:

    >>> import keras
    >>> import keras_wconv
    >>> from keras_wconv.export import export
    >>> model = keras.Sequential([
    ...     keras.Input((8, 8, 3)),
    ...     keras_wconv.WeightedConv2D(4, 3, density=[0.7]),
    ... ])
    >>> export(model, "model.onnx")  # doctest: +SKIP
    [PosixPath('model.onnx')]

    Source: https://keras.io/api/models/model_saving_apis/export/
    """
    path = Path(path)
    format = _checked_format(format, path)
    _check_target(path, format)
    folded = fold(model)
    # Keras refuses to export a model that was never called.
    inputs = folded.inputs[0] if isinstance(folded, keras.Sequential) else folded.input
    folded(inputs)
    signature = options.get("input_signature") or [inputs]
    runtime = _runtime(format)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".export-", dir=path.parent) as folder:
            made = Path(folder) / path.name
            with _quiet(verbose), _openvino_on_new_pythons(format):
                folded.export(str(made), format=format, verbose=verbose, **options)
            run = _LOADERS[format](runtime, str(made), signature)
            _check_artifact(run, folded, signature)
            return _move_to(path, folder)
    except OSError:  # The disk may be full.
        raise
    except Exception as error:
        reason = (
            f"format={format!r} could not be exported with the "
            f"{keras.backend.backend()} backend: {_first_lines(error)}"
        )
        if isinstance(error, ExportError):
            reason = error.reason
        raise ExportError(reason, _remedy(signature)) from error


def _checked_format(format, path):
    if format is None:
        found = [name for name, end in _SUFFIXES.items() if end == path.suffix]
        if not found:
            raise ValueError(
                "`path` must end with '.onnx', '.xml' (OpenVINO) or '.tflite' "
                "(LiteRT), or have no ending, for the folder of a SavedModel. "
                f"Received: path={str(path)!r}"
            )
        return found[0]
    if format not in _SUFFIXES:
        raise ValueError(
            f"`format` must be one of {list(_SUFFIXES)}. Received: format={format!r}"
        )
    if _SUFFIXES[format] not in ("", path.suffix):
        raise ValueError(
            f"`path` must end with '{_SUFFIXES[format]}' for format={format!r}. "
            f"Received: path={str(path)!r}"
        )
    return format


def _check_target(path, format):
    """Raises a `ValueError` if an export would replace something else."""
    if format != "tf_saved_model":
        files = [path, path.with_suffix(".bin")] if format == "openvino" else [path]
        lost = [file for file in files if file.is_dir()]
    elif path.is_dir():
        inside = {each.name: each for each in sorted(path.iterdir())}
        known = _SAVED_MODEL if "saved_model.pb" in inside else ()
        lost = [each for name, each in inside.items() if name not in known]
    else:
        lost = [path] if path.exists() else []
    if lost:
        raise ValueError(
            f"`path` holds something else, which would be lost: {str(lost[0])!r}. "
            f"Expected a new name, or an older export with format={format!r}. "
            f"Received: path={str(path)!r}"
        )


def _move_to(path, folder):
    """Moves the files of a complete export to their place, and returns their paths."""
    written = []
    for made in sorted(Path(folder).iterdir(), key=lambda made: made.name != path.name):
        target = path.parent / made.name
        if target.is_dir():
            shutil.rmtree(target)
        written.append(made.replace(target))
    return written  # OpenVINO writes two files.


def _sizes_are_unknown(signature):
    return any(None in tuple(spec.shape)[1:] for spec in keras.tree.flatten(signature))


def _remedy(signature):
    ways = []
    if _sizes_are_unknown(signature):
        example = ""
        flat = keras.tree.flatten(signature)
        if len(flat) == 1:
            sizes = tuple(size or _SIZES[0][0] for size in flat[0].shape[1:])
            spec = f"shape={(None, *sizes)}, dtype={_dtype(flat[0])!r}"
            example = f", such as [keras.InputSpec({spec})]"
        ways.append(f"Say with `input_signature` which sizes it will get{example}.")
    if keras.backend.backend() != "tensorflow":
        ways.append(
            "With the TensorFlow backend, Keras exports every format from 3.13 on. "
            "Save the model with `keras_wconv.fold(model).save('folded.keras')`, and "
            "export that file with KERAS_BACKEND=tensorflow set."
        )
    return " ".join(ways)


def _first_lines(error):
    """Returns the beginning of a message: PyTorch's may hold the graph of the model."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return "\n".join(line[:500] for line in lines[:8])


def _check_artifact(run, model, signature):
    """Raises an `ExportError` if an export computes something else than its model."""
    unknown = _sizes_are_unknown(signature)
    dtypes = {layer.compute_dtype for layer in _keras.sublayers(model, recursive=True)}
    tolerance = max(_TOLERANCES.get(dtype, _TOLERANCE) for dtype in dtypes)
    for sizes in _SIZES if unknown else [(None,)]:
        checked = 0
        for size in sizes:
            samples = _samples(signature, size)
            try:
                outputs = keras.tree.flatten(model(*samples))
            except Exception:
                if not unknown:
                    raise
                continue  # Some networks accept only multiples of 8.
            expected = [
                keras.ops.convert_to_numpy(each).astype("float64") for each in outputs
            ]
            if not all(np.all(np.isfinite(each)) for each in expected):
                continue
            _check_outputs(run, samples, expected, tolerance)
            checked += 1
        if checked:
            return
    reason = "for random inputs, the model's outputs are not finite."
    if unknown:
        reason = (
            f"for random inputs of the sizes {_SIZES}, the model fails, or its outputs "
            "are not finite."
        )
    raise ExportError(f"The export could not be checked: {reason}")


def _check_outputs(run, samples, expected, tolerance):
    shapes = [each.shape for each in keras.tree.flatten(samples)]
    try:
        outputs = [np.asarray(each, "float64") for each in run(samples)]
    except Exception as error:
        raise ExportError(
            f"The export fails for inputs of the shapes {shapes}, which the model "
            f"accepts: {_first_lines(error)}"
        ) from error
    if [o.shape for o in outputs] != [e.shape for e in expected]:
        raise ExportError(
            f"The export returns the shapes {[o.shape for o in outputs]} for inputs of "
            f"the shapes {shapes}. Expected the shapes of the model's outputs, "
            f"{[e.shape for e in expected]}."
        )
    for output, value in zip(outputs, expected, strict=True):
        scale = np.max(np.abs(value), initial=0.0)
        error = np.max(np.abs(output - value), initial=0.0)
        if not error <= tolerance * scale:
            raise ExportError(
                "The export computes something else than the model: for inputs of the "
                f"shapes {shapes}, the outputs differ by {error:.2g}, where the "
                f"largest is {scale:.2g}."
            )


def _dtype(spec):
    return keras.backend.standardize_dtype(spec.dtype or keras.config.floatx())


def _samples(signature, size):
    """Returns random inputs of a signature, whose unknown sizes become `size`."""
    rng = np.random.default_rng(0)

    def sample(spec):
        batch, *sizes = spec.shape
        shape = [batch or 2, *(each or size for each in sizes)]
        dtype = _dtype(spec)
        if keras.backend.is_float_dtype(dtype):
            return rng.normal(size=shape).astype(dtype)
        return rng.integers(0, 2, shape).astype(dtype)

    return keras.tree.map_structure(sample, list(signature))


def _by_name(names, samples, signature):
    """Returns the inputs by name: their order in a file may differ from the model's."""
    own = [getattr(spec, "name", None) for spec in keras.tree.flatten(signature)]
    if set(own) != set(names):
        own = names
    return dict(zip(own, keras.tree.flatten(samples), strict=True))


def _runtime(format):
    """Returns the package that runs a format."""
    if format == "onnx":
        return require("onnxruntime", extra="export")
    if format == "openvino":
        return require("openvino", extra="export")
    return require("tensorflow", extra="tensorflow")


def _onnx(onnxruntime, path, signature):
    session = onnxruntime.InferenceSession(path)
    names = [each.name for each in session.get_inputs()]
    return lambda samples: session.run(None, _by_name(names, samples, signature))


def _tf_saved_model(tensorflow, path, signature):
    artifact = tensorflow.saved_model.load(path)
    return lambda samples: keras.tree.flatten(artifact.serve(*samples))


def _openvino(openvino, path, signature):
    # By default it computes in bfloat16 if the processor can.
    options = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(path, "CPU", options)
    names = [port.get_any_name() for port in compiled.inputs]

    def run(samples):
        outputs = compiled(_by_name(names, samples, signature))
        return [outputs[port] for port in compiled.outputs]

    return run


def _litert(tensorflow, path, signature):
    interpreter = tensorflow.lite.Interpreter(path)
    [name] = interpreter.get_signature_list()
    runner = interpreter.get_signature_runner(name)
    names = list(runner.get_input_details())

    def run(samples):
        outputs = runner(**_by_name(names, samples, signature))
        # `output_0`, `output_1`, ... in the order of the model's outputs.
        ordered = sorted(outputs, key=lambda name: (len(name), name))
        return [outputs[name] for name in ordered]

    return run


_LOADERS = {
    "onnx": _onnx,
    "tf_saved_model": _tf_saved_model,
    "openvino": _openvino,
    "litert": _litert,
}


@contextlib.contextmanager
def _quiet(verbose):
    """Suppresses warnings of tracing, and the output of PyTorch.

    PyTorch prints, from C++, the graph of a model that it cannot export. So the output
    of the process is redirected, not only Python's.
    """
    if verbose:
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if keras.backend.backend() != "torch":
            yield
            return
        sys.stdout.flush()
        kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, 1)
            yield
        finally:
            os.dup2(kept, 1)
            os.close(kept)
            os.close(nowhere)


@contextlib.contextmanager
def _openvino_on_new_pythons(format):
    """Makes OpenVINO work beside TensorFlow on Python 3.13 and newer.

    A function of OpenVINO (still in 2026.4) imports TensorFlow with one `exec` and
    deletes the name with another. From Python 3.13 on, the second does not see the name
    that the first defined. The function needs neither, because it reads `sys.modules`.
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
