"""Compiled steps of a model, over a batch that is on the device already."""

import keras
import numpy as np
from keras import ops


def random_batch(*shape, seed=0):
    values = np.random.default_rng(seed).standard_normal(shape, dtype="float32")
    return ops.convert_to_tensor(values)


def inference(model, inputs):
    """The forward pass, with the weights as arguments, as in `model.predict`.

    Were they constants, the compiler would fold the density for good.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        forward = tf.function(lambda inputs: model(inputs, training=False))
        return lambda: forward(inputs)
    if backend == "jax":
        import jax

        @jax.jit
        def forward(trainable, non_trainable, inputs):
            return model.stateless_call(
                trainable, non_trainable, inputs, training=False
            )[0]

        weights = _values(model)
        return lambda: forward(*weights, inputs)

    import torch

    def forward():
        with torch.inference_mode():
            return model(inputs, training=False)

    return forward


def gradients(model, inputs):
    """Forward and backward through a layer: what it costs within a training step.

    No optimizer and no loss, which are the same with and without a density and would
    hide the difference.
    """
    backend = keras.backend.backend()
    upstream = random_batch(*model(inputs).shape, seed=1)
    if backend == "tensorflow":
        import tensorflow as tf

        @tf.function
        def backward(inputs):
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                outputs = model(inputs, training=True)
            sources = [inputs, *(v.value for v in model.trainable_variables)]
            return tape.gradient(outputs, sources, output_gradients=upstream)

        return lambda: backward(inputs)
    if backend == "jax":
        import jax

        trainable, non_trainable = _values(model)

        @jax.jit
        def backward(trainable, inputs):
            def forward(trainable, inputs):
                return model.stateless_call(
                    trainable, non_trainable, inputs, training=True
                )[0]

            return jax.vjp(forward, trainable, inputs)[1](upstream)

        return lambda: backward(trainable, inputs)

    inputs = inputs.clone().requires_grad_()

    def backward():
        model.zero_grad()
        inputs.grad = None
        model(inputs, training=True).backward(upstream)

    return backward


def _values(model):
    return (
        [variable.value for variable in model.trainable_variables],
        [variable.value for variable in model.non_trainable_variables],
    )
