"""Weights that were trained with the published PyTorch layers."""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from . import densities
from ._keras import sublayers
from ._optional import require
from ._types import PathLike
from .layers import WeightedConvolution

_KEYS = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
# A learned density is `den`; a fixed one is held as its profile, its map or both.
_DENSITY_KEYS = ("den", "Phi", "alfa")
# A state dictionary does not say with which epsilon a module divides.
_EPSILON = 1e-5
_DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)


def load_state_dict(
    target: keras.Layer,
    state_dict: Mapping[str, Any] | PathLike,
    names: Mapping[str, str] | None = None,
) -> None:
    """Loads a PyTorch state dictionary into a layer or a model.

    Read are convolutions (plain, depthwise, transposed), weighted or not, dense
    layers and batch normalization. Of a weighted convolution, `weight` and `bias` are
    loaded, the density (`den`, `Phi` or `alfa`) goes into a learned density, and a
    fixed one has to equal that of the layer. Nothing is loaded unless all fits.

    PyTorch's `padding=1` is `padding="same"` for a kernel of 3 and stride 1 only, and
    a dense layer behind a `Flatten` has its inputs in another order than in PyTorch
    unless the model is `channels_first`.

    Two things that a state dictionary does not hold change the function of what was
    loaded, and there is a warning for them: the `epsilon` of batch normalization, 1e-5
    in PyTorch and 1e-3 in Keras unless it is given, and the density of a weighted layer
    that gets the weight of a plain convolution.

    Args:
        target: a built Keras layer or model.
        state_dict: mapping of names to tensors or arrays, or the path of a file
            written by `torch.save`, of which only tensors are read
            (`weights_only=True`).
        names: dict from the names of the model's layers to the names of the modules
            in `state_dict`. By default they are paired in order.

    Raises:
        ValueError: If keys, shapes or densities do not match; all are listed.
        ImportError: If `state_dict` is a path and PyTorch is not installed.

    Shapes: PyTorch's kernels are `(out, in / groups, *spatial)`, transposed ones
    `(in, out, *spatial)`, Keras's have the spatial axes first.

    Example:

    >>> import numpy as np
    >>> import keras_wconv
    >>> layer = keras_wconv.WeightedConv2D(8, 3, density=[0.7])
    >>> layer.build((None, None, None, 4))
    >>> profile = np.array([0.7, 1.0, 0.7])
    >>> keras_wconv.pytorch.load_state_dict(layer, {
    ...     "weight": np.ones((8, 4, 3, 3)),
    ...     "bias": np.zeros(8),
    ...     "Phi": np.outer(profile, profile),
    ... })
    >>> layer.kernel.shape == (3, 3, 4, 8)
    True

    Source: https://arxiv.org/abs/2505.24558 for the layers,
    https://docs.pytorch.org/docs/stable/nn.html for the shapes.
    """
    if isinstance(state_dict, (str, os.PathLike)):
        torch = require("torch", extra="torch")
        state_dict = torch.load(state_dict, map_location="cpu", weights_only=True)
    modules = _modules(state_dict)
    targets = [layer for layer in _leaves(target) if layer.weights]
    if names is None:
        names = dict(zip((layer.name for layer in targets), modules, strict=False))
    problems = [
        f"module '{module}' has no layer"
        for module in modules
        if module not in names.values()
    ]
    unknown = set(names) - {layer.name for layer in targets}
    problems += [f"`names` has '{name}', which is no layer" for name in unknown]
    assignments, differing, unweighted = [], [], []
    for layer in targets:
        module = names.get(layer.name)
        if module not in modules:
            problems.append(f"layer '{layer.name}' has no module")
            continue
        values = dict(modules[module])
        loads, faults = _match_weights(layer, values)
        assignments += loads
        if any(key in values for key in _DENSITY_KEYS):
            loads, density_faults = _match_density(layer, values)
            assignments += loads
            faults += density_faults
        elif _has_density(layer):
            unweighted.append(layer.name)
        if isinstance(layer, keras.layers.BatchNormalization) and not np.isclose(
            layer.epsilon, _EPSILON, rtol=1e-6, atol=0
        ):
            differing.append(f"{layer.name} ({layer.epsilon:g})")
        faults += [f"`{key}` is not expected" for key in values]
        problems += [f"'{module}' for layer '{layer.name}': {f}" for f in faults]
    if problems:
        raise ValueError(
            "`state_dict` does not fit `target`. Expected one module with the weights "
            "of each layer, in order or as `names` pairs them. Received:\n  "
            + "\n  ".join(problems)
        )
    for assign, value in assignments:
        assign(value)
    if differing:
        warnings.warn(
            "The outputs are not those of PyTorch unless its modules had the epsilon "
            f"of these layers: {differing}. PyTorch's own is {_EPSILON:g}; make the "
            "layers with `BatchNormalization(epsilon=1e-5)`.",
            stacklevel=2,
        )
    if unweighted:
        warnings.warn(
            "The outputs are not those of PyTorch: its modules have no density, and "
            f"these layers multiply the weight by theirs: {unweighted}. Load into "
            "Keras's own layers, and convert the model with `keras_wconv.to_weighted`, "
            "which keeps its function.",
            stacklevel=2,
        )


