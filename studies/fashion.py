"""Study D: pictures of clothes with few or many examples, one large kernel or a size.

Fashion-MNIST; 1,000 of the published training pictures choose, the published test
pictures report. Two convolutions with strides of 2 and batch normalization, kernels of
3 to 15; "depthwise" has depthwise ones, each between convolutions of 1x1. Source of the
data: https://arxiv.org/abs/1708.07747.

python -m studies.fashion [--only NAME] [--data FOLDER] [--examples N] [--seeds N]
    [--trials N]

The folder has the four published `.gz` files, as Debian's package
`dataset-fashion-mnist` brings them.
"""

import functools
import gzip
from pathlib import Path

import keras
import numpy as np

from keras_wconv import WeightedConv2D, WeightedDepthwiseConv2D
from keras_wconv.experiments import Classification, datasets

from . import question

EXAMPLES = (100, 1_000, 10_000, 59_000)
SIZES = (3, 5, 9, 15)
FOLDER = Path("/usr/share/datasets/fashion-mnist")
STEPS, FILTERS = 600, (8, 16)
NETWORKS = {"dense": {}, "depthwise": {"depthwise": True}}


class Clothes(question.Trimmed, Classification):
    """Classification that also measures the trimmed network."""


def data(folder, tested=None):
    """Loads the four published files; the last 1,000 training pictures choose.

    Args:
        folder: of the files.
        tested: int, how many of the test pictures are taken; by default all.
    """

    def load(name, offset, *shape):
        with gzip.open(Path(folder) / f"{name}.gz") as file:
            return np.frombuffer(file.read(), "uint8", offset=offset).reshape(shape)

    def split(name):
        inputs = load(f"{name}-images-idx3-ubyte", 16, -1, 28, 28, 1)
        return inputs, load(f"{name}-labels-idx1-ubyte", 8, -1).astype("int32")

    inputs, labels = split("train")
    test = tuple(part[:tested] for part in split("t10k"))
    return datasets.Dataset(
        "fashion_mnist",
        train=(inputs[:-1000], labels[:-1000]),
        validation=(inputs[-1000:], labels[-1000:]),
        test=test,
        classes=10,
    )


def network(kernel_size, density=None, *, depthwise=False, **options):
    """Two convolutions with batch normalization, and the mean over the picture."""
    options = {
        "strides": 2,
        "padding": "same",
        "use_bias": False,
        "density": density,
        **(options if density is not None else {}),
    }
    inputs = keras.Input((28, 28, 1))
    x = inputs
    for i, filters in enumerate(FILTERS):
        options["name"] = f"conv{i}"
        if depthwise:
            x = keras.layers.Conv2D(filters, 1, use_bias=False)(x)
            x = WeightedDepthwiseConv2D(
                kernel_size, depthwise_initializer="he_normal", **options
            )(x)
        else:
            x = WeightedConv2D(
                filters, kernel_size, kernel_initializer="he_normal", **options
            )(x)
        # With 0.99, moving statistics are not yet those of the data after 600 steps.
        x = keras.layers.BatchNormalization(momentum=0.9)(x)
        x = keras.layers.ReLU()(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(10, activation="softmax")(x))


def task(folder, tested=None):
    """Returns the task, with the data of `data`."""
    return Clothes(
        data(folder, tested),
        epochs=20,
        batch_size=32,
        learning_rate=5e-3,
        optimizer=keras.optimizers.AdamW,
        weight_decay=1e-2,
        schedule="cosine",
    ).with_steps(STEPS)


def main():
    options = question.arguments(__doc__.partition("\n")[0], NETWORKS, data=FOLDER)
    for name in options.only or NETWORKS:
        build = functools.partial(network, **NETWORKS[name])
        question.run(
            f"fashion/{name}",
            task(options.data),
            question.sides(build, SIZES, max(SIZES)),
            options.seeds,
            options.trials,
            examples=options.examples or EXAMPLES,
        )


if __name__ == "__main__":
    main()
