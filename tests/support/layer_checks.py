"""What the tests of all layer families share."""

import contextlib
import inspect

import hypothesis
import keras
import numpy as np
import reference
from extent import ALL, examples
from hypothesis import strategies as st

BACKEND = keras.backend.backend()

# TensorFlow has no channels_first convolutions on a CPU, and JAX compiles each anew.
DATA_FORMATS = ["channels_last"]
if BACKEND == "torch" or (BACKEND == "jax" and ALL):
    DATA_FORMATS.append("channels_first")

# JAX compiles each configuration anew.
random_configurations = hypothesis.settings(
    max_examples=examples(4, 8) if BACKEND == "jax" else examples(8, 25),
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)


def normal(shape, seed=0, dtype="float32"):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def to_numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def make(layer_class, **arguments):
    """A layer that starts at zero: JAX compiles each random initial kernel anew."""
    names = inspect.signature(layer_class).parameters
    zeros = {n: "zeros" for n in names if n.endswith("_initializer")}
    return layer_class(**zeros, **arguments)


def randomize(layer, seed=0):
    """Gives all weights random values, the bias too."""
    layer.set_weights(
        [normal(w.shape, seed + i, w.dtype) for i, w in enumerate(layer.get_weights())]
    )


def float64():
    """Where JAX really computes in float64, as the others do when they are asked."""
    if BACKEND == "jax":
        try:
            from jax import enable_x64
        except ImportError:  # Where older ones have it.
            from jax.experimental import enable_x64

        return enable_x64(True)
    return contextlib.nullcontext()


def gradients(loss, variables):
    """Gradients of the scalar `loss()` for each of `variables`, as NumPy arrays."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            value = loss()
        found = tape.gradient(value, [v.value for v in variables])
    elif BACKEND == "torch":
        import torch

        found = torch.autograd.grad(loss(), [v.value for v in variables])
    else:
        import jax

        def stateless(values):
            pairs = list(zip(variables, values, strict=True))
            with keras.StatelessScope(state_mapping=pairs):
                return loss()

        found = jax.grad(stateless)([v.value for v in variables])
    return [to_numpy(gradient) for gradient in found]


def assert_same_bits(weighted_class, plain_class, spatial, channels=2, **arguments):
    """With density None, a layer is that of Keras: outputs, weights, configuration."""
    plain = make(plain_class, **arguments)
    weighted = make(weighted_class, **arguments, density=None)
    inputs = normal((2, *spatial, channels))
    if arguments.get("data_format") == "channels_first":
        inputs = np.moveaxis(inputs, -1, 1)
    plain.build(inputs.shape)
    weighted.build(inputs.shape)
    randomize(plain)
    weighted.set_weights(plain.get_weights())
    np.testing.assert_array_equal(to_numpy(weighted(inputs)), to_numpy(plain(inputs)))
    assert weighted.count_params() == plain.count_params()
    config = weighted.get_config()
    assert {k: config[k] for k in plain.get_config() if k != "name"} == {
        k: v for k, v in plain.get_config().items() if k != "name"
    }


@st.composite
def configurations(draw, rank, paddings=("valid", "same")):
    """Arguments of a convolution, its density's map, and the sizes of an input."""

    def sizes(low, high):
        return draw(st.tuples(*[st.integers(low, high)] * rank))

    kernel_size = sizes(1, (6, 4, 3)[rank - 1])
    factor = draw(st.sampled_from(["strides", "dilation_rate"]))
    factors = {"strides": (1,) * rank, "dilation_rate": (1,) * rank}
    factors[factor] = sizes(1, 2)
    padding = draw(st.sampled_from(paddings))
    density, phi = draw(densities(kernel_size, padding == "causal"))
    spans = reference.span(kernel_size, factors["dilation_rate"])
    arguments = {
        "kernel_size": kernel_size,
        **factors,
        "padding": padding,
        "data_format": draw(st.sampled_from(DATA_FORMATS)),
        "use_bias": draw(st.booleans()),
        "density": density,
        "normalize_density": draw(st.booleans()),
    }
    if arguments["normalize_density"]:
        phi = phi / np.sqrt(np.mean(phi**2))
    spatial = [reach + more for reach, more in zip(spans, sizes(0, 3), strict=True)]
    return arguments, phi, spatial


@st.composite
def densities(draw, kernel_size, causal):
    seed = draw(st.integers(0, 2**16))
    if draw(st.booleans()):
        phi = normal(kernel_size, seed, "float64")
        return phi, phi
    coefficients = [
        normal(k - 1 if causal else (k - 1) // 2, seed, "float64").tolist()
        for k in kernel_size
    ]
    phi = reference.density_map(coefficients, kernel_size, causal)
    if len(set(map(tuple, coefficients))) == 1 and draw(st.booleans()):
        coefficients = coefficients[0]
    return coefficients, phi


def assert_matches(layer, phi, spatial, channels, terms, convolve):
    """`layer` gives what `convolve(inputs, *kernels)` does in float64 with Φ.

    A float32 sum of products is, in any order, within n u / (1 - n u) of the exact
    one, relative to the sum of the magnitudes, where u = 2^-24 and n counts the
    roundings on a way from an input to an output: `terms` for products and sums, and
    Φ, its product with the kernel, the bias and, where a layer has two stages, the
    value between them.
    """
    inputs = normal((2, *spatial, channels))
    first = layer.data_format == "channels_first"
    fed = np.moveaxis(inputs, -1, 1) if first else inputs
    layer.build(fed.shape)
    randomize(layer)
    outputs = to_numpy(layer(fed)).astype("float64")
    assert tuple(outputs.shape) == tuple(layer.compute_output_shape(fed.shape))
    outputs = np.moveaxis(outputs, 1, -1) if first else outputs

    kernels = [w.astype("float64") for w in layer.get_weights()]
    bias = kernels.pop() if layer.use_bias else np.zeros(1)
    kernels[0] *= phi[..., np.newaxis, np.newaxis]
    inputs = inputs.astype("float64")
    expected = convolve(inputs, *kernels) + bias
    magnitude = convolve(np.abs(inputs), *map(np.abs, kernels)) + np.abs(bias)
    roundings = (terms + 4) * 2.0**-24
    assert outputs.shape == expected.shape
    assert np.all(np.abs(outputs - expected) <= roundings / (1 - roundings) * magnitude)
