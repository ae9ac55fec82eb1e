"""The density of each layer of a network, from one `density=` argument."""

from __future__ import annotations

import inspect
import numbers
from collections.abc import Callable, Mapping, Sequence

from . import densities
from .densities import DensityLike
from .layers import FixedDensity

# The types of `density=` for a whole network.
ModelDensity = (
    DensityLike
    | Mapping[int | tuple[int, ...], DensityLike]
    | Callable[[str, tuple[int, ...]], DensityLike]
)


class DensityChoice:
    """The density of each layer of a network.

    Args:
        density: None; one density, for all layers whose kernel it fits; a dict by
            kernel size, `{3: [0.7], (1, 7): [[], [0.3, 0.5, 0.9]]}`; or a function
            `f(name, kernel_size)` that returns the density of a layer, or None.

    Kernels of 1 along every axis have nothing to weight and stay plain.

    Example:

    >>> from keras_wconv._density_choice import DensityChoice
    >>> choice = DensityChoice({3: [0.7], 7: [0.25, 0.15, 0.55]})
    >>> choice("block1_conv1", (3, 3))
    Separable(coefficients=[0.7])
    >>> choice("shortcut", (1, 1)) is None
    True
    """

    def __init__(self, density: ModelDensity) -> None:
        self._by_size = self._function = self._one = None
        if isinstance(density, Mapping) and "class_name" not in density:
            self._by_size = {
                _checked_key(size): densities.get(value)
                for size, value in density.items()
            }
        elif callable(density) and not (
            isinstance(density, densities.Density) or inspect.isclass(density)
        ):
            self._function = density
        else:
            self._one = densities.get(density)

    @property
    def is_none(self) -> bool:
        """Whether no layer gets a density."""
        return self._by_size is self._function is self._one is None

    @property
    def is_function(self) -> bool:
        """Whether a function chooses."""
        return self._function is not None

    @property
    def is_one(self) -> bool:
        """Whether it is one density, for all kernels that it fits."""
        return self._one is not None

    def __call__(
        self,
        name: str,
        kernel_size: Sequence[int],
        causal: bool = False,
        kernel_shape: Sequence[int] | None = None,
    ) -> densities.Density | None:
        """Returns the density of a layer, or None if the layer stays plain.

        With `kernel_shape`, the channels of the kernel are checked, too.

        Raises:
            ValueError: If the density of a dict or a function does not fit.
        """
        kernel_size = tuple(kernel_size)
        if _is_point(kernel_size):
            return None
        if self._by_size is not None:
            density = self._by_size.get(self._key(kernel_size))
        elif self._function is not None:
            density = densities.get(self._function(name, kernel_size))
        else:
            density = self._one
        if density is not None:
            try:
                own = FixedDensity(
                    density, kernel_size, causal, normalize=False, dtype="float32"
                )
                if kernel_shape is not None:
                    own.build(kernel_shape)
            except ValueError as error:
                if density is self._one:
                    return None
                raise ValueError(f"Layer {name!r}: {error}") from error
        return density

    def check_coverage(
        self, chosen: Sequence[tuple[Sequence[int], densities.Density | None]]
    ) -> None:
        """Checks that the argument is meant for this network.

        Args:
            chosen: list of `(kernel_size, density)`, one for each layer of the
                network: the argument and the result of each call.

        Raises:
            ValueError: If a dict lacks a kernel size of the network, or a density fits
                no layer.
        """
        sizes = sorted({tuple(size) for size, _ in chosen if not _is_point(size)})
        if self._by_size is not None:
            missing = [size for size in sizes if self._key(size) not in self._by_size]
            if missing:
                raise ValueError(
                    "`density` is a dict by kernel size and lacks "
                    f"{_names(missing)}. Give each kernel size of the network a "
                    f"density, or None to leave it plain: {_names(sizes)}. Received: "
                    f"{_names(self._by_size)}"
                )
        elif self._one is not None and not any(density for _, density in chosen):
            raise ValueError(
                f"`density`={self._one} fits no kernel of the network, which has "
                f"kernels of {_names(sizes)}. Give a density that fits one, with "
                "its channels if it has any, or a dict by kernel size."
            )

    def _key(self, kernel_size):
        """Returns the key of a kernel size: itself, or the one size of all axes."""
        is_isotropic = len(set(kernel_size)) == 1
        if kernel_size not in self._by_size and is_isotropic:
            return kernel_size[:1]
        return kernel_size


def _checked_key(size):
    sizes = size if isinstance(size, tuple) else (size,)
    if not all(isinstance(each, numbers.Integral) for each in sizes):
        raise ValueError(
            "The keys of a dict `density` must be kernel sizes: ints, or tuples with "
            f"an int for each axis. Received: {size!r}"
        )
    return sizes


def _is_point(kernel_size):
    return all(size == 1 for size in kernel_size)


def _names(sizes):
    names = (size[0] if len(set(size)) == 1 else size for size in sizes)
    return ", ".join(str(name) for name in dict.fromkeys(names)) or "no size"
