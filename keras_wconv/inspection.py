"""Finds the weighted layers of a model, those in nested models and wrappers too."""

from ._keras import sublayers
from .layers import WeightedConvolution


def weighted_layers(model):
    """Returns the layers of a model that have a density.

    Layers inside of nested models, of wrappers (`TimeDistributed`) and of layers made
    of layers are found too. A layer that is used twice is there once.

    Args:
        model: a `keras.Model` or a `keras.Layer`, which may be weighted itself.

    Returns:
        Dict of the layers by name, in the order of the model. The name of a nested
        layer begins with the names of what it is in: `"encoder/conv1"`.

    Example:

    >>> import keras
    >>> import keras_wconv
    >>> from keras_wconv.inspection import weighted_layers
    >>> encoder = keras.Sequential([
    ...     keras.Input((8, 8, 1)),
    ...     keras_wconv.WeightedConv2D(2, 3, density=[0.7], name="conv1"),
    ... ], name="encoder")
    >>> model = keras.Sequential([encoder, keras_wconv.WeightedConv2D(1, 3)])
    >>> list(weighted_layers(model))
    ['encoder/conv1']
    """
    found = {}

    def visit(layer, name):
        if isinstance(layer, WeightedConvolution) and layer.density is not None:
            if not any(layer is other for other in found.values()):
                found[_unused(name, found)] = layer
            return
        for inner in sublayers(layer):
            visit(inner, inner.name if layer is model else f"{name}/{inner.name}")

    visit(model, model.name)
    return found


def learned_layers(model):
    """Returns the layers whose density is learned, a dict as of `weighted_layers`."""
    return {
        name: layer
        for name, layer in weighted_layers(model).items()
        if layer.density_trainable
    }


def _unused(name, names):
    """Layers made in the code of another layer may share a name."""
    unused, number = name, 1
    while unused in names:
        unused, number = f"{name}_{number}", number + 1
    return unused
