"""The arms of a comparison: each is one way to set up the network of a task.

What a density does to training has two parts: the kernels start elsewhere, and each
step is rescaled. The arms separate them, and give the standard network what the
density had: as many trainings to find a start and a learning rate of its own.
"""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from .. import densities
from ..inspection import weighted_layers

TUNED = ("density", "learning_rate", "start")
SIDES = ("standard", "weighted", "control")


def standard(task, density, **density_options):
    """Builds the standard network of a task."""
    return task.model()


def weighted(task, density, **density_options):
    """Builds the weighted network of a task."""
    return task.model(density, **density_options)


def normalized(task, density, **density_options):
    """Builds the weighted network, each Φ divided by its root mean square."""
    return task.model(density, **{**density_options, "normalize_density": True})


def learned(task, density, **density_options):
    """Builds the weighted network, its density learned from `density` on."""
    return task.model(density, **{**density_options, "density_trainable": True})


def same_gain(task, density, **density_options):
    """Builds a network with one factor everywhere, the root mean square of each Φ."""
    return _with_changed_maps(task, density, _gain, **density_options)


def permuted(task, density, **density_options):
    """Builds a network with each Φ's values, but for the center, in other places."""
    return _with_changed_maps(task, density, _permuted, **density_options)


def with_density(density, **density_options):
    """Returns a `network` for an `Arm` that has a density of its own.

    Example:

    >>> from keras_wconv.densities import Gaussian
    >>> from keras_wconv.experiments import Arm, arms
    >>> arm = Arm("W", "weighted, Gaussian", arms.with_density(Gaussian(1.0)))
    """
    return lambda task, _, **options: task.model(
        density, **{**options, **density_options}
    )


def times_density(kernel, phi):
    """Starts a plain kernel at the effective kernel of the weighted network."""
    return kernel * phi


def divided_by_density(kernel, phi):
    """Starts a weighted kernel so that its effective kernel is the standard one."""
    if np.any(phi == 0):
        raise ValueError(
            "The arm D, step only, divides the initial kernels by the density, which "
            "must not contain 0. Leave the arm out."
        )
    return kernel / phi


def initializer(name):
    """Returns a `start` for an `Arm` that draws the kernels anew.

    Args:
        name: str, of a Keras initializer.

    Example:

    >>> from keras_wconv.experiments import Arm, arms
    >>> arm = Arm("glorot", "Glorot start", start=arms.initializer("glorot_uniform"))
    """

    def draw(kernel, phi):
        drawn = keras.initializers.get(name)(kernel.shape, "float32")
        return ops.convert_to_numpy(drawn)

    return draw


@dataclasses.dataclass(frozen=True)
class Arm:
    """One way to set up the network of a task.

    Attributes:
        key: str, a short name, unique in a comparison.
        name: str, what the arm is, for reports.
        network: function of `(task, density, **density_options)` that returns a model.
        start: None for the standard initial kernels, or a function of
            `(kernel, phi)` that returns others: NumPy arrays of one layer.
        tuned: tuple of what is found by `trials` trainings on the validation split:
            `"learning_rate"`, `"start"` (a factor of the initial kernels) or
            `"density"`.
        side: `"standard"` or `"weighted"` for the arms of which the best is compared,
            `"control"` for others.

    Raises:
        ValueError: If `tuned` or `side` is unknown.

    Example:

    >>> from keras_wconv.experiments import Arm, arms
    >>> half = Arm("H", "half start", start=lambda kernel, phi: kernel / 2)
    >>> half.side
    'control'
    """

    key: str
    name: str
    network: Callable = standard
    start: Callable | None = None
    tuned: tuple = ()
    side: str = "control"

    def __post_init__(self):
        unknown = sorted(set(self.tuned) - set(TUNED))
        if unknown:
            raise ValueError(f"`tuned` must be of {TUNED}. Received: {unknown}")
        if self.side not in SIDES:
            raise ValueError(f"`side` must be one of {SIDES}. Received: {self.side!r}")


_BOTH = ("learning_rate", "start")

