"""Export of weighted models to the formats that `keras.Model.export` writes."""

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

# Where a model leaves a size unknown, its file is checked at even and odd ones; at the
# larger ones where it takes none of the first.
_SIZES = ((32, 33, 38), (96, 97, 102))
# Of the largest output. It allows for the roundings of deep networks, and is far below
# what a wrong padding does.
_TOLERANCES = {"bfloat16": 0.1, "float16": 0.02}
_TOLERANCE = 1e-3


class ExportError(RuntimeError):
    """A model could not be exported, or its file computes other outputs.

    Attributes:
        reason: str, the message without the way out.
    """

    def __init__(self, reason: object, way_out: str = "") -> None:
        super().__init__(f"{reason}\n{way_out}".rstrip())
        self.reason = reason


def export(
    model: keras.Model,
    path: PathLike,
    format: str | None = None,
    verbose: bool = False,
    **options: Any,
) -> list[Path]:
    """Folds a model, exports it for inference and checks what was written.

    The artifact holds plain convolutions: it costs nothing extra and needs neither
    Keras nor keras_wconv. It is run once before it is kept, and must compute what the
    model does; where the model leaves sizes unknown, at even and odd ones.

    TensorFlow's backend writes every format. JAX's writes `tf_saved_model` (and `onnx`
    where jax2onnx is installed), PyTorch's `onnx` and `openvino` (and `litert` where
    litert-torch, `tf_saved_model` where torch_xla is installed). Keras before 3.13
    lacks `openvino` and `litert`; before 3.15 its `onnx` of PyTorch is for one example
    at a time, and refused unless `input_signature` says so.

    Args:
        model: a built Functional or Sequential model, weighted or not.
        path: file or, for `tf_saved_model`, folder to write. An older export there is
            replaced.
        format: `"onnx"` (a file `.onnx`), `"tf_saved_model"`, `"openvino"` (`.xml`,
            and a `.bin` beside it) or `"litert"` (`.tflite`). None is what the ending
            of `path` says, and `tf_saved_model` where it has none.
        verbose: whether the exporter prints what it does.
        **options: for `keras.Model.export`, such as `input_signature`.

    Returns:
        list of `pathlib.Path`: what was written.

    Raises:
        ValueError: If `format` is unknown, if `path` has the ending of another or is
            something that is no older export, or if `model` cannot be folded.
        ImportError: If the package that runs the artifact is not installed.
        ExportError: A `RuntimeError`, if the backend cannot export the model to this
            format or what it wrote computes something else. Nothing is left at `path`
            then, or what was there before.

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
    # Keras refuses models that were never called, as one that was just made.
    inputs = folded.inputs[0] if isinstance(folded, keras.Sequential) else folded.input
    folded(inputs)
    signature = options.get("input_signature") or [inputs]
    load = _LOADERS[format]()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".export-", dir=path.parent) as folder:
            made = Path(folder) / path.name
            with _quiet(verbose), _openvino_on_new_pythons(format):
                folded.export(str(made), format=format, verbose=verbose, **options)
            _check_artifact(load(made, signature), folded, signature)
            return _move_to(path, folder)
    except (OSError, ExportError):  # Of the disk, such as a full one.
        raise
    except Exception as error:
        raise ExportError(
            f"format={format!r} could not be exported with the "
            f"{keras.backend.backend()} backend: {_first_lines(error)}",
            _way_out(signature),
        ) from error


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
    """Raises a `ValueError` where a file would replace a folder, or the other way."""
    if format != "tf_saved_model":
        wrong = path.is_dir()
    elif path.is_dir():
        wrong = any(path.iterdir()) and not (path / "saved_model.pb").exists()
    else:
        wrong = path.exists()
    if wrong:
        raise ValueError(
            f"`path` holds something else than an older export with format={format!r}, "
            f"which would be lost. Expected a new name. Received: path={str(path)!r}"
        )


def _move_to(path, folder):
    """Moves what is complete to where it was asked for."""
    written = []
    for made in sorted(Path(folder).iterdir(), key=lambda made: made.name != path.name):
        target = path.parent / made.name
        if target.is_dir():
            shutil.rmtree(target)
        written.append(made.replace(target))
    return written  # OpenVINO writes two files.


def _sizes_are_unknown(signature):
    return any(None in tuple(spec.shape)[1:] for spec in keras.tree.flatten(signature))


def _way_out(signature):
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
            "With the TensorFlow backend, Keras exports every format from 3.13 on: "
            "save the model with `keras_wconv.fold(model).save('folded.keras')` and "
            "export that file with KERAS_BACKEND=tensorflow set."
        )
    return " ".join(ways)


def _first_lines(error, count=8):
    """The beginning of a message: some of PyTorch's hold the graph of the model."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return "\n".join(line[:500] for line in lines[:count])


# What was written is run by what others run it with.


