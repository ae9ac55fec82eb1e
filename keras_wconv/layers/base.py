"""What all weighted convolutions share: a density, and a kernel multiplied by it."""

import inspect

import keras
import numpy as np
from keras import constraints, ops, regularizers

from .. import densities

_ARGUMENTS = """
        density: the spatial density Φ that the kernel is multiplied by. None is the
            standard convolution. A number (kernels of 3) or a list holds the
            coefficients of a symmetric profile, outermost first, that all axes share;
            a list of lists has one for each axis; a NumPy array is the whole map; a
            name or a `keras_wconv.densities.Density` is a family of densities.
        normalize_density: whether Φ is divided by its root mean square, which keeps
            the variance of the signal at the start.
        density_trainable: whether the coefficients (of a `Map`: all its values) are
            learned, starting at `density`. They are the weights of a child layer named
            `density`; see `keras_wconv.optimizers.density_optimizer`.
        density_regularizer: regularizer of the learned coefficients.
        density_constraint: constraint of the learned coefficients.

    Source: https://arxiv.org/abs/2505.24558.
    """


class WeightedConvolution:
    """Mixin that multiplies the kernel of a Keras convolution by a density.

    It comes before the Keras class among the bases. A family of layers gives
    `convolution_op(inputs, kernel)`, unless its Keras class has it, and the name of
    the weight that the density multiplies, unless that is `kernel`.
    """

    weighted_kernel = "kernel"

    def __init__(
        self,
        *args,
        density=None,
        normalize_density=False,
        density_trainable=False,
        density_regularizer=None,
        density_constraint=None,
        **kwargs,
    ):
        super().__init__(*args, **kwargs)
        self.normalize_density = normalize_density
        self.density_trainable = density_trainable
        self.density_regularizer = regularizers.get(density_regularizer)
        self.density_constraint = constraints.get(density_constraint)
        self.density = densities.get(density)
        if density_trainable:
            self._check_trainable()
            self.density = LearnedDensity(
                self.density,
                self.kernel_size,
                causal=self._causal,
                normalize=normalize_density,
                regularizer=self.density_regularizer,
                constraint=self.density_constraint,
                dtype=self.dtype_policy,
                name="density",
            )
        elif self.density_regularizer or self.density_constraint:
            raise ValueError(
                "`density_regularizer` and `density_constraint` act on a learned "
                "density. Expected density_trainable=True with them. Received: "
                f"density_trainable={density_trainable}"
            )
        elif self.density is not None:
            # A density that does not fit the kernel is an error here, at the call
            # that gave it. In the precision of the weights, as a learned one is held,
            # so that both give the same bits once cast to the compute dtype.
            precision = "float64" if self.variable_dtype == "float64" else "float32"
            self._fixed_map = self.density_map[..., None, None].astype(precision)
            if keras.backend.backend() == "torch":
                # An array would be copied to the device, and waited for, in each call;
                # what compiles makes it a constant.
                self._fixed_map = ops.convert_to_tensor(self._fixed_map)

    def __init_subclass__(cls, **kwargs):
        """Gives the class the signature and the argument list that it really has."""
        super().__init_subclass__(**kwargs)
        if "__init__" in vars(cls):
            cls.__signature__ = None  # not the one that it would inherit
            return
        keras_class = cls.__bases__[-1]
        if issubclass(keras_class, WeightedConvolution) or not issubclass(
            keras_class, keras.Layer
        ):
            return
        *parameters, variadic = inspect.signature(keras_class).parameters.values()
        own = inspect.signature(WeightedConvolution.__init__).parameters.values()
        keywords = [p for p in own if p.kind is p.KEYWORD_ONLY]
        cls.__signature__ = inspect.Signature([*parameters, *keywords, variadic])
        cls.__doc__ = (cls.__doc__ or "") + _ARGUMENTS  # None under python -OO

    def build(self, input_shape):
        super().build(input_shape)
        if self.density_trainable:
            self.density.build(())

    def call(self, inputs):
        if self.density is None:
            return super().call(inputs)
        outputs = self.convolution_op(inputs, self.effective_kernel)
        if self.use_bias:
            shape = [1] * (self.rank + 2)
            shape[-1 if self.data_format == "channels_last" else 1] = -1
            outputs = ops.add(outputs, ops.reshape(self.bias, shape))
        if self.activation is not None:
            outputs = self.activation(outputs)
        return outputs

    @property
    def effective_kernel(self):
        """The kernel that the layer convolves with: its weight multiplied by Φ."""
        kernel = getattr(self, self.weighted_kernel)
        if self.density is None:
            return ops.convert_to_tensor(kernel)
        phi = self.density.map() if self.density_trainable else self._fixed_map
        return ops.multiply(kernel, ops.cast(phi, kernel.dtype))

    @property
    def density_map(self):
        """Φ as it is now, normalised if asked: a NumPy array of `kernel_size`."""
        if self.density is None:
            return np.ones(self.kernel_size)
        if self.density_trainable:
            return self.density.map_value()
        phi = self.density(self.kernel_size, self._causal)
        return densities.normalize(phi) if self.normalize_density else phi

    @property
    def density_profiles(self):
        """The full profile of each axis, before normalisation: NumPy arrays."""
        if self.density is None:
            return [np.ones(size) for size in self.kernel_size]
        if self.density_trainable:
            phi = self.density.map_value(normalize=False)
            return densities.lines_through_centre(phi, self._causal)
        return self.density.profiles(self.kernel_size, self._causal)

    @property
    def _causal(self):
        return self.padding == "causal"

    def _check_trainable(self):
        if not isinstance(self.density, (densities.Separable, densities.Map)):
            raise ValueError(
                "`density_trainable=True` learns the coefficients of a separable "
                "density, or the values of a map. Expected `density` to be a list of "
                "coefficients or an array to start from, for instance "
                "density=densities.Gaussian()(kernel_size). "
                f"Received: density={self.density}"
            )

    def get_config(self):
        config = super().get_config()
        density = self.density.initial if self.density_trainable else self.density
        config.update(
            {
                "density": densities.serialize(density),
                "normalize_density": self.normalize_density,
                "density_trainable": self.density_trainable,
                "density_regularizer": regularizers.serialize(self.density_regularizer),
                "density_constraint": constraints.serialize(self.density_constraint),
            }
        )
        return config


