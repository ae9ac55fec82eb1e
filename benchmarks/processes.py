"""What only a fresh process shows: import, time to the first batch, peak memory."""

import json
import os
import subprocess
import sys
import time

import numpy as np
from rich.progress import track

from . import _harness

NETWORKS = ("ResNet18, CIFAR-100", "DnCNN-17, 40x40")
VARIANTS = ("standard", "fixed", "learned", "standard again")
BATCH = 32

IMPORT = """
import time
import keras
begin = time.perf_counter()
import keras_wconv
print(time.perf_counter() - begin)
"""


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
    step = networks.training_step(network, variant, BATCH)
    step()
    seconds = time.perf_counter() - begin
    step()
    print(json.dumps({"seconds": seconds, "bytes": peak_memory() - before}))


def peak_memory():
    """Returns the largest memory so far: of the device, of the process on a CPU."""
    import keras

    backend = keras.backend.backend()
    if _harness.device() == "cpu":
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if backend == "jax":
        import jax

        return jax.devices()[0].memory_stats()["peak_bytes_in_use"]
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.config.experimental.get_memory_info("GPU:0")["peak"]

    import torch

    return torch.cuda.max_memory_allocated()


def main():
    if len(sys.argv) == 4 and sys.argv[1] == "first_batch":
        return first_batch(*sys.argv[2:])
    options = _harness.parse_options(__doc__)
    repeats = 1 if options.quick else 3
    variants = VARIANTS[:2] if options.quick else VARIANTS
    imports = [run("-c", IMPORT) for _ in track(range(5 * repeats), "Import")]
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
    baseline = samples[_harness.STANDARD]
    return [
        {
            "measure": measure,
            "network": network,
            "batch": BATCH,
            "variant": variant,
            "ratio": _harness.quartiles(
                [
                    a[key] / b[key]
                    for a, b in zip(samples[variant], baseline, strict=True)
                ]
            ),
            f"standard_{key}": float(np.median([b[key] for b in baseline])),
        }
        for measure, key in (("first batch", "seconds"), ("peak memory", "bytes"))
        for variant in VARIANTS[1:]
    ]


if __name__ == "__main__":
    main()
