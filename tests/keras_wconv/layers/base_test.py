import copy
import functools
import importlib.util
import inspect
import os
import pickle
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import keras
import numpy as np
import own_density
import pytest
from layer_checks import BACKEND, float64, gradients, make, normal, randomize, to_numpy
from own_density import Cauchy

import keras_wconv
from keras_wconv import densities
from keras_wconv.densities import Gaussian, Map, Radial

NAMES = [
    "Conv1D",
    "Conv2D",
    "Conv3D",
    "DepthwiseConv1D",
    "DepthwiseConv2D",
    "SeparableConv1D",
    "SeparableConv2D",
    "Conv1DTranspose",
    "Conv2DTranspose",
    "Conv3DTranspose",
]

# Every form that a learned density has.
LEARNED = {
    "shared": {"kernel_size": 3, "density": [0.7]},
    "per axis": {"kernel_size": (5, 3), "density": [[0.2, 0.8], [0.7]]},
    "one axis": {"kernel_size": (1, 3), "density": [[], [0.7]]},
    "map": {"kernel_size": 3, "density": Gaussian(1.3)((3, 3))},
    "normalized": {"kernel_size": 3, "density": [0.7], "normalize_density": True},
}


def weighted_class(name):
    return getattr(keras_wconv, f"Weighted{name}")


def rank_of(name):
    return int(name[name.index("D") - 1]) if "Depth" not in name else int(name[-2])


def arguments_of(name):
    arguments = {"kernel_size": 3, "padding": "same"}
    if "Depthwise" not in name:
        arguments["filters"] = 2
    return arguments


def input_of(name):
    return normal((2, *(5,) * rank_of(name), 2))


def small_model(**arguments):
    return keras.Sequential(
        [
            keras.Input((6, 5, 2)),
            keras_wconv.WeightedConv2D(**{"filters": 3, "kernel_size": 3} | arguments),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(2),
        ]
    )


# What the class is.


@pytest.mark.parametrize("name", NAMES)
def test_signature_is_that_of_keras_and_the_keywords(name):
    weighted = inspect.signature(weighted_class(name)).parameters.values()
    plain = inspect.signature(getattr(keras.layers, name)).parameters.values()
    *expected, variadic = plain
    own = {
        "density": None,
        "normalize_density": None,
        "density_trainable": False,
        "density_per_channel": False,
        "density_regularizer": None,
        "density_constraint": None,
    }
    *weighted, last = weighted
    assert weighted[: len(expected)] == expected
    assert {p.name: p.default for p in weighted[len(expected) :]} == own
    assert all(p.kind is p.KEYWORD_ONLY for p in weighted[len(expected) :])
    assert last == variadic


def test_layer_is_called_as_keras_calls_its_own():
    layer = keras_wconv.WeightedConv2D(2, 3, density=[0.7])
    plain = keras.layers.Conv2D(2, 3)
    assert inspect.signature(layer) == inspect.signature(plain)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="of TensorFlow")
