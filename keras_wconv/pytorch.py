"""Loads weights that were trained with the published PyTorch layers."""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from . import densities
from ._keras import check_model, named_layers, sublayers
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
# A learned density is `den`. Of a fixed one there is its map, its profile, or both.
_DENSITY_KEYS = ("den", "Phi", "alfa")
# PyTorch's default for normalizations; a state dictionary does not contain it.
_EPSILON = 1e-5
_NORMALIZATIONS = (
    keras.layers.BatchNormalization,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
)
_DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)


def load_state_dict(
    target: keras.Layer,
    state_dict: Mapping[str, Any] | PathLike,
    names: Mapping[str, str] | None = None,
) -> None:
    """Loads a PyTorch state dictionary into a layer or a model.

    It reads convolutions (plain, depthwise, transposed), weighted or not, dense layers
    and batch, layer and group normalization. A weighted convolution gets `weight` and
    `bias`. Its density (`den`, `Phi` or `alfa`) is loaded if the layer learns one, and
    must otherwise equal that of the layer. Nothing is loaded unless everything fits.

    PyTorch's `padding=1` is `padding="same"` only for a kernel of 3 and stride 1. A
    dense layer after a `Flatten` has its inputs in another order than in PyTorch,
    unless the model is `channels_first`.

    A warning says if the outputs may differ because of something that a state
    dictionary lacks: the `epsilon` of a normalization, by default 1e-5 in PyTorch and
    1e-3 in Keras; or the density of a weighted layer that gets the weight of a
    plain convolution.

    Args:
        target: a built Keras layer or model.
        state_dict: mapping of names to tensors or arrays, or the path of a file from
            `torch.save`, of which only tensors are read (`weights_only=True`).
        names: dict from the names of the model's layers to the names of the modules
            in `state_dict`. In nested models, the names are as in `"encoder/conv1"`;
            the last part is enough if no other layer has it. By default, they are
            paired in order.

    Raises:
        ValueError: If `target` is not built, or if keys, shapes or densities do not
            match. It lists all of them.
        ImportError: If `state_dict` is a path and PyTorch is not installed.

    Shapes: PyTorch's kernels are `(out, in / groups, *spatial)`, or transposed
    `(in, out, *spatial)`. Keras's kernels have the spatial axes first.

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
    check_model(target, in_place=True, argument="target")
    if isinstance(state_dict, (str, os.PathLike)):
        torch = require("torch", extra="torch")
        state_dict = torch.load(state_dict, map_location="cpu", weights_only=True)
    modules = _modules(state_dict)
    targets = _targets(target)
    if names is None:
        names = dict(zip(targets, modules, strict=False))
    names = {_full_name(name, targets): module for name, module in names.items()}
    problems = [
        f"module '{module}' has no layer"
        for module in modules
        if module not in names.values()
    ]
    problems += [
        f"`names` has '{name}', which is not a layer, or not the only one"
        for name in names
        if name not in targets
    ]
    reached = {id(weight) for layer in targets.values() for weight in layer.weights}
    problems += [
        f"weight '{weight.path}' has no module"
        for weight in target.weights
        if id(weight) not in reached
    ]
    assignments, differing, unweighted = [], [], []
    for name, layer in targets.items():
        module = names.get(name)
        if module not in modules:
            problems.append(f"layer '{name}' has no module")
            continue
        values = dict(modules[module])
        loads, faults = _match_weights(layer, values)
        assignments += loads
        if hasattr(layer, "kernel_size") and any(k in values for k in _DENSITY_KEYS):
            loads, density_faults = _match_density(layer, values)
            assignments += loads
            faults += density_faults
        elif np.any(getattr(layer, "density_map", 1.0) != 1.0):
            unweighted.append(name)
        if isinstance(layer, _NORMALIZATIONS) and not np.isclose(
            layer.epsilon, _EPSILON, rtol=1e-6, atol=0
        ):
            differing.append(f"{name} ({layer.epsilon:g})")
        faults += [f"`{key}` is not expected" for key in values]
        problems += [f"'{module}' for layer '{name}': {f}" for f in faults]
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
            "The outputs differ from PyTorch's unless its modules had the epsilon of "
            f"these layers: {differing}. PyTorch's default is {_EPSILON:g}; make the "
            "layers with `epsilon=1e-5`.",
            stacklevel=2,
        )
    if unweighted:
        warnings.warn(
            "The outputs differ from PyTorch's: its modules have no density, but these "
            f"layers multiply the weight by theirs: {unweighted}. Load the weights "
            "into Keras's own layers, and convert the model with "
            "`keras_wconv.to_weighted`, which keeps its function.",
            stacklevel=2,
        )


def _modules(state_dict):
    """Returns the entries of a state dictionary as arrays, grouped by module."""
    modules = {}
    for name, value in state_dict.items():
        if not hasattr(value, "shape"):
            raise ValueError(
                "`state_dict` must map names to tensors. If this is a checkpoint of "
                "several parts, give only the part with the state dictionary. "
                f"Received: {name!r} of type {type(value)}, among {list(state_dict)}"
            )
        if hasattr(value, "detach"):
            value = value.detach().cpu().double().numpy()
        module, _, key = name.rpartition(".")
        if key != "num_batches_tracked":
            modules.setdefault(module, {})[key] = np.asarray(value)
    return modules


def _targets(target):
    """Returns the layers that take a module, by name, in order."""
    return {
        name: layer
        for name, layer, holders in named_layers(target)
        if layer.weights
        and (isinstance(layer, WeightedConvolution) or not sublayers(layer))
        and not any(isinstance(holder, WeightedConvolution) for holder in holders)
    }


def _full_name(name, targets):
    """Completes the name of a nested layer if no other layer has it."""
    found = [full for full, layer in targets.items() if layer.name == name]
    return found[0] if name not in targets and len(found) == 1 else name


def _match_weights(layer, values):
    """Takes a layer's weights out of `values`; returns assignments and faults."""
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
        if _is_kernel(variable):
            value = np.moveaxis(value, (0, 1), (-1, -2))
            if isinstance(layer, _DEPTHWISE):
                # PyTorch's output channel is `channel * multiplier + copy`.
                value = value.reshape(variable.shape)
        loads.append((variable.assign, value))
    return loads, faults


