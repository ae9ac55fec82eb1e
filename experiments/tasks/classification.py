"""Classification of images, time series and volumes."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self

import keras
import numpy as np

from ...applications.r3d import R3D18
from ...applications.time_series_resnet import TimeSeriesResNet
from ...applications.vgg import VGG, VGG16
from . import datasets
from .task import Task, channel_hint

if TYPE_CHECKING:
    from ..._types import PathLike
    from .datasets import Dataset

# Keras decouples weight decay from the gradient. The usual coupled L2 of 5e-4 decays
# weights ten times as fast with momentum 0.9, hence 5e-3.
SGD = functools.partial(
    keras.optimizers.SGD, momentum=0.9, nesterov=True, weight_decay=5e-3
)

SmallVGG = functools.partial(
    VGG, (2, 2), (16, 32), batch_normalization=True, hidden_units=()
)
SmallResNet = functools.partial(TimeSeriesResNet, filters=(16, 32, 32))
SmallR3D = functools.partial(R3D18, filters=(8, 16, 32, 32))
_LAPTOP = {
    "epochs": 10,
    "batch_size": 25,
    "learning_rate": 0.02,
    "schedule": "cosine",
}


class Classification(Task):
    """Classification with cross-entropy, measured by the accuracy.

    The defaults are the usual CIFAR protocol: 200 epochs of SGD with Nesterov momentum,
    a rate of 0.1 that is multiplied by 0.2 at 60, 120 and 160, and batches of 128.
    Inputs are standardized by the mean and deviation of the training split.

    Args:
        data: `datasets.Dataset` with classes.
        network: optional builder, for `model`, that takes `input_shape`, `classes`,
            `density` and the density options, such as `applications.VGG16` or a
            `functools.partial` of it.
        pad: int, pixels of zeros around an image before a random crop of its size.
        flip: bool, whether half of the images are mirrored.
        rotation: float, degrees up to which images are turned in either direction.
        epochs, batch_size, learning_rate, optimizer, schedule, weight_decay,
            density_learning_rate: see `Task`.

    Raises:
        ValueError: If the data have no classes, or the network does not fit them.

    Example:

    >>> from keras_wconv import experiments
    >>> task = experiments.Classification.digits(epochs=1)
    >>> model = task.model(density=[0.7])
    >>> task.compile(model)
    >>> history = task.fit(model, seed=0)
    >>> sorted(task.evaluate(model))
    ['accuracy', 'loss']
    """

    name = "classification"
    monitor = "accuracy"
    direction = "max"
    unit, scale = "percentage points", 100
    differences = (0.5, 1.0, 2.0)
    loss = "sparse_categorical_crossentropy"
    metrics = ("accuracy",)
    standardize = True

    def __init__(
        self,
        data: Dataset,
        network: Callable[..., keras.Model] | None = None,
        epochs: int = 200,
        batch_size: int = 128,
        learning_rate: float = 0.1,
        optimizer: Callable[..., keras.optimizers.Optimizer] = SGD,
        schedule: str = "steps",
        weight_decay: float | None = None,
        pad: int = 0,
        flip: bool = False,
        rotation: float = 0.0,
        density_learning_rate: float = 1e-2,
    ) -> None:
        recipe = epochs, batch_size, learning_rate, optimizer, schedule, weight_decay
        super().__init__(data, network, *recipe, density_learning_rate)
        inputs = self.data.train[0]
        if (pad or flip or rotation) and inputs.ndim != 4:
            raise ValueError(
                "`pad`, `flip` and `rotation` are for images. Received: examples of "
                f"shape {inputs.shape[1:]}"
            )
        self.pad = pad
        self.flip = flip
        self.rotation = rotation
        self.batches(0)  # Raises if a batch is larger than the training split.

    @classmethod
    def digits(
        cls, network: Callable[..., keras.Model] | None = None, **recipe: Any
    ) -> Self:
        """Handwritten digits, by default with a small VGG; for a laptop."""
        defaults = {**_LAPTOP, "epochs": 15, "batch_size": 50, "pad": 1}
        return cls(datasets.digits(), network or SmallVGG, **{**defaults, **recipe})

    @classmethod
    def mnist(
        cls, network: Callable[..., keras.Model] | None = None, **recipe: Any
    ) -> Self:
        """5,000 digits of MNIST, by default with a small VGG; for a laptop."""
        defaults = {**_LAPTOP, "batch_size": 50, "pad": 2}
        return cls(datasets.mnist(), network or SmallVGG, **{**defaults, **recipe})

    @classmethod
    def cifar100(
        cls,
        network: Callable[..., keras.Model] | None = None,
        data_dir: PathLike | None = None,
        **recipe: Any,
    ) -> Self:
        """CIFAR-100 by the usual protocol.

        The default network is VGG16 with batch normalization, whose published accuracy
        is 72.93 %.
        """
        network = network or functools.partial(
            VGG16, batch_normalization=True, hidden_units=()
        )
        defaults = {"pad": 4, "flip": True, "rotation": 15.0}
        return cls(datasets.cifar100(data_dir), network, **{**defaults, **recipe})

    @classmethod
    def time_series(
        cls, network: Callable[..., keras.Model] | None = None, **recipe: Any
    ) -> Self:
        """Cylinder, bell and funnel, by default with a narrow ResNet; for a laptop."""
        data = datasets.time_series()
        return cls(data, network or SmallResNet, **{**_LAPTOP, **recipe})

    @classmethod
    def volumes(
        cls, network: Callable[..., keras.Model] | None = None, **recipe: Any
    ) -> Self:
        """Four solids in noise, by default with a narrow `R3D18`; for a laptop."""
        return cls(datasets.volumes(), network or SmallR3D, **{**_LAPTOP, **recipe})

    def check_data(self, data: Dataset) -> Dataset | None:
        if isinstance(data.train, datasets.Pictures):
            raise ValueError(
                "`data` must be a dataset with classes, such as datasets.digits(). "
                f"Received: {data.name!r}, pictures without labels. They are for the "
                "task Denoising."
            )
        if data.classes is None:
            data = dataclasses.replace(data, classes=len(np.unique(data.train[1])))
        if data.classes < 2:
            raise ValueError(
                f"`data` must have two classes at least. Received: {data.name!r}, with "
                f"{data.classes}"
            )
        return data

    def build(self, **options: Any) -> keras.Model:
        shape, classes = self.data.train[0].shape[1:], self.data.classes
        try:
            return self.network(input_shape=shape, classes=classes, **options)
        except ValueError as error:
            raise ValueError(f"{error}{channel_hint(shape)}") from error

    def check_output(self, model: keras.Model, shape: Sequence[int | None]) -> None:
        classes = self.data.classes
        if shape != (classes,):
            raise ValueError(
                f"`model` {model.name!r} must end in {classes} classes, one output "
                f"each. Received: an output of shape {shape}"
            )

    def loss_of(self, model: keras.Model) -> Any:
        if self.loss != "sparse_categorical_crossentropy":
            return self.loss
        logits = _ends_in_logits(model)
        if logits is None:
            logits = _returns_logits(model, self.sample(32))
        return keras.losses.SparseCategoricalCrossentropy(from_logits=logits)

    def _augmented(self, inputs, rng):
        if self.pad or self.flip or self.rotation:
            return augment(inputs, rng, self.pad, self.flip, self.rotation)
        return inputs

    def with_examples(self, n: int) -> Self:
        if n < self.data.classes:
            raise ValueError(
                f"`n` must be at least the {self.data.classes} classes, one example of "
                f"each. Received: {n}"
            )
        return super().with_examples(n)

    def chance(self, split: str = "test") -> float:
        _, labels = getattr(self.data, split)
        return float(np.bincount(labels).max() / len(labels))

    def margin(self, split: str = "test") -> float:
        """Two standard deviations of the accuracy of guessing."""
        chance = self.chance(split)
        return 2 * math.sqrt(chance * (1 - chance) / self.data.count(split))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "pad": self.pad,
            "flip": self.flip,
            "rotation": self.rotation,
        }


# Layers that leave probabilities probabilities, and logits logits.
_PASSING = (
    keras.layers.Reshape,
    keras.layers.Flatten,
    keras.layers.Permute,
    keras.layers.Identity,
    keras.layers.Dropout,
    keras.layers.GlobalAveragePooling1D,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalAveragePooling3D,
)


def _ends_in_logits(model):
    """Returns whether a model ends in logits, None if its layers do not tell.

    The last layer that has an activation decides.
    """
    kinds = (_kind(layer) for layer in _from_the_end(model))
    return next((kind for kind in kinds if kind != "passes"), None)


def _from_the_end(model):
    """Yields the layers of a model from its output backward, while there is one way."""
    if not type(model).call.__module__.startswith("keras."):
        return
    if isinstance(model, keras.Sequential):
        yield from reversed(model.layers)
    elif isinstance(model, keras.Function):
        makers = {}
        for operation in model.operations:
            with contextlib.suppress(AttributeError):  # It is called more than once.
                makers[id(operation.output)] = operation
        tensor = model.output
        while id(tensor) in makers:
            yield makers[id(tensor)]
            tensor = makers[id(tensor)].input


def _kind(operation):
    """Returns True for logits, False for probabilities, None, or "passes"."""
    if isinstance(operation, keras.Model):
        return _ends_in_logits(operation)
    if isinstance(operation, _PASSING):
        return "passes"
    if isinstance(operation, keras.layers.Softmax):
        return False
    activation = getattr(operation, "activation", None)
    if activation is None:
        return None
    if isinstance(activation, keras.layers.Layer):
        return _kind(activation)
    if activation is keras.activations.linear:
        # `Activation("linear")` is often there only for its dtype.
        only = isinstance(operation, keras.layers.Activation)
        return "passes" if only else True
    return activation not in (keras.activations.softmax, keras.activations.sigmoid)


def _returns_logits(model, inputs):
    """Tells logits from probabilities by the outputs of a model.

    Outputs that stay between 0 and 1 even for inputs times 100 and -100 are bounded by
    the network.
    """
    outputs = [
        keras.ops.convert_to_numpy(model(inputs * factor, training=False))
        for factor in (1, 100, -100)
    ]
    outputs = np.concatenate(outputs).astype("float64")
    if not ((outputs >= 0) & (outputs <= 1)).all() or not outputs.any():
        return True
    if np.allclose(outputs.sum(-1), 1, atol=1e-2):  # bfloat16 has three digits.
        return False
    raise ValueError(
        f"`model` {model.name!r} must end in a softmax, or in logits. Received: "
        "outputs between 0 and 1 whose sum is not 1. End it with "
        "keras.layers.Dense(classes), or with keras.layers.Softmax()."
    )


def augment(
    images: np.ndarray,
    rng: np.random.Generator,
    pad: int = 0,
    flip: bool = False,
    rotation: float = 0.0,
) -> np.ndarray:
    """Crops, mirrors and turns each image at random, in this order.

    Each pixel is the nearest one of its place in the original image, 0 outside of it.

    Args:
        images: array of `(n, height, width, channels)`.
        rng: `numpy.random.Generator`.
        pad: int, pixels by which a crop may leave the image.
        flip: bool, whether half of the images are mirrored.
        rotation: float, degrees up to which images are turned in either direction.

    Returns:
        An array of the same shape and dtype.

    Example:

    >>> import numpy as np
    >>> from keras_wconv.experiments.tasks import classification
    >>> images = np.arange(8).reshape(2, 2, 2, 1)
    >>> bool(np.all(classification.augment(images, np.random.default_rng(0)) == images))
    True
    """
    count, height, width, _ = images.shape
    y, x = np.mgrid[:height, :width].astype("float32")
    center_y, center_x = (height - 1) / 2, (width - 1) / 2
    angle = np.radians(rng.uniform(-rotation, rotation, (count, 1, 1)), dtype="float32")
    cos, sin = np.cos(angle), np.sin(angle)
    from_y, from_x = y - center_y, x - center_x
    y = np.rint(cos * from_y - sin * from_x + center_y).astype(int)
    x = np.rint(sin * from_y + cos * from_x + center_x).astype(int)
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    if flip:
        x = np.where(rng.random((count, 1, 1)) < 0.5, width - 1 - x, x)
    y = y + rng.integers(-pad, pad + 1, (count, 1, 1))
    x = x + rng.integers(-pad, pad + 1, (count, 1, 1))
    inside &= (y >= 0) & (y < height) & (x >= 0) & (x < width)
    looked_up = images[
        np.arange(count)[:, None, None],
        np.clip(y, 0, height - 1),
        np.clip(x, 0, width - 1),
    ]
    return looked_up * inside[..., None].astype(images.dtype)
