"""Tables and figures of densities and of searches."""

from __future__ import annotations

import csv
import numbers
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from keras.ops import convert_to_numpy
from rich.console import Console
from rich.table import Table

from ._optional import require
from ._trials import Trials
from .inspection import effective_size, weighted_layers
from .regularizers import effective_taps

if TYPE_CHECKING:
    import keras
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

    from ._types import PathLike
    from .layers import WeightedConvolution
    from .trimming import FoldReport

_MAX_CELLS_WITH_NUMBERS = 81


def gain(layer: WeightedConvolution) -> float:
    """Returns the factor by which a density changes a signal's variance: mean(Φ²).

    It holds at the start of training, if the initial kernels have the same variance at
    all taps. Without batch normalization, the gains of the layers multiply.

    Args:
        layer: a weighted layer.

    Example:

    >>> import keras_wconv
    >>> layer = keras_wconv.WeightedConv2D(8, 3, density=[0.7])
    >>> round(keras_wconv.visualization.gain(layer), 3)
    0.436
    """
    return float(np.mean(np.square(layer.density_map)))


def summary(model: keras.Layer, console: Console | None = None) -> None:
    """Prints the weighted layers of a model with their profiles and gains.

    The effective size (`keras_wconv.inspection.effective_size`) counts the taps of each
    axis that hold 99 % of the kernel's norm. A layer that is not built has none.

    If channels have separate densities, it prints the quartiles of their effective
    numbers of taps, `(sum |φ|)² / sum φ²` for a profile φ, and the profiles of the
    narrowest and the widest channel.

    Args:
        model: a model, or one weighted layer.
        console: the `rich.console.Console` to print to. By default, standard output.

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
    ┏━━━━━━━┳━━━━━━━━┳━━━━━━━━━━━━━━━━┳━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━┓
    ┃ Layer ┃ Kernel ┃ Effective size ┃ Density   ┃ Profiles              ┃  Gain ┃
    ┡━━━━━━━╇━━━━━━━━╇━━━━━━━━━━━━━━━━╇━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━┩
    │ conv  │ 5 × 5  │ 5 × 5          │ Separable │ 0.2  0.8  1  0.8  0.2 │ 0.223 │
    └───────┴────────┴────────────────┴───────────┴───────────────────────┴───────┘
    """
    table = Table(title=f"Weighted layers of {model.name}")
    for column in ("Layer", "Kernel", "Effective size", "Density"):
        table.add_column(column)
    table.add_column("Profiles", overflow="fold")
    table.add_column("Gain", justify="right")
    for name, layer in _found(model).items():
        table.add_row(
            name,
            _sizes(layer.kernel_size),
            _sizes(effective_size(layer)) if layer.built else "–",
            _kind(layer),
            "\n".join(_profiles(layer)),
            f"{gain(layer):.3g}",
        )
    (console or Console()).print(table)


