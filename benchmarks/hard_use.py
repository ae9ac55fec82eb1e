"""What holds on which backend where layers are used hard, beside Keras's own.

    python -m benchmarks.hard_use

Every case does one thing to a network with weighted layers (fixed, learned, and learned
for each channel) and to its folded copy, which is plain Keras, and compares what comes
out. Where plain Keras refuses, the table says so. The tests run the same cases.
"""

import argparse
import contextlib
import copy
import dataclasses
import functools
import json
import os
import pickle
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

import keras_wconv
from keras_wconv.experiments.report.page import markdown_table

from . import RESULTS

BACKENDS = ("tensorflow", "jax", "torch")
KINDS = {
    "fixed": {"density": [0.7]},
    "learned": {"density": [0.7], "density_trainable": True},
    "learned per channel": {
        "density": "gaussian",
        "density_trainable": True,
        "density_per_channel": True,
    },
}
HOLDS, REFUSED, FAILS, ABSENT = "yes", "Keras refuses too", "no", "–"


def build(kind, size=6, dtype=None, data_format=None):
    """Returns the network of a kind; `"plain"` is the folded one of `"fixed"`."""
    layer = {"padding": "same", "dtype": dtype, "data_format": data_format}
    density = KINDS["fixed" if kind == "plain" else kind]
    shape = (2, size, size) if data_format == "channels_first" else (size, size, 2)
    model = keras.Sequential(
        [
            keras.Input(shape, dtype=dtype and keras.DTypePolicy(dtype).compute_dtype),
            keras_wconv.WeightedConv2D(4, 3, name="conv", **layer, **density),
            keras_wconv.WeightedDepthwiseConv2D(3, name="depth", **layer, **density),
            keras.layers.GlobalAveragePooling2D(dtype=dtype, data_format=data_format),
            keras.layers.Dense(3, dtype=dtype),
        ],
        name="network",
    )
    randomize(model)
    return keras_wconv.fold(model) if kind == "plain" else model


def randomize(model):
    """Gives the same values to the kernels of all kinds that compute the same."""
    rng = np.random.default_rng(0)
    for layer in model.layers:
        for weight in layer.weights:
            if "/density/" in weight.path:
                continue
            value = rng.normal(size=weight.shape)
            if "kernel" in weight.name and hasattr(layer, "density_map"):
                phi = layer.density_map
                value = value / (phi if phi.ndim == 4 else phi[..., None, None])
            weight.assign(value)


def data(size=6, count=2, dtype="float32"):
    return np.random.default_rng(1).normal(size=(count, size, size, 2)).astype(dtype)


def to_numpy(tensor):
    return keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32"))


# The cases: functions of a maker of networks, which return outputs.


def quantize(make):
    model = make()
    model.quantize("int8")
    return model(data())


def quantize_then_convert(make):
    """`to_weighted` and `fold` of a network whose other layers are quantized."""
    model = make()
    model.quantize("int8")
    converted = keras_wconv.fold(keras_wconv.to_weighted(model, [0.5]))
    # Keras's own copy, to see whether it keeps a quantized layer.
    keras.models.clone_model(model)
    return converted(data())


def enable_lora(make):
    """LoRA's factors of zero and of other values; the folded network computes both."""
    model = make()
    model.layers[0].enable_lora(2)
    outputs = to_numpy(model(data()))
    model.layers[0].lora_kernel_b.assign(np.full((2, 4), 0.3))
    expected = to_numpy(model(data()))
    if isinstance(model.layers[0], keras_wconv.WeightedConv2D):
        np.testing.assert_allclose(
            to_numpy(keras_wconv.fold(model)(data())), expected, rtol=1e-4, atol=1e-4
        )
    assert np.abs(outputs - expected).max() > 1e-3
    return outputs


