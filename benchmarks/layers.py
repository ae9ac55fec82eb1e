"""One layer within a training step: weighted against Keras's own."""

import itertools

import keras
from rich.progress import track

import keras_wconv

from . import _harness, _steps

LAYERS = {  # class: shape of a sample, the number of filters
    "Conv1D": ((1024, 64), 64),
    "Conv2D": ((32, 32, 64), 64),
    "Conv3D": ((8, 8, 8, 16), 16),
    "DepthwiseConv1D": ((1024, 64), None),
    "DepthwiseConv2D": ((32, 32, 64), None),
}
BATCHES = (1, 8, 32)


def build(name, kernel_size, shape, filters, variant):
    """Returns a model of one layer."""
    density = _harness.density_arguments(variant, _harness.DENSITIES[kernel_size])
    if density:
        layer_class = getattr(keras_wconv.layers, f"Weighted{name}")
    else:
        layer_class = getattr(keras.layers, name)
    sizes = (kernel_size,) if filters is None else (filters, kernel_size)
    layer = layer_class(*sizes, padding="same", **density)
    return keras.Sequential([keras.Input(shape), layer])


def main():
    options = _harness.parse_options(__doc__)
    cases = list(itertools.product(LAYERS, _harness.DENSITIES, BATCHES))
    if options.quick:
        cases = [case for case in cases if case[1:] == (3, 8)]
    rows = []
    for name, kernel_size, batch in track(cases, "Layers"):
        shape, filters = LAYERS[name]
        inputs = _steps.random_batch(batch, *shape)
        steps = {
            variant: _steps.gradients(
                build(name, kernel_size, shape, filters, variant), inputs
            )
            for variant in _harness.VARIANTS
        }
        times = _harness.compare(steps, seconds=0.1 if options.quick else 1)
        rows += _harness.ratios(times, layer=name, kernel_size=kernel_size, batch=batch)
        keras.utils.clear_session()
    print(_harness.save("layers", rows, options))


if __name__ == "__main__":
    main()
