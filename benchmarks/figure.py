"""The figure at the head of README.md.

python -m benchmarks.figure
"""

from pathlib import Path

import keras
import numpy as np

import keras_wconv
from keras_wconv import visualization
from keras_wconv.experiments.report import figures

PATH = Path(__file__).parents[1] / "docs" / "images" / "weighted_convolution.svg"


def draw():
    """Draws a profile, its map, a kernel and their product, the effective kernel."""
    layer = keras_wconv.WeightedConv2D(
        1,
        5,
        density=[0.2, 0.8],
        kernel_initializer=keras.initializers.GlorotUniform(seed=3),
    )
    layer.build((None, None, None, 1))
    kernel, effective = (
        keras.ops.convert_to_numpy(array)[..., 0, 0]
        for array in (layer.kernel, layer.effective_kernel)
    )
    with figures.new(1, 4, (12, 3.6)) as (figure, axes):
        _fill(axes, layer, kernel, effective)
    return figure


def _fill(axes, layer, kernel, effective):
    profile = layer.density_profiles[0]
    axes[0].plot(profile, "o-", color="#b2182b")
    for tap, value in enumerate(profile):
        axes[0].annotate(
            f"{value:g}",
            (tap, value),
            (0, 8 if tap in (1, 2, 3) else -16),
            textcoords="offset points",
            ha="center",
        )
    axes[0].set(ylim=(0, 1.25), xlim=(-0.5, 4.5), xticks=range(5), box_aspect=1)
    axes[0].set_title("profile: density=[0.2, 0.8]", fontsize="medium")
    axes[0].set_xlabel("tap")
    visualization.draw_map(axes[1], layer.density_map)
    axes[1].set_title("density: profile × profile", fontsize="medium")
    reach = np.abs(kernel).max()
    for ax, weights, title in (
        (axes[2], kernel, "kernel: what is trained"),
        (axes[3], effective, "density × kernel: what convolves"),
    ):
        ax.imshow(weights, cmap="PuOr", vmin=-reach, vmax=reach)
        for (row, column), value in np.ndenumerate(weights):
            color = "white" if abs(value) > 0.7 * reach else "black"
            ax.text(
                column,
                row,
                f"{value:.2f}".replace("-0.00", "0.00"),
                ha="center",
                va="center",
                size=7,
                color=color,
            )
        ax.set_title(title, fontsize="medium")
    for ax in axes[1:]:
        ax.set(xticks=[], yticks=[])


def write(path=PATH):
    path.parent.mkdir(parents=True, exist_ok=True)
    figures.save(draw(), path)


if __name__ == "__main__":
    write()