def test_layer_can_be_traced_by_itself():
    import tensorflow as tf

    layer = keras_wconv.WeightedConv2D(2, 3, density=[0.7])
    inputs = np.ones((1, 5, 5, 1), "float32")
    expected = layer(inputs)
    # One product and sum of 9 taps may be taken in another order.
    np.testing.assert_allclose(tf.function(layer)(inputs), expected, rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_fixed_density_adds_no_weight(name):
    layer = weighted_class(name)(**arguments_of(name), density=0.7)
    plain = getattr(keras.layers, name)(**arguments_of(name))
    shape = input_of(name).shape
    layer.build(shape)
    plain.build(shape)
    assert layer.count_params() == plain.count_params()
    assert [w.shape for w in layer.weights] == [w.shape for w in plain.weights]
    assert layer.effective_kernel.shape == layer.weights[0].shape


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("trainable", [False, True])
def test_config_round_trip(name, trainable):
    layer = weighted_class(name)(
        **arguments_of(name),
        density=[0.7],
        normalize_density=True,
        density_trainable=trainable,
        density_regularizer=keras.regularizers.L2(0.1) if trainable else None,
        density_constraint="non_neg" if trainable else None,
    )
    config = keras.saving.serialize_keras_object(layer)
    restored = keras.saving.deserialize_keras_object(config, safe_mode=True)
    assert type(restored) is type(layer)
    assert keras.saving.serialize_keras_object(restored) == config
    np.testing.assert_array_equal(restored.density_map, layer.density_map)


@pytest.mark.parametrize("name", NAMES)
def test_learned_density_trains_in_every_family(name):
    layer = make(
        weighted_class(name),
        **arguments_of(name),
        density=[0.7],
        density_trainable=True,
    )
    inputs = input_of(name)
    layer.build(inputs.shape)
    randomize(layer)
    found = gradients(
        lambda: keras.ops.mean(layer(inputs) ** 2), layer.trainable_variables
    )
    assert len(found) == len(layer.weights)
    assert all(np.any(gradient) for gradient in found)


def test_a_subclass_needs_no_constructor_of_its_own():
    class Renamed(keras_wconv.WeightedConv2D):
        pass

    class Described(keras_wconv.WeightedConv2D):
        """With a docstring."""

    class Own(keras_wconv.WeightedConv2D):
        def __init__(self, filters, **kwargs):
            super().__init__(filters, 3, **kwargs)

    inherited = inspect.signature(keras_wconv.WeightedConv2D)
    assert inspect.signature(Renamed) == inspect.signature(Described) == inherited
    assert list(inspect.signature(Own).parameters) == ["filters", "kwargs"]
    assert Own(2, density=0.7)(normal((1, 4, 4, 1))).shape == (1, 2, 2, 2)


def test_an_eleventh_layer_takes_two_lines():
    class Eleventh(keras_wconv.layers.WeightedConvolution, keras.layers.Conv2D):
        pass

    expected = inspect.signature(keras_wconv.WeightedConv2D)
    assert inspect.signature(Eleventh) == expected
    assert "density: the spatial density" in Eleventh.__doc__
    assert Eleventh(2, 3, density=0.7)(normal((1, 4, 4, 1))).shape == (1, 2, 2, 2)


def test_arguments_and_errors_come_before_the_example_on_every_python():
    # From 3.13 on, Python removes the indentation of docstrings.
    bare = "In short.\n\nExample:\n\n>>> 1\n1\n"
    indented = "In short.\n\n    Example:\n\n    >>> 1\n    1\n    "
    bases = keras_wconv.layers.WeightedConvolution, keras.layers.Conv2D
    first, second = (
        inspect.getdoc(type("Documented", bases, {"__doc__": doc}))
        for doc in (bare, indented)
    )
    assert first == second
    headings = [line for line in first.splitlines() if re.fullmatch(r"\w+:", line)]
    assert headings == ["Args:", "Raises:", "Example:"]


def test_density_attributes_of_a_plain_layer():
    layer = keras_wconv.WeightedConv2D(2, (3, 5))
    np.testing.assert_array_equal(layer.density_map, np.ones((3, 5)))
    assert [len(profile) for profile in layer.density_profiles] == [3, 5]


@pytest.mark.parametrize("trainable", [False, True])
def test_density_attributes_before_and_after_build(trainable):
    layer = keras_wconv.WeightedConv2D(
        2,
        (3, 5),
        density=[[0.5], [0.25, 2.0]],
        normalize_density=True,
        density_trainable=trainable,
    )

    def check():
        assert np.mean(layer.density_map**2) == pytest.approx(1.0, rel=1e-6)
        rows, columns = layer.density_profiles
        np.testing.assert_array_equal(rows, [0.5, 1, 0.5])
        np.testing.assert_array_equal(columns, [0.25, 2, 1, 2, 0.25])

    check()
    layer.build((None, None, None, 1))
    check()
    if trainable:
        layer.density.weights[0].assign([3.0])
        np.testing.assert_array_equal(layer.density_profiles[0], [3, 1, 3])


def test_normalized_density_keeps_the_variance_of_the_signal():
    inputs = normal((64, 24, 24, 4))

    def variance(density, normalize):
        layer = keras_wconv.WeightedConv2D(
            32,
            7,
            density=density,
            normalize_density=normalize,
            kernel_initializer=keras.initializers.HeNormal(seed=1),
        )
        return to_numpy(layer(inputs)).var()

    published = [0.25, 0.15, 0.55]
    plain = variance(None, False)
    assert variance(published, False) / plain == pytest.approx(0.064, rel=0.2)
    assert variance(published, True) / plain == pytest.approx(1.0, rel=0.2)


FAMILIES = {
    "gaussian": densities.Gaussian(1.0),
    "radial": densities.Radial("inverse"),
    "own": Cauchy(1.5),
    "coefficients": [0.25, 0.15, 0.55],
    "axes": [[0.25, 0.15, 0.55]] * 2,
    "map": densities.Gaussian(1.0)((7, 7)),
}


@pytest.mark.parametrize("trainable", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_which_densities_are_normalized(family, trainable):
    """Families are unless told, what is given tap by tap is not; a bool decides."""
    density = FAMILIES[family]
    raw = densities.get(density)((7, 7))
    by_kind = family in ("gaussian", "radial", "own")
    for given, is_normalized in ((None, by_kind), (True, True), (False, False)):
        layer = keras_wconv.WeightedConv2D(
            2,
            7,
            density=density,
            normalize_density=given,
            density_trainable=trainable,
        )
        model = keras.Sequential([keras.Input((9, 9, 1)), layer])
        expected = raw / np.sqrt(np.mean(raw**2)) if is_normalized else raw
        for each in (layer, keras.models.clone_model(model).layers[0]):
            assert each.normalize_density is given
            assert each.density.normalize is is_normalized
            # A learned one is rounded to float32 once and again.
            np.testing.assert_allclose(each.density_map, expected, rtol=1e-5)
            np.testing.assert_allclose(
                to_numpy(each.effective_kernel),
                to_numpy(each.kernel) * expected[..., None, None],
                rtol=1e-5,
            )
        assert layer.get_config()["normalize_density"] is given


def test_files_that_say_false_keep_their_meaning():
    """As every file of version 0.1 does: None was not to be had."""
    layer = keras_wconv.WeightedConv2D(2, 7, density=densities.Gaussian(1.0))
    config = layer.get_config() | {"normalize_density": False}
    old = keras_wconv.WeightedConv2D.from_config(config)
    np.testing.assert_array_equal(old.density_map, densities.Gaussian(1.0)((7, 7)))


@pytest.mark.parametrize("normalize", [None, False])
def test_what_a_short_training_leaves_in_the_moving_variance(normalize):
    """The figures of docs/faq.md: v + (1 - v) 0.99^n after n steps, from 1.

    Without normalization the signal behind a Gaussian has a small variance v, and the
    batch normalization makes less of it at inference than it did in training.
    """
    keras.utils.set_random_seed(0)
    layer = keras_wconv.WeightedConv2D(
        32, 7, density=densities.Gaussian(1.0), normalize_density=normalize
    )
    normalization = keras.layers.BatchNormalization(epsilon=0.0)
    model = keras.Sequential([keras.Input((16, 16, 4)), layer, normalization])
    inputs = normal((8, 16, 16, 4))
    variances = to_numpy(layer(inputs)).var((0, 1, 2))
    for _ in range(400):
        model(inputs, training=True)
    expected = variances + (1 - variances) * 0.99**400
    # 400 roundings of float32.
    np.testing.assert_allclose(
        to_numpy(normalization.moving_variance), expected, rtol=1e-3
    )
    ratio = np.median(to_numpy(model(inputs)).std((0, 1, 2)))
    assert ratio == pytest.approx(0.66 if normalize is False else 0.97, abs=0.02)


@pytest.mark.parametrize("trainable", [False, True])
def test_map_is_what_a_kernel_is_multiplied_by(trainable):
    layer = keras_wconv.WeightedConv2D(
        2,
        (3, 5),
        density=[[0.5], [0.2, 0.8]],
        normalize_density=True,
        density_trainable=trainable,
    )
    layer.build((None, None, None, 1))
    phi = layer.density_map[..., None, None]
    # A few roundings of float32.
    np.testing.assert_allclose(to_numpy(layer.density.map()), phi, rtol=1e-6)
    np.testing.assert_allclose(
        to_numpy(layer.density.multiply(layer.kernel)),
        to_numpy(layer.kernel) * phi,
        rtol=1e-6,
    )


def test_assign_gives_a_held_density_new_values():
    layer = keras_wconv.WeightedConv2D(
        2, 3, density=np.ones((3, 3)), density_trainable=True
    )
    with pytest.raises(ValueError, match="Build it first"):
        layer.density.assign(np.zeros((3, 3)))
    layer.build((None, None, None, 1))
    phi = Gaussian(0.8)((3, 3))
    layer.density.assign(phi)
    np.testing.assert_array_equal(layer.density_map, phi.astype("float32"))
    np.testing.assert_allclose(
        to_numpy(layer.effective_kernel),
        to_numpy(layer.kernel) * phi[..., None, None],
        rtol=1e-6,
    )
    with pytest.raises(ValueError, match="must have the form of"):
        layer.density.assign([0.7])


# Bad input, at the constructor that is wrong.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel_size": 5, "density": 0.7}, r"`density` does not fit.*2 coefficients"),
        ({"density": [0.7, 1.0, 0.7]}, r"That is a full profile"),
        ({"density": float("nan")}, r"must be finite"),
        ({"density": "nonsense"}, r"Unknown `density`"),
        ({"density": np.ones((3, 5))}, r"must have the kernel's shape \(3, 3\)"),
        ({"density": [[0.7]]}, r"for each of 1 axes. Expected 2"),
        ({"density_regularizer": "l2"}, r"Expected density_trainable=True"),
        ({"density": 0.7, "density_constraint": "non_neg"}, r"density_trainable=True"),
        ({"density_trainable": True}, r"Start from a list of coefficients.*None"),
        ({"density_per_channel": True, "density": 0.7}, r"density_trainable=True"),
        (
            {"kernel_size": 1, "density": [], "density_trainable": True},
            r"nothing to learn.*for kernel_size=\(1, 1\)",
        ),
        (
            {"kernel_size": 2, "density": [[], []], "density_trainable": True},
            r"nothing to learn.*for kernel_size=\(2, 2\)",
        ),
        (
            {"kernel_size": 5, "density": [0.7], "density_trainable": True},
            r"does not fit the kernel",
        ),
        (
            {"density": np.zeros((3, 3)), "normalize_density": True},
            r"`normalize_density` divides",
        ),
        (
            {
                "density": np.zeros((3, 3)),
                "normalize_density": True,
                "density_trainable": True,
            },
            r"`normalize_density` divides",
        ),
    ],
)
def test_the_constructor_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        keras_wconv.WeightedConv2D(**{"filters": 2, "kernel_size": 3} | arguments)


