"""Inference: the weighted model, the same one folded, and the standard one."""

import keras
from rich.progress import track

import keras_wconv

from . import _harness, _steps, layers, networks

# Late layers at batch 1 have more kernel than image: here the product shows most.
LATE_LAYERS = {
    f"Conv2D {kernel_size}x{kernel_size}, 512 channels, 7x7 pixels": kernel_size
    for kernel_size in _harness.DENSITIES
}
BATCHES = (1, 32)


def build(case, variant):
    if case in LATE_LAYERS:
        return layers.build("Conv2D", LATE_LAYERS[case], (7, 7, 512), 512, variant)
    return networks.build(case, variant)[0]


def main():
    options = _harness.parse_options(__doc__)
    cases = [(layer, 1) for layer in LATE_LAYERS]
    cases += [(network, batch) for network in networks.NETWORKS for batch in BATCHES]
    if options.quick:
        cases = cases[:1]
    rows = []
    for case, batch in track(cases, "Inference"):
        weighted = build(case, "fixed")
        models = {
            _harness.STANDARD: build(case, _harness.STANDARD),
            "standard again": build(case, _harness.STANDARD),
            "unfolded": weighted,
            "folded": keras_wconv.fold(weighted),
        }
        inputs = _steps.random_batch(batch, *weighted.input_shape[1:])
        steps = {
            variant: _steps.inference(model, inputs)
            for variant, model in models.items()
        }
        times = _harness.compare(steps, seconds=1 if options.quick else 4)
        kind = "layer" if case in LATE_LAYERS else "network"
        rows += _harness.ratios(times, **{kind: case}, batch=batch)
        keras.utils.clear_session()
    print(_harness.save("inference", rows, options))


if __name__ == "__main__":
    main()
