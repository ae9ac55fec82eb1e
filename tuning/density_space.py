"""Densities as hyperparameters of KerasTuner and parameters of Optuna."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .. import densities

if TYPE_CHECKING:  # whichever of them the caller has
    import keras_tuner as kt
    import optuna

# By the number of coefficients, outermost first: what the authors of
# https://arxiv.org/abs/2505.24558 suggest for kernels of 3, 5 and 7.
PUBLISHED_RANGES = {
    1: [(0.5, 1.5)],
    2: [(0.05, 1.0), (0.5, 1.5)],
    3: [(0.05, 0.5), (0.15, 1.0), (0.25, 1.5)],
}
Ranges = Sequence[tuple[float, float]]
FAMILIES = ("coefficients", "gaussian")


def density(
    hp: kt.HyperParameters | optuna.trial.BaseTrial,
    kernel_size: int | Sequence[int],
    name: str = "density",
    ranges: Ranges | Sequence[Ranges] | tuple[float, float] | None = None,
    causal: bool = False,
    family: str | None = None,
    per_axis: bool = False,
) -> list[float] | list[list[float]] | densities.Gaussian:
    """Declares a density as hyperparameters: its coefficients, or its width.

    Coefficients are an `hp.Float` each, in Optuna a `trial.suggest_float`, called
    `{name}_{kernel size}_{number}`, the outermost being number 1. The width of a
    Gaussian is one on a logarithmic scale, `{name}_{kernel size}_sigma`. Those of
    causal kernels, which have other ranges, begin with `{name}_causal`. Densities of
    several kernel sizes may have one name. A stage of a network that is to have a
    density of its own gets a name of its own.

    Args:
        hp: `keras_tuner.HyperParameters`, or an Optuna trial.
        kernel_size: Integer, or a tuple of them, one for each axis.
        name: String, the first part of the hyperparameters' names.
        ranges: For coefficients a list of `(low, high)`, one for each of them,
            outermost first; for a tuple of kernel sizes a list of such lists. By
            default the published ones, which there are for up to three coefficients.
            For a Gaussian one `(low, high)` of sigma, or with `per_axis` a list of
            them. By default from half a tap, which leaves the neighbors of the center
            an eighth of its weight, to the size of the kernel, which is all but flat.
        causal: Boolean, whether the layers are `padding="causal"`.
        family: `"coefficients"`, `"gaussian"` or `None`: coefficients for kernels of
            up to 7 whose ranges are published, and wherever `ranges` are given; a
            Gaussian for all larger ones.
        per_axis: Boolean, whether every axis of a tuple has a sigma of its own.
            Coefficients always are of one axis if `kernel_size` is a tuple.

    Returns:
        What the `density` argument of a layer takes: a list of floats, a list of lists
        of floats, or a `keras_wconv.densities.Gaussian`.

    Raises:
        ValueError: If a kernel has nothing to weight, or an argument does not suit it.

    Example:

    >>> import keras_tuner
    >>> from keras_wconv import tuning
    >>> hp = keras_tuner.HyperParameters()
    >>> tuning.density(hp, kernel_size=3)
    [1.0]
    >>> tuning.density(hp, kernel_size=(3, 5), name="stem")
    [[1.0], [1.0, 1.0]]
    >>> tuning.density(hp, kernel_size=32)
    Gaussian(sigma=4.0)
    >>> list(hp.values)
    ['density_3_1', 'stem_axis0_3_1', 'stem_axis1_5_1', 'stem_axis1_5_2',
     'density_32_sigma']

    In the objective of an Optuna study, for which this stands here:

    >>> import optuna
    >>> trial = optuna.trial.FixedTrial({"density_5_1": 0.2, "density_5_2": 0.8})
    >>> tuning.density(trial, kernel_size=5)
    [0.2, 0.8]

    For a network with kernels of 3 and 15, and one with a density for each stage:

    >>> by_size = {size: tuning.density(hp, size) for size in (3, 15)}
    >>> def by_stage(layer_name, kernel_size):
    ...     stage = layer_name.partition("_")[0]
    ...     return tuning.density(hp, kernel_size[0], name=stage)

    Source: the ranges of the coefficients are suggested by the authors of
        https://arxiv.org/abs/2505.24558.
    """
    is_number = isinstance(kernel_size, numbers.Integral)
    sizes = (kernel_size,) if is_number else tuple(kernel_size)
    counts = [densities.num_coefficients(size, causal) for size in sizes]
    if not any(counts):
        raise ValueError(
            "`kernel_size` must have taps beside its center for a density to weight. "
            f"Received: kernel_size={kernel_size}"
        )
    if family is None:
        are_published = {0, *PUBLISHED_RANGES}.issuperset(counts) and max(sizes) <= 7
        by_coefficients = ranges is not None or are_published
        family = "coefficients" if by_coefficients else "gaussian"
    if family not in FAMILIES:
        raise ValueError(f"`family` must be one of {FAMILIES}. Received: {family!r}")
    if per_axis and is_number:
        raise ValueError(
            "`per_axis` needs the sizes of the axes. Expected a tuple for "
            f"`kernel_size`, for instance {(kernel_size,) * 2}. Received: "
            f"kernel_size={kernel_size}"
        )
    name = f"{name}_causal" if causal else name
    if family == "gaussian":
        return _gaussian(hp, name, sizes, ranges, causal, per_axis)
    if is_number:
        return _coefficients(hp, f"{name}_{kernel_size}", counts[0], ranges)
    ranges = _of_each_axis(ranges, sizes)
    return [
        _coefficients(hp, f"{name}_axis{axis}_{size}", count, ranges[axis])
        for axis, (size, count) in enumerate(zip(sizes, counts, strict=True))
    ]


def _of_each_axis(ranges, sizes):
    if ranges is None:
        ranges = [None] * len(sizes)
    if not np.iterable(ranges) or len(ranges) != len(sizes):
        raise ValueError(
            f"`ranges` must have a list of ranges for each axis of "
            f"kernel_size={sizes}. Received: {ranges}"
        )
    return ranges


def _gaussian(hp, name, sizes, ranges, causal, per_axis):
    if not per_axis:
        text = "x".join(map(str, dict.fromkeys(sizes)))
        sigma = _sigma(hp, f"{name}_{text}_sigma", max(sizes), ranges, causal)
        return densities.Gaussian(sigma)
    ranges = _of_each_axis(ranges, sizes)
    return densities.Gaussian(
        [
            # An axis of one tap, its center, has nothing to search.
            _sigma(hp, f"{name}_axis{axis}_{size}_sigma", size, ranges[axis], causal)
            if size > 1
            else 1.0
            for axis, size in enumerate(sizes)
        ]
    )


def _sigma(hp, name, size, given, causal):
    # A causal kernel looks to one side only, and twice as far.
    given = (0.5, 2.0 * size if causal else float(size)) if given is None else given
    try:
        low, high = map(float, given)
    except (TypeError, ValueError):
        low, high = 0.0, 0.0
    if not 0 < low < high < math.inf:
        raise ValueError(
            f"`ranges` of {name!r} must be one (low, high) of sigma, in taps, with "
            f"0 < low < high. Received: {given}"
        )
    own = float(densities.Gaussian().parameters((size,), causal)["sigma"])
    default = min(max(own, low), high)
    return _float(hp, name, low, high, default, log=True)


def _coefficients(hp, prefix, count, ranges):
    if ranges is None and count > 0:
        if count not in PUBLISHED_RANGES:
            raise ValueError(
                f"No ranges are published for {count} coefficients. Pass `ranges`, a "
                "list of (low, high) for each of them, outermost first, or "
                "family='gaussian', which has one width."
            )
        ranges = PUBLISHED_RANGES[count]
    try:
        pairs = [(float(a), float(b)) for a, b in ([] if ranges is None else ranges)]
    except (TypeError, ValueError):
        pairs = None
    if pairs is None or len(pairs) != count:
        raise ValueError(
            f"`ranges` must have a (low, high) for each of the {count} coefficients "
            f"of {prefix!r}, outermost first. Received: {ranges}"
        )
    return [
        # By default the standard convolution, if the range allows it.
        _float(hp, f"{prefix}_{number}", low, high, min(max(1.0, low), high))
        for number, (low, high) in enumerate(pairs, start=1)
    ]


def _float(hp, name, low, high, default, log=False):
    if hasattr(hp, "suggest_float"):  # an Optuna trial
        return hp.suggest_float(name, low, high, log=log)
    sampling = "log" if log else "linear"
    return hp.Float(name, low, high, sampling=sampling, default=default)
