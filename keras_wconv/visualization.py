"""What people look at: the densities of a model, as a table and as pictures."""

import numpy as np
from rich.console import Console
from rich.table import Table

from ._optional import require
from .layers import WeightedConvolution

_MAX_CELLS_WITH_NUMBERS = 81


def gain(layer):
    """Factor on a signal's variance that the density of a layer brings: mean(Φ²).

    It holds at the start, for kernels drawn with one variance for all taps. Layers
    without batch normalization multiply their gains.

    Args:
        layer: a weighted layer.

    Example:

    >>> import keras_wconv
    >>> layer = keras_wconv.WeightedConv2D(8, 3, density=[0.7])
    >>> round(keras_wconv.visualization.gain(layer), 3)
    0.436
    """
    return float(np.mean(np.square(layer.density_map)))


def summary(model, console=None):
    """Prints the weighted layers of a model with their profiles and gains.

    Args:
        model: a model, or one weighted layer.
        console: `rich.console.Console` to print to. By default, standard output.

    Raises:
        ValueError: If the model has no weighted layer.

    Example:

    >>> import keras
    >>> import keras_wconv
    >>> model = keras.Sequential([
    ...     keras.Input((8, 8, 3)),
    ...     keras_wconv.WeightedConv2D(8, 5, density=[0.2, 0.8], name="conv"),
    ... ], name="net")
    >>> keras_wconv.visualization.summary(model)
                        Weighted layers of net
    ┏━━━━━━━┳━━━━━━━━┳━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━┓
    ┃ Layer ┃ Kernel ┃ Density   ┃ Profiles              ┃  Gain ┃
    ┡━━━━━━━╇━━━━━━━━╇━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━┩
    │ conv  │ 5 × 5  │ Separable │ 0.2  0.8  1  0.8  0.2 │ 0.223 │
    └───────┴────────┴───────────┴───────────────────────┴───────┘
    """
    table = Table(title=f"Weighted layers of {model.name}")
    for column in ("Layer", "Kernel", "Density"):
        table.add_column(column)
    table.add_column("Profiles", overflow="fold")
    table.add_column("Gain", justify="right")
    for layer in _weighted_layers(model):
        table.add_row(
            layer.name,
            " × ".join(str(size) for size in layer.kernel_size),
            _kind(layer),
            "\n".join(_profiles(layer)),
            f"{gain(layer):.3g}",
        )
    (console or Console()).print(table)


def plot_densities(model):
    """Draws the map and the profiles of every density that a model has.

    Layers with the same density share a row. Of a 3D density, the slice through its
    centre is drawn. Colours tell what is damped (blue) and amplified (red) relative to
    the standard convolution, which is 1 everywhere (white).

    Args:
        model: a model, or one weighted layer.

    Returns:
        A `matplotlib.figure.Figure`; `figure.savefig(path)` writes it.

    Raises:
        ValueError: If the model has no weighted layer.
        ImportError: If matplotlib is not installed.

    Example:

    >>> import keras_wconv
    >>> layer = keras_wconv.WeightedConv2D(8, 7, density=[0.25, 0.15, 0.55])
    >>> figure = keras_wconv.visualization.plot_densities(layer)
    >>> figure.savefig("densities.png")
    """
    plt = require("matplotlib.pyplot", extra="plot")
    rows = {}
    for layer in _weighted_layers(model):
        phi = layer.density_map.round(6)
        rows.setdefault((phi.shape, phi.tobytes()), []).append(layer)
    figure, axes = plt.subplots(
        len(rows),
        2,
        figsize=(8, 3.2 * len(rows)),
        squeeze=False,
        layout="constrained",
    )
    for (map_axes, profile_axes), group in zip(axes, rows.values(), strict=True):
        layer = group[0]
        names = layer.name
        if len(group) > 1:
            names = f"{len(group)} layers, {names} to {group[-1].name}"
        _draw_map(map_axes, layer.density_map)
        map_axes.set_title(f"{names}\ngain {gain(layer):.3g}", fontsize="medium")
        _draw_profiles(profile_axes, layer)
    return figure


def _weighted_layers(model):
    found = list(dict.fromkeys(_find_weighted(model)))
    if not found:
        raise ValueError(
            "`model` has no weighted layer with a density. Expected one of "
            "`keras_wconv.layers`, or a model with some; `keras_wconv.to_weighted` "
            f"makes one. Received: model={model}"
        )
    return found


