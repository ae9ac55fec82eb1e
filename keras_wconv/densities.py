"""Spatial densities, which convolution kernels are multiplied by.

A density gives every tap of a kernel a factor Φ, the same for all channels. It is
evaluated at the size of a kernel, so one density can serve kernels of many sizes.
`get`, `serialize` and `deserialize` work like those of `keras.initializers`.

Source: Cammarasana and Patanè, "Optimal Density Functions for Weighted Convolution in
Learning Models", https://arxiv.org/abs/2505.24527.
"""

from __future__ import annotations

import functools
import inspect
import math
import numbers
import operator
import reprlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import keras
import numpy as np

from ._types import Tensor

# The authors' examples for kernels of 3, 5 and 7.
PUBLISHED: dict[int, list[float]] = {3: [0.7], 5: [0.2, 0.8], 7: [0.25, 0.15, 0.55]}


def num_coefficients(size: int, causal: bool = False) -> int:
    """Returns the number of coefficients in the profile of an axis.

    Args:
        size: int, the number of taps along the axis.
        causal: bool, whether the kernel looks back only (`padding="causal"`).

    Returns:
        int: `(size - 1) // 2`, the taps on each side of the center; or for a causal
        kernel `size - 1`, the taps before the last one.

    Example:

    >>> from keras_wconv import densities
    >>> [densities.num_coefficients(size) for size in (1, 2, 3, 4, 5)]
    [0, 0, 1, 1, 2]
    >>> densities.num_coefficients(3, causal=True)
    2
    """
    return size - 1 if causal else (size - 1) // 2


def tap_distances(size: int, causal: bool = False) -> np.ndarray:
    """Returns the distance of each tap of an axis from the center, in taps.

    An even kernel has two centers, its middle taps. The center of a causal kernel is
    its last tap.

    Example:

    >>> from keras_wconv import densities
    >>> densities.tap_distances(5).tolist(), densities.tap_distances(4).tolist()
    ([2, 1, 0, 1, 2], [1, 0, 0, 1])
    >>> densities.tap_distances(3, causal=True).tolist()
    [2, 1, 0]
    """
    if causal:
        return np.arange(size)[::-1]
    return np.abs(2 * np.arange(size) - (size - 1)) // 2


def normalize(values: Tensor, xp: Any = np, rank: int | None = None) -> Tensor:
    """Divides a map by its root mean square, which keeps the variance of a signal.

    Args:
        values: the map. Axes after the first `rank` are channels, which are normalized
            separately.
        xp: `numpy`, or `keras.ops` for a learned map.
        rank: int, the number of spatial axes. By default, all axes are spatial.

    Raises:
        ValueError: If a NumPy map is zero everywhere.
    """
    axes = tuple(range(len(values.shape) if rank is None else rank))
    count = math.prod(values.shape[axis] for axis in axes)
    # `ops.mean` computes the mean of float64 in float32 on JAX and PyTorch.
    mean_square = xp.sum(xp.square(values), axis=axes) / count
    if xp is np and not np.all(mean_square):
        raise ValueError(
            "`normalize_density` divides by the root mean square of the density, which "
            "is zero here. Expected at least one tap that is not zero."
        )
    return values / xp.sqrt(mean_square)