def _check_artifact(run, model, signature):
    """Raises an `ExportError` if an artifact computes something else than its model."""
    unknown = _sizes_are_unknown(signature)
    dtypes = {layer.compute_dtype for layer in _keras.sublayers(model, recursive=True)}
    tolerance = max(_TOLERANCES.get(dtype, _TOLERANCE) for dtype in dtypes)
    for sizes in _SIZES if unknown else [(None,)]:
        checked = 0
        for size in sizes:
            samples = _samples(signature, size)
            try:
                expected = _flat_arrays(model(*samples))
            except Exception:
                if not unknown:
                    raise
                continue  # Some networks take multiples of 8 only.
            if not all(np.all(np.isfinite(each)) for each in expected):
                continue
            _check_outputs(run, samples, expected, tolerance, _way_out(signature))
            checked += 1
        if checked:
            return
    reason = "for random inputs the model's outputs are not finite."
    if unknown:
        reason = (
            f"for random inputs of the sizes {_SIZES} the model fails, or its outputs "
            "are not finite."
        )
    raise ExportError(
        f"What was written could not be checked: {reason}", _way_out(signature)
    )


def _check_outputs(run, samples, expected, tolerance, way_out):
    shapes = [each.shape for each in keras.tree.flatten(samples)]
    try:
        outputs = [np.asarray(each, "float64") for each in run(samples)]
    except Exception as error:
        raise ExportError(
            f"What was written fails for inputs of the shapes {shapes}, which the "
            f"model takes: {_first_lines(error)}",
            way_out,
        ) from error
    if [o.shape for o in outputs] != [e.shape for e in expected]:
        raise ExportError(
            f"What was written returns the shapes {[o.shape for o in outputs]} for "
            f"inputs of the shapes {shapes}. Expected those of the model, "
            f"{[e.shape for e in expected]}.",
            way_out,
        )
    for output, value in zip(outputs, expected, strict=True):
        scale = np.max(np.abs(value), initial=0.0)
        error = np.max(np.abs(output - value), initial=0.0)
        if not error <= tolerance * scale:
            raise ExportError(
                "What was written computes something else than the model: for inputs "
                f"of the shapes {shapes} the outputs differ by {error:.2g}, where the "
                f"largest is {scale:.2g}.",
                way_out,
            )


def _dtype(spec):
    return keras.backend.standardize_dtype(spec.dtype or keras.config.floatx())


def _samples(signature, size):
    """Random inputs, of one size wherever the signature leaves it unknown."""
    rng = np.random.default_rng(0)

    def sample(spec):
        batch, *sizes = spec.shape
        shape = [batch or 2, *(each or size for each in sizes)]
        dtype = _dtype(spec)
        if keras.backend.is_float_dtype(dtype):
            return rng.normal(size=shape).astype(dtype)
        return rng.integers(0, 2, shape).astype(dtype)

    return keras.tree.map_structure(sample, list(signature))


def _flat_arrays(structure):
    return [
        np.asarray(keras.ops.convert_to_numpy(each), "float64")
        for each in keras.tree.flatten(structure)
    ]


def _by_name(names, samples, signature):
    """The inputs of a file, whose order may be another than the model's."""
    own = [getattr(spec, "name", None) for spec in keras.tree.flatten(signature)]
    if set(own) != set(names):
        own = names
    return dict(zip(own, keras.tree.flatten(samples), strict=True))


def _onnx():
    onnxruntime = require("onnxruntime", extra="export")

    def load(path, signature):
        session = onnxruntime.InferenceSession(str(path))
        names = [each.name for each in session.get_inputs()]
        return lambda samples: session.run(None, _by_name(names, samples, signature))

    return load


def _tf_saved_model():
    tensorflow = require("tensorflow", extra="tensorflow")

    def load(path, signature):
        artifact = tensorflow.saved_model.load(str(path))
        return lambda samples: keras.tree.flatten(artifact.serve(*samples))

    return load


def _openvino():
    openvino = require("openvino", extra="export")

    def load(path, signature):
        # Its default precision is bfloat16 where the processor has it.
        options = {"INFERENCE_PRECISION_HINT": "f32"}
        compiled = openvino.Core().compile_model(str(path), "CPU", options)
        names = [port.get_any_name() for port in compiled.inputs]

        def run(samples):
            outputs = compiled(_by_name(names, samples, signature))
            return [outputs[port] for port in compiled.outputs]

        return run

    return load


def _litert():
    tensorflow = require("tensorflow", extra="tensorflow")

    def load(path, signature):
        interpreter = tensorflow.lite.Interpreter(str(path))
        [signature] = interpreter.get_signature_list()
        runner = interpreter.get_signature_runner(signature)
        names = list(runner.get_input_details())

        def run(samples):
            outputs = runner(**_by_name(names, samples, signature))
            # `output_0`, `output_1`, ... in the order of the model's.
            ordered = sorted(outputs, key=lambda name: (len(name), name))
            return [outputs[name] for name in ordered]

        return run

    return load


_LOADERS = {
    "onnx": _onnx,
    "tf_saved_model": _tf_saved_model,
    "openvino": _openvino,
    "litert": _litert,
}


@contextlib.contextmanager
def _quiet(verbose):
    """Suppresses the warnings of tracers, and the graph that PyTorch prints.

    It prints the whole graph of a model that it cannot export, from C++: so the output
    of the process, not only Python's, is closed for that time.
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
