"""A learned density's own optimizer."""

import numbers

import keras

# The names that `layers.LearnedDensity` gives its weights. The name of the layer alone
# is not enough: a layer of the user may be called "density" too.
_DENSITY_WEIGHTS = r".*/density/(coefficients(_\d+)?|map|(log|raw)_\w+)$"


def published_optimizer(steps_per_epoch: int) -> keras.optimizers.MultiOptimizer:
    """Optimizer with which the authors learn a density: their recipe as it is.

    AdamW at 1e-4 for the kernels and at 1e-2 for the densities, weight decay of 1e-2 on
    both, and a cosine that starts anew every ten epochs. The authors begin at
    `density=[0.27, 0.17, 0.54]` with kernels of 7. The decay pulls the coefficients to
    0, which `density_optimizer` does not.

    Args:
        steps_per_epoch: batches in an epoch, ten of which are one cosine.

    Returns:
        A `keras.optimizers.MultiOptimizer`, to be given to `model.compile`.

    Raises:
        ValueError: If `steps_per_epoch` is not a positive int.

    Example:

    >>> from keras_wconv.optimizers import published_optimizer
    >>> optimizer = published_optimizer(steps_per_epoch=500)
    >>> [round(float(each.learning_rate), 4) for each in optimizer.optimizers]
    [0.01, 0.0001]

    Source: the authors of https://arxiv.org/abs/2505.24558.
    """
    if not isinstance(steps_per_epoch, numbers.Integral) or steps_per_epoch < 1:
        raise ValueError(
            "`steps_per_epoch` must be the number of batches in an epoch, a positive "
            f"int. Received: steps_per_epoch={steps_per_epoch!r}"
        )

    def adamw(rate, name):
        restarts = keras.optimizers.schedules.CosineDecayRestarts(
            rate, 10 * int(steps_per_epoch), t_mul=1.0
        )
        return keras.optimizers.AdamW(restarts, weight_decay=1e-2, name=name)

    return density_optimizer(adamw(1e-4, "adamw"), adamw(1e-2, "density_adamw"))


def density_optimizer(kernel_optimizer, density_optimizer=1e-2):
    """Optimizer that trains learned densities apart from all other weights.

    A density has few coefficients, next to 1, and learns at a larger rate than the
    kernels do. It gets no weight decay unless its own optimizer has one: decay pulls
    coefficients to 0, which is no neutral value (1 is).

    Args:
        kernel_optimizer: optimizer of every other weight: a `keras.optimizers`
            instance, name or config.
        density_optimizer: optimizer of the densities: an instance, or a learning rate
            or schedule for Adam without weight decay.

    Returns:
        A `keras.optimizers.MultiOptimizer`, to be given to `model.compile`.

    Raises:
        ValueError: If both are the same instance.

    Example:

    >>> import keras
    >>> import keras_wconv
    >>> optimizer = keras_wconv.optimizers.density_optimizer(
    ...     keras.optimizers.AdamW(1e-4),
    ...     keras.optimizers.schedules.CosineDecayRestarts(1e-2, 1000),
    ... )
    >>> model = keras.Sequential([
    ...     keras.Input((8, 8, 1)),
    ...     keras_wconv.WeightedConv2D(4, 3, density=[0.7], density_trainable=True),
    ... ])
    >>> model.compile(optimizer, "mse")

    Source: the recipe of the authors of https://arxiv.org/abs/2505.24558, who train
    the density at 1e-2 with warm restarts and the kernels at 1e-4.
    """
    kernels = keras.optimizers.get(kernel_optimizer)
    if isinstance(density_optimizer, keras.optimizers.Optimizer):
        densities = density_optimizer
    else:
        densities = keras.optimizers.Adam(density_optimizer, name="density_adam")
    if densities is kernels:
        raise ValueError(
            "`density_optimizer` must be another instance than `kernel_optimizer`: "
            f"an optimizer has one learning rate. Received twice: {kernels}"
        )
    if densities.name == kernels.name:
        # Variables of both are saved by their paths, which begin with the name.
        config = {**densities.get_config(), "name": f"density_{densities.name}"}
        densities = type(densities).from_config(config)
    return keras.optimizers.MultiOptimizer(
        keras.optimizers.OptimizerMap(kernels, {_DENSITY_WEIGHTS: densities})
    )