class Density:
    """Base class of all densities.

    Your own density implements `get_config`, and is registered with
    `keras.saving.register_keras_serializable` so that saved models can be loaded. A
    fixed density implements `__call__`. One that can be learned implements `parameters`
    and `map` instead.

    Attributes:
        positive: names of the parameters that must stay positive. Their logarithms are
            learned.
        normalized_by_default: whether Φ is divided by its root mean square if the
            layer's `normalize_density` is None. Coefficients and maps, whose values are
            given tap by tap, are not normalized by default.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> import keras_wconv
    >>> @keras.saving.register_keras_serializable(package="docs")
    ... class Cross(keras_wconv.densities.Density):
    ...     def __call__(self, kernel_size, causal=False):
    ...         taps = [keras_wconv.densities.tap_distances(k) for k in kernel_size]
    ...         grid = np.meshgrid(*taps, indexing="ij")
    ...         return np.where(np.sum([d > 0 for d in grid], axis=0) < 2, 1.0, 0.5)
    >>> layer = keras_wconv.WeightedConv2D(
    ...     8, 3, density=Cross(), normalize_density=False)
    >>> layer.density_map.tolist()
    [[0.5, 1.0, 0.5], [1.0, 1.0, 1.0], [0.5, 1.0, 0.5]]

    A density with a width that can be learned:

    >>> @keras.saving.register_keras_serializable(package="docs")
    ... class Cauchy(keras_wconv.densities.Density):
    ...     positive = ("width",)
    ...
    ...     def __init__(self, width=1.0):
    ...         self.width = width
    ...
    ...     def parameters(self, kernel_size, causal=False):
    ...         return {"width": np.array(self.width)}
    ...
    ...     def map(self, taps, xp, width):
    ...         return 1 / (1 + sum(xp.square(tap / width) for tap in taps))
    ...
    ...     def get_config(self):
    ...         return {"width": self.width}
    >>> layer = keras_wconv.WeightedConv1D(
    ...     8, 3, density=Cauchy(2.0), density_trainable=True,
    ...     normalize_density=False)
    >>> layer.density_map.tolist()
    [0.8, 1.0, 0.8]
    """

    positive: tuple[str, ...] = ()
    normalized_by_default: bool = True

    def __call__(
        self, kernel_size: tuple[int, ...], causal: bool = False
    ) -> np.ndarray:
        """Returns the map Φ.

        Args:
            kernel_size: tuple of int, taps along each spatial axis.
            causal: bool, whether the last tap is the reference sample.

        Returns:
            A float64 NumPy array of shape `kernel_size`.

        Raises:
            ValueError: If this density does not fit `kernel_size`.
        """
        parameters = self.parameters(kernel_size, causal)
        phi = self.map(self.taps(kernel_size, causal), np, **parameters)
        return np.broadcast_to(phi, kernel_size).astype("float64")

    def parameters(
        self, kernel_size: tuple[int, ...], causal: bool = False
    ) -> dict[str, np.ndarray]:
        """Returns the initial values of what can be learned, NumPy arrays by name.

        Args:
            kernel_size: tuple of int, taps along each spatial axis.
            causal: bool, whether the last tap is the reference sample.

        Raises:
            ValueError: If this density does not fit `kernel_size`.
        """
        return {}

    def taps(
        self, kernel_size: tuple[int, ...], causal: bool = False
    ) -> Sequence[np.ndarray]:
        """Returns the constants that `map` needs, a list of NumPy arrays.

        By default, they are the distances of the taps from the center along each axis,
        in arrays that broadcast to `kernel_size`.
        """
        distances = (tap_distances(size, causal) for size in kernel_size)
        return np.ix_(*(distance.astype("float64") for distance in distances))

    def map(self, taps: Sequence[Tensor], xp: Any, **parameters: Tensor) -> Tensor:
        """Returns the map Φ for some values of the parameters.

        If each channel learns its own density, the parameters have one more axis at the
        end, and `taps` have an axis of size 1 there. Code that broadcasts works for
        both.

        Args:
            taps: the result of `taps`, as arrays or tensors.
            xp: `numpy`, or `keras.ops` if the parameters are tensors.
            **parameters: values, with the names of `parameters`.

        Returns:
            An array or tensor with the axes of `kernel_size`, or of
            `kernel_size + (channels,)`, each of its size or of size 1.
        """
        raise NotImplementedError(
            f"`{type(self).__name__}` must implement `__call__(kernel_size, causal)`, "
            "or `parameters(kernel_size, causal)` and `map(taps, xp, **parameters)`."
        )

    def profiles(
        self, kernel_size: tuple[int, ...], causal: bool = False
    ) -> list[np.ndarray]:
        """Returns the profile of each axis: the lines of the map through its center."""
        phi = self(kernel_size, causal)
        return lines_through_center(phi, causal, rank=len(kernel_size))

    def get_config(self) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**config)

    def __repr__(self) -> str:
        arguments = ", ".join(f"{k}={v!r}" for k, v in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


# The types of a layer's `density`.
DensityLike = (
    Density
    | type[Density]
    | float
    | Sequence[float]
    | Sequence[Sequence[float]]
    | np.ndarray
    | str
    | Mapping[str, object]
    | None
)


def lines_through_center(
    values: np.ndarray, causal: bool = False, rank: int | None = None
) -> list[np.ndarray]:
    """Returns the line of a map along each axis, through the center of the others.

    Args:
        values: NumPy array. Axes after the first `rank` are channels and are kept.
        causal: bool, whether the center is the last tap.
        rank: int, the number of spatial axes. By default, all axes are spatial.
    """
    rank = values.ndim if rank is None else rank
    sizes = values.shape[:rank]
    center = [size - 1 if causal else (size - 1) // 2 for size in sizes]
    return [
        values[(*center[:axis], slice(None), *center[axis + 1 :])]
        for axis in range(rank)
    ]


@keras.saving.register_keras_serializable(package="keras_wconv")
class Separable(Density):
    """The published density: an outer product of symmetric profiles.

    Along an axis of `k` taps, the profile is `d_1, ..., d_h, 1, d_h, ..., d_1` with
    `h = (k - 1) // 2`. An even kernel has two middle taps, both 1. In a causal kernel,
    the reference sample is the last tap, so the profile has only one side:
    `d_1, ..., d_(k-1), 1`, oldest sample first.

    Args:
        coefficients: the coefficients, outermost first: a list that all axes share; a
            list of lists, one for each axis; or a number, if every axis has only one
            coefficient (kernels of 3 and 4).

    Raises:
        ValueError: If a coefficient is not a finite number, or in a call, if the number
            of coefficients does not fit the kernel.

    Example:

    >>> from keras_wconv import densities
    >>> density = densities.Separable([0.2, 0.8])
    >>> density((5,)).tolist()
    [0.2, 0.8, 1.0, 0.8, 0.2]
    >>> densities.Separable([[0.2, 0.8], [0.5]])((5, 3)).shape
    (5, 3)
    >>> density((3,), causal=True).tolist()
    [0.2, 0.8, 1.0]

    Source: https://arxiv.org/abs/2505.24527. Lists for each axis, and even and causal
    kernels, are extensions.
    """

    normalized_by_default = False

    def __init__(
        self, coefficients: float | Sequence[float] | Sequence[Sequence[float]]
    ) -> None:
        self.is_number = isinstance(coefficients, numbers.Real)
        if self.is_number:
            coefficients = [coefficients]
        self.per_axis = np.iterable(coefficients) and any(
            isinstance(c, (list, tuple)) for c in coefficients
        )
        self.coefficients = (
            tuple(_finite(c, coefficients) for c in coefficients)
            if self.per_axis
            else _finite(coefficients, coefficients)
        )

    def axis_coefficients(
        self, kernel_size: tuple[int, ...], causal: bool = False
    ) -> list[np.ndarray]:
        """Returns one vector of coefficients for each axis of `kernel_size`."""
        needed = [num_coefficients(size, causal) for size in kernel_size]
        if self.per_axis:
            if len(self.coefficients) != len(kernel_size):
                raise ValueError(
                    f"`density` has a list of coefficients for each of "
                    f"{len(self.coefficients)} axes. Expected {len(kernel_size)} "
                    f"lists for kernel_size={kernel_size}: "
                    f"{_expected(kernel_size, causal)}. "
                    f"Received: density={self._given()}"
                )
            per_axis = self.coefficients
        else:
            per_axis = (self.coefficients,) * len(kernel_size)
        if [len(values) for values in per_axis] != needed:
            raise ValueError(self._wrong_length(kernel_size, causal, needed, per_axis))
        return [np.asarray(values, "float64") for values in per_axis]

    def parameters(
        self, kernel_size: tuple[int, ...], causal: bool = False
    ) -> dict[str, np.ndarray]:
        per_axis = self.axis_coefficients(kernel_size, causal)
        if not self.per_axis:
            return {"coefficients": per_axis[0]}
        return {
            f"coefficients_{axis}": values
            for axis, values in enumerate(per_axis)
            if len(values)
        }

    def map(self, taps: Sequence[Tensor], xp: Any, **parameters: Tensor) -> Tensor:
        rank = len(taps)
        made = {}  # Axes that share a profile compute it once.
        profiles = []
        for axis, distances in enumerate(taps):
            size = distances.shape[axis]
            name = f"coefficients_{axis}"
            name = name if name in parameters else "coefficients"
            if name not in parameters:
                continue  # Every tap of this axis is a center, with a factor of 1.
            if (name, size) not in made:
                made[name, size] = _profile(parameters[name], size, xp)
            # In an eager backend, indexing takes a tenth of the time of
            # `keras.ops.reshape`. Only the first profile needs the axes before its own;
            # the others broadcast.
            before, after = 0 if profiles else axis, rank - 1 - axis
            profile = made[name, size]
            if before or after:
                profile = profile[(*[None] * before, slice(None), *[None] * after)]
            profiles.append(profile)
        if not profiles:
            return xp.ones([1] * rank)
        return functools.reduce(operator.mul, profiles)

    def get_config(self) -> dict[str, Any]:
        return {"coefficients": self._given()}

    def _given(self):
        if self.is_number:
            return self.coefficients[0]
        if self.per_axis:
            return [list(values) for values in self.coefficients]
        return list(self.coefficients)

    def _wrong_length(self, kernel_size, causal, needed, per_axis):
        message = (
            "`density` does not fit the kernel. Expected, outermost coefficient "
            f"first, {_expected(kernel_size, causal)} for kernel_size={kernel_size}"
            f"{' with causal padding' if causal else ''}. "
            f"Received: density={self._given()}"
        )
        halves = [
            list(values[:count])
            for values, count, size in zip(per_axis, needed, kernel_size, strict=True)
            if size > 1
            and len(values) == size
            and (causal or values == values[::-1])
            and values[count] == 1.0
        ]
        if halves:
            message += (
                ". That is a full profile; give only the part before its center: "
                f"density={halves if self.per_axis else halves[0]}"
            )
        elif not self.per_axis and len(set(needed)) > 1:
            message += (
                ". The axes need different numbers of coefficients, so give each axis "
                f"a list, for instance density={[[1.0] * n for n in needed]}"
            )
        return message


@keras.saving.register_keras_serializable(package="keras_wconv")
class Gaussian(Density):
    """A Gaussian of the distance to the center: `exp(-d² / (2 sigma²))`.

    Args:
        sigma: the standard deviation in taps, one number or one for each axis. A
            learned density learns it. By default, it is an eighth of the kernel size,
            from 1 to 4; for a causal kernel, which has one side, a quarter, from 1 to
            8. If axes have different sizes, each has its own. On two sets of time
            series, wider starts were worse in kernels of 65, learned or not.

    Raises:
        ValueError: If `sigma` is not positive and finite, or in a call, if the number
            of sigmas is not the number of axes.

    Example:

    >>> from keras_wconv import densities
    >>> densities.Gaussian(sigma=1.0)((3,)).round(4).tolist()
    [0.6065, 1.0, 0.6065]
    >>> densities.Gaussian().parameters((32, 32))["sigma"].tolist()
    4.0
    """

    positive = ("sigma",)

    def __init__(self, sigma: float | Sequence[float] | None = None) -> None:
        if sigma is None:
            self.sigma = None
            return
        sigma = sigma.tolist() if isinstance(sigma, np.ndarray) else sigma
        is_number = isinstance(sigma, numbers.Real)
        sigmas = [sigma] if is_number else list(sigma)
        if not sigmas or not all(
            isinstance(s, numbers.Real) and np.isfinite(s) and s > 0 for s in sigmas
        ):
            raise ValueError(
                "`sigma` must be a positive, finite number of taps, or one for each "
                f"axis. Received: sigma={sigma}"
            )
        self.sigma = float(sigma) if is_number else [float(s) for s in sigmas]

    def parameters(
        self, kernel_size: tuple[int, ...], causal: bool = False
    ) -> dict[str, np.ndarray]:
        if np.ndim(self.sigma) and len(self.sigma) != len(kernel_size):
            raise ValueError(
                f"`sigma` must have one value for each of the {len(kernel_size)} axes "
                f"of kernel_size={kernel_size}. Received: sigma={self.sigma}"
            )
        if self.sigma is not None:
            return {"sigma": np.array(self.sigma)}
        sizes = np.array(kernel_size)
        if len(set(kernel_size) - {1}) <= 1:
            sizes = sizes.max()
        sides = 2 if causal else 1
        return {"sigma": np.clip(sides * sizes / 8, 1.0, 4.0 * sides)}

    def map(self, taps: Sequence[Tensor], xp: Any, sigma: Tensor) -> Tensor:
        sizes = {tap.shape[axis] for axis, tap in enumerate(taps)}
        per_axis = np.ndim(self.sigma) or (self.sigma is None and len(sizes - {1}) > 1)
        sigmas = sigma if per_axis else [sigma] * len(taps)
        profiles = (
            xp.exp(-0.5 * xp.square(taps[axis] / sigmas[axis]))
            for axis in range(len(taps))
        )
        return functools.reduce(operator.mul, profiles)

    def get_config(self) -> dict[str, Any]:
        return {"sigma": self.sigma}


_RADIAL_FUNCTIONS = {
    "exponential": lambda distance, xp: xp.exp(-distance),
    "inverse": lambda distance, xp: 1.0 / (1.0 + distance),
}


@keras.saving.register_keras_serializable(package="keras_wconv")
class Radial(Density):
    """A function of the Euclidean distance to the center, which is not separable.

    Args:
        function: `"exponential"` (`exp(-r)`), `"inverse"` (`1 / (1 + r)`), or a
            function of an array of distances that is 1 at distance 0. In a learned
            density, it must take tensors, too. To save a model, register it with
            `keras.saving.register_keras_serializable`.
        scale: the distance in taps that counts as `r = 1`. A learned density learns it.

    Raises:
        ValueError: If `function` is unknown or is not 1 at distance 0, or if `scale`
            is not positive.

    Example:

    >>> from keras_wconv import densities
    >>> densities.Radial("inverse")((3, 3)).round(2).tolist()
    [[0.41, 0.5, 0.41], [0.5, 1.0, 0.5], [0.41, 0.5, 0.41]]
    """

    positive = ("scale",)

    def __init__(
        self,
        function: str | Callable[[Tensor], Tensor] | dict[str, Any] = "exponential",
        scale: float = 1.0,
    ) -> None:
        if isinstance(function, dict):
            function = keras.saving.deserialize_keras_object(function)
        if not callable(function) and function not in list(_RADIAL_FUNCTIONS):
            raise ValueError(
                f"`function` must be one of {sorted(_RADIAL_FUNCTIONS)} or a function "
                f"of the distance. Received: function={function!r}"
            )
        if not (isinstance(scale, numbers.Real) and 0 < scale < math.inf):
            raise ValueError(
                "`scale` must be a positive, finite number of taps. Received: "
                f"scale={scale!r}"
            )
        self.function = function
        self.scale = float(scale)
        center = np.asarray(self.map([np.zeros(1)], np, scale=1.0))
        if center.shape != (1,) or not np.isclose(center[0], 1.0):
            raise ValueError(
                "`function` must take an array of distances and be 1 at distance 0. "
                f"Received: function={function} with function([0.]) = {center}"
            )

    def __call__(
        self, kernel_size: tuple[int, ...], causal: bool = False
    ) -> np.ndarray:
        phi = super().__call__(kernel_size, causal)
        return _checked_map(phi, f"Radial({self.function})")

    def parameters(
        self, kernel_size: tuple[int, ...], causal: bool = False
    ) -> dict[str, np.ndarray]:
        return {"scale": np.array(self.scale)}

    def taps(
        self, kernel_size: tuple[int, ...], causal: bool = False
    ) -> Sequence[np.ndarray]:
        """Returns the Euclidean distances of the taps from the center."""
        axes = super().taps(kernel_size, causal)
        return [np.sqrt(sum(np.square(distance) for distance in axes))]

    def map(self, taps: Sequence[Tensor], xp: Any, scale: Tensor) -> Tensor:
        [distance] = taps
        if callable(self.function):
            return self.function(distance / scale)
        return _RADIAL_FUNCTIONS[self.function](distance / scale, xp)

    def get_config(self) -> dict[str, Any]:
        function = self.function
        if not isinstance(function, str):
            function = keras.saving.serialize_keras_object(function)
        return {"function": function, "scale": self.scale}


@keras.saving.register_keras_serializable(package="keras_wconv")
class Map(Density):
    """A map with a value for each tap, for densities of any form.

    Args:
        values: array of the kernel's spatial shape. With two more axes, which broadcast
            to the kernel's channels, each channel has its own map: `kernel_size +
            (channels, 1)` for depthwise kernels, `kernel_size + (1, filters)` for dense
            ones. A learned density learns all values.

    Raises:
        ValueError: If a value is not finite, or in a call, if the kernel has another
            shape.

    Example:

    >>> import numpy as np
    >>> from keras_wconv import densities
    >>> densities.Map(np.ones((3, 5)))((3, 5)).shape
    (3, 5)
    """

    normalized_by_default = False

    def __init__(self, values: np.ndarray | Sequence[Any]) -> None:
        self.values = _checked_map(values, "`density`")

    def __call__(
        self, kernel_size: tuple[int, ...], causal: bool = False
    ) -> np.ndarray:
        return self.parameters(kernel_size, causal)["map"]

    def parameters(
        self, kernel_size: tuple[int, ...], causal: bool = False
    ) -> dict[str, np.ndarray]:
        rank = len(kernel_size)
        shape = self.values.shape
        if shape[:rank] != tuple(kernel_size) or len(shape) not in (rank, rank + 2):
            raise ValueError(
                "`density` is an array, which holds the whole map and must have the "
                f"kernel's shape {tuple(kernel_size)}. Two more axes may hold the "
                "channels of the kernel. Give coefficients as a list, outermost first. "
                f"Received: an array of shape {shape}"
            )
        return {"map": self.values.copy()}

    def map(self, taps: Sequence[Tensor], xp: Any, map: Tensor) -> Tensor:
        return map * 1

    def get_config(self) -> dict[str, Any]:
        return {"values": self.values.tolist()}


def get(identifier: DensityLike) -> Density | None:
    """Returns the density for an argument `density` of a layer.

    Args:
        identifier: None, a number, a list of coefficients or a list of lists for each
            axis (`Separable`), a NumPy array (`Map`), the name of a density
            (`"gaussian"`, `"radial"`, a registered name), a config, a `Density`
            class or an instance.

    Returns:
        A `Density`, or None.

    Raises:
        ValueError: If the identifier is none of these.

    Example:

    >>> from keras_wconv import densities
    >>> densities.get([0.2, 0.8])
    Separable(coefficients=[0.2, 0.8])
    >>> densities.get("gaussian")
    Gaussian(sigma=None)
    """
    if identifier is None or isinstance(identifier, Density):
        return identifier
    if inspect.isclass(identifier) and issubclass(identifier, Density):
        return identifier()
    if isinstance(identifier, dict):
        return deserialize(identifier)
    if isinstance(identifier, str):
        return _by_name(identifier)
    if isinstance(identifier, np.ndarray):
        return Map(identifier)
    is_separable = isinstance(identifier, (numbers.Real, list, tuple))
    if is_separable and not isinstance(identifier, bool):
        return Separable(identifier)
    raise ValueError(
        "`density` must be None, a number (kernels of 3), a list of coefficients "
        "(outermost first), a list of them for each axis, a NumPy array of the "
        "kernel's shape, a name such as 'gaussian', or a `keras_wconv.densities."
        f"Density`. Received: density={identifier!r} of type {type(identifier)}"
    )


def serialize(density: Density | None) -> dict[str, Any] | None:
    """Returns the config of a density for JSON, or None for None.

    Example:

    >>> from keras_wconv import densities
    >>> densities.serialize(densities.Gaussian(2.0))["config"]
    {'sigma': 2.0}
    """
    return None if density is None else keras.saving.serialize_keras_object(density)


def deserialize(
    config: Mapping[str, object] | None,
    custom_objects: Mapping[str, type] | None = None,
) -> Density | None:
    """Returns the density for a config from `serialize`.

    Args:
        config: dict, or None.
        custom_objects: optional dict by name of classes that are not registered.

    Raises:
        ValueError: If the config is malformed or its class is not a known density.

    Example:

    >>> from keras_wconv import densities
    >>> densities.deserialize(densities.serialize(densities.Separable([0.7])))
    Separable(coefficients=[0.7])
    """
    if config is None:
        return None
    name = isinstance(config, dict) and config.get("registered_name")
    cls = name and keras.saving.get_registered_object(name, custom_objects)
    # A file may come from a stranger: it can make nothing but densities.
    if not (inspect.isclass(cls) and issubclass(cls, Density)):
        raise ValueError(
            "Expected the config of a `keras_wconv.densities.Density` whose class is "
            "registered with `keras.saving.register_keras_serializable` or is in "
            "`custom_objects`. A dict by kernel size is for whole networks, not for "
            f"one layer. Received: {reprlib.repr(config)}"
        )
    return keras.saving.deserialize_keras_object(config, custom_objects=custom_objects)


def _by_name(name):
    known = {cls.__name__.lower(): cls for cls in (Separable, Gaussian, Radial, Map)}
    cls = known.get(name.lower()) or keras.saving.get_registered_object(name)
    if not (inspect.isclass(cls) and issubclass(cls, Density)):
        raise ValueError(
            "Unknown `density`. Expected 'gaussian', 'radial' or the registered name "
            f"of a density ('package>Class'). Received: density={name!r}"
        )
    try:
        return cls()
    except TypeError as error:
        raise ValueError(
            f"`density`={name!r} needs arguments. Give an instance instead, for "
            f"instance densities.{cls.__name__}(...): {error}"
        ) from error


def _profile(coefficients, size, xp):
    """Returns `d_1 ... d_h, 1, d_h ... d_1`, or `d_1 ... d_(size - 1), 1` if causal.

    Gathering the taps would be shorter. But in TensorFlow its gradient is sparse with
    repeated indices, which optimizers treat differently.
    """
    count = coefficients.shape[0]
    # One coefficient is its own mirror image, so kernels of 3 need no flip.
    mirrored = coefficients if count == 1 else xp.flip(coefficients, axis=0)
    after = [] if count == size - 1 else [mirrored]
    middle = size - (1 + len(after)) * count
    center = xp.ones((middle, *coefficients.shape[1:]), dtype=coefficients.dtype)
    return xp.concatenate([coefficients, center, *after])


def _finite(values, given):
    if not np.iterable(values) or not all(
        isinstance(v, numbers.Real) and not isinstance(v, bool) and np.isfinite(v)
        for v in values
    ):
        raise ValueError(
            "`density` coefficients must be finite numbers: one list that all axes "
            f"share, or one list for each axis. Received: density={given}"
        )
    return tuple(float(v) for v in values)


def _checked_map(values, name):
    given = np.asarray(values)
    is_real = given.dtype.kind in "biufV"  # V holds bfloat16
    values = given.astype("float64") if is_real else np.full(given.shape, np.nan)
    if not np.all(np.isfinite(values)):
        raise ValueError(
            f"{name} must have finite, real values everywhere. "
            f"Received: {given.tolist()}"
        )
    return values


def _expected(kernel_size, causal):
    def profile(size):
        half = [f"d{i + 1}" for i in range(num_coefficients(size, causal))]
        if causal:
            return [*half, "1"]
        return [*half, *["1"] * (2 - size % 2), *half[::-1]]

    counts = [num_coefficients(size, causal) for size in kernel_size]
    profiles = [f"({', '.join(profile(size))})" for size in kernel_size]
    if len(set(kernel_size)) == 1:
        noun = "coefficient" if counts[0] == 1 else "coefficients"
        return f"{counts[0]} {noun} (profile {profiles[0]}) for every axis"
    each = (f"{n} for {p}" for n, p in zip(counts, profiles, strict=True))
    return f"a list of coefficients for each axis, {', '.join(each)},"