# Gradients, and training as training of the effective kernel.


@pytest.mark.parametrize("form", LEARNED)
def test_gradients_of_a_learned_density_against_finite_differences(form):
    with float64():
        layer = keras_wconv.WeightedConv2D(
            2,
            **LEARNED[form],
            density_trainable=True,
            density_regularizer=keras.regularizers.L2(0.1),
            dtype="float64",
        )
        inputs = normal((2, 6, 6, 2), dtype="float64")
        layer.build(inputs.shape)
        target = keras.ops.array(normal(layer(inputs).shape, 1, "float64"))

        def loss():
            return keras.ops.sum((layer(inputs) - target) ** 2) + sum(layer.losses)

        weights = layer.density.weights
        for weight, gradient in zip(weights, gradients(loss, weights), strict=True):
            start = to_numpy(weight)
            step = 1e-5
            for index in np.ndindex(*start.shape):
                values = []
                for sign in (1, -1):
                    moved = start.copy()
                    moved[index] += sign * step
                    weight.assign(moved)
                    values.append(float(to_numpy(loss())))
                weight.assign(start)
                difference = (values[0] - values[1]) / (2 * step)
                # Truncation and cancellation are both near 1e-9 of the loss.
                assert gradient[index] == pytest.approx(difference, rel=1e-7, abs=1e-6)


