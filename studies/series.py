"""Study B: time series with few examples, one large kernel or a tuned size.

Small sets of the UCR and UEA archives that come with aeon. The published test series
are the test split. Everything is tuned on the published training series alone, by
cross-validation with three folds; four fifths of them train the reported runs, the rest
is their validation split. Series are averaged to about 125 samples.

python -m studies.series [--only NAME] [--seeds N] [--trials N]
"""

import dataclasses
import functools

import keras

from keras_wconv import WeightedConv1D
from keras_wconv.experiments import Classification, datasets

from . import question

SETS = {  # with the numbers of series that train the reported runs
    "ArrowHead": 29,
    "OSULeaf": 160,
    "ItalyPowerDemand": 54,
    "GunPoint": 40,
    "BasicMotions": 32,
    "JapaneseVowels": 216,
    "ACSF1": 80,
}
CONTROLLED = ("ArrowHead", "OSULeaf")
SIZES = (3, 5, 9, 17, 33, 65)
FOLDS = 3
EPOCHS, STEPS = 40, 10  # Of a set of 20 series an epoch would be one step.
FILTERS = (8, 16, 16)


class Series(question.Trimmed, Classification):
    """Classification that also measures the trimmed network."""

    def compile(self, model, **kwargs):
        # One call of the backend for an epoch: these steps are short.
        super().compile(model, steps_per_execution=self.steps, **kwargs)


def data(name):
    """Loads a set, its series averaged to about 125 samples."""
    whole = datasets.ucr(name)
    length = whole.train[0].shape[1]
    window = max(1, round(length / 125))

    def averaged(split):
        inputs, labels = split
        kept = inputs[:, : length // window * window]
        shape = len(inputs), -1, window, inputs.shape[-1]
        return kept.reshape(shape).mean(2).astype("float32"), labels

    splits = {s: averaged(getattr(whole, s)) for s in datasets.SPLITS}
    return dataclasses.replace(whole, name=f"{name}, {window}", **splits)


def network(kernel_size, density=None, *, shape, classes, **options):
    """Three convolutions with batch normalization, and the mean over time."""
    inputs = keras.Input(shape)
    x = inputs
    for i, filters in enumerate(FILTERS):
        x = WeightedConv1D(
            filters,
            kernel_size,
            padding="same",
            use_bias=False,
            kernel_initializer="he_normal",
            density=density,
            name=f"conv{i}",
            **(options if density is not None else {}),
        )(x)
        # With 0.99, moving statistics are not yet those of the data after 400 steps.
        x = keras.layers.BatchNormalization(momentum=0.9)(x)
        x = keras.layers.ReLU()(x)
    x = keras.layers.GlobalAveragePooling1D()(x)
    outputs = keras.layers.Dense(classes, activation="softmax")(x)
    return keras.Model(inputs, outputs)


def question_of(name):
    """Returns the task of a set, the function that builds a network, and the sizes."""
    loaded = data(name)
    shape = loaded.train[0].shape[1:]
    task = Series(
        loaded,
        None,
        epochs=EPOCHS,
        batch_size=min(16, len(loaded.train[0])),
        learning_rate=5e-3,
        optimizer=keras.optimizers.AdamW,
        weight_decay=1e-2,
        schedule="cosine",
    )
    task.steps_per_epoch = STEPS
    # A longer kernel would have taps that no value ever meets.
    sizes = [size for size in SIZES if size <= shape[0]]
    build = functools.partial(network, shape=shape, classes=loaded.classes)
    return task, build, sizes


def main():
    options = question.arguments(__doc__.partition("\n")[0], SETS, trials=30)
    for name in options.only or SETS:
        task, build, sizes = question_of(name)
        candidates = question.sides(build, sizes, max(sizes))
        if name in CONTROLLED:
            candidates["controls"] += question.further_controls(build, max(sizes))
        question.run(
            f"series/{name}",
            task.with_folds(FOLDS),
            candidates,
            options.seeds,
            options.trials,
        )


if __name__ == "__main__":
    main()
