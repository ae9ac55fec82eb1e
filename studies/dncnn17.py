"""DnCNN-17 as published, for as long as there is time: 29.23 dB on BSD68 at sigma 25.

Network, pictures, noise, patches of 40 and batches of 128 are those of
https://arxiv.org/abs/1608.03981, which trains with 50 epochs of 1,600 batches. Adam
with a cosine from 1e-3, over the steps that are given, is in place of its SGD.

python -m studies.dncnn17 [--data FOLDER] [--steps N] [--output FOLDER] [--small]

A training that was stopped goes on from its last epoch in the folder. The folder of the
data has Train400, BSD68 and Set12 in it. One line of JSON goes to `dncnn17.jsonl`.
"""

import argparse
import json
import time
from pathlib import Path

import keras
import numpy as np

from keras_wconv.applications import DnCNN
from keras_wconv.experiments import Denoising, datasets

PUBLISHED = {"BSD68": 29.23, "Set12": 30.44}
STEPS = 80_000


def task(root, test, steps, batch_size=128):
    """Returns the task that is tested on a folder of pictures."""
    [other] = set(PUBLISHED) - {test}  # Nothing is chosen on it.
    pictures = datasets.image_folder(
        train=root / "Train400", validation=root / other, test=root / test
    )
    per_epoch = max(1, steps // 50)
    return Denoising(
        pictures,
        batch_size=batch_size,
        steps_per_epoch=per_epoch,
        epochs=max(1, steps // per_epoch),
        learning_rate=1e-3,
        schedule="cosine",
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/denoising"))
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--output", type=Path, default=Path("runs/dncnn17"))
    parser.add_argument("--small", action="store_true", help="three layers, a check")
    options = parser.parse_args()
    depth, filters, batch = (3, 8, 16) if options.small else (17, 64, 128)
    trained = task(options.data, "BSD68", options.steps, batch)
    keras.utils.set_random_seed(0)
    model = DnCNN(depth=depth, filters=filters, channels=1)
    trained.compile(model)
    begin = time.perf_counter()
    options.output.mkdir(parents=True, exist_ok=True)
    trained.fit(
        model,
        backup_dir=options.output / "backup",
        callbacks=[keras.callbacks.CSVLogger(options.output / "log.csv", append=True)],
        verbose=2,
    )
    row = {
        "network": f"DnCNN-{depth}, {filters} filters",
        "steps": trained.total_steps,
        "seconds": round(time.perf_counter() - begin),
    }
    for name in PUBLISHED:
        of = task(options.data, name, options.steps, batch)
        found = np.mean([one["psnr"] for one in of.measure(model)])
        row |= {name: round(float(found), 3), f"{name}, published": PUBLISHED[name]}
    print(json.dumps(row), flush=True)
    with (options.output / "dncnn17.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")
    model.save_weights(options.output / "dncnn17.weights.h5")


if __name__ == "__main__":
    main()
