"""
Title: Does it help on my data?
Author: The keras_wconv authors
Date created: 2026/11/21
Last modified: 2026/11/28
Description: Compare any two Keras models, so that the answer holds.
"""

"""
## The fair question

Train two networks once each, and one of them will be better. That says little: another
seed may turn it round, and so may another learning rate.

`experiments.compare` trains both with several seeds, on the same batches and from the same
initial values. It tunes both with the same number of runs, and looks at the test split
once. Then it says in sentences what the runs allow to be said, and no more. It knows
nothing about densities: it compares any two Keras models.

## Two networks, fifteen lines

Here are kernels of 3 against kernels of 5, on arrays. The handwritten digits of
scikit-learn stand for your own.
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
- A **task** is data, a recipe and a metric. The recipe compiles all candidates alike, so
  `build` returns a model that is not compiled. `Regression` and `Denoising` are tasks, too.
- A **candidate** is a name and a function that builds a model. Whatever the function asks
  of `hp`, a `keras_tuner.HyperParameters`, is tuned: here the dropout. `tune=` names what
  is tuned of the recipe: `"learning_rate"`, `"weight_decay"`, and `"start"`, one factor of
  all initial convolution kernels.
- Each side may be a list of candidates. The one that is best on the validation split is
  compared.
- `trials=` is the number of runs that tune each side. Both sides get the same number.
- The folder has a line of `runs.jsonl` for each finished run. Kill the comparison, call it
  again, and it goes on. More `seeds=` add to what is there. If the data, a network or the
  recipe has changed, the folder is refused, and you are told what has changed.

## Reading the answer

The first sentence of the verdict is the answer. It says "better" or "worse" only if a t
test *and* a test that needs no normal distribution say so, which fewer than six seeds
cannot do. In a notebook, a line with `results` alone shows the verdict and the table of
effects.

"No difference was shown" does not mean that there is none. The verdict says how large a
difference is excluded. The interval covers initial values and batches; other data are
another experiment. More seeds make it narrower, by the square root of their number.
`seeds_for` plans them, here for one percentage point:
"""

answer = results.effects()["proposal - baseline"].effect
print(answer.format(100, "points"))
print("Seeds to show one point, and the interval of that:", answer.seeds_for(0.01))

"""
A run **failed** if its metric is not finite, or no better than knowing nothing: the most
frequent class, the noisy input, the median. Failed runs are counted apart, and never
dropped in silence. Means are those of the runs that trained.
"""

for name, one in results.summaries().items():
    print(f"{name}: mean {one['mean']:.4f}, failed {results.failures()[name]}")
    print("    tuned:", results.values(name))

"""
The verdict names a tuned value that lies at the edge of its range: a wider range may change
the answer. It also says whether the candidates start from the same initial values. Those
of other shapes, as here, share the batches of a seed alone.

The folder has `report.md` and `report.html` with all runs and figures, and `results.json`
with all numbers. They are made of the files alone: `Results.load("sizes")` brings the
results back, without data or models.
"""

results.plot()

"""
## The standard question about a density

A density below 1 does two simple things besides its shape. It makes the initial kernels
smaller, and it makes the steps of their training smaller. A standard network can have both
for free. So the question is not "is the weighted network better than the standard one?" but

> Is it better than a standard network whose **start and learning rate were tuned over the
> same ranges, with as many runs**?

`density=` in place of the two sides asks it, of the network of the task:

| side | candidates | tuned for each |
|---|---|---|
| baseline | standard; standard from Glorot's start | learning rate, factor of the start |
| proposal | weighted; weighted from Glorot's start; weighted, with a normalized density | the same, over the same ranges |

Each side shares its `trials` out among its candidates: a multiple of six goes out evenly.
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
Do you not know the density beforehand? With `search=` in place of `density=`, DIRECT-L
tunes its coefficients together with the rest:

```python
from keras_wconv import tuning

find = functools.partial(tuning.density, kernel_size=3)
compare(task, "search", search=find)
```

A network of your own is a function of `density` that hands it on to weighted layers.
`experiments.sides` makes candidates of it, and a list of them is yours to change:

```python
def network(density=None, **options):
    ...
    x = keras_wconv.WeightedConv2D(16, 3, density=density, **options)(x)
    ...

both = sides(network, density=[0.7])
both["baseline"].append(Candidate("kernel size tuned", build, tune="learning_rate"))
compare(task, "mine", **both)
```

Do that if the kernels are large. The honest rival of a density on a large kernel is a
standard network whose kernel *size* is tuned.

## Why: controls

Controls explain the answer. They never give it.

| control | what it is |
|---|---|
| standard as it is, weighted as it is | nothing tuned: what you see before you tune |
| one factor | one number, the root mean square of the density, at every tap: if it does as well, the shape does not matter |
| permuted | the values of the density in other places: if it does as well, it does not matter which taps are weak |
| start alone | a standard network that starts at the weighted one's effective kernels |
| step alone | a weighted network that starts at the standard kernels |
| not normalized | the weighted network, its density as it was given |
| learned | a density that is trained with the kernels |

"One factor", "permuted" and "start alone" look at the density layer by layer. They need a
network whose layers have names of their own and whose `density=` takes a function of a layer's
name and kernel size, as the builders of `keras_wconv.applications` do.

Each control is compared with the baseline. Several intervals will often have one that
leaves out 0 by chance; `adjusted` corrects for that.
"""

for name, row in results.adjusted().items():
    shown = results.effects()[name].effect.format(100, "points")
    print(f"{name:30} {shown}, adjusted p = {row.p:.3f}")

results.plot()

"""
## Few examples, short training

A smaller start helps most where training is short, and a prior where examples are few.
`budgets=` repeats the comparison at several lengths of training, each with its whole
schedule of the learning rate. `examples=` repeats it on smaller training splits, for as
many steps. Each is tuned anew.
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

`callbacks=` is a function of a run's name that returns Keras callbacks. This one writes the
curves of every run for TensorBoard:

```python
compare(..., callbacks=lambda name: [keras.callbacks.TensorBoard(f"logs/{name}")])
```

MLflow and Weights & Biases want a run of their own for each of ours:

```python
def with_mlflow(name):
    mlflow.end_run()
    mlflow.start_run(run_name=name)
    return [mlflow.keras.MlflowCallback()]


def with_wandb(name):
    wandb.init(project="sizes", name=name, reinit="finish_previous")
    return [wandb.integration.keras.WandbMetricsLogger()]
```

Use callbacks to look, not to steer. What one changes in the training is no part of what a
run is known by.

`dtype_policy="mixed_float16"`, or `"mixed_bfloat16"`, trains all networks in mixed
precision. Its runs are other runs than those in float32, and want a folder of their own.

## Your own data

`datasets.Dataset` takes `(inputs, targets)` of arrays, lists or tensors, a
`tf.data.Dataset`, a `keras.utils.PyDataset` or a PyTorch `DataLoader`. `validation=` and
`test=` are splits or parts, such as `0.2`. Labels may be strings. For denoising, a folder
of pictures is enough: `Denoising.photographs(data=datasets.image_folder("my pictures"))`.

The command asks the standard question of a folder of classes, of pictures, of an `.npz` or
a `.csv` file. `--plan` says how many runs there will be and how long they take:

    keras-wconv compare --task my_folder --plan
"""