def _pytorch_shape(layer, variable):
    if not _is_kernel(variable):
        return tuple(variable.shape)
    *spatial, first, last = variable.shape
    if isinstance(layer, _DEPTHWISE):
        return (first * last, 1, *spatial)
    return (last, first, *spatial)


def _is_kernel(variable):
    """Whether PyTorch orders the axes otherwise; a factor per channel has one."""
    return variable.name == "kernel" and len(variable.shape) > 1


def _match_density(layer, values):
    """Takes the density out of `values`; returns assignments and faults."""
    given = {key: values.pop(key) for key in _DENSITY_KEYS if key in values}
    key, value = next(iter(given.items()))
    size = layer.kernel_size
    try:
        phi = _map(key, value, size)
    except ValueError as error:
        return [], [f"`{key}` has shape {value.shape}: {error}"]
    loads = []
    own = getattr(layer, "density_map", np.ones(size))
    if _is_learned(layer):
        density = phi
        if isinstance(layer.density.initial, densities.Separable):
            density = [
                line[: densities.num_coefficients(len(line))].tolist()
                for line in densities.lines_through_center(phi)
            ]
            if not layer.density.initial.per_axis:
                density = density[0]
        own = densities.get(density)(size)
        if layer.density.normalize:
            own = densities.normalize(own)
        loads.append((layer.density.assign, density))
    if not np.allclose(own, phi, rtol=1e-4, atol=1e-6):
        profiles = [
            densities.lines_through_center(each)[0].round(4).tolist()
            for each in (phi, own)
        ]
        return [], [
            f"`{key}` is a density of profile {profiles[0]}, that of the layer would "
            f"be {profiles[1]}"
        ]
    return loads, []


def _map(key, value, kernel_size):
    """Returns Φ of a convolution from any of the keys."""
    if key == "Phi":
        return value.reshape(kernel_size)
    if key == "den":
        return densities.Separable(value.ravel().tolist())(kernel_size)
    if any(value.shape != (size,) for size in kernel_size):
        raise ValueError(f"expected the full profile of a kernel of {kernel_size}")
    return functools.reduce(np.multiply.outer, [value] * len(kernel_size))


def _is_learned(layer):
    return getattr(layer, "density_trainable", False)