def _modules(state_dict):
    """The entries of a state dictionary as arrays, grouped by module."""
    modules = {}
    for name, value in state_dict.items():
        if not hasattr(value, "shape"):
            raise ValueError(
                "`state_dict` must map names to tensors. If this is a checkpoint of "
                "several parts, give the part that is the state dictionary. "
                f"Received: {name!r} of type {type(value)}, among {list(state_dict)}"
            )
        if hasattr(value, "detach"):
            value = value.detach().cpu().double().numpy()
        module, _, key = name.rpartition(".")
        if key != "num_batches_tracked":
            modules.setdefault(module, {})[key] = np.asarray(value)
    return modules


def _leaves(layer):
    """Layers of a model in order, with those of nested models in their place."""
    inner = sublayers(layer)
    if not inner or isinstance(layer, WeightedConvolution):
        return [layer]
    return [leaf for each in inner for leaf in _leaves(each)]


def _match_weights(layer, values):
    """Takes a layer's weights out of `values`: assignments, and what does not fit."""
    loads, faults = [], []
    learned = layer.density.weights if _is_learned(layer) else []
    for variable in layer.weights:
        if any(variable is weight for weight in learned):
            continue
        key = _KEYS.get(variable.name)
        if key not in values:
            faults.append(f"`{key or variable.name}` is missing")
            continue
        value = values.pop(key)
        expected = _pytorch_shape(layer, variable)
        if value.shape != expected:
            faults.append(f"`{key}` has shape {value.shape}, expected {expected}")
            continue
        if variable.name == "kernel":
            value = np.moveaxis(value, (0, 1), (-1, -2))
            if isinstance(layer, _DEPTHWISE):
                # PyTorch's output channel is `channel * multiplier + copy`.
                value = value.reshape(variable.shape)
        loads.append((variable.assign, value))
    return loads, faults


def _pytorch_shape(layer, variable):
    if variable.name != "kernel":
        return tuple(variable.shape)
    *spatial, first, last = variable.shape
    if isinstance(layer, _DEPTHWISE):
        return (first * last, 1, *spatial)
    return (last, first, *spatial)


def _match_density(layer, values):
    """Takes the density out of `values`: assignments, and what does not fit."""
    given = {key: values.pop(key) for key in _DENSITY_KEYS if key in values}
    key, value = next(iter(given.items()))
    size = getattr(layer, "kernel_size", ())
    try:
        phi = _map(key, value, size)
    except ValueError as error:
        return [], [f"`{key}` has shape {value.shape}: {error}"]
    loads = []
    would_be = getattr(layer, "density_map", np.ones(size))
    if _is_learned(layer):
        density = phi
        if isinstance(layer.density.initial, densities.Separable):
            density = _separable(phi, layer.density.initial.per_axis)
        would_be = densities.get(density)(size)
        if layer.density.normalize:
            would_be = densities.normalize(would_be)
        loads.append((layer.density.assign, density))
    if not np.allclose(would_be, phi, rtol=1e-4, atol=1e-6):
        profile = densities.lines_through_center(phi)[0].round(4).tolist()
        own = densities.lines_through_center(would_be)[0].round(4).tolist()
        return [], [
            f"`{key}` is a density of profile {profile}, that of the layer would be "
            f"{own}"
        ]
    return loads, []


def _map(key, value, kernel_size):
    """Φ of a convolution, from whichever key its state has."""
    if key == "Phi":
        return value.reshape(kernel_size)
    if key == "den":
        return densities.Separable(value.ravel().tolist())(kernel_size)
    if any(value.shape != (size,) for size in kernel_size):
        raise ValueError(f"expected the full profile of a kernel of {kernel_size}")
    return functools.reduce(np.multiply.outer, [value] * len(kernel_size))


def _separable(phi, per_axis):
    """The coefficients of a map in the form that a learned density was given."""
    coefficients = [
        line[: densities.num_coefficients(len(line))].tolist()
        for line in densities.lines_through_center(phi)
    ]
    return coefficients if per_axis else coefficients[0]


def _has_density(layer):
    return np.any(getattr(layer, "density_map", 1.0) != 1.0)


def _is_learned(layer):
    return getattr(layer, "density_trainable", False)
