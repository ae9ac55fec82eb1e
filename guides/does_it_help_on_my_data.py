"""
Title: Does it help on my data?
Author: The keras_wconv authors
Date created: 2026/11/21
Last modified: 2026/11/28
Description: Compare any two Keras models, with an answer that you can trust.
"""

"""
## The fair question

Train two networks once each, and one of them will be better. That says little: another
seed or another learning rate may reverse the order.

`experiments.compare` trains both with several seeds, on the same batches and from the same
initial values. It tunes both with the same number of runs, and uses the test split only
once. Then it states in sentences what the runs show, and no more. It compares any two Keras
models, with or without densities.

## Two networks, fifteen lines

This example compares kernels of 3 with kernels of 5. The handwritten digits of scikit-learn
stand in for your arrays.
"""

import os

import keras
from sklearn.datasets import load_digits

from keras_wconv.experiments import Candidate, Classification, compare, datasets

QUICK = "GUIDE_QUICK" in os.environ  # The tests run this guide with one epoch.

images, labels = load_digits(return_X_y=True)
images = images.reshape(-1, 8, 8, 1)
data = datasets.Dataset("digits", (images, labels), validation=0.2, test=0.3)
task = Classification(
    data,
    epochs=1 if QUICK else 10,
    batch_size=32,
    learning_rate=3e-3,
    optimizer=keras.optimizers.Adam,
    schedule="cosine",
)


def network(size):
    def build(hp):
        return keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                keras.layers.Conv2D(16, size, padding="same", activation="relu"),
                keras.layers.Conv2D(32, size, padding="same", activation="relu"),
                keras.layers.GlobalAveragePooling2D(),
                keras.layers.Dropout(hp.Float("dropout", 0.0, 0.5)),
                keras.layers.Dense(10),
            ]
        )

    return build


results = compare(
    task,
    "sizes",
    baseline=Candidate("kernels of 3", network(3), tune="learning_rate"),
    proposal=Candidate("kernels of 5", network(5), tune="learning_rate"),
    trials=1 if QUICK else 9,
    seeds=range(2 if QUICK else 10),
)
print(results.verdict())

"""
- A **task** consists of data, a recipe and a metric. The recipe compiles all candidates in
  the same way, so `build` returns an uncompiled model. `Regression` and `Denoising` are
  tasks, too.
- A **candidate** is a name and a function that builds a model. Every hyperparameter that
  the function requests from `hp`, a `keras_tuner.HyperParameters`, is tuned: here the
  dropout. `tune=` names the parts of the recipe to tune: `"learning_rate"`,
  `"weight_decay"`, and `"start"`, one factor for all initial convolution kernels.
- Each side may be a list of candidates. The best one on the validation split is compared.
- `trials=` is the number of runs that tune each side. It is the same for both sides.
- The folder has `runs.jsonl`, with a line for each finished run. If the comparison is
  killed, call it again and it continues. More `seeds=` add to the existing runs. If the
  data, a network or the recipe has changed, the folder is refused, and you are told why.

## Reading the answer

The first sentence of the verdict is the answer. It says "better" or "worse" only if a t
test *and* a test that does not assume a normal distribution agree, which needs at least six
seeds. In a notebook, a line with just `results` shows the verdict and the table of effects.

"No difference was shown" does not mean that there is none. The verdict says how large a
difference is excluded. The interval covers initial values and batches; other data are
another experiment. It shrinks with the square root of the number of seeds. `seeds_for`
tells how many you need, here for one percentage point:
"""

answer = results.effects()["proposal - baseline"].effect
print(answer.format(100, "points"))
print("Seeds needed to show one point, with an interval:", answer.seeds_for(0.01))

"""
A run has **failed** if its metric is not finite, or no better than a trivial answer: the
most frequent class, the noisy input, the median. Failed runs are counted separately, never
silently dropped. Means are taken over the runs that trained.
"""

for name, one in results.summaries().items():
    print(f"{name}: mean {one['mean']:.4f}, failed {results.failures()[name]}")
    print("    tuned:", results.values(name))

"""
The verdict names any tuned value at the edge of its range, where a wider range may change
the answer. It also says whether the candidates start from the same initial values. If their
shapes differ, as here, the runs of a seed only share their batches.

The folder has `report.md` and `report.html` with all runs and figures, and `results.json`
with all numbers. They are made from the files alone: `Results.load("sizes")` loads the
results again, without data or models.
"""

results.plot()

"""
## The standard question about a density

Apart from its shape, a density below 1 does two simple things: it makes the initial kernels
smaller, and it makes the training steps smaller. A standard network can have both for free.
So the question is not "is the weighted network better than the standard one?" but

> Is it better than a standard network whose **start and learning rate were tuned over the
> same ranges, with as many runs**?

To ask it about the network of a task, pass `density=` instead of the two sides:

| side | candidates | tuned for each |
|---|---|---|
| baseline | standard; standard with Glorot's start | learning rate, factor of the start |
| proposal | weighted; weighted with Glorot's start; weighted, with a normalized density | the same, over the same ranges |

Each side divides its `trials` among its candidates, so use a multiple of six.
"""