def fold_table(report: FoldReport) -> Table:
    """Returns the report of `keras_wconv.fold` as a `rich.table.Table`.

    Args:
        report: `FoldReport`.

    Example:

    >>> import keras
    >>> import keras_wconv
    >>> from rich.console import Console
    >>> model = keras.Sequential([
    ...     keras.Input((8, 8, 3)),
    ...     keras_wconv.WeightedConv2D(8, 5, density=[0, 1], padding="same", name="a"),
    ... ])
    >>> folded, report = keras_wconv.fold(model, trim=0.0, return_report=True)
    >>> Console(width=80).print(keras_wconv.visualization.fold_table(report))
                                 Folded kernels
    ┏━━━━━━━┳━━━━━━━━━┳━━━━━━━━━┳━━━━━━━━━━━━━━━━━┳━━━━━━━┳━━━━━━━━━━━━━━━━┓
    ┃ Layer ┃  Kernel ┃ Weights ┃ Multiplications ┃ Bound ┃ Why no smaller ┃
    ┡━━━━━━━╇━━━━━━━━━╇━━━━━━━━━╇━━━━━━━━━━━━━━━━━╇━━━━━━━╇━━━━━━━━━━━━━━━━┩
    │ a     │   5 × 5 │     608 │          38,400 │     0 │                │
    │       │ → 3 × 3 │   → 224 │        → 13,824 │       │                │
    └───────┴─────────┴─────────┴─────────────────┴───────┴────────────────┘
    """
    table = Table(title="Folded kernels")
    table.add_column("Layer", overflow="fold")
    for column in ("Kernel", "Weights", "Multiplications", "Bound"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("Why no smaller", overflow="fold")
    for entry in report.entries:
        table.add_row(
            entry.name,
            _change(_sizes(entry.kernel_size), _sizes(entry.new_kernel_size)),
            _change(_count(entry.weights), _count(entry.new_weights)),
            _change(_count(entry.multiplications), _count(entry.new_multiplications)),
            f"{entry.bound:.2g}",
            entry.reason,
        )
    return table


def _count(number):
    return "–" if number is None else f"{number:,}"


def _change(before, after):
    return before if before == after else f"{before}\n→ {after}"


def plot_densities(model: keras.Layer) -> Figure:
    """Draws the maps and profiles of all densities of a model.

    Layers with the same density share a row. A 3D density is drawn as the slice through
    its center, and densities for each channel as their mean. Blue taps are damped and
    red taps amplified relative to the standard convolution, which is 1 everywhere
    (white).

    Args:
        model: a model, or one weighted layer.

    Returns:
        A `matplotlib.figure.Figure`. Write it with `figure.savefig(path)`.

    Raises:
        ValueError: If the model has no weighted layer.
        ImportError: If matplotlib is not installed.

    Example:

    >>> import keras_wconv
    >>> layer = keras_wconv.WeightedConv2D(8, 7, density=[0.25, 0.15, 0.55])
    >>> figure = keras_wconv.visualization.plot_densities(layer)
    >>> figure.savefig("densities.png")
    """
    rows = {}
    for name, layer in _found(model).items():
        phi = layer.density_map.round(6)
        rows.setdefault((phi.shape, phi.tobytes()), {})[name] = layer
    figure, axes = _figure(len(rows), 2, (8, 3.2 * len(rows)))
    for (map_axes, profile_axes), group in zip(axes, rows.values(), strict=True):
        names, layer = list(group), next(iter(group.values()))
        title = names[0]
        if len(group) > 1:
            title = f"{len(group)} layers, {names[0]} to {names[-1]}"
        image = draw_map(map_axes, layer.density_map, len(layer.kernel_size))
        figure.colorbar(image, ax=map_axes)
        map_axes.set_title(f"{title}\ngain {gain(layer):.3g}", fontsize="medium")
        _draw_profiles(profile_axes, layer)
    return figure


def _figure(rows, columns, size, **options):
    """Returns a figure and its axes."""
    plt = require("matplotlib.pyplot", extra="plot")
    figure, axes = plt.subplots(
        rows, columns, figsize=size, squeeze=False, layout="constrained", **options
    )
    plt.close(figure)  # A notebook shows a returned figure, and again if it is open.
    return figure, axes


def draw_map(axes: Axes, phi: np.ndarray, rank: int | None = None) -> AxesImage:
    """Draws a density map with the value of each tap.

    Args:
        axes: `matplotlib.axes.Axes`.
        phi: NumPy array, a density map.
        rank: int, the number of spatial axes. The other axes are channels, which are
            averaged. By default, all axes are spatial.

    Returns:
        A `matplotlib.image.AxesImage`, for a color bar.
    """
    phi = phi.mean(axis=tuple(range(phi.ndim if rank is None else rank, phi.ndim)))
    while phi.ndim > 2:
        phi = phi[(len(phi) - 1) // 2]
    phi = np.atleast_2d(phi)
    reach = max(np.abs(phi - 1).max(), 0.1)
    image = axes.imshow(phi, cmap="RdBu_r", vmin=1 - reach, vmax=1 + reach)
    axes.set(xticks=range(phi.shape[1]), yticks=range(phi.shape[0]))
    if phi.size <= _MAX_CELLS_WITH_NUMBERS:
        for (row, column), value in np.ndenumerate(phi):
            color = "white" if abs(value - 1) > 0.6 * reach else "black"
            text = f"{value:.2g}"
            axes.text(column, row, text, ha="center", va="center", size=7, color=color)
    return image


def plot_history(history: Mapping[str, Mapping[str, Sequence[np.ndarray]]]) -> Figure:
    """Draws learned densities over the epochs, one panel for each layer.

    Args:
        history: dict by layer name of dicts by parameter of lists of NumPy arrays, one
            for each epoch: the `history` of a `keras_wconv.callbacks.DensityLogger`.

    Returns:
        A `matplotlib.figure.Figure`.

    Example:

    >>> import numpy as np
    >>> from keras_wconv import visualization
    >>> history = {"conv": {"sigma": [np.array(1.0), np.array(1.2)]}}
    >>> figure = visualization.plot_history(history)
    >>> figure.axes[0].get_title()
    'conv'
    """
    _check_history(history)
    columns = min(4, len(history))
    rows = -(-len(history) // columns)
    figure, axes = _figure(rows, columns, (3 * columns, 2.2 * rows), sharex=True)
    for ax in axes.flat[len(history) :]:
        ax.set_axis_off()
    for ax, (layer, parameters) in zip(axes.flat, history.items(), strict=False):
        curves = {
            f"{name}[{index}]" if np.size(values[0]) > 1 else name: curve
            for name, values in parameters.items()
            for index, curve in enumerate(np.reshape(values, (len(values), -1)).T)
        }
        for name, curve in curves.items():
            ax.plot(curve, label=name)
        ax.axhline(1, color="gray", linewidth=0.6)
        ax.set_title(layer, fontsize=9)
        if len(curves) <= 4:
            ax.legend(fontsize=6)
    figure.supxlabel("epoch")
    return figure


def plot_sizes(
    history: PathLike | Mapping[str, Sequence[tuple[int, ...]]],
) -> Figure:
    """Draws the effective sizes of layers over the epochs, the last ones also as text.

    Args:
        history: the path of the CSV file of a `keras_wconv.callbacks.DensityLogger`, or
            its attribute `sizes`.

    Returns:
        A `matplotlib.figure.Figure`. A color is the mean over the axes of a layer.

    Raises:
        ValueError: If the file holds no effective sizes.

    Example:

    >>> from keras_wconv import visualization
    >>> figure = visualization.plot_sizes({"conv": [(9, 9), (7, 5)]})
    >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
    ['conv: 7 × 5']
    """
    if not isinstance(history, dict):
        history = _sizes_of_file(history)
    _check_history(history)
    epochs = max(len(values) for values in history.values())
    image = np.full((len(history), epochs), np.nan)
    for row, values in zip(image, history.values(), strict=True):
        row[: len(values)] = [np.mean(value) for value in values]
    figure, [[axes]] = _figure(1, 1, (6, 1.5 + 0.25 * len(history)))
    drawn = axes.imshow(image, aspect="auto", interpolation="none", cmap="viridis")
    figure.colorbar(drawn, ax=axes, label="effective size, taps of an axis")
    labels = [f"{name}: {_sizes(values[-1])}" for name, values in history.items()]
    axes.set_yticks(range(len(labels)), labels)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set(xlabel="epoch")
    return figure


def _check_history(history):
    if not history:
        raise ValueError(
            "`history` must have the records of at least one layer: a DensityLogger "
            f"has some after the training began. Received: history={history}"
        )


def _sizes_of_file(path):
    """Returns the effective sizes in a logger's file, like its attribute `sizes`."""
    by_epoch = {}
    with Path(path).open(newline="") as file:
        for row in csv.DictReader(file):
            if row["parameter"] == "effective_size":
                epochs = by_epoch.setdefault(row["layer"], {})
                # A resumed training may repeat an epoch; the last one counts.
                size = epochs.setdefault(int(row["epoch"]), {})
                size[int(row["index"])] = int(float(row["value"]))
    if not by_epoch:
        raise ValueError(
            "`history` must be the file of a DensityLogger with rows of the parameter "
            f"effective_size. Received: history={str(path)!r}, which has no such rows"
        )
    return {
        layer: [tuple(size.values()) for _, size in sorted(epochs.items())]
        for layer, epochs in by_epoch.items()
    }


def _sizes(numbers):
    return " × ".join(str(number) for number in numbers)


def _found(model):
    found = weighted_layers(model)
    if not found:
        raise ValueError(
            "`model` has no weighted layer with a density. Expected a layer of "
            "`keras_wconv.layers`, or a model with some, as `keras_wconv.to_weighted` "
            f"returns. Received: model={model}"
        )
    return found


def _kind(layer):
    words = [type(layer.density.initial).__name__]
    words += ["learned"] * layer.density_trainable
    words += ["per channel"] * layer.density_per_channel
    words += ["normalized"] * layer.density.normalize
    return ", ".join(words)


def _profiles(layer):
    """Returns the profiles of the axes as text, without repetitions."""
    lines = []
    for profile in layer.density_profiles:
        if profile.ndim == 1:
            lines.append(_numbers(profile))
            continue
        channels = profile.reshape(len(profile), -1)
        taps = convert_to_numpy(effective_taps(channels, rank=1))
        quartiles = _numbers(np.quantile(taps, [0, 0.25, 0.5, 0.75, 1]))
        narrowest, widest = channels[:, taps.argmin()], channels[:, taps.argmax()]
        lines += [
            f"{channels.shape[1]} channels, quartiles of effective taps: {quartiles}",
            f"narrowest, {taps.argmin()}: {_numbers(narrowest)}",
            f"widest, {taps.argmax()}: {_numbers(widest)}",
        ]
    return dict.fromkeys(lines)


def _numbers(values):
    return "  ".join(f"{value:.3g}" for value in values)


def _draw_profiles(axes, layer):
    profiles = layer.density_profiles
    labels = [f"axis {axis}" for axis in range(len(profiles))]
    if all(np.array_equal(profile, profiles[0]) for profile in profiles):
        profiles, labels = profiles[:1], ["every axis"]
    for profile, label in zip(profiles, labels, strict=True):
        channels = profile.reshape(len(profile), -1)
        middle = np.median(channels, axis=1)
        (line,) = axes.plot(middle, "o-", label=label)
        if channels.shape[1] > 1:
            axes.fill_between(
                range(len(profile)),
                channels.min(1),
                channels.max(1),
                color=line.get_color(),
                alpha=0.2,
                label="all channels",
            )
    axes.axhline(1, color="gray", linestyle=":", label="standard")
    axes.set_xlabel("tap")
    axes.set_ylabel(
        "density, before normalization" if layer.density.normalize else "density"
    )
    axes.set_xticks(range(max(len(profile) for profile in profiles)))
    axes.legend()


def plot_search(
    search: Any,
    scores: Sequence[float | None] | None = None,
    direction: str = "max",
    metric: str = "score",
) -> Figure:
    """Draws the scores of a search: those of all trials, and the best so far.

    Args:
        search: a tuner or an oracle of KerasTuner, an Optuna study, or a dict by name
            of lists of the values that were tried, in the order of trials.
        scores: for a dict, list of the scores, None for a failed trial.
        direction: for a dict, `"max"` or `"min"`, the direction of better scores.
        metric: for a dict, str, the name of the score.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: If `search` is of another type, no trial has a score, or `direction`
            is unknown.

    Example:

    >>> from keras_wconv import visualization
    >>> figure = visualization.plot_search({"d1": [1.0, 1.3, 0.7]}, [20.1, 19.8, 20.4])
    >>> [axes.get_xlabel() for axes in figure.axes[:2]]
    ['trial', 'd1']
    """
    columns = search
    if scores is None:
        trials = Trials.of(search)
        columns, scores = trials.columns(), trials.scores
        direction, metric = trials.direction, trials.metric
    if direction not in ("max", "min"):
        raise ValueError(
            f"`direction` must be 'max' or 'min'. Received: direction={direction!r}"
        )
    reached = np.array([np.nan if s is None else s for s in scores], "float64")
    if np.isnan(reached).all():
        raise ValueError(
            f"`search` must have a trial with a score. Received: {len(reached)} without"
        )
    best = np.fmax if direction == "max" else np.fmin
    so_far = best.accumulate(reached)
    # The first of equal scores is the best, as it is for the oracle.
    winner = int(np.nanargmax(reached) if direction == "max" else np.nanargmin(reached))
    trials = np.arange(1, len(reached) + 1)
    count = 1 + len(columns)
    figure, [[first, *panels]] = _figure(1, count, (3.4 * count, 3.2))
    first.plot(trials, reached, "o", color="gray", label="trial")
    first.step(trials, so_far, where="post", label="best so far")
    first.set(xlabel="trial", ylabel=metric)
    first.xaxis.get_major_locator().set_params(integer=True)
    first.legend()
    for panel, (name, values) in zip(panels, columns.items(), strict=True):
        values = _on_an_axis(values)
        points = panel.scatter(values, reached, c=trials, cmap="viridis")
        if values.dtype.kind == "f":
            low, high = np.nanmin(values), np.nanmax(values)
            if low <= 1 <= high:
                panel.axvline(1, color="gray", linestyle=":", label="standard")
            if 0 < 100 * low < high:  # It may be a learning rate.
                panel.set_xscale("log")
        panel.plot(values[winner], reached[winner], "r*", markersize=14, label="best")
        panel.set(xlabel=name)
        panel.legend()
    if panels:
        figure.colorbar(points, ax=panels[-1], label="trial")
    return figure


def _on_an_axis(values):
    """Returns values to draw: numbers, with NaN for None, or else strings."""
    given = [value for value in values if value is not None]
    if all(isinstance(v, numbers.Real) and not isinstance(v, bool) for v in given):
        return np.array([np.nan if v is None else v for v in values], "float64")
    return np.array(["–" if value is None else str(value) for value in values])
