"""What only a fresh process shows: import, time to the first batch, peak memory.

Memory is what training adds to the process, or under JAX what XLA says that a step
needs. The product of kernel and density is kept for the backward pass: one copy more of
the kernels, whatever the batch. That is 44 MB for ResNet18, whose pictures here are
small, and 2 MB for DnCNN-17. A learned density is one more weight, and its map some
more operations: about 3 MB a layer of TensorFlow's graph, whatever the batch.

The variant "one number" learns one factor for each kernel, the least that a layer can
learn beside its kernel. What it costs is the price of one more weight in TensorFlow and
its optimizer; on the other backends it has not been measured yet.
"""

import json
import os
import subprocess
import sys
import time

import keras
import numpy as np
from rich.progress import track

from keras_wconv.densities import Density

from . import _harness

NETWORKS = ("ResNet18, CIFAR-100", "DnCNN-17, 40x40")
ONE_NUMBER = "one number"
VARIANTS = ("standard", "fixed", "learned", ONE_NUMBER)
BATCH = 32

IMPORT = """
import time
import keras
begin = time.perf_counter()
import keras_wconv
print(time.perf_counter() - begin)
"""


class OneNumber(Density):
    """A learned factor that all taps of a kernel share."""

    def parameters(self, kernel_size, causal=False):
        return {"gain": np.ones([1] * len(kernel_size))}

    def map(self, taps, xp, gain):
        return gain


def run(*arguments):
    """Returns what a Python process of its own prints last."""
    process = subprocess.run(
        [sys.executable, *arguments],
        # glibc gives large blocks back at once: the peak is that of what is in use.
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(process.stdout.splitlines()[-1])


def first_batch(network, variant):
    """Prints the seconds to the first trained batch and the peak memory in bytes."""
    from . import networks

    before = peak_memory()
    begin = time.perf_counter()
    density = None
    if variant == ONE_NUMBER:
        variant, density = "learned", OneNumber()
    model, *batch = networks.compiled(network, variant, BATCH, density)
    model.train_on_batch(*batch)
    seconds = time.perf_counter() - begin
    model.train_on_batch(*batch)
    if keras.backend.backend() == "jax":
        peak = compiled_memory(model, batch)
    else:
        peak = peak_memory() - before
    print(json.dumps({"seconds": seconds, "bytes": peak}))


def peak_memory():
    """Returns the largest memory so far, of the device if it tells, or the process."""
    backend = keras.backend.backend()
    on_gpu = _harness.device() != "cpu"
    if on_gpu and backend == "tensorflow":
        import tensorflow as tf

        return tf.config.experimental.get_memory_info("GPU:0")["peak"]
    if on_gpu and backend == "torch":
        import torch

        return torch.cuda.max_memory_allocated()

    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def compiled_memory(model, batch):
    """Returns what XLA says that a training step needs; compiling takes more."""
    import jax

    state = [
        [variable.value for variable in variables]
        for variables in (
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
            model.metrics_variables,
        )
    ]
    step = jax.jit(model.train_step, donate_argnums=0).lower(state, batch).compile()
    memory = step.memory_analysis()
    return (
        memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        + memory.temp_size_in_bytes
        - memory.alias_size_in_bytes
    )


def main():
    if len(sys.argv) == 4 and sys.argv[1] == "first_batch":
        return first_batch(*sys.argv[2:])
    options = _harness.parse_options(__doc__)
    repeats = 1 if options.quick else 4
    variants = VARIANTS[:2] if options.quick else VARIANTS
    imports = [run("-c", IMPORT) for _ in track(range(2 * repeats), "Import")]
    milliseconds = _harness.quartiles(1e3 * np.array(imports))
    rows = [{"measure": "import", "milliseconds": milliseconds}]
    for network in NETWORKS[-1:] if options.quick else NETWORKS:
        samples = {variant: [] for variant in variants}
        for _ in track(range(repeats), network):
            for variant in variants:
                sample = run(
                    "-m", "benchmarks.processes", "first_batch", network, variant
                )
                samples[variant].append(sample)
        rows += compared(network, samples)
    print(_harness.save("processes", rows, options))


def compared(network, samples):
    """Returns a row for each variant and measure, over the standard network."""
    rows = []
    for measure, key in (("first batch", "seconds"), ("peak memory", "bytes")):
        values = {
            variant: np.array([sample[key] for sample in found])
            for variant, found in samples.items()
        }
        standard = values.pop(_harness.STANDARD)
        rows += [
            {
                "measure": measure,
                "network": network,
                "batch": BATCH,
                "variant": variant,
                "ratio": _harness.quartiles(value / standard),
                f"standard_{key}": float(np.median(standard)),
            }
            for variant, value in values.items()
        ]
    return rows


if __name__ == "__main__":
    main()
