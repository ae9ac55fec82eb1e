"""What all builders of `keras_wconv.applications` share."""

from __future__ import annotations

import functools
import inspect
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, Unpack, get_args, get_type_hints

import h5py
import keras

from .. import layers as weighted_layers
from .._density_choice import DensityChoice, ModelDensity
from .._types import DensityOptions, Identifier, PathLike, Sizes
from ..layers.base import check_density_options

Shape = Sequence[int | None]
Weights = PathLike | None
_Build = TypeVar("_Build", bound=Callable[..., keras.Model])


class NetworkArguments(DensityOptions, total=False):
    """Arguments of every builder besides `name`."""

    weights: Weights
    input_tensor: keras.KerasTensor | None
    input_shape: Shape | None
    density: ModelDensity


class ClassifierArguments(NetworkArguments, total=False):
    """Arguments of every builder of a classifier besides `name` and `classes`."""

    include_top: bool
    pooling: str | None
    classifier_activation: Identifier


def forwards_to(general: Callable[..., keras.Model]) -> Callable[[_Build], _Build]:
    """Gives a builder the signature of the general one that it forwards keywords to.

    Type checkers read the keywords from `**kwargs`, an unpacked `TypedDict`. For
    `help`, editors and the site, the signature shows them with the defaults of
    `general`.
    """

    def decorate(build):
        own = dict(inspect.signature(build).parameters)
        del own["kwargs"]
        [taken] = get_args(get_type_hints(build)["kwargs"])
        *parameters, options = inspect.signature(general).parameters.values()
        for parameter in parameters:
            if parameter.name in taken.__annotations__:
                keyword = parameter.replace(kind=parameter.KEYWORD_ONLY)
                own.setdefault(parameter.name, keyword)

        @functools.wraps(build)
        def shown(*args, **kwargs):
            return build(*args, **kwargs)

        # Sphinx would read the defaults from the wrapped source, which lacks most.
        del shown.__wrapped__
        shown.__signature__ = inspect.Signature(
            [*own.values(), options], return_annotation=keras.Model
        )
        return shown

    return decorate


class Convolutions:
    """Makes the convolutions of one network, weighted according to its `density`.

    Args:
        rank: int, number of spatial axes.
        density: argument of `keras_wconv._density_choice.DensityChoice`. A layer
            without a density is Keras's own.
        **density_options: the other density arguments of every weighted layer.
    """

    def __init__(
        self,
        rank: int,
        density: ModelDensity = None,
        **density_options: Unpack[DensityOptions],
    ) -> None:
        check_density_options(density_options)
        if density is None and density_options.get("density_trainable"):
            raise ValueError(
                "`density_trainable` needs a `density` to start from. Received: "
                "density=None. Ones, such as density={3: [1.0]}, start at the "
                "standard convolution."
            )
        self.rank = rank
        self._choice = DensityChoice(density)
        self._chosen = {}
        self._density_options = density_options

    def __call__(
        self,
        filters: int,
        kernel_size: Sizes,
        padding: str = "same",
        kernel_initializer: Identifier = "he_normal",
        **kwargs: Any,
    ) -> keras.Layer:
        return self._make(
            f"Conv{self.rank}D",
            kernel_size,
            filters=filters,
            padding=padding,
            kernel_initializer=kernel_initializer,
            **kwargs,
        )

    def depthwise(self, kernel_size: Sizes, **kwargs: Any) -> keras.Layer:
        return self._make(
            f"DepthwiseConv{self.rank}D", kernel_size, padding="same", **kwargs
        )

    def sizes(self, kernel_size: Sizes) -> tuple[int, ...]:
        """Returns `kernel_size` as a tuple, one int an axis."""
        if isinstance(kernel_size, int):
            return (kernel_size,) * self.rank
        return tuple(kernel_size)

    def check_coverage(self) -> None:
        """Raises a `ValueError` if the density was not meant for this network."""
        chosen = list(self._chosen.values())
        self._choice.check_coverage(chosen)
        if self._choice.is_function and not any(density for _, density in chosen):
            names = [name for name, (size, _) in self._chosen.items() if max(size) > 1]
            raise ValueError(
                "`density` is a function that returns None for every layer. Expected a "
                "density for at least one, or density=None for the standard network. "
                f"Received: None for {', '.join(names)}"
            )

    def _make(self, class_name, kernel_size, name, **kwargs):
        kernel_size = self.sizes(kernel_size)
        kwargs.update(kernel_size=kernel_size, name=name)
        density = self._choice(name, kernel_size)
        self._chosen[name] = kernel_size, density
        if density is None:
            return getattr(keras.layers, class_name)(**kwargs)
        weighted_class = getattr(weighted_layers, f"Weighted{class_name}")
        return weighted_class(density=density, **self._density_options, **kwargs)


def check_levels(**arguments):
    """Raises a `ValueError` if arguments with one entry a level differ in length."""
    if len({len(value) for value in arguments.values()}) > 1:
        raise ValueError(
            f"{' and '.join(f'`{name}`' for name in arguments)} must have the same "
            "number of levels. Received: "
            + ", ".join(f"{name}={value}" for name, value in arguments.items())
        )


def image_shape(sizes, channels):
    """Puts `channels` where `keras.config.image_data_format()` has them."""
    if keras.config.image_data_format() == "channels_first":
        return (channels, *sizes)
    return (*sizes, channels)


def channel_axis():
    """Returns the axis of the channels in a batch."""
    return 1 if keras.config.image_data_format() == "channels_first" else -1


