"""
Title: Does it help on my data?
Author: The keras_wconv authors
Date created: 2026/11/21
Last modified: 2026/11/21
Description: Compare a weighted network with a standard one, with controls, honestly.
"""

"""
## One pair of trainings proves nothing

Train two networks, one with a density and one without, and one of them will be better.
Train them again from other initial kernels, and it may be the other one. Even where the
weighted network wins every time, the density may not be the reason that you think of:
it makes the kernels smaller at the start, as a smaller initialiser would, and it makes
their steps smaller, as a smaller learning rate would.

A comparison that you can trust

- pairs its runs: the same initial kernels and the same batches for every network;
- repeats them with several seeds and gives an interval, not a number;
- tunes the standard network as hard as the weighted one;
- chooses on validation data and looks at the test data once;
- has controls that separate what the density does.

`experiments.comparison` does these. On the command line the same is

    keras-wconv compare --task photographs --controls

## A task

A task is data, a network and a training recipe. Digits and photographs ship with
scikit-learn and scikit-image, so that this guide needs no download.
"""

import os

from keras_wconv.experiments import Classification, comparison, report

QUICK = "GUIDE_QUICK" in os.environ  # The tests run this guide with one epoch.

task = Classification.digits(epochs=1 if QUICK else 15)

"""
For your own data, put NumPy arrays into a `datasets.Dataset`, and take any builder of
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

`search` looks for the density on the validation split. Here it tries three; see the
command `keras-wconv search` for DIRECT-L. The standard network then gets as many runs
for a learning rate of its own. Every finished run is a line of `runs.jsonl`: kill the
comparison, call it again, and it goes on.
"""

results = comparison.compare(
    task,
    "does_it_help",
    search=comparison.search_among([[0.5], [0.7], [1.3]]),
    seeds=range(2 if QUICK else 5),
    arms="ABT" if QUICK else "ABCDFGT",
)

"""
The arms:

| arm | what it is |
|---|---|
| A | the standard network |
| T | the standard network with a learning rate of its own |
| B | the weighted network |
| C | standard, but starting at the kernels of B times the density |
| D | standard, but with the steps that B makes |
| F | one number, the root mean square of the density, everywhere |
| G | the density with its off-centre values in other places |

C and D are the two halves of what a density does; together they are B, exactly. If F is
as good as B, the shape does not matter and a smaller initialiser would have done. If G
is as good as B, it does not matter which taps are weak.

## What may be said
"""

print(results.conclusion())

for name, effect in results.effects().items():
    print(f"{name:45} {effect.format(100, 'points')}")

"""
An interval that contains 0 does not say that there is no effect: it says that these
runs cannot tell. More seeds make it narrower, by the square root of their number. The
first line is the question; the others explain it, and one in twenty such intervals
leaves out 0 by chance.

The report has the table of all runs and a figure, as Markdown and as one HTML page.
"""

report.write_comparison(results)
