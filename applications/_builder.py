"""What every builder of `keras_wconv.applications` shares."""

import keras

from .. import densities
from .. import layers as weighted_layers


class Convolutions:
    """Makes the convolutions of one network, weighted where its `density` says so.

    `density` is resolved by `keras_wconv.densities.Selection`; the other keywords
    go to every weighted layer. A layer that gets no density is Keras's own.
    """

    def __init__(
        self,
        density=None,
        normalize_density=False,
        density_trainable=False,
        density_regularizer=None,
        density_constraint=None,
    ):
        self.selection = densities.Selection(density)
        self.arguments = {
            "normalize_density": normalize_density,
            "density_trainable": density_trainable,
            "density_regularizer": density_regularizer,
            "density_constraint": density_constraint,
        }

    def __call__(self, layer_class, *args, name, **kwargs):
        """Make one layer of the Keras class `layer_class` or its weighted sister."""
        kwargs = {"kernel_initializer": "he_normal", **kwargs}
        plain = layer_class(*args, name=name, **kwargs)
        density = self.selection(name, plain.kernel_size)
        if density is None:
            return plain
        weighted_class = getattr(weighted_layers, f"Weighted{layer_class.__name__}")
        return weighted_class(
            *args, name=name, density=density, **self.arguments, **kwargs
        )


def obtain_input(
    input_tensor, input_shape, default_shape, min_size=None, channels=None
):
    """Return the Keras tensor that a network starts from.

    Args:
        input_tensor: Keras tensor to build on, or `None` for a new input.
        input_shape: tuple without the batch axis, or `None` for `default_shape`.
        default_shape: tuple without the batch axis, in the order of
            `keras.config.image_data_format()`.
        min_size: int, the least the network's strides leave something of, an axis.
        channels: int, what the input has to have, or `None` for any number.

    Raises:
        ValueError: If the shape's rank, sizes or channels do not suit the network.
    """
    argument = "input_shape"
    if input_tensor is not None:
        argument = "input_tensor"
        if input_shape is not None and tuple(input_shape) != input_tensor.shape[1:]:
            raise ValueError(
                "`input_shape` and `input_tensor` disagree; pass one of them. "
                f"Received: input_shape={input_shape} and an `input_tensor` of shape "
                f"{input_tensor.shape}"
            )
        input_shape = input_tensor.shape[1:]
    shape = tuple(default_shape if input_shape is None else input_shape)

    if len(shape) != len(default_shape):
        raise ValueError(
            f"`{argument}` should have {len(default_shape)} axes without the batch, "
            f"such as {default_shape}. Received: {shape}"
        )
    channels_first = keras.config.image_data_format() == "channels_first"
    given, *sizes = shape if channels_first else (shape[-1], *shape[:-1])
    if given is None or channels not in (None, given):
        raise ValueError(
            f"`{argument}` should have {channels or 'a known number of'} channels on "
            f"its {'first' if channels_first else 'last'} axis. Received: {shape}"
        )
    if min_size and any(size is not None and size < min_size for size in sizes):
        raise ValueError(
            f"`{argument}` is too small for this network, which needs at least "
            f"{min_size} along each spatial axis. Received: {shape}"
        )
    return keras.Input(shape) if input_tensor is None else input_tensor


def image_shape(sizes, channels):
    """Put `channels` where the image data format has them."""
    if keras.config.image_data_format() == "channels_first":
        return (channels, *sizes)
    return (*sizes, channels)


def channel_axis():
    """Return the axis, the batch counted, that batch normalization keeps."""
    return 1 if keras.config.image_data_format() == "channels_first" else -1


def make_model(inputs, outputs, convolutions, weights, name):
    """Close a network: check its density, make the model, load its weights."""
    convolutions.selection.check()
    model = keras.Model(keras.utils.get_source_inputs(inputs), outputs, name=name)
    if weights is not None:
        model.load_weights(weights)
    return model