@keras.saving.register_keras_serializable(package="keras_wconv")
class LearnedDensity(keras.Layer):
    """The weights of a learned density: the child layer named `density`.

    Weights: `coefficients`, as the density was given, one vector for all axes or
    `coefficients_0, coefficients_1, ...`; or `map` for an explicit map.

    Args:
        initial: `Separable` or `Map`, where learning starts.
        kernel_size: tuple of int.
        causal: bool, whether the profile is one-sided.
        normalize: bool, whether the map is divided by its root mean square.
        regularizer: regularizer of each weight.
        constraint: constraint of each weight.

    Raises:
        ValueError: If `initial` does not fit `kernel_size` or has nothing to learn.

    Example:

    >>> import keras_wconv
    >>> layer = keras_wconv.WeightedConv2D(8, 5, density=[0.2, 0.8],
    ...                                    density_trainable=True)
    >>> layer.build((None, None, None, 3))
    >>> [weight.name for weight in layer.density.weights]
    ['coefficients']
    """

    def __init__(
        self,
        initial,
        kernel_size,
        causal=False,
        normalize=False,
        regularizer=None,
        constraint=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.initial = densities.get(initial)
        self.kernel_size = tuple(kernel_size)
        self.causal = causal
        self.normalize = normalize
        self.regularizer = regularizers.get(regularizer)
        self.constraint = constraints.get(constraint)
        if isinstance(self.initial, densities.Map):
            self._start = {"map": self.initial(self.kernel_size)}
        else:
            per_axis = self.initial.axis_coefficients(self.kernel_size, causal)
            if self.initial.per_axis:
                self._start = {
                    f"coefficients_{axis}": values
                    for axis, values in enumerate(per_axis)
                    if len(values)
                }
            else:
                self._start = {"coefficients": per_axis[0]}
        if not any(start.size for start in self._start.values()):
            raise ValueError(
                f"`density_trainable=True` has nothing to learn for kernel_size="
                f"{self.kernel_size}: its profile is the centre alone. Leave the "
                "density fixed."
            )
        self.map_value()  # a map of zeros cannot be normalised

    def build(self, input_shape=None):
        self._learned = {
            name: self.add_weight(
                name=name,
                shape=start.shape,
                initializer=lambda shape, dtype, start=start: ops.cast(start, dtype),
                regularizer=self.regularizer,
                constraint=self.constraint,
                # The outer product is taken in full precision and cast once.
                autocast=False,
            )
            for name, start in self._start.items()
        }
        self.built = True

    def map(self):
        """Φ as a tensor of shape `kernel_size + (1, 1)`, with gradients."""
        return self._map(self._learned, ops)[..., None, None]

    def map_value(self, normalize=None):
        """Φ as a NumPy array of shape `kernel_size`, also before `build`."""
        values = self._start
        if self.built:
            values = {
                name: np.asarray(ops.convert_to_numpy(weight), "float64")
                for name, weight in self._learned.items()
            }
        return self._map(values, np, normalize)

    def assign(self, density):
        """Sets the weights to a density of the same kind as the initial one."""
        if not self.built:
            raise ValueError(
                "`assign` sets weights, which exist once the layer is built. Build it "
                "first, or give it the density when it is made."
            )
        other = type(self)(density, self.kernel_size, self.causal)
        if {n: s.shape for n, s in other._start.items()} != {
            n: s.shape for n, s in self._start.items()
        }:
            raise ValueError(
                f"`density` must have the form of {self.initial}, which this layer "
                f"holds. Received: density={density}"
            )
        for name, values in other._start.items():
            self._learned[name].assign(values)

    def _map(self, values, xp, normalize=None):
        if "map" in values:
            phi = values["map"] * 1
        elif "coefficients" in values:
            shared = [values["coefficients"]] * len(self.kernel_size)
            phi = densities.separable_map(shared, self.kernel_size, self.causal, xp)
        else:
            dtype = next(iter(values.values())).dtype
            per_axis = [
                values.get(f"coefficients_{axis}", xp.zeros((0,), dtype=dtype))
                for axis in range(len(self.kernel_size))
            ]
            phi = densities.separable_map(per_axis, self.kernel_size, self.causal, xp)
        normalize = self.normalize if normalize is None else normalize
        return densities.normalize(phi, xp) if normalize else phi

    def get_config(self):
        config = super().get_config()
        config.update(
            {
                "initial": densities.serialize(self.initial),
                "kernel_size": self.kernel_size,
                "causal": self.causal,
                "normalize": self.normalize,
                "regularizer": regularizers.serialize(self.regularizer),
                "constraint": constraints.serialize(self.constraint),
            }
        )
        return config