RATE, MOMENTUM, DECAY, EPSILON = 2.0**-5, 0.875, 2.0**-6, 2.0**-20
BETA_1, BETA_2 = 0.875, 0.96875  # powers of two have no rounding in float32 either


def sgd(phi):
    velocity = 0.0

    def update(kernel, gradient):
        # The regularizer's term, 2 DECAY K, is not multiplied by the density.
        nonlocal velocity
        velocity = MOMENTUM * velocity - RATE * (phi**2 * gradient + 2 * DECAY * kernel)
        return kernel + velocity

    return update


def adam(phi, decay=0.0):
    first, second, step = 0.0, 0.0, 0

    def update(kernel, gradient):
        nonlocal first, second, step
        step += 1
        kernel = kernel - RATE * decay * kernel
        first = BETA_1 * first + (1 - BETA_1) * gradient
        second = BETA_2 * second + (1 - BETA_2) * gradient**2
        rate = RATE * np.sqrt(1 - BETA_2**step) / (1 - BETA_1**step)
        return kernel - phi * rate * first / (np.sqrt(second) + EPSILON / phi)

    return update


ADAM = {
    "learning_rate": RATE,
    "beta_1": BETA_1,
    "beta_2": BETA_2,
    "epsilon": EPSILON,
}
EQUIVALENCES = {
    "sgd": (
        lambda: keras.optimizers.SGD(RATE, momentum=MOMENTUM),
        sgd,
        keras.regularizers.L2(DECAY),
    ),
    "adam": (lambda: keras.optimizers.Adam(**ADAM), adam, None),
    "adamw": (
        lambda: keras.optimizers.AdamW(weight_decay=DECAY, **ADAM),
        functools.partial(adam, decay=DECAY),
        None,
    ),
}


