"""What all benchmarks share: paired timings, the machine, the files of results."""

import argparse
import datetime
import importlib.metadata
import json
import math
import os
import platform
import time
from pathlib import Path

import keras
import numpy as np

from keras_wconv._device import device
from keras_wconv.densities import PUBLISHED as DENSITIES  # noqa: F401

from . import RESULTS

STANDARD = "standard"
VARIANTS = {
    STANDARD: None,
    # The standard case once more: how far noise alone moves a ratio from 1.
    "standard again": None,
    "fixed": {},
    "normalized": {"normalize_density": True},
    "learned": {"density_trainable": True},
}


def parse_options(description):
    """Returns the options that every benchmark has: `quick` and `output`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="a tenth of the time")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder")
    return parser.parse_args()


def density_arguments(variant, density):
    """Returns what makes a layer or a network the variant of this name."""
    options = VARIANTS[variant]
    return {} if options is None else {"density": density, **options}


def compare(steps, seconds, min_rounds=5):
    """Times functions in turn, A B C C B A A B C, for about `seconds`.

    A round gives one sample of each, so that whatever slows the machine down slows
    all of them; the order turns round every time, which cancels a steady drift.

    Args:
        steps: dict of functions without arguments, the one to compare with first.
        seconds: float, after which no new round begins.
        min_rounds: int, rounds that are run in any case.

    Returns:
        dict of lists: the seconds a call took in each round.
    """
    for step in steps.values():
        for _ in range(2):  # compiles, then allocates what is kept
            wait(step())
    # Many short calls make one sample, which the clock and the wait then cost little.
    calls = max(1, math.ceil(0.01 / max(_time(step, 1) for step in steps.values())))
    times = {name: [] for name in steps}
    order = list(steps)
    end = time.perf_counter() + seconds
    while len(times[order[0]]) < min_rounds or time.perf_counter() < end:
        for name in order:
            times[name].append(_time(steps[name], calls))
        order.reverse()
    return times


def _time(step, calls):
    begin = time.perf_counter()
    for _ in range(calls):
        outputs = step()
    wait(outputs)
    return (time.perf_counter() - begin) / calls


def wait(outputs):
    """Returns once the device has computed `outputs`."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        jax.block_until_ready(outputs)
    elif backend == "tensorflow":
        import tensorflow as tf

        tf.test.experimental.sync_devices()
    elif backend == "torch":
        import torch

        if torch.cuda.is_available():
            torch.cuda.synchronize()


def ratios(times, **fields):
    """Returns a row of results for every function but the first, which it is over.

    The ratio is taken within each round; its quartiles say how much rounds differ.
    """
    (_, baseline), *others = times.items()
    return [
        {
            **fields,
            "variant": variant,
            "ratio": quartiles(np.divide(values, baseline)),
            "milliseconds": round(1e3 * float(np.median(values)), 4),
            "standard_milliseconds": round(1e3 * float(np.median(baseline)), 4),
            "rounds": len(values),
        }
        for variant, values in others
    ]


def quartiles(values):
    """Returns the median of `values` and the quartiles around it."""
    lower, median, upper = np.percentile(values, [25, 50, 75])
    return {
        "lower": round(float(lower), 4),
        "median": round(float(median), 4),
        "upper": round(float(upper), 4),
    }


def save(name, rows, options):
    """Writes the rows of one benchmark under one backend, and where they were measured.

    Args:
        name: str, of the benchmark.
        rows: list of dicts that JSON can hold.
        options: what `parse_options` returned.

    Returns:
        Path of the file: `name-backend.json`, on another device than a CPU
        `name-backend-device.json`.
    """
    backend = keras.backend.backend()
    machine = describe_machine()
    result = {
        "benchmark": name,
        "backend": backend,
        "command": f"python -m benchmarks --backend {backend} --only {name}"
        + (" --quick" if options.quick else ""),
        "date": datetime.date.today().isoformat(),
        "machine": machine,
        "rows": rows,
    }
    parts = [name, backend]
    if machine["device"] != "cpu":
        parts.append(machine["device"].lower().replace(" ", "-"))
    path = options.output / ("-".join(parts) + ".json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    return path


def describe_machine():
    """Returns what a figure depends on: the processor, the device, the versions."""
    backend = keras.backend.backend()
    packages = ("keras", backend, "numpy")
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "device": device(),
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in packages},
        },
    }


def _processor():
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
