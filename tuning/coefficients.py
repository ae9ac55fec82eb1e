"""Densities as hyperparameters of KerasTuner and parameters of Optuna."""

from .. import densities

# By the number of coefficients, outermost first: what the authors of
# https://arxiv.org/abs/2505.24558 suggest for kernels of 3, 5 and 7.
PUBLISHED_RANGES = {
    1: [(0.5, 1.5)],
    2: [(0.05, 1.0), (0.5, 1.5)],
    3: [(0.05, 0.5), (0.15, 1.0), (0.25, 1.5)],
}


def density(hp, kernel_size, name="density", ranges=None, causal=False):
    """Declares the coefficients of a density as hyperparameters.

    Each is an `hp.Float`, in Optuna a `trial.suggest_float`, and is called
    `{name}_{kernel size}_{number}`, the outermost being number 1: densities of several
    kernel sizes may have one name. A stage of a network that is to have a density of
    its own gets a name of its own.

    Args:
        hp: `keras_tuner.HyperParameters`, or an Optuna trial.
        kernel_size: Integer for one profile that all axes share, or a tuple of them
            for one profile for each axis.
        name: String, the first part of the hyperparameters' names.
        ranges: List of `(low, high)`, one for each coefficient, outermost first; for a
            tuple of kernel sizes a list of such lists. By default the published ones,
            which there are for up to three coefficients.
        causal: Boolean, whether the layers are `padding="causal"`.

    Returns:
        What the `density` argument of a layer takes: a list of floats, or a list of
        lists of floats.

    Raises:
        ValueError: If a kernel has no coefficients, or `ranges` does not suit it.

    Example:

    >>> import keras_tuner
    >>> from keras_wconv import tuning
    >>> hp = keras_tuner.HyperParameters()
    >>> tuning.density(hp, kernel_size=3)
    [1.0]
    >>> tuning.density(hp, kernel_size=(3, 5), name="stem")
    [[1.0], [1.0, 1.0]]
    >>> list(hp.values)
    ['density_3_1', 'stem_axis0_3_1', 'stem_axis1_5_1', 'stem_axis1_5_2']

    In the objective of an Optuna study:

    >>> import optuna
    >>> trial = optuna.trial.FixedTrial({"density_5_1": 0.2, "density_5_2": 0.8})
    >>> tuning.density(trial, kernel_size=5)
    [0.2, 0.8]

    For a network with kernels of 3 and 7, and one with a density for each stage:

    >>> by_size = {size: tuning.density(hp, size) for size in (3, 7)}
    >>> def by_stage(layer_name, kernel_size):
    ...     stage = layer_name.partition("_")[0]
    ...     return tuning.density(hp, kernel_size[0], name=stage)

    Source: the ranges are suggested by the authors of
        https://arxiv.org/abs/2505.24558.
    """
    sizes = (kernel_size,) if isinstance(kernel_size, int) else tuple(kernel_size)
    counts = [densities.num_coefficients(size, causal) for size in sizes]
    if not any(counts):
        raise ValueError(
            "`kernel_size` must have taps beside its center for a density to weight. "
            f"Received: kernel_size={kernel_size}"
        )
    if isinstance(kernel_size, int):
        return _coefficients(hp, f"{name}_{kernel_size}", counts[0], ranges)
    if ranges is None:
        ranges = [None] * len(sizes)
    if len(ranges) != len(sizes):
        raise ValueError(
            f"`ranges` must have a list of ranges for each axis of "
            f"kernel_size={kernel_size}. Received: {ranges}"
        )
    return [
        _coefficients(hp, f"{name}_axis{axis}_{size}", count, ranges[axis])
        for axis, (size, count) in enumerate(zip(sizes, counts, strict=True))
    ]


def _coefficients(hp, prefix, count, ranges):
    if ranges is None and count > 0:
        if count not in PUBLISHED_RANGES:
            raise ValueError(
                f"No ranges are published for {count} coefficients. Pass `ranges`, a "
                "list of (low, high) for each of them, outermost first."
            )
        ranges = PUBLISHED_RANGES[count]
    ranges = list(ranges or [])
    if len(ranges) != count:
        raise ValueError(
            f"`ranges` must have a (low, high) for each of the {count} coefficients "
            f"of {prefix!r}, outermost first. Received: {ranges}"
        )
    named = {f"{prefix}_{number}": r for number, r in enumerate(ranges, start=1)}
    if hasattr(hp, "suggest_float"):  # an Optuna trial
        return [
            hp.suggest_float(name, low, high) for name, (low, high) in named.items()
        ]
    return [
        # The standard convolution where that is possible.
        hp.Float(name, low, high, default=min(max(1.0, low), high))
        for name, (low, high) in named.items()
    ]
