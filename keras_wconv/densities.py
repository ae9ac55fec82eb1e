"""Spatial densities: what a convolution kernel is multiplied by.

A density gives every tap of a kernel a factor Φ, whatever the channels. The kinds
here are evaluated at a kernel's size, so that one density serves kernels of many
sizes; `get`, `serialize` and `deserialize` work as those of `keras.initializers`.

Source: Cammarasana and Patanè, "Optimal Density Functions for Weighted Convolution in
Learning Models", https://arxiv.org/abs/2505.24527.
"""

import functools
import inspect
import math
import numbers
import operator

import keras
import numpy as np


def num_coefficients(size, causal=False):
    """Number of coefficients that the profile of an axis has.

    Args:
        size: int, taps of the kernel along the axis.
        causal: bool, whether the kernel looks back only (`padding="causal"`).

    Returns:
        int: `(size - 1) // 2` on each side of the centre, or the `size - 1` taps that
        come before the last one of a causal kernel.

    Example:

    >>> from keras_wconv import densities
    >>> [densities.num_coefficients(size) for size in (1, 2, 3, 4, 5)]
    [0, 0, 1, 1, 2]
    >>> densities.num_coefficients(3, causal=True)
    2
    """
    return size - 1 if causal else (size - 1) // 2


def tap_distances(size, causal=False):
    """Distance of each tap from the centre of its axis, in taps.

    The two middle taps of an even kernel are both its centre; the centre of a causal
    kernel is its last tap.

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


def separable_map(coefficients, kernel_size, causal=False, xp=np):
    """Outer product of the axes' profiles `d_1 ... d_h, 1, d_h ... d_1`.

    Args:
        coefficients: one vector for each axis, outermost coefficient first.
        kernel_size: tuple of int.
        causal: bool, one-sided profiles that end with the 1.
        xp: `numpy`, or `keras.ops` for coefficients that are learned.

    Returns:
        Array or tensor of shape `kernel_size`.
    """
    rank = len(kernel_size)
    made = {}  # what axes share is made once: each operation costs in an eager backend
    profiles = []
    for axis, (size, values) in enumerate(zip(kernel_size, coefficients, strict=True)):
        key = id(values), size
        if key not in made:
            after = [] if causal else [xp.flip(values)]
            middle = size - (1 + len(after)) * num_coefficients(size, causal)
            centre = xp.ones((middle,), dtype=values.dtype)
            made[key] = xp.concatenate([values, centre, *after])
        # Indexing costs an eager backend a tenth of `keras.ops.reshape`.
        profiles.append(made[key][(slice(None), *[None] * (rank - 1 - axis))])
    return functools.reduce(operator.mul, profiles)


def normalize(values, xp=np):
    """`values` divided by their root mean square, which keeps a signal's variance."""
    if xp is np and not np.any(values):
        raise ValueError(
            "`normalize_density` divides by the root mean square of the density, which "
            "is zero here. Expected at least one tap that is not zero."
        )
    # Not `ops.mean`, which computes float64 in float32 on JAX and PyTorch.
    mean_square = xp.sum(xp.square(values)) / math.prod(values.shape)
    return values / xp.sqrt(mean_square)


