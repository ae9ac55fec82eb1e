"""Study C: denoising learned from few pictures, one large kernel or a tuned size.

A network of three convolutions learns from 1 to 380 pictures of Train400, noise of
25/255. The other 20 pictures of Train400 choose; Set12 reports, and BSD68 in a folder
of its own. Tuning does not see the test pictures, so BSD68's log has the tuning runs of
Set12's, with ids of its own. The pictures and the noise are those of Zhang et al.,
https://arxiv.org/abs/1608.03981.

python -m studies.few_pictures [--only NAME] [--data FOLDER] [--examples N] [--seeds N]
    [--trials N]
"""

from pathlib import Path

import keras

from keras_wconv import WeightedConv2D
from keras_wconv.experiments import Denoising, datasets

from . import question

PICTURES = (1, 4, 16, 64, 380)
TESTS = ("Set12", "BSD68")
SIZES = (3, 5, 7, 11)
TUNE = (*question.TUNE, "start")
STEPS, FILTERS = 400, 8


class Pictures(question.Trimmed, Denoising):
    """Denoising that also measures the trimmed network."""


def network(kernel_size, density=None, **options):
    """Three convolutions; the network predicts the noise."""
    inputs = keras.Input((None, None, 1))
    x = inputs
    for i, filters in enumerate((FILTERS, FILTERS, 1)):
        x = WeightedConv2D(
            filters,
            kernel_size,
            padding="same",
            density=density,
            name=f"conv{i}",
            **(options if density is not None else {}),
        )(x)
        if i < 2:
            x = keras.layers.ReLU(name=f"relu{i}")(x)
    return keras.Model(inputs, keras.layers.Subtract(name="clean")([inputs, x]))


def task(folder, test):
    """Returns the task: 380 pictures to train, 20 to choose, a folder to report."""
    root = Path(folder)
    pictures = datasets.image_folder(
        train=root / "Train400", test=root / test, validation=0.05
    )
    return Pictures(
        pictures,
        batch_size=8,
        patch_size=32,
        patches_per_picture=8,
        steps_per_epoch=STEPS // 20,
        epochs=20,
        learning_rate=1e-3,
        optimizer=keras.optimizers.AdamW,
        weight_decay=1e-2,
        schedule="cosine",
    )


def main():
    data = question.ROOT.parent / "shared/data/denoising"
    options = question.arguments(__doc__.partition("\n")[0], TESTS, data, trials=18)
    for name in options.only or TESTS:
        question.run(
            f"few_pictures/{name}",
            task(options.data, name),
            question.sides(network, SIZES, max(SIZES), TUNE),
            options.seeds,
            options.trials,
            examples=options.examples or PICTURES,
        )


if __name__ == "__main__":
    main()
