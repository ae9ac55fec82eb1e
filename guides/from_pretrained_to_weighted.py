"""
Title: From a pretrained Keras model to a weighted one and back
Author: The keras_wconv authors
Date created: 2026/11/21
Last modified: 2026/11/28
Description: Convert a trained model without changing an output, fine-tune, fold, export.
"""

"""
## A model that you already have

You need not rewrite a network to try another convolution. `to_weighted` copies a Functional
or Sequential model with its convolutions weighted, including nested models and those of
`keras.applications`. `fold` copies it back into plain Keras layers.

    model = keras.applications.ConvNeXtTiny(weights="imagenet")
    weighted = keras_wconv.to_weighted(model, {4: "gaussian", 2: None, 7: "gaussian"})

To run anywhere, this guide trains its own "pretrained" model on the handwritten digits that
come with scikit-learn, and loads it from a file.
"""

import os

import keras
import numpy as np
from keras import layers
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import keras_wconv
from keras_wconv import experiments, visualization
from keras_wconv.export import export

keras.utils.set_random_seed(0)
epochs = 1 if os.environ.get("GUIDE_QUICK") else 10

digits = load_digits()
images = (digits.images[..., None] / 16).astype("float32")
x_train, x_test, y_train, y_test = train_test_split(
    images, digits.target, test_size=0.3, random_state=0, stratify=digits.target
)

inputs = keras.Input((8, 8, 1), name="image")
x = inputs
for block, filters in enumerate((16, 32)):
    x = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"conv{block}")(
        x
    )
    x = layers.BatchNormalization(name=f"norm{block}")(x)
    x = layers.ReLU(name=f"relu{block}")(x)
x = layers.GlobalMaxPooling2D(name="pool")(x)
outputs = layers.Dense(10, activation="softmax", name="digit")(x)
keras.Model(inputs, outputs, name="digits").save("pretrained.keras")

pretrained = keras.saving.load_model("pretrained.keras")
pretrained.compile(
    keras.optimizers.Adam(5e-3),
    "sparse_categorical_crossentropy",
    metrics=["accuracy"],
)
pretrained.fit(x_train, y_train, epochs=epochs, batch_size=64, verbose=0)
print(pretrained.evaluate(x_test, y_test, verbose=0, return_dict=True))

"""
## Weighted, with the same outputs

`preserve="function"`, the default, divides every kernel by its density, so that their
product is the trained kernel. The report says what happened to each convolution.
"""

weighted, report = keras_wconv.to_weighted(pretrained, [0.7], return_report=True)
print(report)

before = pretrained.predict(x_test, verbose=0)
after = weighted.predict(x_test, verbose=0)
print("largest difference:", np.abs(before - after).max())

"""
The table shows the profile of each layer and its gain, the factor by which the density
changes the variance of a signal with random kernels. Here the kernels compensate for it.
"""

visualization.summary(weighted)
visualization.plot_densities(weighted)

"""
There are other ways to choose densities:

- `{3: [0.7], 7: [0.25, 0.15, 0.55]}`, by kernel size;
- `lambda name, kernel_size: [0.7] if name.startswith("conv1") else None`, by layer;
- `where=lambda layer: layer.strides == (1, 1)`, for some convolutions only;
- `density_trainable=True`, to learn the coefficients, starting from the given density.

A kernel cannot be divided by a density that contains a zero. `preserve="kernel"` keeps the
kernels, whatever the density, and changes the outputs.

## Fine-tune

What does the density do if the function is that of the plain model? It changes the *steps*.
With plain SGD, the effective kernel Φ·w moves as without a density, but with its gradient
multiplied by Φ²; with Adam, its update is multiplied by Φ. Taps (positions of the kernel)
with a small density stay closer to their pretrained values.

The copy is not compiled, as the optimizer's state belonged to the old kernels. For a fair
comparison, the plain model is fine-tuned for as long.
"""

