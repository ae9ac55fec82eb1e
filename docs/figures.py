"""The figure of the start page: python docs/figures.py."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from keras_wconv.densities import Separable

HERE = Path(__file__).parent


def draw():
    profile = [0.2, 0.8, 1.0, 0.8, 0.2]
    phi = Separable(profile[:2])((5, 5))
    kernel = np.random.default_rng(3).normal(size=(5, 5))
    figure, (left, *maps) = plt.subplots(1, 4, figsize=(10, 2.6), layout="tight")
    left.bar(range(5), profile, color="#4c72b0")
    left.set_title("profile [0.2, 0.8, 1, 0.8, 0.2]", fontsize="small")
    left.set_xticks([])
    reach = np.abs(kernel).max()
    titles = ("density Φ", "kernel W", "effective kernel Φ · W")
    for axes, values, title in zip(
        maps, (phi, kernel, phi * kernel), titles, strict=True
    ):
        limit = 1 if values is phi else reach
        cmap = "Blues" if values is phi else "RdBu_r"
        low = 0 if values is phi else -limit
        axes.imshow(values, cmap=cmap, vmin=low, vmax=limit)
        axes.set_title(title, fontsize="small")
        axes.set_xticks([])
        axes.set_yticks([])
    return figure


if __name__ == "__main__":
    plt.rcParams["svg.hashsalt"] = "keras_wconv"  # The same file each time.
    (HERE / "images").mkdir(exist_ok=True)
    draw().savefig(
        HERE / "images" / "weighted_convolution.svg", metadata={"Date": None}
    )
