"""The base class of all weighted convolutions."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import keras
import numpy as np
from keras import constraints, ops, regularizers

from .. import densities
from .._keras import kernel_variable
from .._types import Identifier, Tensor
from ..densities import DensityLike
from .effective_kernel import EffectiveKernelConstraint, EffectiveKernelRegularizer
from .layer_density import (
    FixedDensity,
    LayerDensity,
    LearnedDensity,
    StepDensity,
    check_bools,
)

# These are parts of the docstring of every layer, before and after Keras's arguments.
_FUNCTION = """\
It is a `keras.layers.{keras_class}` whose `{kernel}` is multiplied by a density Φ
in each call. Φ has the shape `kernel_size` and is the same for all channels, unless
`density_per_channel` is True. Inputs and outputs have the same shapes as in Keras.
"""
_DENSITY_ARGUMENTS = """\
    density: the spatial density Φ that the kernel is multiplied by. None is the
        standard convolution. A number (kernels of 3) or a list holds the
        coefficients of a symmetric profile, outermost first, that all axes share;
        a list of lists has one for each axis; a NumPy array is the whole map; a
        name or a `keras_wconv.densities.Density` is a family of densities.
    normalize_density: bool, whether Φ is divided by its root mean square, which
        keeps the variance of the signal at the start of training. By default,
        families of densities are (`Gaussian`, `Radial`, your own), but coefficients
        and maps are not.
    density_trainable: bool, whether the density is learned, starting at `density`:
        the coefficients of a separable density, the values of a map, the sigma of
        a Gaussian, the scale of a radial one. They are the weights of a child
        layer named `density`; see `keras_wconv.optimizers.density_optimizer`.
    density_per_channel: bool, whether every channel of a depthwise kernel, or every
        filter of another kernel, learns its own density. Needs
        `density_trainable=True`.
    density_regularizer: regularizer of the weights of a learned density, or
        `keras_wconv.regularizers.KernelSize`, a price on its taps.
    density_constraint: constraint of the weights of a learned density.

Raises:
    ValueError: If the density does not fit `kernel_size`, or another argument is
        wrong for `{keras_class}`.

