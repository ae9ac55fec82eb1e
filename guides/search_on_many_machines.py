"""
Title: Search on many machines
Author: The keras_wconv authors
Date created: 2026/11/21
Last modified: 2026/11/21
Description: Share a search among many workers, and handle a worker or chief that dies.
"""

"""
## Who does what

Any number of processes can share a search, on one machine or on many. One of them, the
*chief*, runs DIRECT-L: it assigns trials and collects their scores, but trains nothing. The
others, the *workers*, ask for a trial, build and train the model, report, and ask again. All
run the same script. KerasTuner reads their roles from the environment:

    export KERASTUNER_ORACLE_IP=10.0.0.1 KERASTUNER_ORACLE_PORT=8000
    KERASTUNER_TUNER_ID=chief    python search.py      # on 10.0.0.1
    KERASTUNER_TUNER_ID=worker0  python search.py      # on each machine that trains,
    KERASTUNER_TUNER_ID=worker1  python search.py      # with a unique ID

All need the same `directory` on a shared file system: the chief stores the search there, the
workers the weights of their trials. The workers must be able to reach the chief at that
address and port. There is no password, so keep it inside your network.

Only the scores decide where the search goes. So any number of workers tries the same points
as one process, and `directory` then holds the same trials.

## The script

It is an ordinary search. Nothing in it depends on the chief or the workers.
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
## A test on one machine

Here, three processes on the loopback address take the place of three machines. This file is
the script: if the environment contains an ID it takes part, otherwise it starts the three.
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

The chief does not notice. It waits for that worker's trial, and since DIRECT-L needs all
scores of a batch before it can choose new points, the other workers soon wait, too. The rule
is: **start it again with the same ID.** The chief then assigns it the same trial again, and
discards anything that it had reported for that trial. A worker with a new ID would get new
trials, and the search would still wait for the missing one.

A trial that takes hours need not start over. With `tuning.DirectL(..., resume_trials=True)`,
it continues after its last complete epoch, and its score is bit-identical to that of a trial
that was never killed. A warning names anything that cannot be restored, such as the position
in a generator.

Here `worker0` dies in the first trial, and is started again together with another worker:
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

Its files are consistent at all times. Start it again in the same folder, with the same
command:

    KERASTUNER_TUNER_ID=chief python search.py

Running workers wait up to a minute for the chief, and continue when it is back. A trial that
was running is assigned again, and the first worker to report it completes it. The points are
the same as without the interruption. After a minute without a chief, a worker exits with a
message. Start it again, too. A search in a single process also resumes after Ctrl-C.

At the end, the chief checks every 20 seconds whether all known workers have left, and then
exits as well. This guide does not wait for that. A worker that comes later finds no chief,
and exits after a minute. So may a worker that was in a trial when the chief died, if the
others finish the search without it.

## The results

The directory has the whole search. To read it, use the ID of the chief.
"""

chief.terminate()
chief.wait()
os.environ["KERASTUNER_TUNER_ID"] = "chief"
tuner = make_tuner()
tuner.results_summary(num_trials=3)
visualization.plot_search(tuner)

"""
This is the best density:
"""

best = tuning.density(tuner.get_best_hyperparameters()[0], kernel_size=3)
visualization.plot_densities(WeightedConv2D(1, 3, density=best))

"""
## How many workers?

The points of one batch can be trained in parallel, but the next batch has to wait for all of
them. The guide "Training on many devices" measures the batches: they keep two workers busy
nearly all the time, and four most of the time. More workers than points in a batch gain
nothing: give each worker more devices instead.

An idle worker asks again four times a second; `idle_pause` changes that.
"""
