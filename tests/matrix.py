"""Runs the suite under each backend, and ruff, and prints one summary.

python tests/matrix.py [--backends tensorflow,jax,torch] [pytest arguments]
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Each core has a worker. More threads would wait for each other; JAX reads `NPROC`.
THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "NPROC")


def run_suite(backend, arguments):
    """Returns (passed, failed, skipped, exit status) of the suite on a backend."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {
            **dict.fromkeys(THREADS, "1"),
            # JAX compiles what several tests and processes use once.
            "JAX_COMPILATION_CACHE_DIR": folder,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", f"--junit-xml={report}"]
        status = subprocess.run(
            [*command, *arguments],
            cwd=ROOT,
            env={**settings, **os.environ, "KERAS_BACKEND": backend},
        ).returncode
        if not report.exists():
            return 0, 1, 0, status
        suite = next(ElementTree.parse(report).iter("testsuite"))
    total, failed, skipped = (
        int(suite.get("tests")),
        int(suite.get("failures")) + int(suite.get("errors")),
        int(suite.get("skipped")),
    )
    return total - failed - skipped, failed, skipped, status


def run_ruff():
    checks = (["check"], ["format", "--check"])
    return max(
        subprocess.run(
            [sys.executable, "-m", "ruff", *check, "--quiet", "."], cwd=ROOT
        ).returncode
        for check in checks
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backends", default="tensorflow,jax,torch")
    parser.add_argument("--workers", default=str(min(os.cpu_count() or 1, 8)))
    options, arguments = parser.parse_known_args()
    rows, totals, status = [], [0, 0, 0], 0
    for backend in options.backends.split(","):
        print(f"\n=== KERAS_BACKEND={backend} ===", flush=True)
        begin = time.monotonic()
        workers = ["--numprocesses", options.workers, "--dist", "worksteal"]
        *counts, suite_status = run_suite(backend, [*workers, *arguments])
        totals = [a + b for a, b in zip(totals, counts, strict=True)]
        status = status or suite_status
        rows.append((backend, *counts, time.monotonic() - begin))
    ruff_status = run_ruff()
    print("\nSummary")
    for backend, passed, failed, skipped, seconds in rows:
        print(
            f"{backend:>12}: {passed} passed, {failed} failed, {skipped} skipped "
            f"in {seconds:.0f} s"
        )
    print(f"{'ruff':>12}: {'clean' if not ruff_status else 'failed'}")
    print("Total: {} passed, {} failed, {} skipped".format(*totals))
    return status or ruff_status


if __name__ == "__main__":
    sys.exit(main())