results = compare(
    Classification.digits(epochs=1 if QUICK else 10),
    "density",
    density=[0.7],
    controls=["standard as it is", "one factor"],
    trials=3 if QUICK else 12,
    seeds=range(2 if QUICK else 6),
)
print(results.verdict())

"""
If you do not know the density beforehand, pass `search=` instead of `density=`. DIRECT-L
then tunes its coefficients together with the rest:

```python
from keras_wconv import tuning

find = functools.partial(tuning.density, kernel_size=3)
compare(task, "search", search=find)
```

For your own network, write a function that passes its argument `density` to weighted
layers. `experiments.sides` turns it into lists of candidates, which you may change:

```python
def network(density=None, **options):
    ...
    x = keras_wconv.WeightedConv2D(16, 3, density=density, **options)(x)
    ...

both = sides(network, density=[0.7])
both["baseline"] += [
    Candidate(f"kernels of {size}", functools.partial(build, size=size), tune="learning_rate")
    for size in (3, 7, 11)]
compare(task, "mine", **both)
```

Do this if the kernels are large: the fair competitor of a density on a large kernel is the
standard network of the best *size*. Give each size as a candidate: of an `hp.Choice`, the
search tries three values first, and the others only if these are good.

## Why: controls

Controls explain the answer, but do not change it. A *tap* is one position of a kernel.

| control | meaning |
|---|---|
| standard as it is, weighted as it is | nothing is tuned |
| one factor | one number, the root mean square of the density, at every tap: if it does as well, the shape does not matter |
| permuted | the values of the density, moved to other taps: if it does as well, it does not matter which taps are weak |
| start alone | a standard network that starts at the effective kernels of the weighted one |
| step alone | a weighted network that starts at the standard kernels |
| not normalized | the weighted network, its density not normalized |
| learned | a density that is trained with the kernels |

"One factor", "permuted" and "start alone" need the density of each layer. The layers of the
network must have explicit names, and its `density=` must accept a function of a layer's name
and kernel size, as in the builders of `keras_wconv.applications`.

Each control is compared with the baseline. Among several intervals, one often excludes 0 by
chance; `adjusted` corrects for that.
"""

for name, row in results.adjusted().items():
    shown = results.effects()[name].effect.format(100, "points")
    print(f"{name:30} {shown}, adjusted p = {row.p:.3f}")

results.plot()

"""
## Few examples, short training

A smaller start helps most where training is short, a prior where examples are few.
`budgets=` repeats the comparison for several lengths of training, each with a complete
learning rate schedule. `examples=` repeats it on smaller training splits, with the same
number of steps. Each of these comparisons is tuned separately.
"""

results = compare(
    task,
    "few_examples",
    baseline=Candidate("kernels of 3", network(3), tune="learning_rate"),
    proposal=Candidate("kernels of 5", network(5), tune="learning_rate"),
    trials=1 if QUICK else 9,
    seeds=range(2 if QUICK else 6),
    examples=[50] if QUICK else [50, 200],
)
for cell, row in results.table().items():
    shown = results.effects(cell)["proposal - baseline"].effect.format(100, "points")
    print(f"{cell}: {shown}, p = {row.p:.3f}, adjusted for all rows")

"""
## Watch it

`callbacks=` takes a function that is given the name of a run and returns Keras callbacks.
This one logs the curves of every run for TensorBoard:

```python
compare(..., callbacks=lambda name: [keras.callbacks.TensorBoard(f"logs/{name}")])
```

MLflow and Weights & Biases need a separate run for each of ours:

```python
def with_mlflow(name):
    mlflow.end_run()
    mlflow.start_run(run_name=name)
    return [mlflow.keras.MlflowCallback()]


def with_wandb(name):
    wandb.init(project="sizes", name=name, reinit="finish_previous")
    return [wandb.integration.keras.WandbMetricsLogger()]
```

Use callbacks to watch, not to change the training: a run's identity does not include what a
callback changes.

`dtype_policy="mixed_float16"` or `"mixed_bfloat16"` trains all networks in mixed precision.
These runs differ from those in float32 and need a separate folder.

## Your own data

`datasets.Dataset` takes `(inputs, targets)` as arrays, lists or tensors, a
`tf.data.Dataset`, a `keras.utils.PyDataset` or a PyTorch `DataLoader`. `validation=` and
`test=` are splits, or fractions such as `0.2`. Labels may be strings. For denoising, a
folder of images is enough: `Denoising.photographs(data=datasets.image_folder("my pictures"))`.

The command asks the standard question about a folder of classes or images, or an `.npz` or
`.csv` file. `--plan` says how many runs there will be and how long they take:

    keras-wconv compare --task my_folder --plan
"""
