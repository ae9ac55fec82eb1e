"""Finds the weighted layers of a model, also in nested models and wrappers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from ._keras import named_layers
from .layers import WeightedConvolution


def weighted_layers(model: keras.Layer) -> dict[str, WeightedConvolution]:
    """Returns the layers of a model that have a density.

    It finds layers inside nested models, wrappers (`TimeDistributed`) and other layers.
    A layer that is used twice is listed once.

    Args:
        model: a `keras.Model` or a `keras.Layer`, which may be weighted itself.

    Returns:
        Dict of the layers by name, in the order of the model. The name of a nested
        layer begins with the names of the layers around it: `"encoder/conv1"`.

    Example:

    >>> import keras
    >>> import keras_wconv
    >>> from keras_wconv.inspection import weighted_layers
    >>> encoder = keras.Sequential([
    ...     keras.Input((8, 8, 1)),
    ...     keras_wconv.WeightedConv2D(2, 3, density=[0.7], name="conv1"),
    ... ], name="encoder")
    >>> model = keras.Sequential([encoder, keras_wconv.WeightedConv2D(1, 3)])
    >>> list(weighted_layers(model))
    ['encoder/conv1']
    """
    return find_layers(
        model,
        lambda layer: (
            isinstance(layer, WeightedConvolution) and layer.density is not None
        ),
    )


def find_layers(
    model: keras.Layer, is_wanted: Callable[[keras.Layer], bool]
) -> dict[str, Any]:
    """Returns the layers for which a function is true, a dict like `weighted_layers`.

    Args:
        model: a `keras.Model` or a `keras.Layer`, which may be wanted itself.
        is_wanted: function of a layer.
    """
    return {name: layer for name, layer, _ in named_layers(model) if is_wanted(layer)}


def learned_layers(model: keras.Layer) -> dict[str, WeightedConvolution]:
    """Returns the layers that learn their density, a dict like `weighted_layers`."""
    return {
        name: layer
        for name, layer in weighted_layers(model).items()
        if layer.density_trainable
    }


def effective_size(layer: WeightedConvolution, part: float = 0.99) -> tuple[int, ...]:
    """Returns how many taps of each axis hold nearly all of a layer's effective kernel.

    They are the taps around the middle, or the last taps of a causal kernel. Each axis
    is considered separately.

    Args:
        layer: a built weighted layer.
        part: float, the part of the kernel's L2 norm that the taps hold.

    Example:

    >>> import keras
    >>> import keras_wconv
    >>> from keras_wconv.densities import Gaussian
    >>> from keras_wconv.inspection import effective_size
    >>> layer = keras_wconv.WeightedConv2D(4, 31, density=Gaussian(2.0),
    ...                                    kernel_initializer="ones")
    >>> layer.build((None, 32, 32, 3))
    >>> effective_size(layer)
    (7, 7)
    """
    kernel = ops.convert_to_numpy(layer.effective_kernel).astype("float64")
    sizes = []
    for axis, size in enumerate(layer.kernel_size):
        energy = np.square(np.moveaxis(kernel, axis, 0).reshape(size, -1)).sum(1)
        least = part**2 * energy.sum()
        held = (w for w in centered(size, layer.padding) if energy[w].sum() >= least)
        window = next(held, slice(0, size))
        sizes.append(window.stop - window.start)
    return tuple(sizes)


def centered(size: int, padding: str) -> list[slice]:
    """Returns the slices that remain of an axis without outer rings, smallest first.

    A ring is the first and the last tap, or only the first tap of a causal kernel.

    Example:

    >>> from keras_wconv.inspection import centered
    >>> centered(5, "same")
    [slice(2, 3, None), slice(1, 4, None), slice(0, 5, None)]
    """
    if padding == "causal":
        return [slice(first, size) for first in reversed(range(size))]
    return [slice(first, size - first) for first in reversed(range((size + 1) // 2))]