"""


def _docstring(cls, keras_class):
    """Returns the docstring of a layer with all arguments, and what all layers share.

    It has no indentation: from 3.13 on, Python removes that of docstrings.
    """
    keras_doc = inspect.getdoc(keras_class) or ""
    arguments = re.search(r"^Args:\n((?:[ \t].*\n|\n)+)", keras_doc, re.MULTILINE)
    before, example, after = inspect.cleandoc(cls.__doc__ or "").partition("Example:\n")
    names = {"keras_class": keras_class.__name__, "kernel": cls.weighted_kernel}
    return (
        f"{before.rstrip()}\n\n{_FUNCTION.format(**names)}\nArgs:\n"
        + (arguments[1].strip("\n") + "\n" if arguments else "")
        + _DENSITY_ARGUMENTS.format(**names)
        + example
        + after
    )


class _OfClass:
    """An attribute of a class that its instances lack.

    A layer is not called with the arguments of its class, and `tf.function(layer)` asks
    the layer for its signature.
    """

    def __init__(self, value: inspect.Signature | None) -> None:
        self._value = value

    def __get__(self, instance: object, owner: type) -> inspect.Signature | None:
        if instance is not None:
            raise AttributeError
        return self._value


# For type checkers, the mixin is a layer, as is every class that it is mixed into.
_Layer = keras.Layer if TYPE_CHECKING else object


class WeightedConvolution(_Layer):
    """Mixin that multiplies the kernel of a Keras convolution by a density.

    It comes before the Keras class among the bases. A family of layers defines
    `convolution_op(inputs, kernel)`, unless its Keras class does.

    Attributes:
        weighted_kernel: name of the weight that the density multiplies.
        density_channel_axis: axis of that weight along which channels may have
            separate densities.
    """

    __signature__: _OfClass
    kernel_size: tuple[int, ...]  # Set by the Keras class, like `padding`.
    padding: str
    weighted_kernel: str = "kernel"
    density_channel_axis: int = -1
    # The config of a model may not show that a layer became weighted in place. So its
    # weights, which do not fit a plain layer, are marked in files.
    converted_in_place: bool = False

    def __init__(
        self,
        *args: Any,
        density: DensityLike | LayerDensity = None,
        normalize_density: bool | None = None,
        density_trainable: bool = False,
        density_per_channel: bool = False,
        density_regularizer: Identifier = None,
        density_constraint: Identifier = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        check_bools(
            density_trainable=density_trainable,
            density_per_channel=density_per_channel,
        )
        if normalize_density is not None:
            check_bools(normalize_density=normalize_density)
            # JSON takes no bools of NumPy.
            normalize_density = bool(normalize_density)
        self._normalize_density = normalize_density
        self._density_per_channel = bool(density_per_channel)
        self._density_regularizer = regularizers.get(density_regularizer)
        self._density_constraint = constraints.get(density_constraint)
        needs_learned = {
            "density_per_channel": density_per_channel,
            "density_regularizer": density_regularizer,
            "density_constraint": density_constraint,
        }
        for name, value in needs_learned.items():
            if value and not density_trainable:
                raise ValueError(
                    f"`{name}` is for a learned density. Expected "
                    f"density_trainable=True with it. Received: {name}={value}, "
                    f"density_trainable={density_trainable}"
                )
        # Made here, not in `build`, so that a density that does not fit the kernel is
        # an error of the call that gave it.
        self._density = self._make_density(density, density_trainable)

    def _make_density(self, density, trainable):
        if isinstance(density, LayerDensity):
            if density.kernel_size != self.kernel_size:
                raise ValueError(
                    f"`density` must fit kernel_size={self.kernel_size}. "
                    f"Received: one for {density.kernel_size}"
                )
            return density
        initial = densities.get(density)
        normalize = self.normalize_density
        if normalize is None:
            normalize = getattr(initial, "normalized_by_default", False)
        arguments = {
            "initial": initial,
            "kernel_size": self.kernel_size,
            "causal": self.padding == "causal",
            "normalize": normalize,
        }
        if trainable:
            per_channel = self.density_per_channel
            return LearnedDensity(
                **arguments,
                channel_axis=self.density_channel_axis if per_channel else None,
                regularizer=self.density_regularizer,
                constraint=self.density_constraint,
                dtype=self.dtype_policy,
                name="density",
            )
        if initial is None:
            return None
        return FixedDensity(**arguments, dtype=self.variable_dtype)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Gives the class its signature and its full docstring."""
        super().__init_subclass__(**kwargs)
        if "__init__" in vars(cls):
            cls.__signature__ = _OfClass(None)  # It must not inherit one.
            return
        keras_class = cls.__bases__[-1]
        if issubclass(keras_class, WeightedConvolution) or not issubclass(
            keras_class, keras.Layer
        ):
            return
        *parameters, variadic = inspect.signature(keras_class).parameters.values()
        own = inspect.signature(WeightedConvolution.__init__).parameters.values()
        keywords = [p for p in own if p.kind is p.KEYWORD_ONLY]
        parameters += [*keywords, variadic]
        cls.__signature__ = _OfClass(inspect.Signature(parameters))
        if WeightedConvolution.__doc__ is not None:  # python -OO removes docstrings.
            cls.__doc__ = _docstring(cls, keras_class)

    def build(self, input_shape: Sequence[int | None]) -> None:
        super().build(input_shape)
        if self.density is not None:
            self.density.build(tuple(getattr(self, self.weighted_kernel).shape))
            kernel = kernel_variable(self, self.weighted_kernel)
            regularizer, constraint = (getattr(self, name) for name in penalties(self))
            if isinstance(regularizer, EffectiveKernelRegularizer):
                kernel.regularizer = regularizer.under(self.density)
            if isinstance(constraint, EffectiveKernelConstraint):
                kernel.constraint = constraint.under(self.density)

    def save_own_variables(self, store: Any) -> None:
        super().save_own_variables(store)
        if self.converted_in_place:
            store["density"] = self.density_map

    def load_own_variables(self, store: Any) -> None:
        if "density" in store.keys():  # noqa: SIM118  It is not a dict.
            saved = np.asarray(store["density"])
            store = {key: store[key] for key in store.keys() if key != "density"}  # noqa: SIM118
            own = self.density_map
            # A learned density has weights, which are loaded later.
            if isinstance(self.density, FixedDensity) and not (
                saved.shape == own.shape and np.allclose(saved, own, 1e-4, 1e-6)
            ):
                raise ValueError(
                    f"The weights of layer {self.name!r} were saved with another "
                    f"density. Expected {own.tolist()}. Received: {saved.tolist()}"
                )
        super().load_own_variables(store)

    def call(self, inputs: Tensor) -> Tensor:
        if self.density is None:
            return super().call(inputs)
        kernel = self.density.multiply(getattr(self, self.weighted_kernel))
        outputs = self.convolution_op(inputs, kernel)
        if self.use_bias:
            bias = self.bias
            if self.data_format == "channels_first":
                bias = ops.reshape(bias, (-1, *[1] * self.rank))
            outputs = ops.add(outputs, bias)
        if self.activation is not None:
            outputs = self.activation(outputs)
        return outputs

    @property
    def density(self) -> LayerDensity | None:
        """The density of this layer: a `LayerDensity`, or None."""
        return self._density

    @density.setter
    def density(self, value: object) -> None:
        raise AttributeError(
            "`density` cannot be changed, because compiled functions hold its values. "
            "Use `keras_wconv.to_weighted(model, density)` for a copy of a model with "
            "another density, or make the layer with `density_trainable=True` and call "
            f"`layer.density.assign(density)`. Received: density={value}"
        )

    # These have no setter either, because the density has been made from them.
    @property
    def density_trainable(self) -> bool:
        return self.density is not None and self.density.learned

    @property
    def normalize_density(self) -> bool | None:
        """The argument; `layer.density.normalize` has the default for None."""
        return self._normalize_density

    @property
    def density_per_channel(self) -> bool:
        return self._density_per_channel

    @property
    def density_regularizer(self) -> keras.regularizers.Regularizer | None:
        return self._density_regularizer

    @property
    def density_constraint(self) -> keras.constraints.Constraint | None:
        return self._density_constraint

    @property
    def effective_kernel(self) -> Tensor:
        """The kernel that the layer convolves with: its weight multiplied by Φ."""
        kernel = getattr(self, self.weighted_kernel)
        if self.density is None:
            return ops.convert_to_tensor(kernel)
        return self.density.multiply(kernel)

    @property
    def density_map(self) -> np.ndarray:
        """The current Φ, after normalization: a NumPy array of shape `kernel_size`.

        If channels have separate densities, it has two more axes, which broadcast to
        the last two of the kernel.
        """
        if self.density is None:
            return np.ones(self.kernel_size)
        return self.density.map_value()

    @property
    def density_profiles(self) -> list[np.ndarray]:
        """The full profile of each axis, before normalization: NumPy arrays."""
        if self.density is None:
            return [np.ones(size) for size in self.kernel_size]
        return self.density.profiles()

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        name = config.get("name")
        try:
            if isinstance(config.get("density"), dict):
                config = {**config, "density": _deserialize(config["density"])}
            return super().from_config(config)
        except Exception as error:
            # Keras's message begins with the whole config.
            cause = error.__context__ or error
            raise ValueError(
                f"The layer {name!r} cannot be made from its config: {cause}"
            ) from cause

    def get_config(self) -> dict[str, Any]:
        density = self.density
        if density is not None and not isinstance(density, StepDensity):
            density = density.initial
        return {
            **super().get_config(),
            "density": densities.serialize(density),
            "normalize_density": self.normalize_density,
            "density_trainable": self.density_trainable,
            "density_per_channel": self.density_per_channel,
            "density_regularizer": regularizers.serialize(self.density_regularizer),
            "density_constraint": constraints.serialize(self.density_constraint),
        }


