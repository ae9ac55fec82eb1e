"""
Title: Search on many machines
Author: The keras_wconv authors
Date created: 2026/11/21
Last modified: 2026/11/21
Description: One chief, many workers, the same points; and what to do when a worker dies.
"""

"""
## Who does what

A search can be shared by as many processes as you like, on one machine or on many. One of
them, the *chief*, runs DIRECT-L: it hands out trials and takes their scores. It trains
nothing. The others, the *workers*, build the model, ask for a trial, train, report, and ask
again. All of them run the same script; KerasTuner reads from the environment which is which:

    export KERASTUNER_ORACLE_IP=10.0.0.1 KERASTUNER_ORACLE_PORT=8000
    KERASTUNER_TUNER_ID=chief    python search.py      # on 10.0.0.1
    KERASTUNER_TUNER_ID=worker0  python search.py      # on each machine that trains,
    KERASTUNER_TUNER_ID=worker1  python search.py      # with an ID of its own

All need the same `directory`, on a file system that they share: the chief keeps the search
there, the workers the weights of their trials. The chief has to be reached at that address
and port, and there is no password: keep it inside your network.

The scores alone decide where the search goes. So any number of workers tries the very same
points as one process, and in `directory` you find the same trials.

## The script

It is an ordinary search. Nothing in it knows of chief or workers.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import keras
from sklearn.datasets import load_digits

from keras_wconv import WeightedConv2D, tuning, visualization


def build(hp):
    density = tuning.density(hp, kernel_size=3)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            WeightedConv2D(8, 3, activation="relu", density=density),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def make_tuner():
    return tuning.DirectL(
        build,
        objective="val_loss",
        max_trials=6 if "GUIDE_QUICK" in os.environ else 20,
        directory="searches",
        project_name="many_machines",
    )


def search():
    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8, 1) / 16
    make_tuner().search(images, labels, validation_split=0.3, epochs=1, verbose=0)


"""
## Tried on one machine

Three processes on the loopback address stand for three machines. This file is the script:
where it finds an ID in the environment it takes part, otherwise it starts the three.
"""

if "KERASTUNER_TUNER_ID" in os.environ:
    search()
    sys.exit()

with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = str(probe.getsockname()[1])


def start(tuner_id):
    environment = {
        **os.environ,
        "KERASTUNER_ORACLE_IP": "127.0.0.1",
        "KERASTUNER_ORACLE_PORT": port,
        "KERASTUNER_TUNER_ID": tuner_id,
    }
    return subprocess.Popen([sys.executable, __file__], env=environment)


shutil.rmtree("searches/many_machines", ignore_errors=True)
chief, worker = start("chief"), start("worker0")

"""
## When a worker dies

The chief does not notice. It waits for the trial that the worker has, and since DIRECT-L
needs all scores of a batch before it can say where to go next, the others soon wait, too.
The rule is: **start it again with the same ID.** The chief then hands it the trial that it
had, with nothing of what the dead one may have reported. A worker with a new ID gets trials
that nobody had, and the search would still wait for the missing one.

A trial of hours need not begin anew: with `tuning.DirectL(..., resume_trials=True)` it goes
on after its last finished epoch, and ends with the score of one that was never killed, to
the last bit. A warning says what it cannot take up, such as the position in a generator.

Here `worker0` dies in the first trial, and is started again together with another:
"""

while not any(Path("searches/many_machines").glob("trial_*/trial.json")):
    time.sleep(0.1)
worker.kill()
worker.wait()
workers = {name: start(name) for name in ("worker1", "worker0")}
for name, worker in workers.items():
    print(name, "ended with", worker.wait())

"""
## When the chief dies

Its files are whole at every moment. Start it again in the same folder, with the command
that it had:

    KERASTUNER_TUNER_ID=chief python search.py

The workers that still run wait for it for a minute and go on. A trial that was running is
handed out once more; whichever worker reports it first ends it. The points are those of a
search that was never disturbed. After a minute without a chief a worker ends with one line
that says so: start it again, too. The same goes for a search of one process, which you stop
with Ctrl-C and start again.

At the end the chief looks every 20 seconds whether all workers that it knows have left, and
then ends as well. Here there is no need to wait for that. A worker that comes later finds no
chief, and ends after a minute. So may one that was in a trial when the chief died, if the
others finish the search without it.

## What came of it

The directory has the whole search, and whoever takes the chief's ID reads it.
"""

chief.terminate()
chief.wait()
os.environ["KERASTUNER_TUNER_ID"] = "chief"
tuner = make_tuner()
tuner.results_summary(num_trials=3)
visualization.plot_search(tuner)

"""
The best density, as a picture:
"""

best = tuning.density(tuner.get_best_hyperparameters()[0], kernel_size=3)
visualization.plot_densities(WeightedConv2D(1, 3, density=best))

"""
## How many workers?

The points of one batch can be trained at once, those of the next not before the last of
them is done. The guide "Training on many devices" measures the batches: they keep two
workers busy nearly all of the time and four for most of it. More workers than a batch has
points gain nothing: give each of them more devices instead.

An idle worker asks again four times a second. `idle_pause` is the argument for more or less.
"""
