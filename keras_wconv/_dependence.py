"""The dependence between neighboring values of a feature map."""

import itertools

import numpy as np

# The least dependence. A factor of 0 would keep a tap from learning, and divide by 0.
LEAST = 0.01


def entropies(inputs, offset, bins):
    """Returns the mutual information and entropy of values at an offset, by channel.

    Args:
        inputs: int array `(batch, *spatial, channels)`, the bins that `quantize`
            returns.
        offset: tuple of int, one for each spatial axis.
        bins: int, the number of bins.

    Returns:
        The mutual information of the two values of a pair, and the mean of their
        entropies, which bounds it: float arrays of `(channels,)`, in nats. Both are 0
        if there is no pair.
    """
    channels = inputs.shape[-1]
    first, second = [slice(None)], [slice(None)]
    for d, n in zip(offset, inputs.shape[1:-1], strict=True):
        d = max(-n, min(n, d))  # An offset beyond the feature map has no pairs.
        first.append(slice(max(0, -d), n - max(0, d)))
        second.append(slice(max(0, d), n - max(0, -d)))
    pairs = inputs[tuple(first)] * bins + inputs[tuple(second)]
    if not pairs.size:
        return np.zeros(channels), np.zeros(channels)
    pairs += np.arange(channels) * bins**2
    counts = np.bincount(pairs.ravel(), minlength=channels * bins**2)
    both = counts.reshape(channels, bins, bins) / (pairs.size // channels)
    alone = _entropy(both.sum(1)) + _entropy(both.sum(2))
    return alone - _entropy(both.reshape(channels, -1)), alone / 2


def _entropy(probabilities):
    logs = np.log(
        probabilities, where=probabilities > 0, out=np.zeros_like(probabilities)
    )
    return -(probabilities * logs).sum(-1)


def quantize(inputs, bins):
    """Returns the bin of each value; bins have equal widths over a channel's range.

    Args:
        inputs: float array `(batch, *spatial, channels)`.
        bins: int, the number of bins.
    """
    axes = tuple(range(inputs.ndim - 1))
    # In float64, since float32 has no inverse of the least ranges.
    least, most = (f(axes).astype("float64") for f in (inputs.min, inputs.max))
    scaled = (inputs - least) * (bins / np.where(most > least, most - least, 1))
    return np.minimum(scaled.astype("int64"), bins - 1)


def gradient_factors(
    inputs, kernel_size, dilation=1, causal=False, bins=None, power=1.0
):
    """Returns the factors of Spatial Gradient Scaling for the taps, with a mean of 1.

    The factor of a tap is proportional to a power of D, the normalized mutual
    information of the values under the tap and under the middle tap (the last tap of a
    causal kernel): twice the mutual information divided by the sum of the two
    entropies, each summed over the channels. D is 1 for the middle tap and 0 for
    independent values, but counts as at least `LEAST`. An even kernel has several
    middle taps; D is then a mean over them.

    Args:
        inputs: float array `(batch, *spatial, channels)`, the inputs of the layer.
        kernel_size: tuple of int.
        dilation: int or tuple of int.
        causal: bool, whether the last tap is the middle.
        bins: int, or None for Sturges' rule, 1 + log2 of the number of values.
        power: float. With 0, all factors are 1.

    Returns:
        Array of shape `kernel_size`.

    Example:

    >>> import numpy as np
    >>> from keras_wconv._dependence import gradient_factors
    >>> noise = np.random.default_rng(0).normal(size=(1, 10000, 1))
    >>> smooth = noise[:, 1:] + noise[:, :-1]  # Neighbors share a part.
    >>> gradient_factors(smooth, (5,)).round(1).tolist()
    [0.0, 0.3, 4.3, 0.3, 0.0]

    Source: https://arxiv.org/abs/2303.02733.
    """
    if not np.isfinite(inputs).all():  # The training has diverged, which others report.
        return np.ones(kernel_size)
    if bins is None:
        bins = 1 + int(np.ceil(np.log2(inputs.size / inputs.shape[-1])))
    quantized = quantize(inputs, bins)
    dilation = np.array(dilation)
    known = {}

    def dependence(tap, middle):
        offset = dilation * (np.array(tap) - middle)
        offset = max(tuple(offset), tuple(-offset))  # They have the same pairs.
        if offset not in known:
            shared, alone = entropies(quantized, offset, bins)
            known[offset] = shared.sum() / alone.sum() if alone.any() else 0.0
        return known[offset]

    middles = [
        [k - 1] if causal else sorted({(k - 1) // 2, k // 2}) for k in kernel_size
    ]
    middles = list(itertools.product(*middles))
    if dependence(middles[0], middles[0]) == 0:  # Every channel is constant.
        return np.ones(kernel_size)
    found = np.empty(kernel_size)
    for tap in np.ndindex(*kernel_size):
        found[tap] = np.mean([dependence(tap, middle) for middle in middles])
    found = np.maximum(found, LEAST) ** power
    return found / found.mean()
