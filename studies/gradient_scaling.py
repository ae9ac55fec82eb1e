"""Study F: Spatial Gradient Scaling against none, on CIFAR-10.

The same network, initial values and batches; one side trains with
`keras_wconv.callbacks.SpatialGradientScaling`, which scales the steps of the taps and
renews the factors twenty times. Both tune the learning rate and the weight decay with
the same number of runs; the scaled side tunes the power of its factors, too.

python -m studies.gradient_scaling [--only NETWORK] [--steps N] [--seeds N] [--trials N]

`python -m benchmarks.cifar10` brings the pictures where CIFAR-10's own page cannot be
reached. `--only digits` is a check that takes minutes on a laptop. `--save FILE` writes
a part of the pictures for machines without tensorflow-datasets, which `--data FILE`
reads there.
"""

import argparse
import functools
from pathlib import Path

import keras
import numpy as np

from keras_wconv import fold
from keras_wconv.applications import VGG, ResNet, ResNet18
from keras_wconv.callbacks import SpatialGradientScaling
from keras_wconv.experiments import Candidate, Classification, compare, datasets

HERE = Path(__file__).parent
TUNE = ("learning_rate", "weight_decay")
RENEWALS, SAMPLE = 20, 128

NETWORKS = {
    "vgg": functools.partial(
        VGG, (2, 2, 2), (32, 64, 128), batch_normalization=True, hidden_units=()
    ),
    "vgg_narrow": functools.partial(
        VGG, (2, 2, 2), (8, 16, 32), batch_normalization=True, hidden_units=()
    ),
    "resnet18": functools.partial(ResNet18, stem="cifar"),
    "resnet18_narrow": functools.partial(
        ResNet, (2, 2, 2, 2), (8, 16, 32, 64), stem="cifar"
    ),
    "digits": functools.partial(
        VGG, (1, 1), (8, 16), batch_normalization=True, hidden_units=()
    ),
}
STEPS = {
    "vgg": 7_000,
    "vgg_narrow": 1_000,
    "resnet18": 7_000,
    "resnet18_narrow": 1_000,
    "digits": 200,
}


class Scaled(keras.Model):
    """A network that `Scaling` trains with scaled steps."""

    def __init__(self, *args, power=1.0, **kwargs):
        super().__init__(*args, **kwargs)
        self.power = power

    def get_config(self):
        # What a run is known by.
        return {**super().get_config(), "power": self.power}


class Scaling(Classification):
    """Classification that scales the steps of the networks that ask for it."""

    def fit(self, model, seed=0, epochs=None, callbacks=(), **kwargs):
        if not isinstance(model, Scaled):
            return super().fit(model, seed, epochs, callbacks, **kwargs)
        every = max(1, self.epochs // RENEWALS)
        scaling = SpatialGradientScaling(
            self.sample(SAMPLE), every=every, power=model.power
        )
        history = super().fit(model, seed, epochs, [scaling, *callbacks], **kwargs)
        fold(model, in_place=True)
        return history

    def get_config(self):
        return {**super().get_config(), "renewals": RENEWALS, "sample": SAMPLE}


def candidates(network):
    """Returns the two sides, for `compare`.

    Args:
        network: function without arguments that returns a Keras model.
    """

    def scaled(hp):
        model = network()
        power = hp.Choice("power", [0.25, 0.5, 1.0])
        return Scaled(model.input, model.output, power=power)

    return {
        "baseline": Candidate("standard", lambda hp: network(), TUNE),
        "proposal": Candidate("scaled gradients", scaled, TUNE),
    }


def task(name, data, steps):
    """Returns the task of a network: the usual augmentation and schedule of CIFAR."""
    pictures = {"pad": 4, "flip": True} if name != "digits" else {"pad": 1}
    whole = Scaling(
        data,
        functools.partial(NETWORKS[name]),
        batch_size=128 if name != "digits" else 50,
        learning_rate=0.05,
        weight_decay=5e-3,
        schedule="cosine",
        **pictures,
    )
    # Renewals come at epochs.
    count = next(n for n in range(RENEWALS, 0, -1) if steps % n == 0)
    whole.epochs, whole.steps_per_epoch = count, steps // count
    return whole


def load(path):
    """Reads a part of CIFAR-10 that `save` wrote."""
    with np.load(path) as file:
        splits = {
            split: (file[f"{split}_inputs"], file[f"{split}_labels"])
            for split in datasets.SPLITS
        }
    count = len(splits["train"][1])
    return datasets.Dataset(f"CIFAR-10, {count}", **splits, classes=10)


def save(path, part=0.3):
    """Writes the first part of each split of CIFAR-10."""
    data, arrays = datasets.cifar10(), {}
    for split in datasets.SPLITS:
        inputs, labels = getattr(data, split)
        count = int(part * len(labels))
        arrays[f"{split}_inputs"] = inputs[:count]
        arrays[f"{split}_labels"] = labels[:count]
    np.savez_compressed(path, **arrays)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", choices=list(NETWORKS), action="append")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=14)
    parser.add_argument("--data", type=Path, help="pictures that --save wrote")
    parser.add_argument("--save", type=Path, help="write a part of CIFAR-10, and stop")
    parser.add_argument("--output", type=Path, default=HERE / "gradient_scaling")
    options = parser.parse_args()
    if options.save is not None:
        save(options.save)
        return
    for name in options.only or ("vgg", "resnet18"):
        if name == "digits":
            data = datasets.digits()
        elif options.data is not None:
            data = load(options.data)
        else:
            data = datasets.cifar10()
        shape = data.train[0].shape[1:]
        build = functools.partial(
            NETWORKS[name], input_shape=shape, classes=data.classes
        )
        results = compare(
            task(name, data, options.steps or STEPS[name]),
            options.output / name,
            **candidates(build),
            seeds=range(options.seeds),
            trials=options.trials,
        )
        print(f"{name}: {results.verdict()}", flush=True)


if __name__ == "__main__":
    main()
