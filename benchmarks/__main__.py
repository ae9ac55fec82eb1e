"""Runs the benchmarks, each under each backend in a process of its own.

Writes a JSON file for each to benchmarks/results, then the tables and the figure there
and the table of README.md.

PyTorch's timings run with an allocator that gives no memory back to the system
(glibc's; others ignore the setting). Otherwise buffers of some megabytes are handed
back and fetched again in each step, or not, as it happens: layers then differ by up to
a half from themselves.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from . import RESULTS, report

ALL = ("tensorflow", "jax", "torch")
KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(2**32),
    "MALLOC_TRIM_THRESHOLD_": str(2**33),
    "MALLOC_TOP_PAD_": str(2**26),
}
MEASURE_MEMORY = ("processes", "build", "search", "memory")
BENCHMARKS = {  # module: the backends that it runs under
    "layers": ALL,
    "networks": ALL,
    "inference": ALL,
    "trimmed": ALL,
    "tuning": ("tensorflow",),
    "processes": ALL,
    "search": ALL,
    "memory": ALL,
    "pytorch_module": ("torch",),
    "build": ("tensorflow",),
    "variance": ("tensorflow",),
    # These train nothing.
    "direct_l": ("tensorflow",),
    "engine": ("tensorflow",),
    "workers": ("tensorflow",),
    "best_found": ("tensorflow",),
    "optuna_samplers": ("tensorflow",),
}


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--backend", action="append", choices=ALL, help="may be repeated; default: all"
    )
    parser.add_argument(
        "--only", action="append", choices=BENCHMARKS, help="may be repeated"
    )
    parser.add_argument(
        "--quick", action="store_true", help="a few cases, to see that all runs"
    )
    parser.add_argument(
        "--output", type=Path, help="folder; default: benchmarks/results"
    )
    options = parser.parse_args()
    # Quick figures are worth nothing, and must not replace those that are.
    output = options.output or (Path("runs/bench") if options.quick else RESULTS)
    failed = []
    for name in options.only or BENCHMARKS:
        for backend in options.backend or ALL:
            if backend not in BENCHMARKS[name]:
                continue
            print(f"=== {name}, {backend} ===", flush=True)
            begin = time.monotonic()
            keep_memory = backend == "torch" and name not in MEASURE_MEMORY
            quick = ["--quick"] if options.quick else []
            command = [sys.executable, "-m", f"benchmarks.{name}", *quick]
            environment = {
                "TF_CPP_MIN_LOG_LEVEL": "2",
                **(KEEP_MEMORY if keep_memory else {}),
                **os.environ,
                "KERAS_BACKEND": backend,
            }
            status = subprocess.run(
                [*command, "--output", str(output)], env=environment
            ).returncode
            print(f"{time.monotonic() - begin:.0f} s", flush=True)
            if status:
                failed.append(f"{name}, {backend}")
    report.write(output)
    print(f"Results: {output / 'README.md'}")
    if failed:
        print(f"Failed: {'; '.join(failed)}")
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