def lora_then_convert(make):
    model = keras_wconv.to_weighted(make(), None)
    conv = model.layers[0]
    conv.enable_lora(2)
    conv.lora_kernel_a.assign(np.full(conv.lora_kernel_a.shape, 0.2))
    conv.lora_kernel_b.assign(np.full((2, 4), 0.3))
    return keras_wconv.to_weighted(model, [0.5])(data())


def deepcopy(make):
    return copy.deepcopy(make())(data())


def pickled(make):
    return pickle.loads(pickle.dumps(make()))(data())


def cloned(make):
    model = make()
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    return clone(data())


def saved(make, name):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        make().save(path)
        return keras.saving.load_model(path)(data())


def weights_saved(make):
    model, other = make(), make()
    for weight in other.weights:
        weight.assign(weight * 2)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.weights.h5"
        model.save_weights(path)
        other.load_weights(path)
    return other(data())


def precise(make, dtype):
    return make(dtype=dtype)(data(dtype="float32"))


def float64(make):
    if keras.backend.backend() != "jax":
        return precise(make, "float64")
    import jax

    with jax.enable_x64(True):
        return to_numpy(precise(make, "float64"))


def channels_first(make):
    return make(data_format="channels_first")(np.moveaxis(data(), -1, 1))


def empty_batch(make):
    model = make()
    outputs = model(data(count=0))
    assert tuple(outputs.shape) == (0, 3)
    return outputs


def unknown_sizes(make):
    model = make(size=None)
    return np.concatenate([model.predict(data(size), verbose=0) for size in (6, 9)])


def train(make, **compile_options):
    """The kernels' own rate is 0, so that all kinds go on computing the same."""
    model = make()
    model.compile(keras.optimizers.SGD(0.0), "mse", **compile_options)
    model.fit(data(), np.ones((2, 3)), verbose=0)
    return model.predict(data(), verbose=0)


def torch_compile(make):
    import torch

    # The compiler that makes C++ of the graph takes a minute; the graph is the same.
    compiled = torch.compile(make(), backend="aot_eager")
    return compiled(keras.ops.convert_to_tensor(data()))


def jax_vmap(make):
    import jax

    model = make()
    values = [v.value for v in model.trainable_variables]
    others = [v.value for v in model.non_trainable_variables]

    def call(inputs):
        outputs, _ = model.stateless_call(values, others, inputs[None])
        return outputs[0]

    return jax.vmap(call)(data())


def tf_function(make):
    import tensorflow as tf

    return tf.function(make(), jit_compile=True)(data())


def model_parallel(make):
    distribution = keras.distribution
    devices = distribution.list_devices()
    mesh = distribution.DeviceMesh((1, len(devices)), ("batch", "model"), devices)
    layout = distribution.LayoutMap(mesh)
    layout[r"conv/kernel"] = (None, None, None, "model")
    layout[r"dense.*/kernel"] = ("model", None)
    parallel = distribution.ModelParallel(layout_map=layout, batch_dim_name="batch")
    previous = distribution.distribution()
    try:
        with parallel.scope():
            return train(make)
    finally:
        distribution.set_distribution(previous)


@dataclasses.dataclass
class Case:
    name: str
    run: Callable
    backends: tuple = BACKENDS  # those that have what it uses
    tolerance: float = 1e-5  # float32 sums of some tens of terms, in another order