ARMS = {
    arm.key: arm
    for arm in (
        Arm("A", "standard", side="standard"),
        Arm(
            "T",
            "standard, own learning rate",
            tuned=("learning_rate",),
            side="standard",
        ),
        Arm("S", "standard, own start", tuned=("start",), side="standard"),
        Arm(
            "ST",
            "standard, own start and learning rate",
            tuned=_BOTH,
            side="standard",
        ),
        Arm(
            "glorot",
            "standard, Glorot start",
            start=initializer("glorot_uniform"),
            side="standard",
        ),
        Arm(
            "lecun",
            "standard, LeCun start",
            start=initializer("lecun_normal"),
            side="standard",
        ),
        Arm(
            "orthogonal",
            "standard, orthogonal start",
            start=initializer("orthogonal"),
            side="standard",
        ),
        Arm("B", "weighted", weighted, side="weighted"),
        Arm(
            "BT",
            "weighted, own learning rate",
            weighted,
            tuned=("learning_rate",),
            side="weighted",
        ),
        Arm("C", "start only", start=times_density),
        Arm("D", "step only", weighted, start=divided_by_density),
        Arm("F", "gain only", same_gain),
        Arm("G", "permuted density", permuted),
        Arm("N", "normalized density", normalized),
        Arm("L", "learned density", learned),
    )
}

# Sums and differences of arms that explain the answer.
EFFECTS = {
    "weighted": "B - A",
    "weighted, own learning rate": "BT - A",
    "own learning rate": "T - A",
    "own start": "S - A",
    "own start and learning rate": "ST - A",
    "Glorot start": "glorot - A",
    "LeCun start": "lecun - A",
    "orthogonal start": "orthogonal - A",
    "start": "C - A",
    "step": "D - A",
    "interaction": "B - C - D + A",
    "gain": "F - A",
    "shape": "B - F",
    "place": "B - G",
}


def select(arms):
    """Returns a dict of arms by key.

    Args:
        arms: keys of `ARMS`, as a sequence or as one string with commas, or `Arm`
            objects of your own, or both.

    Raises:
        ValueError: If an arm is unknown or two have one key.

    Example:

    >>> from keras_wconv.experiments import arms
    >>> list(arms.select("A,ST,B"))
    ['A', 'ST', 'B']
    """
    if isinstance(arms, str):
        arms = [key.strip() for key in arms.split(",")]
    unknown = [arm for arm in arms if not isinstance(arm, Arm) and arm not in ARMS]
    if unknown:
        raise ValueError(
            f"`arms` must be keys of {', '.join(ARMS)}, or Arm objects. Received: "
            f"{', '.join(map(str, unknown))}"
        )
    selected = [arm if isinstance(arm, Arm) else ARMS[arm] for arm in arms]
    keys = [arm.key for arm in selected]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise ValueError(f"`arms` must have different keys. Received twice: {twice}")
    return dict(zip(keys, selected, strict=True))


def kernel_maps(model):
    """Returns Φ by the path of the kernel that it multiplies, with axes for channels.

    Example:

    >>> from keras_wconv.applications import DnCNN
    >>> from keras_wconv.experiments import arms
    >>> maps = arms.kernel_maps(DnCNN(depth=2, filters=4, density=[0.5]))
    >>> maps["conv1/kernel"][..., 0, 0].tolist()
    [[0.25, 0.5, 0.25], [0.5, 1.0, 0.5], [0.25, 0.5, 0.25]]
    """
    maps = {}
    for layer in weighted_layers(model).values():
        phi = layer.density_map
        if phi.ndim == len(layer.kernel_size):
            phi = phi[..., None, None]
        maps[getattr(layer, layer.weighted_kernel).path] = phi
    return maps


def _with_changed_maps(task, density, change, **density_options):
    layers = weighted_layers(task.model(density, **density_options)).values()
    maps = {layer.name: densities.Map(change(layer.density_map)) for layer in layers}
    return task.model(lambda name, kernel_size: maps.get(name))


def _gain(phi):
    return np.full(phi.shape, np.sqrt(np.mean(phi**2)))


def _permuted(phi):
    """Returns Φ with its values in other places, the same ones for every layer."""
    flat = phi.flatten()
    center = np.ravel_multi_index([size // 2 for size in phi.shape], phi.shape)
    others = np.delete(np.arange(flat.size), center)
    flat[others] = flat[np.random.default_rng(0).permutation(others)]
    return flat.reshape(phi.shape)