for name, model in (("standard", pretrained), ("weighted", weighted)):
    model.compile(
        keras.optimizers.Adam(1e-4),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    keras.utils.set_random_seed(1)
    model.fit(x_train, y_train, epochs=epochs, batch_size=64, verbose=0)
    print(name, model.evaluate(x_test, y_test, verbose=0, return_dict=True))

"""
One run on small data decides nothing. `experiments.compare` repeats it with several seeds,
tunes the learning rate of both sides, and answers with an interval. Seeds have to change
something: here each seed draws a new head, the same one for both sides. A task standardizes
its inputs by default, but the trained model needs them unchanged.
"""

pretrained.save("trained.keras")


def with_new_head(density):
    def build(hp):
        trained = keras.saving.load_model("trained.keras", compile=False)
        trunk = keras.Model(trained.input, trained.get_layer("pool").output)
        if density is not None:
            trunk = keras_wconv.to_weighted(trunk, density)
        outputs = layers.Dense(10, activation="softmax")(trunk.output)
        return keras.Model(trunk.input, outputs)

    return build


class FineTuning(experiments.Classification):
    standardize = False


data = experiments.datasets.Dataset("digits", (x_train, y_train), 0.2, (x_test, y_test))
task = FineTuning(
    data,
    epochs=epochs,
    batch_size=64,
    learning_rate=1e-3,
    optimizer=keras.optimizers.Adam,
    schedule="cosine",
)
results = experiments.compare(
    task,
    "fine_tuning",
    baseline=experiments.Candidate("standard", with_new_head(None), "learning_rate"),
    proposal=experiments.Candidate("weighted", with_new_head([0.7]), "learning_rate"),
    trials=6 if epochs > 1 else 1,
    seeds=range(6 if epochs > 1 else 2),
)
print(results.verdict())
results.plot()

"""
For more, see "Does it help on my data?". `keras_wconv.tuning` searches for the density.

## Training from scratch: mind the gains

Without a trained function to preserve, gains multiply through the layers of a network that
has no normalization. `normalize_density=True` divides Φ by its root mean square. The next
example takes the thirteen convolutions of an untrained VGG16, with the same initial kernels,
and prints the variance of its outputs relative to that of the standard network.
"""

vgg = keras.applications.VGG16(weights=None, include_top=False, input_shape=(64, 64, 3))
noise = np.random.default_rng(0).normal(size=(2, 64, 64, 3)).astype("float32")
variance = np.var(vgg.predict(noise, verbose=0))
for normalize in (False, True):
    scratch = keras_wconv.to_weighted(
        vgg, [0.7], preserve="kernel", normalize_density=normalize
    )
    ratio = np.var(scratch.predict(noise, verbose=0)) / variance
    print(f"normalize_density={normalize}: {ratio:.2g} of the standard variance")

"""
The plain density leaves about 2e-5 of the variance, the normalized one nearly all of it.
This holds for 0.7 at 64 pixels. On images of 32 pixels, stronger densities such as 0.5 or
0.3 are off by more than a factor of 3. `python -m benchmarks --only variance` measures both.

## Fold and export

The folded model has a `Conv2D` in place of each `WeightedConv2D`, with the same names. It
loads where keras_wconv is not installed, and costs the same as the original model.
"""

folded = keras_wconv.fold(weighted)
folded.save("folded.keras")
print([type(layer).__name__ for layer in folded.layers])
difference = folded.predict(x_test, verbose=0) - weighted.predict(x_test, verbose=0)
print("largest difference:", np.abs(difference).max())

"""
`export` folds the model and calls `keras.Model.export`. The TensorFlow backend writes every
format, JAX writes SavedModels, PyTorch writes ONNX. Where a backend cannot write a format,
the error says so.
"""

if keras.backend.backend() == "jax":
    export(weighted, "digits_saved_model", format="tf_saved_model")
else:
    import onnxruntime

    export(weighted, "digits.onnx", format="onnx")
    session = onnxruntime.InferenceSession("digits.onnx")
    (exported,) = session.run(None, {session.get_inputs()[0].name: x_test})
    difference = exported - weighted.predict(x_test, verbose=0)
    print("onnxruntime, largest difference:", np.abs(difference).max())

"""
## If you trained with the published PyTorch layers

Their state dictionaries load into a weighted model, matched to its layers by order or by
`names`:

    keras_wconv.pytorch.load_state_dict(model, "state.pt")

Keys, shapes and densities that do not match are listed, and nothing is loaded. The page
"Moving from wConv 2.0" has a table of names.
"""
