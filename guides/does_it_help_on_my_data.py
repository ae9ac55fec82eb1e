"""
Title: Does it help on my data?
Author: The keras_wconv authors
Date created: 2026/11/21
Last modified: 2026/11/27
Description: Compare a weighted network with a standard one that is tuned as much.
"""

"""
## The fair question

Train a network with a density and one without, and the weighted one may well be better.
That alone says little. A density below 1 does two simple things besides its shape: it
makes the initial kernels smaller, and it makes the steps of their training smaller. A
standard network can have both for free: a smaller initializer and another learning rate.

So the question is not "is the weighted network better than the standard one?" but

> Is it better than a standard network whose **start and learning rate were tuned with
> as many trainings**?

`experiments.compare` asks this question by default. Its arms are

| arm | what it is | tuned on validation |
|---|---|---|
| A | the standard network | nothing |
| S | the standard network, initial kernels times a factor | the factor |
| ST | the standard network | the factor and the learning rate, together |
| B | the weighted network | the density |
| BT | the weighted network | its learning rate, too |

S and ST are the strong opponents. S asks whether a smaller start is all that the density
brought. ST asks the same of start and learning rate together, which matters: with Adam, a
smaller kernel and a smaller step go hand in hand. Each side gets the same number of
trainings, and the report prints it.

Published initializers are standard networks as well, and cost no tuning: add `glorot`,
`lecun` or `orthogonal` to `arms`. The best of all standard arms, chosen on the validation
split, is the one that the weighted network is compared with.

A comparison that you can trust also

- pairs its runs: the same initial kernels and the same batches for every arm of a seed;
- repeats them with several seeds and gives an interval, not a number;
- chooses on validation data and looks at the test data once.

`experiments.compare` does these as well. The same on the command line:

    keras-wconv compare --task photographs --seeds 5

## A task

A task is data, a network and a training recipe. Digits and photographs ship with
scikit-learn and scikit-image, so this guide needs no download.
"""

import functools
import os

from keras_wconv import experiments, tuning
from keras_wconv.experiments import report

QUICK = "GUIDE_QUICK" in os.environ  # The tests run this guide with one epoch.

task = experiments.Classification.digits(epochs=1 if QUICK else 15)

"""
For your own data, put NumPy arrays into a `datasets.Dataset`. Take any builder of
`keras_wconv.applications`, or your own function of `input_shape`, `classes` and
`density`:

```python
from keras_wconv.applications import ResNet20
from keras_wconv.experiments import Classification, datasets

data = datasets.Dataset(
    "mine", (x_train, y_train), (x_validation, y_validation), (x_test, y_test), classes=7
)
task = Classification(data, ResNet20, epochs=30, learning_rate=0.05, flip=True, pad=2)
```

For denoising, a folder of pictures is enough:

```python
from keras_wconv.experiments import Denoising, datasets

task = Denoising.photographs(data=datasets.image_folder("my pictures"), sigma=25)
```

## The comparison

`search` declares the density, which DIRECT-L then looks for on the validation split. Give
`density=[0.7]` instead if you know it beforehand. Every finished training is a line of
`runs.jsonl`: kill the comparison, call it again, and it goes on.
"""

results = experiments.compare(
    task,
    "does_it_help",
    search=functools.partial(tuning.density, kernel_size=3),
    seeds=range(2 if QUICK else 5),
    arms="A,ST,B" if QUICK else "A,S,ST,B,BT,C,D,F,G",
    trials=2 if QUICK else 9,
)

"""
## What may be said
"""

print(results.conclusion())

"""
The first sentence answers. It says "better" only if the interval lies above 0 *and* the
standard network had a start and a learning rate of its own at equal cost.

An interval that contains 0 does not say that there is no effect. It says that these runs
cannot tell. It covers the choice of initial kernels and batches; other data are another
experiment. More seeds make it narrower, by the square root of their number:
`seeds_for` says how many would show a difference of a given size, here of one point.
"""

answer = results.effects()["weighted - standard"]
print(answer.format(100, "points"), "- seeds for one point:", answer.seeds_for(0.01))

"""
## Why: the other effects

The other arms explain the answer. They are controls and never answer the question.

| arm | what it is |
|---|---|
| C | standard, but its initial kernels are those of B times the density |
| D | standard initial kernels, but with the steps that B makes |
| F | one number, the root mean square of the density, at every tap |
| G | the density with its values, except the center, in other places |

C and D are the two halves of what a density does, and together they are B. If F is as good
as B, the shape does not matter, only its gain. If G is as good as B, it does not matter
which taps are weak.
"""

stays = results.significant()
for name, effect in results.effects().items():
    mark = "  (significant by Holm's method)" if name in stays else ""
    print(f"{name:30} {effect.formula:15} {effect.format(100, 'points')}{mark}")

"""
Eight intervals at 95 % will often contain one that leaves out 0 by chance. Holm's method
corrects for that.

## Longer training

A smaller start helps most where training is short. `budgets` repeats the comparison at
several lengths, each with its whole learning rate schedule. The report then shows the
effect against the number of steps, and what the last doubling brought:

```python
experiments.compare(task, "by_length", density=[0.7], budgets=[200, 400, 800])
```

The report has the table of all runs and the figures, as Markdown and as one HTML page.
Beside it lie `results.json`, `effects.csv` and `effects.tex`, to be cited.
"""

report.write_comparison(results)
print(sorted(path.name for path in results.folder.glob("effects.*")))
