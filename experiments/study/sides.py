"""The question whether a density helps, with the same tuning for both sides."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from ... import densities
from ..._keras import sublayers
from ...inspection import weighted_layers
from . import initial
from .candidate import Candidate

if TYPE_CHECKING:
    import keras_tuner as kt

    from ..._density_choice import ModelDensity
    from ..._types import Identifier

TUNE = ("learning_rate", "start")
GLOROT = "glorot_uniform"  # Keras's default; most published networks use He's.

CONTROLS = (
    "standard as it is",
    "weighted as it is",
    "one factor",
    "permuted",
    "start alone",
    "step alone",
    "not normalized",
    "learned",
)


def sides(
    network: Callable[..., keras.Model],
    density: ModelDensity = None,
    search: Callable[[kt.HyperParameters], Any] | None = None,
    controls: Sequence[Candidate | str] = (),
) -> dict[str, list[Candidate]]:
    """Returns the two sides of the question whether a density helps a network.

    On each side the learning rate and one factor of the initial kernels are tuned over
    the same ranges, once from the network's own initializer and once from Glorot's,
    if that is not its own.

    Args:
        network: function of `density` and density options that returns a Keras model,
            the standard one for `density=None`, such as the builders of
            `keras_wconv.applications`.
        density: the density of the weighted network, chosen before all runs.
        search: instead of `density`, a function of `keras_tuner.HyperParameters` that
            returns one, such as `functools.partial(tuning.density, kernel_size=3)`. It
            is tuned with the rest.
        controls: `Candidate` objects, or names of `CONTROLS`: `"standard as it is"` and
            `"weighted as it is"`, nothing tuned; `"one factor"`, the root mean square
            of each Φ instead of its values; `"permuted"`, these values in other places;
            `"start alone"`, a standard network that starts at the effective kernels;
            `"step alone"`, a weighted one that starts at the standard kernels;
            `"not normalized"`; and `"learned"`. All but the first need `density`.

    Returns:
        A dict of `baseline`, `proposal` and `controls`, for `compare`.

    Raises:
        ValueError: If an argument is wrong.

    Example:

    >>> import functools
    >>> from keras_wconv.applications import DnCNN
    >>> from keras_wconv.experiments import sides
    >>> network = functools.partial(DnCNN, depth=3, filters=8)
    >>> both = sides(network, density=[0.7])
    >>> [candidate.name for candidate in both["proposal"]]
    ['weighted', "weighted, Glorot's start", 'weighted, normalized']
    """
    if (density is None) == (search is None):
        raise ValueError(
            "Exactly one of `density` and `search` must be given. Received: "
            f"density={density}, search={search}"
        )
    find = search or (lambda hp: density)

    def standard(hp):
        return network(density=None)

    def weighted(hp, **options):
        model = network(density=find(hp), **options)
        if not weighted_layers(model):
            raise ValueError(
                f"`density` reaches no layer of {model.name!r}: no kernel has its "
                "size, so that both sides would be the same network."
            )
        return model

    normalized = functools.partial(weighted, normalize_density=True)
    # Two candidates that are the same network would share the runs of their side.
    starts = {"": None}
    if not initial.is_from(network(density=None), GLOROT):
        starts[", Glorot's start"] = GLOROT
    return {
        "baseline": [
            Candidate(f"standard{name}", standard, TUNE, start)
            for name, start in starts.items()
        ],
        "proposal": [
            *(
                Candidate(f"weighted{name}", weighted, TUNE, start)
                for name, start in starts.items()
            ),
            Candidate("weighted, normalized", normalized, TUNE),
        ],
        "controls": [
            control
            if isinstance(control, Candidate)
            else _control(control, network, density, standard, weighted)
            for control in controls
        ],
    }


def _control(name, network, density, standard, weighted):
    if name not in CONTROLS:
        raise ValueError(
            f"`controls` must be Candidates, or of {CONTROLS}. Received: {name!r}"
        )
    if density is None and name != "standard as it is":
        raise ValueError(
            f"The control {name!r} needs a `density` that is chosen before all runs. "
            "With `search` it is not known then."
        )

    def with_maps(change):
        return lambda hp: _with_changed_maps(network, density, change)

    builds = {
        "standard as it is": standard,
        "weighted as it is": weighted,
        "one factor": with_maps(_root_mean_square),
        "permuted": with_maps(permuted),
        "start alone": lambda hp: _start_alone(network, density),
        "step alone": lambda hp: _step_alone(network, density),
        "not normalized": functools.partial(weighted, normalize_density=False),
        "learned": functools.partial(weighted, density_trainable=True),
    }
    return Candidate(name, builds[name])


@keras.saving.register_keras_serializable(package="keras_wconv")
class Scaled(keras.initializers.Initializer):
    """Another initializer, times a map of one factor for each tap.

    Args:
        initializer: `keras.initializers.Initializer`.
        factors: nested list in the spatial shape of the kernel.
    """

    def __init__(self, initializer: Identifier, factors: Any) -> None:
        self.initializer = keras.initializers.get(initializer)
        self.factors = factors

    def __call__(self, shape, dtype=None, **kwargs):
        factors = np.asarray(self.factors, "float32")
        factors = factors.reshape(*factors.shape, *(1,) * (len(shape) - factors.ndim))
        drawn = self.initializer(shape, dtype, **kwargs)
        return drawn * keras.ops.cast(factors, drawn.dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            "initializer": keras.initializers.serialize(self.initializer),
            "factors": self.factors,
        }


def _start_alone(network, density):
    """Builds the standard network with the start of the weighted one."""
    model, other = network(density=None), network(density=density)
    # By their places: automatic names of layers differ.
    both = (
        [
            layer
            for layer in sublayers(one, recursive=True)
            if hasattr(layer, "kernel_size")
        ]
        for one in (model, other)
    )
    for layer, weighted in zip(*both, strict=True):
        if getattr(weighted, "density", None) is not None:
            _scale_start(layer, weighted, np.asarray(weighted.density_map))
    return model


def _step_alone(network, density):
    """Builds the weighted network with the start of the standard one."""
    model = network(density=density)
    for layer in weighted_layers(model).values():
        phi = np.asarray(layer.density_map)
        if np.any(phi == 0):
            raise ValueError(
                "The control 'step alone' divides the initial kernels by the density, "
                "which must not contain 0. Leave it out."
            )
        _scale_start(layer, layer, 1 / phi)
    return model


def _scale_start(layer, weighted, factors):
    kernel = weighted.weighted_kernel  # "kernel", or "depthwise_kernel"
    attribute = f"{kernel.removesuffix('_kernel')}_initializer"
    scaled = Scaled(getattr(layer, attribute), factors.tolist())
    setattr(layer, attribute, scaled)
    # As if the layer had been built with it, so that `initial.start` draws it again.
    weight = getattr(layer, kernel)
    weight.assign(scaled(weight.shape, weight.dtype))


def _with_changed_maps(network, density, change):
    layers = weighted_layers(network(density=density)).values()
    maps = {layer.name: densities.Map(change(layer.density_map)) for layer in layers}
    try:
        return network(
            density=lambda name, kernel_size: maps.get(name), normalize_density=False
        )
    except (TypeError, ValueError) as error:
        raise ValueError(
            "The controls 'one factor' and 'permuted' need a network that takes a "
            "function of a layer's name and kernel size as `density`, as the builders "
            f"of keras_wconv.applications do. Leave them out. Received: {error}"
        ) from error


def _root_mean_square(phi):
    return np.full(phi.shape, np.sqrt(np.mean(np.square(phi))))


def permuted(phi):
    """Returns Φ with all values but the center's in other places."""
    flat = np.asarray(phi).flatten()
    center = np.ravel_multi_index([size // 2 for size in phi.shape], phi.shape)
    others = np.delete(np.arange(flat.size), center)
    flat[others] = flat[np.random.default_rng(0).permutation(others)]
    return flat.reshape(phi.shape)
