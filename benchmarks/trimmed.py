"""Inference: a folded and trimmed model, the same one not trimmed, and a small one.

The large kernels have a narrow density, and `keras_wconv.fold(model, trim=0.01)` makes
them as small as that density is. The small one is the standard network with the kernels
that it was published with.
"""

import functools

import keras
from rich.progress import track

import keras_wconv
from keras_wconv import applications
from keras_wconv.densities import Gaussian

from . import _harness, _steps

LARGE, TRIMMED, SMALL = "not trimmed", "trimmed", "small standard"
BATCHES = (1, 32)
NETWORKS = {  # the builder, the large kernel with its density, the small kernel
    "ConvNeXt, 2 stages, 64x64": (
        functools.partial(
            applications.ConvNeXt,
            (2, 2),
            (40, 80),
            patch_size=2,
            input_shape=(64, 64, 3),
            classes=10,
        ),
        {"kernel_size": 31, "density": Gaussian(1.5)},
        {"kernel_size": 7},
    ),
    "TimeSeriesResNet, 256 steps": (
        functools.partial(applications.TimeSeriesResNet, input_shape=(256, 1)),
        {"kernel_sizes": (65, 65, 65), "density": Gaussian(2.0)},
        {"kernel_sizes": (8, 5, 3)},
    ),
}


def build(network):
    """Returns the three models by variant, and the sizes that the kernels came to."""
    build_network, large, small = NETWORKS[network]
    weighted = build_network(**large)
    trimmed, report = keras_wconv.fold(weighted, trim=0.01, return_report=True)
    sizes = {"x".join(map(str, entry.new_kernel_size)) for entry in report.entries}
    models = {
        LARGE: keras_wconv.fold(weighted),
        f"{LARGE} again": keras_wconv.fold(weighted),
        TRIMMED: trimmed,
        SMALL: build_network(**small),
    }
    return models, " ".join(sorted(sizes))


def main():
    options = _harness.parse_options(__doc__)
    cases = [(network, batch) for network in NETWORKS for batch in BATCHES]
    if options.quick:
        cases = cases[:1]
    rows = []
    for network, batch in track(cases, "Trimmed"):
        models, sizes = build(network)
        inputs = _steps.random_batch(batch, *models[LARGE].input_shape[1:])
        steps = {
            variant: _steps.inference(model, inputs)
            for variant, model in models.items()
        }
        times = _harness.compare(steps, seconds=1 if options.quick else 10)
        fields = {"network": network, "trimmed_to": sizes, "batch": batch}
        rows += _harness.ratios(times, **fields, ratio_to=LARGE)
        pair = {variant: times[variant] for variant in (SMALL, TRIMMED)}
        rows += _harness.ratios(pair, **fields, ratio_to=SMALL)
        keras.utils.clear_session()
    print(_harness.save("trimmed", rows, options))


if __name__ == "__main__":
    main()
