"""What a density makes of the signal's variance in VGG16, before any training.

VGG16 without batch normalization passes the signal through 13 convolutions. A density
multiplies the variance by (mean alpha^2)^2 in each, a normalized one by 1. The zeros
around an image weaken that: they take more from a flat kernel than from a peaked one.
"""

import keras
import numpy as np
from rich.progress import track

from keras_wconv import applications

from . import _harness

LAYERS = 13
DENSITIES = (0.3, 0.5, 0.7, 1.5)
SIZES = (32, 64, 224)


def output_variance(size, seed, **density):
    """Returns the variance at the last feature map, of one image of noise."""
    keras.utils.set_random_seed(seed)
    model = applications.VGG16(include_top=False, **density)
    x = np.random.default_rng(seed).normal(size=(1, size, size, 3)).astype("float32")
    return float(np.var(model.predict(x, verbose=0)))


def main():
    options = _harness.parse_options(__doc__)
    seeds = range(1 if options.quick else 5)
    rows = []
    for size in SIZES[:1] if options.quick else SIZES:
        standard = [output_variance(size, seed) for seed in seeds]
        for density in track(DENSITIES, f"{size} x {size}"):
            row = {
                "size": size,
                "density": density,
                "predicted_ratio": float(((2 * density**2 + 1) / 3) ** (2 * LAYERS)),
            }
            for variant in ("fixed", "normalized"):
                arguments = _harness.density_arguments(variant, density)
                weighted = [output_variance(size, seed, **arguments) for seed in seeds]
                ratio = np.median(np.divide(weighted, standard))
                row[f"{variant}_ratio"] = float(f"{ratio:.3g}")
            rows.append(row)
    print(_harness.save("variance", rows, options))


if __name__ == "__main__":
    main()