class Density:
    """Base class of all densities.

    A density of your own implements `__call__` and `get_config`, and is registered
    with `keras.saving.register_keras_serializable` so that models load it again.

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
    >>> keras_wconv.WeightedConv2D(8, 3, density=Cross()).density_map.tolist()
    [[0.5, 1.0, 0.5], [1.0, 1.0, 1.0], [0.5, 1.0, 0.5]]
    """

    def __call__(self, kernel_size, causal=False):
        """Returns the map Φ, a float64 array of shape `kernel_size`.

        Args:
            kernel_size: tuple of int, taps along each spatial axis.
            causal: bool, whether the last tap is the reference sample.

        Raises:
            ValueError: If this density does not fit `kernel_size`.
        """
        raise NotImplementedError(
            f"`{type(self).__name__}` must implement `__call__(kernel_size, causal)`."
        )

    def profiles(self, kernel_size, causal=False):
        """Returns the full profile of each axis: the map's lines through its centre."""
        return lines_through_centre(self(kernel_size, causal), causal)

    def get_config(self):
        return {}

    @classmethod
    def from_config(cls, config):
        return cls(**config)

    def __repr__(self):
        arguments = ", ".join(f"{k}={v!r}" for k, v in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


def lines_through_centre(values, causal=False):
    """Lines of a map along each axis, through the centre of all others."""
    centre = [size - 1 if causal else (size - 1) // 2 for size in values.shape]
    return [
        values[(*centre[:axis], slice(None), *centre[axis + 1 :])]
        for axis in range(values.ndim)
    ]


@keras.saving.register_keras_serializable(package="keras_wconv")
class Separable(Density):
    """The published density: an outer product of symmetric profiles.

    Along an axis of `k` taps the profile is `d_1, ..., d_h, 1, d_h, ..., d_1` with
    `h = (k - 1) // 2`. An even kernel has two middle taps, both 1. In a causal kernel
    the reference sample is the last tap, so that the profile has one side only:
    `d_1, ..., d_(k-1), 1`, oldest sample first.

    Args:
        coefficients: the coefficients, outermost first: a list that all axes share, a
            list of lists with one for each axis, or a number where every axis has one
            coefficient only (kernels of 3 and 4).

    Raises:
        ValueError: If a coefficient is not a finite number; when it is called, if the
            number of coefficients does not fit the kernel.

    Example:

    >>> from keras_wconv import densities
    >>> density = densities.Separable([0.2, 0.8])
    >>> density((5,)).tolist()
    [0.2, 0.8, 1.0, 0.8, 0.2]
    >>> densities.Separable([[0.2, 0.8], [0.5]])((5, 3)).shape
    (5, 3)
    >>> density((3,), causal=True).tolist()
    [0.2, 0.8, 1.0]

    Source: https://arxiv.org/abs/2505.24527; per axis, even and causal kernels are
    extensions.
    """

    def __init__(self, coefficients):
        if isinstance(coefficients, numbers.Real):
            coefficients = [coefficients]
            self.is_number = True
        else:
            self.is_number = False
        self.per_axis = any(isinstance(c, (list, tuple)) for c in coefficients)
        self.coefficients = (
            tuple(_finite(c, coefficients) for c in coefficients)
            if self.per_axis
            else _finite(coefficients, coefficients)
        )

    def axis_coefficients(self, kernel_size, causal=False):
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

    def __call__(self, kernel_size, causal=False):
        return separable_map(
            self.axis_coefficients(kernel_size, causal), kernel_size, causal
        )

    def get_config(self):
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
                f". That is a full profile; give the part before its centre only: "
                f"density={halves if self.per_axis else halves[0]}"
            )
        elif not self.per_axis and len(set(needed)) > 1:
            message += (
                ". The axes need different numbers of coefficients, so give each its "
                f"own list, for instance density={[[1.0] * n for n in needed]}"
            )
        return message


@keras.saving.register_keras_serializable(package="keras_wconv")
class Gaussian(Density):
    """A Gaussian of the distance to the centre: `exp(-d² / (2 sigma²))`.

    Args:
        sigma: standard deviation in taps, one number or one for each axis.

    Raises:
        ValueError: If `sigma` is not positive and finite; when it is called, if the
            number of sigmas is not that of the axes.

    Example:

    >>> from keras_wconv import densities
    >>> densities.Gaussian(sigma=1.0)((3,)).round(4).tolist()
    [0.6065, 1.0, 0.6065]
    """

    def __init__(self, sigma=1.0):
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

    def __call__(self, kernel_size, causal=False):
        sigmas = self.sigma
        if isinstance(sigmas, numbers.Real):
            sigmas = [sigmas] * len(kernel_size)
        if len(sigmas) != len(kernel_size):
            raise ValueError(
                f"`sigma` must have one value for each of the {len(kernel_size)} axes "
                f"of kernel_size={kernel_size}. Received: sigma={self.sigma}"
            )
        profiles = [
            np.exp(-0.5 * np.square(tap_distances(size, causal) / sigma))
            for size, sigma in zip(kernel_size, sigmas, strict=True)
        ]
        return functools.reduce(np.multiply.outer, profiles)

    def get_config(self):
        return {"sigma": self.sigma}


def _exponential(distance):
    return np.exp(-distance)


def _inverse(distance):
    return 1.0 / (1.0 + distance)


_RADIAL_FUNCTIONS = {"exponential": _exponential, "inverse": _inverse}


@keras.saving.register_keras_serializable(package="keras_wconv")
class Radial(Density):
    """A function of the Euclidean distance to the centre: not separable.

    Args:
        function: `"exponential"` (`exp(-r)`), `"inverse"` (`1 / (1 + r)`), or a
            function of a NumPy array of distances that is 1 at distance 0. To save a
            model, register it with `keras.saving.register_keras_serializable`.
        scale: the distance, in taps, that counts as `r = 1`.

    Raises:
        ValueError: If `function` is unknown or is not 1 at distance 0, or if `scale`
            is not positive.

    Example:

    >>> from keras_wconv import densities
    >>> densities.Radial("inverse")((3, 3)).round(2).tolist()
    [[0.41, 0.5, 0.41], [0.5, 1.0, 0.5], [0.41, 0.5, 0.41]]
    """

    def __init__(self, function="exponential", scale=1.0):
        if isinstance(function, dict):
            function = keras.saving.deserialize_keras_object(function)
        if not callable(function) and function not in _RADIAL_FUNCTIONS:
            raise ValueError(
                f"`function` must be one of {sorted(_RADIAL_FUNCTIONS)} or a function "
                f"of the distance. Received: function={function!r}"
            )
        if not (np.isfinite(scale) and scale > 0):
            raise ValueError(
                "`scale` must be a positive, finite number of taps. Received: "
                f"scale={scale}"
            )
        self.function = function
        self.scale = scale
        centre = np.asarray(self._evaluate(np.zeros(1)))
        if centre.shape != (1,) or not np.isclose(centre[0], 1.0):
            raise ValueError(
                "`function` must take an array of distances and be 1 at distance 0. "
                f"Received: function={function} with function([0.]) = {centre}"
            )

    def _evaluate(self, distance):
        function = _RADIAL_FUNCTIONS.get(self.function, self.function)
        return function(distance / self.scale)

    def __call__(self, kernel_size, causal=False):
        axes = np.meshgrid(
            *(tap_distances(size, causal) for size in kernel_size), indexing="ij"
        )
        distance = np.sqrt(np.sum(np.square(np.asarray(axes, "float64")), axis=0))
        return _checked_map(self._evaluate(distance), f"Radial({self.function})")

    def get_config(self):
        function = self.function
        if not isinstance(function, str):
            function = keras.saving.serialize_keras_object(function)
        return {"function": function, "scale": self.scale}


@keras.saving.register_keras_serializable(package="keras_wconv")
class Map(Density):
    """An explicit map, of any shape of density.

    Args:
        values: array of the kernel's spatial shape.

    Raises:
        ValueError: If a value is not finite; when it is called, if the kernel has
            another shape.

    Example:

    >>> import numpy as np
    >>> from keras_wconv import densities
    >>> densities.Map(np.ones((3, 5)))((3, 5)).shape
    (3, 5)
    """

    def __init__(self, values):
        self.values = _checked_map(values, "`density`")

    def __call__(self, kernel_size, causal=False):
        if self.values.shape != tuple(kernel_size):
            raise ValueError(
                "`density` was given as an array, which is the whole map and must "
                f"have the kernel's shape {tuple(kernel_size)}. Received: an array of "
                f"shape {self.values.shape}. Coefficients are given as a list, "
                "outermost first."
            )
        return self.values.copy()

    def get_config(self):
        return {"values": self.values.tolist()}


def get(identifier):
    """Retrieves a density from what the `density` argument of a layer accepts.

    Args:
        identifier: None, a number, a list of coefficients or a list of them for each
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
    Gaussian(sigma=1.0)
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
    is_number = isinstance(identifier, numbers.Real) and not isinstance(
        identifier, bool
    )
    if is_number or isinstance(identifier, (list, tuple)):
        return Separable(identifier)
    raise ValueError(
        "`density` must be None, a number (kernels of 3), a list of coefficients "
        "(outermost first), a list of them for each axis, a NumPy array of the "
        "kernel's shape, a name such as 'gaussian', or a `keras_wconv.densities."
        f"Density`. Received: density={identifier!r} of type {type(identifier)}"
    )


def serialize(density):
    """Returns the JSON-ready config of a density, None for None.

    Example:

    >>> from keras_wconv import densities
    >>> densities.serialize(densities.Gaussian(2.0))["config"]
    {'sigma': 2.0}
    """
    return None if density is None else keras.saving.serialize_keras_object(density)


def deserialize(config, custom_objects=None):
    """Returns the density of a config made by `serialize`.

    Example:

    >>> from keras_wconv import densities
    >>> densities.deserialize(densities.serialize(densities.Separable([0.7])))
    Separable(coefficients=[0.7])
    """
    density = keras.saving.deserialize_keras_object(
        config, custom_objects=custom_objects
    )
    if density is not None and not isinstance(density, Density):
        raise ValueError(
            "Expected the config of a `keras_wconv.densities.Density`; a dict by "
            "kernel size is for whole networks, not for one layer. "
            f"Received: {config}"
        )
    return density


class Selection:
    """The density of each layer of a network, from one `density=` argument.

    Args:
        density: None; one density, for all layers whose kernel it fits; a dict by
            kernel size, `{3: [0.7], (1, 7): [[], [0.3, 0.5, 0.9]]}`; or a function
            `f(name, kernel_size)` that returns the density of the layer, or None.

    Kernels of 1 along every axis have nothing to weight and always stay plain.

    Example:

    >>> from keras_wconv import densities
    >>> select = densities.Selection({3: [0.7], 7: [0.25, 0.15, 0.55]})
    >>> select("block1_conv1", (3, 3))
    Separable(coefficients=[0.7])
    >>> select("shortcut", (1, 1)) is None
    True
    """

    def __init__(self, density):
        self._by_size = self._function = self._one = None
        if isinstance(density, dict) and "class_name" not in density:
            self._by_size = {
                _size_key(size): get(value) for size, value in density.items()
            }
        elif callable(density) and not (
            isinstance(density, Density) or inspect.isclass(density)
        ):
            self._function = density
        else:
            self._one = get(density)
        self._seen = set()
        self._taken = 0

    def __call__(self, name, kernel_size, causal=False):
        """Returns the density of a layer, or None if it stays plain.

        Raises:
            ValueError: If the density of a dict or a function does not fit.
        """
        kernel_size = tuple(kernel_size)
        if all(size == 1 for size in kernel_size):
            return None
        self._seen.add(kernel_size)
        if self._by_size is not None:
            isotropic = len(set(kernel_size)) == 1
            density = self._by_size.get(
                kernel_size,
                self._by_size.get(kernel_size[:1]) if isotropic else None,
            )
        elif self._function is not None:
            density = get(self._function(name, kernel_size))
        else:
            density = self._one if _fits(self._one, kernel_size, causal) else None
        if density is not None:
            density(kernel_size, causal)
            self._taken += 1
        return density

    def check(self, argument="density"):
        """Raises a `ValueError` if the argument was not meant for this network.

        That is a dict that lacks a kernel size of the network, or a density that not
        one layer took. Call it once all layers were asked for.
        """
        sizes = sorted(self._seen)
        if self._by_size is not None:
            missing = [
                size
                for size in sizes
                if size not in self._by_size
                and not (len(set(size)) == 1 and size[:1] in self._by_size)
            ]
            if missing:
                raise ValueError(
                    f"`{argument}` is a dict by kernel size and lacks "
                    f"{_names(missing)}. The network has kernels of {_names(sizes)}; "
                    f"received: {_names(self._by_size)}. Give each a density, or None "
                    "to leave it plain."
                )
        elif self._one is not None and not self._taken:
            raise ValueError(
                f"`{argument}`={self._one} fits no kernel of the network, which has "
                f"kernels of {_names(sizes)}. Give a density that fits one, or a dict "
                "by kernel size."
            )


def _fits(density, kernel_size, causal):
    if density is None:
        return False
    try:
        density(kernel_size, causal)
    except ValueError:
        return False
    return True


def _size_key(size):
    return (size,) if isinstance(size, int) else tuple(size)


def _names(sizes):
    names = (size[0] if len(set(size)) == 1 else size for size in sizes)
    return ", ".join(str(name) for name in dict.fromkeys(names)) or "no size"


def _by_name(name):
    known = {
        "separable": Separable,
        "gaussian": Gaussian,
        "radial": Radial,
        "map": Map,
    }
    cls = known.get(name.lower()) or keras.saving.get_registered_object(name)
    if not (inspect.isclass(cls) and issubclass(cls, Density)):
        raise ValueError(
            f"Unknown `density`. Expected 'gaussian', 'radial' or the registered name "
            f"of a density ('package>Class'). Received: density={name!r}"
        )
    try:
        return cls()
    except TypeError as error:
        raise ValueError(
            f"`density`={name!r} needs arguments; give an instance instead, for "
            f"instance densities.{cls.__name__}(...): {error}"
        ) from error


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
