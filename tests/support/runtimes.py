"""Runtimes other than Keras, and what each backend exports to them."""

import keras
import pytest
from keras_versions import KERAS

BACKEND = keras.backend.backend()


def run_onnx(path, inputs):
    session = pytest.importorskip("onnxruntime").InferenceSession(path)
    return session.run(None, {session.get_inputs()[0].name: inputs})[0]


def run_tf_saved_model(path, inputs):
    artifact = pytest.importorskip("tensorflow").saved_model.load(path)
    return artifact.serve(inputs).numpy()


def run_openvino(path, inputs):
    # Its default precision is bfloat16 where the processor has it.
    options = {"INFERENCE_PRECISION_HINT": "f32"}
    core = pytest.importorskip("openvino").Core()
    return core.compile_model(path, "CPU", options)(inputs)[0]


def run_litert(path, inputs):
    interpreter = pytest.importorskip("tensorflow").lite.Interpreter(path)
    index = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(index, inputs.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(index, inputs)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


FORMATS = {
    "onnx": (".onnx", run_onnx),
    "tf_saved_model": ("", run_tf_saved_model),
    "openvino": (".xml", run_openvino),
    "litert": (".tflite", run_litert),
}
WRITTEN = {
    "tensorflow": ["onnx", "tf_saved_model", "openvino", "litert"],
    "jax": ["tf_saved_model"],
    "torch": ["onnx", "openvino"],
}
if KERAS < (3, 13):  # Keras knows no others there.
    WRITTEN = {
        backend: [one for one in formats if one in ("onnx", "tf_saved_model")]
        for backend, formats in WRITTEN.items()
    }
if KERAS < (3, 15):  # With PyTorch it writes files for batches of one alone.
    WRITTEN["torch"] = []
