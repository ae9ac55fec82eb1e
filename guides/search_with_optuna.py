"""
Title: Search with Optuna
Author: The keras_wconv authors
Date created: 2026/11/28
Last modified: 2026/11/28
Description: DIRECT-L as an Optuna sampler, with two processes, a pruner and the dashboard.
"""

"""
## The sampler

    pip install "keras_wconv[optuna,tensorflow]"     # or jax, or torch

`tuning.DirectLSampler` is an Optuna sampler. Everything else works as usual in Optuna:
`study.optimize`, storages, pruners, the dashboard. `tuning.density` asks the trial for the
coefficients of a density, in the published ranges. The first trial is the middle of all
ranges; for kernels of 3, this is the standard convolution.

The storage holds the only state. For each trial, the search is rebuilt from the values of
the finished trials and gives the next point. So any number of workers, even if they are
killed and started again, tries the same points as one worker.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import optuna
from optuna_integration import KerasPruningCallback
from sklearn.datasets import load_digits

from keras_wconv import WeightedConv2D, tuning, visualization

optuna.logging.set_verbosity(optuna.logging.WARNING)
quick = "GUIDE_QUICK" in os.environ
images, labels = load_digits(return_X_y=True)
images = images.reshape(-1, 8, 8, 1).astype("float32") / 16
train, validation = slice(0, 1000), slice(1000, 1400)

"""
## A Keras model

An objective builds the model, trains it and returns the value. DIRECT-L expects the same
value for the same point. So all trials have the same seed, start from the same kernels and
see the same batches.

`KerasPruningCallback` comes with `pip install optuna-integration`. It reports the loss of
each epoch, and stops trials that the study's pruner gives up. Such a trial counts with the
last value that it reported.
"""


def objective(trial):
    density = tuning.density(trial, kernel_size=5)
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            WeightedConv2D(16, 5, padding="same", activation="relu", density=density),
            keras.layers.MaxPooling2D(),
            WeightedConv2D(32, 5, padding="same", activation="relu", density=density),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
    history = model.fit(
        images[train],
        labels[train],
        validation_data=(images[validation], labels[validation]),
        epochs=2 if quick else 10,
        batch_size=50,
        callbacks=[KerasPruningCallback(trial, "val_loss")],
        verbose=0,
    )
    return history.history["val_loss"][-1]


"""
## Two processes, one storage

Each process runs the same script. An SQLite file is enough on one machine; many machines
need a database or a
[journal](https://optuna.readthedocs.io/en/stable/reference/storages.html). The space is
declared because two workers start at once. Without it, the sampler would take the parameters
from the first trial that finishes.

This file is the script: with `OPTUNA_WORKER` in the environment it takes part, otherwise it
starts the two processes.
"""

STORAGE = "sqlite:///digits.db"
SPACE = {
    "density_5_1": optuna.distributions.FloatDistribution(0.05, 1.0),
    "density_5_2": optuna.distributions.FloatDistribution(0.5, 1.5),
}
pruner = optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=3)
trials = 6 if quick else 30


def open_study():
    return optuna.create_study(
        study_name="digits",
        storage=STORAGE,
        sampler=tuning.DirectLSampler(SPACE),
        pruner=pruner,
        load_if_exists=True,
    )


def search():
    enough = optuna.study.MaxTrialsCallback(trials, states=None)
    open_study().optimize(objective, callbacks=[enough])


if "OPTUNA_WORKER" in os.environ:
    search()
    sys.exit()


def start():
    environment = {**os.environ, "OPTUNA_WORKER": "yes"}
    return subprocess.Popen([sys.executable, __file__], env=environment)


Path("digits.db").unlink(missing_ok=True)  # Otherwise the old search would continue.
study = open_study()
workers = [start(), start()]

"""
## Watch it

In another terminal, during the search or later:

    pip install optuna-dashboard
    optuna-dashboard sqlite:///digits.db

![The dashboard: the values, the importance of both coefficients, the timeline of the
trials](../images/optuna_dashboard.png)

This is the search of this guide after it finished. The green line is the trial of the worker
that is killed below.

## When a worker dies

Start another one, or none: there is nothing to repair. The results of the dead worker are in
the storage. Its unfinished point is tried again as soon as another worker finds all other
points of the batch taken; its trial remains `RUNNING` in the storage. Here one worker is
killed early, and another takes its place:
"""

while sum(bool(trial.params) for trial in study.trials) < 2:
    time.sleep(0.1)
workers[1].kill()
workers[1].wait()
workers[1] = start()
print("ended with", [worker.wait() for worker in workers])

for trial in study.trials[:5]:
    print(trial.number, trial.state.name, trial.value, trial.params)
print("best:", study.best_value, study.best_params)
visualization.plot_search(study)

"""
An idle worker also repeats a point that another is still training, since Optuna cannot make
it wait. So near the end of a batch some points appear twice; the search uses the trial that
finishes first. Two workers are busy with new points nearly all the time. More workers than
points in a batch, 6 to 11 on average, gain nothing.

With a pruner, the values depend on which trials have finished before. So two workers may try
different points from one.

## Which sampler?

On five test functions for optimizers, after 15, 30 and 60 trials, the best value of DIRECT-L
was better than that of random search in 15 of 15 cases, of TPE, Optuna's default, in 8, of
CMA-ES in 9 and of the Gaussian process in 7 (medians of five runs,
`python -m benchmarks --only optuna_samplers`). In three and six dimensions, the Gaussian
process was better in 5 of 6 cases. DIRECT-L uses no random numbers, knows a whole batch in
advance, and starts in the middle of the ranges.

The best of many scores is too optimistic. Train the best density again beside the standard
network, with seeds that the search has not used, as the guide on classification does.

## Your own PyTorch model

With Keras's PyTorch backend, its layers are `torch.nn.Module`s. Use one in place of an
`nn.Conv2d`, and keep your training loop. Build the layer for the shape of its input before
you pass its parameters to the optimizer.
"""

if keras.backend.backend() == "torch":
    import torch

    class Network(torch.nn.Module):
        def __init__(self, density):
            super().__init__()
            self.conv = WeightedConv2D(
                16, 5, padding="same", data_format="channels_first", density=density
            )
            self.conv.build((None, 1, 8, 8))
            self.head = torch.nn.Linear(16, 10)

        def forward(self, x):
            return self.head(torch.relu(self.conv(x)).mean((2, 3)))

    def torch_objective(trial):
        keras.utils.set_random_seed(0)  # PyTorch's random numbers, too
        model = Network(tuning.density(trial, kernel_size=5))
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        x = torch.as_tensor(np.moveaxis(images, -1, 1))
        y = torch.as_tensor(labels)
        loss_of = torch.nn.functional.cross_entropy
        for epoch in range(2 if quick else 10):
            for batch in torch.randperm(1000).split(50):
                optimizer.zero_grad()
                loss_of(model(x[batch]), y[batch]).backward()
                optimizer.step()
            with torch.no_grad():
                loss = loss_of(model(x[validation]), y[validation]).item()
            trial.report(loss, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned
        return loss

    study = optuna.create_study(sampler=tuning.DirectLSampler(), pruner=pruner)
    study.optimize(torch_objective, n_trials=trials)
    print("best:", study.best_value, study.best_params)