def _deserialize(config):
    """Returns a layer's `density` from its config."""
    if config.get("registered_name") == keras.saving.get_registered_name(StepDensity):
        return StepDensity.from_config(config["config"])
    return densities.deserialize(config)


def penalties(layer: keras.Layer) -> tuple[str, str]:
    """Returns the names of the weighted kernel's regularizer and constraint."""
    is_depthwise = hasattr(layer, "depthwise_regularizer")
    factor = "depthwise" if is_depthwise else "kernel"
    return f"{factor}_regularizer", f"{factor}_constraint"


DENSITY_ARGUMENTS: set[str] = {
    name
    for name, parameter in inspect.signature(
        WeightedConvolution.__init__
    ).parameters.items()
    if parameter.kind is parameter.KEYWORD_ONLY
}


def check_where(where: object) -> None:
    """Raises a `ValueError` for what does not choose layers."""
    if where is not None and not callable(where):
        raise ValueError(
            "`where` must be None or a function of a layer that returns a bool. "
            f"Received: where={where!r}"
        )


def check_density_options(options: Mapping[str, object]) -> None:
    """Checks density options of a whole model, which may have no layer that uses them.

    Raises:
        TypeError: If a name is not a density argument of the layers.
        ValueError: If a value is not a bool but must be.
    """
    allowed = DENSITY_ARGUMENTS - {"density"}
    unknown = sorted(set(options) - allowed)
    if unknown:
        raise TypeError(
            f"The density options must be of {sorted(allowed)}. Received: {unknown}"
        )
    bools = {"normalize_density", "density_trainable", "density_per_channel"}
    if options.get("normalize_density") is None:
        bools.remove("normalize_density")
    check_bools(**{name: options[name] for name in bools & set(options)})
