"""A whole network's training step: weighted against standard."""

import keras
from keras import ops
from rich.progress import track

import keras_wconv
from keras_wconv import applications

from . import _harness, _steps

DENSITY = {3: _harness.DENSITIES[3]}
MEAN_SQUARES, CROSS_ENTROPY = "mse", "sparse_categorical_crossentropy"


def resnet18(**density):
    return applications.ResNet18(
        stem="cifar", input_shape=(32, 32, 3), classes=100, **density
    )


def vgg16_bn(**density):
    return applications.VGG16(
        batch_normalization=True,
        hidden_units=(),
        input_shape=(32, 32, 3),
        classes=100,
        **density,
    )


def dncnn17(**density):
    return applications.DnCNN17(input_shape=(40, 40, 1), **density)


def nafnet32(**density):
    # One block where the published networks have several: they compile for minutes.
    return applications.NAFNet(
        width=32,
        encoder_blocks=(1, 1, 1, 1),
        middle_blocks=1,
        decoder_blocks=(1, 1, 1, 1),
        input_shape=(32, 32, 3),
        **density,
    )


NETWORKS = {
    "ResNet18, CIFAR-100": (resnet18, CROSS_ENTROPY),
    "VGG16-BN, CIFAR-100": (vgg16_bn, CROSS_ENTROPY),
    "DnCNN-17, 40x40": (dncnn17, MEAN_SQUARES),
    "NAFNet-32, 9 blocks": (nafnet32, MEAN_SQUARES),
}


def build(network, variant, density=None):
    """Returns the network, and whether its density is learned."""
    builder, _ = NETWORKS[network]
    density = _harness.density_arguments(variant, density or DENSITY)
    return builder(**density), density.get("density_trainable", False)


def compiled(network, variant, batch, density=None, **compile_options):
    """Returns the network, ready to be trained, and a batch of noise for it."""
    model, learned = build(network, variant, density)
    optimizer = keras.optimizers.Adam(1e-4)
    if learned:
        optimizer = keras_wconv.optimizers.density_optimizer(optimizer)
    _, loss = NETWORKS[network]
    model.compile(optimizer, loss, **compile_options)
    inputs = _steps.random_batch(batch, *model.input_shape[1:])
    return model, inputs, inputs if loss == MEAN_SQUARES else ops.arange(batch)


def training_step(*args, **kwargs):
    model, inputs, targets = compiled(*args, **kwargs)
    return lambda: model.train_on_batch(inputs, targets)


def cases():
    """Returns what is timed: network, batch, dtype policy, options of `compile`."""
    small = next(iter(NETWORKS))
    yield from ((network, 32, "float32", {}) for network in NETWORKS)
    yield from ((small, batch, "float32", {}) for batch in (1, 8))
    yield small, 8, "mixed_bfloat16", {}
    if keras.backend.backend() == "tensorflow":  # JAX always compiles with XLA
        yield small, 8, "float32", {"jit_compile": True}


def main():
    options = _harness.parse_options(__doc__)
    # A normalized density is another constant and the same work; see the layers.
    variants = [name for name in _harness.VARIANTS if name != "normalized"]
    chosen = [case for case in cases() if case[1] == 1 or not options.quick]
    rows = []
    for network, batch, policy, compile_options in track(chosen, "Networks"):
        keras.config.set_dtype_policy(policy)
        steps = {
            variant: training_step(network, variant, batch, **compile_options)
            for variant in variants
        }
        seconds = 1 if options.quick else 20 if batch == 32 else 8
        if _harness.device() != "cpu":  # Its steps are many times shorter.
            seconds = min(seconds, 3)
        times = _harness.compare(steps, seconds)
        rows += _harness.ratios(
            times, network=network, batch=batch, policy=policy, **compile_options
        )
        keras.utils.clear_session()
    print(_harness.save("networks", rows, options))


if __name__ == "__main__":
    main()