CASES = [
    Case('`model.quantize("int8")`', quantize, tolerance=2e-2),
    Case(
        "`quantize`, then `to_weighted` and `fold`",
        quantize_then_convert,
        tolerance=2e-2,
    ),
    Case("`enable_lora`, then `fold`", enable_lora),
    Case("`enable_lora`, then `to_weighted`", lora_then_convert),
    Case("`copy.deepcopy`", deepcopy),
    Case("`pickle`", pickled),
    Case("`keras.models.clone_model`", cloned),
    Case("file `.keras`", functools.partial(saved, name="model.keras")),
    Case("legacy file `.h5`", functools.partial(saved, name="model.h5")),
    Case("file `.weights.h5`", weights_saved),
    Case('`dtype="float64"`', float64),
    # bfloat16 has 8 bits, float16 has 11.
    Case(
        '`dtype="bfloat16"`',
        functools.partial(precise, dtype="bfloat16"),
        tolerance=4e-2,
    ),
    Case(
        '`dtype="mixed_bfloat16"`',
        functools.partial(precise, dtype="mixed_bfloat16"),
        tolerance=4e-2,
    ),
    Case(
        '`dtype="mixed_float16"`',
        functools.partial(precise, dtype="mixed_float16"),
        tolerance=5e-3,
    ),
    Case("`channels_first` on a CPU", channels_first),
    Case("an empty batch", empty_batch),
    Case("unknown sizes", unknown_sizes),
    Case("`fit` with `run_eagerly`", functools.partial(train, run_eagerly=True)),
    Case(
        "`fit` with `jit_compile`",
        functools.partial(train, jit_compile=True),
        ("tensorflow", "jax"),
    ),
    Case("`tf.function(jit_compile=True)`", tf_function, ("tensorflow",)),
    Case("`jax.vmap` over `stateless_call`", jax_vmap, ("jax",)),
    Case("`torch.compile`", torch_compile, ("torch",)),
    Case("`keras.distribution.ModelParallel`", model_parallel, ("jax",)),
]


def attempt(case):
    """Does a case with every kind of network.

    Returns:
        What holds, and the reason where it is not `HOLDS`.
    """
    if keras.backend.backend() not in case.backends:
        return ABSENT, "of another backend"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            expected = to_numpy(case.run(functools.partial(build, "plain")))
        except Exception as error:
            return REFUSED, _short(error)
        scale = np.abs(expected).max(initial=1e-3)
        for kind in KINDS:
            try:
                outputs = to_numpy(case.run(functools.partial(build, kind)))
                error = np.abs(outputs - expected).max(initial=0) / scale
                assert error < case.tolerance, f"differs by {error:.1e}"
            except Exception as error:
                return FAILS, f"{kind}: {_short(error)}"
    return HOLDS, ""


def _short(error):
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:120]}"


def table(results):
    """Returns the Markdown of the results of the backends, a dict of dicts."""
    title = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}
    backends = [backend for backend in BACKENDS if backend in results]
    rows, notes = [], []
    for case in CASES:
        cells = []
        for backend in backends:
            holds, reason = results[backend][case.name]
            if holds in (REFUSED, FAILS):
                notes.append(f"{len(notes) + 1}. {title[backend]}, {reason}")
                holds = f"{holds} [{len(notes)}]"
            cells.append(holds)
        rows.append([case.name, *cells])
    columns = ["what is done", *(title[backend] for backend in backends)]
    lines = [markdown_table(columns, rows), "", *notes]
    return "\n".join(lines).rstrip() + "\n"


HEADER = """# What works beyond ordinary training

Made by `python -m benchmarks.hard_use`; the tests run the same cases. A network with
fixed densities, one that learns them and one that learns them for each channel go
through each case, and so does the folded network, which is plain Keras: "yes" says that
all three give what plain Keras gives, and "Keras refuses too" that plain Keras raises.

"""


def main():
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.hard_use", description=__doc__
    )
    parser.add_argument("--output", type=Path, default=RESULTS / "hard_use.md")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:  # A process for each backend: this is one of them.
        with contextlib.redirect_stdout(sys.stderr):
            results = {case.name: attempt(case) for case in CASES}
        print(json.dumps(results))
        return 0
    results = {}
    for backend in BACKENDS:
        environment = {
            **os.environ,
            "KERAS_BACKEND": backend,
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
        }
        command = [sys.executable, "-m", "benchmarks.hard_use", "--one"]
        done = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, check=True, text=True
        )
        results[backend] = json.loads(done.stdout.splitlines()[-1])
    text = table(results)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(HEADER + text)
    print(text)
    return sum(
        holds == FAILS for rows in results.values() for holds, _ in rows.values()
    )


if __name__ == "__main__":
    sys.exit(main())