@pytest.mark.parametrize("name", EQUIVALENCES)
def test_training_is_that_of_the_effective_kernel(name):
    make_optimizer, make_update, regularizer = EQUIVALENCES[name]
    with float64():
        inputs = normal((4, 6, 6, 2), dtype="float64")
        target = keras.ops.array(normal((4, 4, 4, 3), 1, "float64"))

        def loss(layer):
            return keras.ops.sum((layer(inputs) - target) ** 2) / 64

        shared = {"filters": 3, "kernel_size": 3, "use_bias": False, "dtype": "float64"}
        weighted = keras_wconv.WeightedConv2D(
            **shared, density=Gaussian(0.9), kernel_regularizer=regularizer
        )
        plain = keras.layers.Conv2D(**shared)
        weighted.build(inputs.shape)
        plain.build(inputs.shape)
        phi = weighted.density_map[..., np.newaxis, np.newaxis]
        kernel = to_numpy(weighted.kernel) * phi
        update = make_update(phi)
        optimizer = make_optimizer()
        for _ in range(10):
            variables = weighted.trainable_variables
            found = gradients(lambda: loss(weighted) + sum(weighted.losses), variables)
            optimizer.apply([keras.ops.convert_to_tensor(g) for g in found], variables)
            plain.kernel.assign(kernel)
            [gradient] = gradients(lambda: loss(plain), plain.trainable_variables)
            kernel = update(kernel, gradient)
        # Some hundred roundings of 1e-16, on values near 1.
        np.testing.assert_allclose(
            to_numpy(weighted.effective_kernel), kernel, rtol=0, atol=1e-13
        )


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_fixed_and_held_densities_give_the_same_bits(policy):
    keras.config.set_dtype_policy(policy)
    phi = Gaussian(0.77)((3, 3))
    fixed = small_model(density=phi)
    held = small_model(density=Map(np.ones((3, 3))), density_trainable=True)
    held.layers[0].density.trainable = False
    held.layers[0].density.assign(phi)
    weights = fixed.get_weights()
    held.set_weights([*weights[:2], phi, *weights[2:]])
    inputs = normal((8, 6, 5, 2))
    for model in (fixed, held):
        model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse")
    np.testing.assert_array_equal(
        fixed.predict(inputs, verbose=0), held.predict(inputs, verbose=0)
    )
    for model in (fixed, held):
        model.fit(inputs, normal((8, 2), 1), epochs=3, verbose=0, shuffle=False)
    for a, b in zip(fixed.trainable_weights, held.trainable_weights, strict=True):
        np.testing.assert_array_equal(to_numpy(a), to_numpy(b))
    assert not np.array_equal(fixed.get_weights()[0], weights[0])
    np.testing.assert_array_equal(
        fixed.predict(inputs, verbose=0), held.predict(inputs, verbose=0)
    )


