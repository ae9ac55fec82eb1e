"""DnCNN: an image denoiser that predicts the noise.

Zhang et al., "Beyond a Gaussian Denoiser: Residual Learning of Deep CNN for Image
Denoising", IEEE TIP 2017, https://arxiv.org/abs/1608.03981
"""

from __future__ import annotations

from typing import Unpack

import keras
from keras import layers

from .._density_choice import ModelDensity
from .._types import DensityOptions
from ._builder import (
    Convolutions,
    NetworkArguments,
    Shape,
    Weights,
    batch_norm,
    forwards_to,
    image_shape,
    make_model,
    obtain_input,
)


def DnCNN(
    depth: int = 17,
    filters: int = 64,
    kernel_size: int = 3,
    channels: int = 1,
    batch_normalization: bool = True,
    use_bias: bool = True,
    weights: Weights = None,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: Shape | None = None,
    name: str = "dncnn",
    density: ModelDensity = None,
    **density_options: Unpack[DensityOptions],
) -> keras.Model:
    """Builds a DnCNN, which returns its input less the noise it finds there.

    A convolution with ReLU, `depth - 2` convolutions with batch normalization and
    ReLU, and a convolution back to the image; `x - net(x)` is the output.

    Args:
        depth: int, number of convolutions: 17 for a known noise level, 20 for
            blind denoising.
        filters: int, channels of the hidden layers.
        kernel_size: int, of every convolution. The paper uses 3; 5 and 7 have more
            density coefficients.
        channels: int, 1 for gray images and 3 for color.
        batch_normalization: bool. `False` gives the network as published
            implementations ship it, with its normalizations merged.
        use_bias: bool, whether the convolutions have biases.
        weights: `None` for random initial weights, or the path of a file that
            `keras.Model.load_weights` reads.
        input_tensor: optional Keras tensor to use as the image.
        input_shape: optional shape without the batch axis. By default images of any
            height and width.
        name: str, of the model.
        density: of the layers, see `keras_wconv.applications`; `None` for the standard
            network.
        **density_options: of the weighted layers, see `keras_wconv.applications`.

    Input and output shape:
        `(batch, height, width, channels)`, or channels first if that is
        `keras.config.image_data_format()`.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: If an argument does not suit the network.

    Example:

    >>> from keras_wconv import applications
    >>> model = applications.DnCNN(depth=3, density={3: [0.7]})
    >>> model.get_layer("conv2").density_profiles[0].tolist()
    [0.7, 1.0, 0.7]
    """
    if depth < 2:
        raise ValueError(f"`depth` must be at least 2. Received: {depth}")
    inputs = obtain_input(
        input_tensor,
        input_shape,
        default_shape=image_shape((None, None), channels),
        channels=channels,
    )
    conv = Convolutions(2, density, **density_options)

    x = inputs
    for i in range(1, depth):
        x = conv(filters, kernel_size, use_bias=use_bias, name=f"conv{i}")(x)
        if batch_normalization and i > 1:
            x = batch_norm(f"bn{i}")(x)
        x = layers.ReLU(name=f"relu{i}")(x)
    noise = conv(channels, kernel_size, use_bias=use_bias, name=f"conv{depth}")(x)
    outputs = layers.Subtract(name="denoised")([inputs, noise])
    return make_model(inputs, outputs, conv, weights, name)


class DnCNNArguments(NetworkArguments, total=False):
    """Arguments of the builders of one DnCNN besides `name`."""

    filters: int
    kernel_size: int
    channels: int
    batch_normalization: bool
    use_bias: bool


@forwards_to(DnCNN)
def DnCNN17(*, name: str = "dncnn17", **kwargs: Unpack[DnCNNArguments]) -> keras.Model:
    """Builds the DnCNN of depth 17, for one noise level: `DnCNN` has the arguments."""
    return DnCNN(depth=17, name=name, **kwargs)


@forwards_to(DnCNN)
def DnCNN20(*, name: str = "dncnn20", **kwargs: Unpack[DnCNNArguments]) -> keras.Model:
    """Builds the DnCNN of depth 20, for blind denoising: `DnCNN` has the arguments."""
    return DnCNN(depth=20, name=name, **kwargs)