def batch_norm(name):
    """Makes a batch normalization with the constants of the published networks."""
    return keras.layers.BatchNormalization(
        axis=channel_axis(), momentum=0.9, epsilon=1e-5, name=name
    )


def normalize(x, name):
    """Normalizes the channels of each position, with the epsilon of the papers."""
    # On PyTorch, Keras 3.15 normalizes over no other axis than the last.
    layer = keras.layers.LayerNormalization(epsilon=1e-6, name=name)
    return over_channels(layer, x)


def over_channels(layer, x):
    """Applies a layer that acts on the last axis to the channels."""
    if channel_axis() == -1 or x.ndim == 2:
        return layer(x)
    to_last, to_first = (*range(2, x.ndim), 1), (x.ndim - 1, *range(1, x.ndim - 1))
    x = keras.layers.Permute(to_last, name=f"{layer.name}_channels_last")(x)
    return keras.layers.Permute(to_first, name=f"{layer.name}_channels_first")(layer(x))


def scale(x, name, initial):
    """Multiplies each channel by a learned factor that starts at `initial`."""
    axes = "bchw" if channel_axis() == 1 else "bhwc"
    return keras.layers.EinsumDense(
        f"{axes},c->{axes}",
        x.shape[1:],
        kernel_initializer=keras.initializers.Constant(initial),
        name=name,
    )(x)


def obtain_input(
    input_tensor,
    input_shape,
    default_shape,
    channels=None,
    min_size=1,
    multiple=1,
    static=False,
):
    """Returns the Keras tensor that a network starts from.

    Args:
        input_tensor: Keras tensor to build on, or `None` for a new input.
        input_shape: tuple without the batch axis, or `None` for `default_shape`.
        default_shape: tuple without the batch axis, ordered by `image_shape`.
        channels: int, the only number of channels that suits, or `None`.
        min_size: int, the smallest size that the strides do not reduce to nothing.
        multiple: int, of which every size must be a multiple.
        static: bool, whether every size must be known.

    Raises:
        ValueError: If the shape does not suit the network.
    """
    argument = "input_shape"
    if input_tensor is not None:
        argument, input_shape = "input_tensor", input_tensor.shape[1:]
    shape = tuple(default_shape if input_shape is None else input_shape)
    data_format = keras.config.image_data_format()

    def check(suits, expected):
        if not suits:
            raise ValueError(
                f"`{argument}` must have {expected}. Received: {shape}, the batch "
                f"axis not counted, with the data format {data_format!r}"
            )

    check(len(shape) == len(default_shape), f"{len(default_shape)} axes")
    channels_first = data_format == "channels_first"
    given, *sizes = shape if channels_first else (shape[-1], *shape[:-1])
    check(given is not None, "a known number of channels")
    check(channels in (None, given), f"channels={channels}, as given")
    check(not static or None not in sizes, "known sizes, since this head is flat")
    known = [size for size in sizes if size is not None]
    check(all(n >= min_size for n in known), f"spatial sizes of at least {min_size}")
    check(all(n % multiple == 0 for n in known), f"sizes that {multiple} divides")
    return keras.Input(shape) if input_tensor is None else input_tensor


def pool(x, pooling):
    """Average (`"avg"`) or maximum (`"max"`) over all positions; `None` keeps them."""
    kinds = {"avg": "Average", "max": "Max"}
    if pooling is None:
        return x
    if pooling not in kinds:
        raise ValueError(
            f'`pooling` must be None, "avg" or "max". Received: {pooling!r}'
        )
    layer_class = getattr(keras.layers, f"Global{kinds[pooling]}Pooling{x.ndim - 2}D")
    return layer_class(name=f"{pooling}_pool")(x)


def classify(x, include_top, pooling, classes, classifier_activation):
    """Ends with average pooling and a classifier, or only with `pooling`."""
    if not include_top:
        return pool(x, pooling)
    return keras.layers.Dense(
        classes, activation=classifier_activation, name="predictions"
    )(pool(x, "avg"))


def make_model(inputs, outputs, convolutions, weights, name):
    """Checks the density, makes the model and loads its weights."""
    convolutions.check_coverage()
    sources = keras.utils.get_source_inputs(inputs)
    model = keras.Model(sources if len(sources) > 1 else sources[0], outputs, name=name)
    if weights is not None:
        _load_weights(model, weights)
    return model


def _load_weights(model, weights):
    path = Path(weights)
    if not path.is_file():
        raise ValueError(
            "`weights` must be None or the path of a `.weights.h5`, `.keras` or "
            f"legacy `.h5` file. No file of this name was found: {weights}"
        )
    try:
        # Keras ignores additional weights of a file, such as batch normalizations.
        saved = _count_saved(path)
        if saved not in (None, len(model.weights)):
            raise ValueError(f"The file holds {saved} weights.")
        model.load_weights(path)
    except ValueError as error:
        raise ValueError(
            f"`weights` are not those of this network, {model.name!r} with "
            f"{len(model.weights)} weights: {weights}. A file that a standard network "
            "saved does not fit its weighted one either: load it into the standard "
            "network, then call `keras_wconv.to_weighted`.\n\n"
            f"{error}"
        ) from error


def _count_saved(path):
    """Returns the number of layer weights in a Keras 3 file, None for other files."""
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            return _count_datasets(archive.open("model.weights.h5"))
    if path.name.endswith(".weights.h5"):
        return _count_datasets(path)
    return None


def _count_datasets(file):
    names = []
    with h5py.File(file) as h5:
        h5["layers"].visit(names.append)
        return sum(isinstance(h5["layers"][name], h5py.Dataset) for name in names)