def _find_weighted(layer):
    if isinstance(layer, WeightedConvolution) and layer.density is not None:
        yield layer
    for inner in layer._flatten_layers(include_self=False, recursive=False):
        yield from _find_weighted(inner)


def _kind(layer):
    density = layer.density.initial if layer.density_trainable else layer.density
    words = [type(density).__name__]
    words += ["learned"] * layer.density_trainable
    words += ["normalized"] * layer.normalize_density
    return ", ".join(words)


def _profiles(layer):
    """The profile of each axis as text, once where all axes share it."""
    texts = [
        "  ".join(f"{value:.3g}" for value in profile)
        for profile in layer.density_profiles
    ]
    return dict.fromkeys(texts)


def _draw_map(axes, phi):
    while phi.ndim > 2:
        phi = phi[(len(phi) - 1) // 2]
    phi = np.atleast_2d(phi)
    reach = max(np.abs(phi - 1).max(), 0.1)
    image = axes.imshow(phi, cmap="RdBu_r", vmin=1 - reach, vmax=1 + reach)
    axes.figure.colorbar(image, ax=axes)
    axes.set(xticks=range(phi.shape[1]), yticks=range(phi.shape[0]))
    if phi.size <= _MAX_CELLS_WITH_NUMBERS:
        for (row, column), value in np.ndenumerate(phi):
            color = "white" if abs(value - 1) > 0.6 * reach else "black"
            text = f"{value:.2g}"
            axes.text(column, row, text, ha="center", va="center", size=7, color=color)


def _draw_profiles(axes, layer):
    profiles = layer.density_profiles
    labels = [f"axis {axis}" for axis in range(len(profiles))]
    if len(_profiles(layer)) == 1:
        profiles, labels = profiles[:1], ["every axis"]
    for profile, label in zip(profiles, labels, strict=True):
        axes.plot(profile, "o-", label=label)
    axes.axhline(1, color="grey", linestyle=":", label="standard")
    axes.set_xlabel("tap")
    axes.set_ylabel(
        "density, before normalization" if layer.normalize_density else "density"
    )
    axes.set_xticks(range(max(len(profile) for profile in profiles)))
    axes.legend()


def plot_search(coefficients, scores, direction="max", metric="score"):
    """Draws a search: the score of every trial, and the best so far.

    Args:
        coefficients: dict of the coefficients' values by name, in the order of trials.
        scores: list of scores in the same order; a failed trial has None.
        direction: `"max"` or `"min"`, which way the score is better.
        metric: str, what the score is.

    Returns:
        A `matplotlib.figure.Figure`.

    Example:

    >>> from keras_wconv import visualization
    >>> figure = visualization.plot_search({"d1": [1.0, 1.3, 0.7]}, [20.1, 19.8, 20.4])
    >>> [axes.get_xlabel() for axes in figure.axes[:2]]
    ['trial', 'd1']
    """
    plt = require("matplotlib.pyplot", extra="plot")
    scores = np.array([np.nan if s is None else s for s in scores], "float64")
    best = np.fmax if direction == "max" else np.fmin
    so_far = best.accumulate(scores)
    # Of equal scores the first is the best, as for the oracle.
    winner = int(np.nanargmax(scores) if direction == "max" else np.nanargmin(scores))
    trials = np.arange(1, len(scores) + 1)
    figure, axes = plt.subplots(
        1,
        1 + len(coefficients),
        figsize=(3.4 * (1 + len(coefficients)), 3.2),
        layout="constrained",
    )
    axes[0].plot(trials, scores, "o", color="grey", label="trial")
    axes[0].step(trials, so_far, where="post", label="best so far")
    axes[0].set(xlabel="trial", ylabel=metric)
    axes[0].legend()
    for panel, (name, values) in zip(axes[1:], coefficients.items(), strict=True):
        points = panel.scatter(values, scores, c=trials, cmap="viridis")
        panel.axvline(1, color="grey", linestyle=":", label="standard")
        panel.plot(values[winner], scores[winner], "r*", markersize=14, label="best")
        panel.set(xlabel=name)
        panel.legend()
    figure.colorbar(points, ax=axes[-1], label="trial")
    return figure
