"""Seconds and memory that it takes to build the largest networks."""

import json
import sys
import time

from rich.progress import track

from keras_wconv import applications

from . import _harness, processes

NETWORKS = {
    "NAFNet-64, SIDD": lambda **density: applications.NAFNetSIDD(width=64, **density),
    "NAFNet-64, GoPro": lambda **density: applications.NAFNetGoPro(width=64, **density),
    "ResNet152": applications.ResNet152,
    "VGG19": applications.VGG19,
}
VARIANTS = (_harness.STANDARD, "fixed", "learned")
DENSITIES = {size: _harness.DENSITIES[size] for size in (3, 7)}


def build(network, variant):
    """Prints the seconds to build a network and the process's peak memory."""
    begin = time.perf_counter()
    model = NETWORKS[network](**_harness.density_arguments(variant, DENSITIES))
    _harness.wait(model.weights[-1].value)
    seconds = time.perf_counter() - begin
    sample = {"seconds": seconds, "bytes": processes.peak_memory()}
    print(json.dumps({**sample, "parameters": model.count_params()}))


def main():
    if len(sys.argv) == 4 and sys.argv[1] == "build":
        return build(*sys.argv[2:])
    options = _harness.parse_options(__doc__)
    repeats = 1 if options.quick else 3
    rows = []
    for network in track(NETWORKS, "Build"):
        for variant in VARIANTS:
            samples = [
                processes.run("-m", "benchmarks.build", "build", network, variant)
                for _ in range(repeats)
            ]
            rows.append(
                {
                    "network": network,
                    "variant": variant,
                    "parameters": samples[0]["parameters"],
                    "seconds": _harness.quartiles([s["seconds"] for s in samples]),
                    "gibibytes": round(max(s["bytes"] for s in samples) / 2**30, 2),
                }
            )
    print(_harness.save("build", rows, options))


if __name__ == "__main__":
    main()