# Precision, compilers, shapes.


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("trainable", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_mixed_precision(name, trainable, policy):
    arguments = arguments_of(name) | {"density": [0.7], "density_trainable": trainable}
    exact = make(weighted_class(name), **arguments)
    mixed = make(weighted_class(name), **arguments, dtype=policy)
    inputs = input_of(name)
    exact.build(inputs.shape)
    mixed.build(inputs.shape)
    randomize(exact)
    mixed.set_weights(exact.get_weights())
    outputs = mixed(inputs)
    assert keras.backend.standardize_dtype(outputs.dtype) == policy[len("mixed_") :]
    assert {w.dtype for w in mixed.weights} == {"float32"}
    expected = to_numpy(exact(inputs))
    # bfloat16 keeps 8 bits; some tens of terms of magnitude 1.
    found = to_numpy(keras.ops.cast(outputs, "float32"))
    assert np.abs(found - expected).max() < 2.0**-8 * 4 * np.abs(expected).max()


@pytest.mark.skipif(BACKEND == "torch", reason="its compiler takes over a minute")
@pytest.mark.parametrize("form", ["per axis", "normalized"])
def test_jit_compiled_training(form):
    model = small_model(**LEARNED[form], density_trainable=True)
    model.compile(keras.optimizers.Adam(0.05), "mse", jit_compile=True)
    start = model.layers[0].density_map
    model.fit(normal((8, 6, 5, 2)), normal((8, 2), 1), epochs=2, verbose=0)
    assert np.all(np.isfinite(model.layers[0].density_map))
    assert not np.allclose(model.layers[0].density_map, start)


@pytest.mark.parametrize("trainable", [False, True])
def test_unknown_spatial_sizes(trainable):
    inputs = keras.Input((None, None, 2))
    layer = keras_wconv.WeightedConv2D(
        3, 5, strides=2, density=[0.2, 0.8], density_trainable=trainable
    )
    outputs = layer(inputs)
    assert outputs.shape == (None, None, None, 3)
    model = keras.Model(inputs, outputs)
    for size in (6, 9):
        outputs = model.predict(normal((1, size, 5, 2)), verbose=0)
        assert outputs.shape == (1, (size - 3) // 2, 1, 3)


@pytest.mark.skipif(BACKEND != "jax", reason="transformations of JAX")
def test_stateless_call_under_jit_grad_and_vmap():
    import jax

    layer = keras_wconv.WeightedConv2D(3, 3, density=[0.7], density_trainable=True)
    inputs = normal((4, 6, 6, 2))
    layer.build(inputs.shape)
    values = [v.value for v in layer.trainable_variables]

    @jax.jit
    def loss(values, inputs):
        outputs, _ = layer.stateless_call(values, [], inputs)
        return (outputs**2).mean()

    each = jax.vmap(jax.grad(loss), in_axes=(None, 0))(values, inputs[:, None])
    together = jax.grad(loss)(values, inputs)
    for some, one in zip(each, together, strict=True):
        np.testing.assert_allclose(some.mean(0), one, rtol=1e-4, atol=1e-6)
    assert np.any(together[-1])


@pytest.mark.parametrize("trainable", [False, True])
def test_rematerialization_gives_the_same_gradients(trainable):
    inputs = normal((2, 6, 6, 2))
    arguments = {"density": [0.7], "density_trainable": trainable}
    plain = make(keras_wconv.WeightedConv2D, filters=3, kernel_size=3, **arguments)
    with keras.RematScope(mode="full"):
        remat = make(keras_wconv.WeightedConv2D, filters=3, kernel_size=3, **arguments)
    plain.build(inputs.shape)
    remat.build(inputs.shape)
    randomize(plain)
    remat.set_weights(plain.get_weights())
    found = [
        gradients(
            lambda layer=layer: keras.ops.sum(layer(inputs) ** 2),
            layer.trainable_variables,
        )
        for layer in (plain, remat)
    ]
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="tf.function")
def test_tf_function_does_not_trace_again_for_new_values():
    import tensorflow as tf

    layer = keras_wconv.WeightedConv2D(
        2, 3, density=np.ones((3, 3)), density_trainable=True
    )
    traces = []

    @tf.function
    def call(inputs):
        traces.append(1)
        return layer(inputs)

    layer.build((None, 5, 5, 1))
    outputs = []
    for value in (1.0, 2.0):
        layer.density.assign(np.full((3, 3), value))
        outputs.append(call(tf.ones((1, 5, 5, 1))))
    assert len(traces) == 1
    np.testing.assert_allclose(2 * outputs[0], outputs[1], rtol=1e-6)


# Files.


@pytest.mark.parametrize("form", LEARNED)
@pytest.mark.parametrize("lora", [False, True])
def test_saved_models_load_again(form, lora, tmp_path):
    model = small_model(**LEARNED[form], density_trainable=True)
    if lora:
        model.layers[0].enable_lora(2)
    inputs = normal((4, 6, 5, 2))
    randomize(model)
    expected = to_numpy(model(inputs))

    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_allclose(to_numpy(loaded(inputs)), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(
        loaded.layers[0].density_map, model.layers[0].density_map
    )

    model.save_weights(tmp_path / "model.weights.h5")
    again = small_model(**LEARNED[form], density_trainable=True)
    if lora:
        again.layers[0].enable_lora(2)
    again.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_allclose(to_numpy(again(inputs)), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("density", [0.7, Gaussian(0.8), Gaussian(0.8)((3, 3))])
def test_saved_models_with_a_fixed_density_load_again(density, tmp_path):
    model = small_model(density=density)
    inputs = normal((2, 6, 5, 2))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(to_numpy(loaded(inputs)), to_numpy(model(inputs)))


def test_legacy_weight_files_of_the_plain_layer_fit(tmp_path):
    plain = keras.Sequential([keras.Input((6, 6, 2)), keras.layers.Conv2D(3, 3)])
    weighted = keras.Sequential(
        [keras.Input((6, 6, 2)), keras_wconv.WeightedConv2D(3, 3, density=0.7)]
    )
    plain.layers[0].bias.assign([1.0, 2.0, 3.0])
    plain.save(tmp_path / "plain.h5")
    weighted.load_weights(tmp_path / "plain.h5")
    for a, b in zip(weighted.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def every_kind_of_layer():
    same = {"padding": "same"}
    learned = {"density_trainable": True, **same}
    model = keras.Sequential(
        [
            keras.Input((8, 6, 2)),
            keras_wconv.WeightedConv2D(4, 3, density=[0.7], **learned),
            keras_wconv.WeightedConv2D(
                4, (5, 3), density=[[0.2, 0.8], [0.7]], **learned
            ),
            keras_wconv.WeightedConv2D(4, 3, density=Gaussian()((3, 3)), **learned),
            keras_wconv.WeightedSeparableConv2D(
                4, 3, density=[0.7], normalize_density=True, **learned
            ),
            keras_wconv.WeightedDepthwiseConv2D(4, density="gaussian", **same),
            keras_wconv.WeightedConv2D(4, 3, density=Gaussian([0.8, 2.0]), **learned),
            keras_wconv.WeightedConv2D(4, 3, density=Radial("inverse"), **learned),
            keras_wconv.WeightedConv2D(
                4, 3, density=Cauchy(1.5), density_per_channel=True, **learned
            ),
            keras_wconv.WeightedDepthwiseConv2D(
                (3, 5),
                density=[[0.7], [0.2, 0.8]],
                density_per_channel=True,
                **learned,
            ),
            keras_wconv.WeightedDepthwiseConv2D(
                5, density="gaussian", density_per_channel=True, **learned
            ),
            keras_wconv.WeightedDepthwiseConv2D(
                3, density=np.linspace(0.5, 1.5, 36).reshape(3, 3, 4, 1), **same
            ),
            keras_wconv.WeightedConv2DTranspose(3, 3, strides=2, density=0.7, **same),
            keras.layers.Reshape((-1, 3)),
            keras_wconv.WeightedConv1D(
                2, 3, padding="causal", density=[0.3, 0.6], density_trainable=True
            ),
        ]
    )
    model.layers[0].enable_lora(2)
    randomize(model)
    return model


@pytest.mark.skipif(BACKEND != "tensorflow", reason="once: it starts the other two")
def test_a_saved_model_loads_under_the_other_backends(tmp_path):
    model = every_kind_of_layer()
    inputs = normal((2, 8, 6, 2))
    outputs = to_numpy(model(inputs))
    model.save(tmp_path / "model.keras")
    np.savez(tmp_path / "data.npz", inputs=inputs, outputs=outputs)
    script = """
        import keras, keras_wconv, numpy, own_density
        data = numpy.load("data.npz")
        model = keras.saving.load_model("model.keras", safe_mode=True)
        outputs = keras.ops.convert_to_numpy(model(data["inputs"]))
        scale = numpy.abs(data["outputs"]).max()
        assert numpy.abs(outputs - data["outputs"]).max() < 1e-5 * scale
    """
    support = str(Path(own_density.__file__).parent)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script)],
            cwd=tmp_path,
            env={**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": support},
            stderr=subprocess.PIPE,
            text=True,
        )
        for backend in ("jax", "torch")
        if importlib.util.find_spec(backend)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors


@pytest.mark.skipif(
    BACKEND == "torch", reason="Keras 3.15.1 fails there with its own Conv2D too"
)
def test_exported_without_folding(tmp_path):
    import tensorflow as tf

    model = small_model(density=[0.7], density_trainable=True)
    inputs = normal((2, 6, 5, 2))
    model.export(tmp_path / "exported", format="tf_saved_model", verbose=False)
    exported = tf.saved_model.load(tmp_path / "exported")
    np.testing.assert_allclose(
        exported.serve(inputs), to_numpy(model(inputs)), atol=1e-6
    )


# What users do to layers.


def pickled(model):
    return pickle.loads(pickle.dumps(model))


@pytest.mark.parametrize("trainable", [False, True])
@pytest.mark.parametrize("copied", [copy.deepcopy, pickled])
def test_copies(copied, trainable):
    model = small_model(density=[0.7], density_trainable=trainable)
    randomize(model)
    inputs = normal((2, 6, 5, 2))
    np.testing.assert_array_equal(
        to_numpy(copied(model)(inputs)), to_numpy(model(inputs))
    )


def test_clone_model_makes_a_density_of_its_own():
    model = small_model(density=[0.7], density_trainable=True)
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    clone.layers[0].density.weights[0].assign([0.1])
    assert model.layers[0].density_profiles[0][0] == pytest.approx(0.7)


def test_two_layers_may_be_given_one_density():
    density = keras_wconv.densities.Separable([0.7])
    first, second = (
        keras_wconv.WeightedConv2D(1, 3, density=density, density_trainable=True)
        for _ in range(2)
    )
    for layer in (first, second):
        layer.build((None, 4, 4, 1))
    first.density.weights[0].assign([0.1])
    assert second.density_profiles[0][0] == pytest.approx(0.7)


def test_a_layer_that_is_used_twice_has_one_density():
    inputs = keras.Input((6, 6, 2))
    layer = keras_wconv.WeightedConv2D(
        2, 3, padding="same", density=[0.7], density_trainable=True
    )
    model = keras.Model(inputs, layer(layer(inputs)))
    assert len(model.weights) == 3


def test_time_distributed():
    layer = keras_wconv.WeightedConv2D(2, 3, density=[0.7], density_trainable=True)
    wrapped = keras.layers.TimeDistributed(layer)
    inputs = normal((2, 3, 6, 6, 2))
    outputs = to_numpy(wrapped(inputs))
    assert [w.path.split("/")[-1] for w in wrapped.trainable_weights] == [
        "kernel",
        "bias",
        "coefficients",
    ]
    np.testing.assert_allclose(
        outputs[:, 1], to_numpy(layer(inputs[:, 1])), rtol=1e-5, atol=1e-6
    )


def test_frozen_layers_do_not_train():
    model = small_model(density=[0.7], density_trainable=True)
    layer = model.layers[0]
    layer.density.trainable = False
    assert [w.name for w in layer.trainable_weights] == ["kernel", "bias"]
    layer.trainable = False
    assert layer.trainable_weights == []
    model.compile("sgd", "mse")
    before = layer.get_weights()
    model.fit(normal((4, 6, 5, 2)), normal((4, 2)), verbose=0)
    for a, b in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_regularizer_and_constraint_act_on_the_density_alone():
    layer = keras_wconv.WeightedConv2D(
        2,
        3,
        density=[-0.5],
        density_trainable=True,
        density_regularizer=keras.regularizers.L2(0.1),
        density_constraint="non_neg",
    )
    layer.build((None, 5, 5, 1))
    assert to_numpy(sum(layer.losses)) == pytest.approx(0.1 * 0.25)
    [weight] = layer.density.weights
    optimizer = keras.optimizers.SGD(0.0)
    kernel = to_numpy(layer.kernel)
    optimizer.apply([keras.ops.zeros(w.shape) for w in layer.weights], layer.weights)
    np.testing.assert_array_equal(to_numpy(weight), [0.0])
    np.testing.assert_array_equal(to_numpy(layer.kernel), kernel)
    layer.density.trainable = False
    assert not layer.losses


def test_activity_regularizer_sees_the_weighted_outputs():
    layer = keras_wconv.WeightedConv2D(
        2, 3, density=np.zeros((3, 3)), activity_regularizer="l2"
    )
    layer(normal((1, 5, 5, 1)))
    assert to_numpy(layer.losses[0]) == 0.0


def test_layers_and_models_named_density():
    inner = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            keras_wconv.WeightedConv2D(
                2, 3, density=[0.7], density_trainable=True, name="density"
            ),
        ],
        name="density",
    )
    model = keras.Sequential([keras.Input((6, 6, 2)), inner])
    assert len({w.path for w in model.weights}) == 3
    assert model.weights[-1].path == "density/density/density/coefficients"


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize`")
def test_quantize_leaves_the_layer_as_it_is():
    model = small_model(density=[0.7], density_trainable=True)
    before = model.layers[0].get_weights()
    model.quantize("int8")
    for a, b in zip(before, model.layers[0].get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert model(normal((1, 6, 5, 2))).shape == (1, 2)


@pytest.mark.skipif(BACKEND != "torch", reason="modules of PyTorch")
def test_the_density_is_a_parameter_of_the_torch_module():
    model = small_model(density=[0.7], density_trainable=True)
    assert any("density/coefficients" in name for name in model.state_dict())
    other = small_model(density=[0.1], density_trainable=True)
    names = zip(other.state_dict(), model.state_dict().values(), strict=True)
    other.load_state_dict(dict(names))
    np.testing.assert_array_equal(
        other.layers[0].density_map, model.layers[0].density_map
    )


@pytest.mark.skipif(BACKEND != "torch", reason="The others compile.")
@pytest.mark.parametrize("trainable", [False, True])
def test_a_call_copies_nothing_from_the_host(trainable):
    import torch

    class NothingFromTheHost(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            assert function not in (torch.as_tensor, torch.from_numpy, torch.tensor)
            return function(*args, **(kwargs or {}))

    layer = keras_wconv.WeightedConv2D(
        2, (5, 4), density=[[0.2, 0.8], [0.7]], density_trainable=trainable
    )
    layer.build((None, 8, 8, 1))
    with NothingFromTheHost():
        layer.effective_kernel
