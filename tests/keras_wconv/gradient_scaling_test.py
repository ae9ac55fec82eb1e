"""`callbacks.SpatialGradientScaling`: its steps, its renewals, its models and files."""

import keras
import numpy as np
import pytest

import keras_wconv
from keras_wconv._dependence import gradient_factors
from keras_wconv.callbacks import SpatialGradientScaling
from keras_wconv.layers import StepDensity

BACKEND = keras.backend.backend()
RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(16, 10, 10, 4)).cumsum(1).cumsum(2).astype("float32")
IMAGES /= IMAGES.std()
TARGETS = RNG.normal(size=(16, 1)).astype("float32")


def network(*layers, shape=(10, 10, 4)):
    """A network whose initial weights are always the same."""
    rank = len(shape) - 1
    pool = getattr(keras.layers, f"GlobalAveragePooling{rank}D")()
    model = keras.Sequential([keras.Input(shape), *layers, pool, keras.layers.Dense(1)])
    rng = np.random.default_rng(3)
    model.set_weights([0.3 * rng.normal(size=w.shape) for w in model.get_weights()])
    return model


def conv(**arguments):
    return keras.layers.Conv2D(**{"filters": 4, "kernel_size": 3, **arguments})


def fit(model, scaling, x=IMAGES, **arguments):
    """Trains with one batch in an epoch, so that an epoch is a step."""
    return model.fit(
        x,
        TARGETS,
        batch_size=len(x),
        shuffle=False,
        verbose=0,
        callbacks=[*([scaling] if scaling else [])],
        **arguments,
    )


def effective(model):
    """The values of what is trained, kernels as they act."""
    kernels = {
        id(layer.weights[0]): layer.effective_kernel
        for layer in keras_wconv.inspection.weighted_layers(model).values()
    }
    return [
        keras.ops.convert_to_numpy(kernels.get(id(v), v)).astype("float64")
        for v in model.trainable_variables
    ]


def factors_of(model, scaling, renewal=-1):
    """The factors of each variable that is trained, 1 where it is no kernel."""
    factors = {
        id(layer.weights[0]): scaling.factors[name][renewal][..., None, None]
        for name, layer in keras_wconv.inspection.weighted_layers(model).items()
    }
    return [factors.get(id(v), 1.0) for v in model.trainable_variables]


LAYERS = {
    "strides": lambda: [conv(strides=2, padding="same", activation="relu"), conv()],
    "dilation, even, no bias": lambda: [
        conv(kernel_size=(2, 3), dilation_rate=(2, 1), use_bias=False)
    ],
    "groups": lambda: [conv(groups=2, padding="same")],
    "depthwise": lambda: [keras.layers.DepthwiseConv2D(3, depth_multiplier=2)],
    "separable": lambda: [keras.layers.SeparableConv2D(4, 3)],
}


@pytest.mark.parametrize("name", LAYERS)
def test_one_step_of_sgd_is_the_gradient_times_the_factors(name):
    plain, scaled = network(*LAYERS[name]()), network(*LAYERS[name]())
    start = plain.get_weights()
    for model in (plain, scaled):
        model.compile(keras.optimizers.SGD(0.1), "mse")
    scaling = SpatialGradientScaling(IMAGES)
    fit(plain, None)
    fit(scaled, scaling)
    assert any(np.ndim(g) for g in factors_of(scaled, scaling))
    for before, other, own, factors in zip(
        start,
        plain.get_weights(),
        effective(scaled),
        factors_of(scaled, scaling),
        strict=True,
    ):
        # Weights are some 0.3, and rounded a few times to 2**-24 of that.
        np.testing.assert_allclose(
            own - before, factors * (other - before), rtol=1e-4, atol=2e-7
        )


def test_one_dimension_and_causal_padding():
    series = IMAGES[:, :, 0]
    layers = [keras.layers.Conv1D(4, 3, padding="causal", dilation_rate=2)]
    model = network(*layers, shape=(10, 4))
    model.compile(keras.optimizers.SGD(0.1), "mse")
    start = model.get_weights()
    scaling = SpatialGradientScaling(series)
    fit(model, scaling, series)
    [[factors]] = scaling.factors.values()
    expected = gradient_factors(series, (3,), 2, causal=True)
    np.testing.assert_allclose(factors, expected, rtol=1e-6)
    plain = network(
        keras.layers.Conv1D(4, 3, padding="causal", dilation_rate=2), shape=(10, 4)
    )
    plain.compile(keras.optimizers.SGD(0.1), "mse")
    fit(plain, None, series)
    np.testing.assert_allclose(
        effective(model)[0] - start[0],
        factors[:, None, None] * (plain.get_weights()[0] - start[0]),
        rtol=1e-4,
        atol=2e-7,
    )


def sgd(state, gradient, factor, step):
    """Nesterov momentum of the effective kernel, its gradient times the factors."""
    scaled = 0.05 * factor * gradient
    state["v"] = 0.9 * state.get("v", 0.0) - scaled
    return 0.9 * state["v"] - scaled


# Without epsilon, which sees the gradient of the kernel and not of the effective one.
def adam(state, gradient, factor, step):
    """Adam of the effective kernel, its update times the factors."""
    state["m"] = 0.9 * state.get("m", 0.0) + 0.1 * gradient
    state["v"] = 0.999 * state.get("v", 0.0) + 0.001 * gradient**2
    m, v = state["m"] / (1 - 0.9**step), state["v"] / (1 - 0.999**step)
    return -factor * 0.01 * m / np.sqrt(v)


def rmsprop(state, gradient, factor, step):
    """Centered RMSprop with momentum, whose momentum keeps the factors of its time."""
    state["v"] = 0.9 * state.get("v", 0.0) + 0.1 * gradient**2
    state["g"] = 0.9 * state.get("g", 0.0) + 0.1 * gradient
    divided = 0.01 * gradient / np.sqrt(state["v"] - state["g"] ** 2)
    state["m"] = 0.9 * state.get("m", 0.0) + factor * divided
    return -state["m"]


RULES = {
    "sgd": (lambda: keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True), sgd),
    "adam": (lambda: keras.optimizers.Adam(0.01, epsilon=1e-12), adam),
    "rmsprop": (
        lambda: keras.optimizers.RMSprop(
            0.01, momentum=0.9, centered=True, epsilon=1e-14
        ),
        rmsprop,
    ),
}


@pytest.mark.parametrize("name", RULES)
def test_steps_go_on_over_renewals_as_those_of_the_effective_kernel(name):
    make, rule = RULES[name]
    model, plain = network(conv()), network(conv())
    values = [value.astype("float64") for value in plain.get_weights()]
    model.compile(make(), "mse")
    scaling = SpatialGradientScaling(IMAGES, every=2)
    plain.compile(keras.optimizers.SGD(1.0), "mse")
    states = [{} for _ in values]
    # Other inputs, so that the factors of the second renewal are others.
    data = [IMAGES, np.random.default_rng(5).normal(size=IMAGES.shape)]
    for step in range(1, 5):
        scaling.data = data[step > 2]
        fit(model, scaling, initial_epoch=step - 1, epochs=step)
        if step % 2:
            factors = factors_of(model, scaling)
        plain.set_weights(values)
        before = plain.get_weights()
        plain.train_on_batch(IMAGES, TARGETS)
        gradients = [b - a for b, a in zip(before, plain.get_weights(), strict=True)]
        values = [
            value + rule(state, gradient.astype("float64"), factor, step)
            for value, state, gradient, factor in zip(
                values, states, gradients, factors, strict=True
            )
        ]
    # Gradients are known to 3e-8, as differences of weights of float32. The least is
    # 3e-5, and a rule that divides by its size makes 1e-3 of a step of 0.03 of that.
    tolerance = 2e-6 if name == "sgd" else 1e-4
    for own, value in zip(effective(model), values, strict=True):
        np.testing.assert_allclose(own, value, atol=tolerance)


def renewed(dtype=None, layers=None):
    model = network(*(layers or [conv(dtype=dtype), conv(dtype=dtype)]))
    model.compile("sgd", "mse")
    scaling = SpatialGradientScaling(IMAGES, every=100)
    fit(model, scaling)
    scaling.data = np.random.default_rng(5).normal(size=IMAGES.shape)
    before = np.array(model.predict(IMAGES, verbose=0))
    maps = [one.density_map for one in scaling._layers.values()]
    scaling.renew()
    for one, was in zip(scaling._layers.values(), maps, strict=True):
        assert np.abs(one.density_map / was - 1).max() > 0.1
    return before, model.predict(IMAGES, verbose=0)


def test_outputs_stay_at_a_renewal():
    before, after = renewed()
    np.testing.assert_allclose(after, before, atol=1e-6 * np.abs(before).max())


def test_outputs_stay_at_a_renewal_of_mixed_precision():
    # Kernel, density and product are rounded to 2**-11 each, in two layers.
    before, after = renewed("mixed_float16")
    np.testing.assert_allclose(after, before, atol=4e-3 * np.abs(before).max())


def test_factors_are_of_what_a_layer_meets():
    first = conv(strides=2, padding="same", activation="relu")
    second = conv(dilation_rate=2)
    model = network(first, second)
    model.compile("sgd", "mse")
    seen = keras.ops.convert_to_numpy(first(IMAGES))
    scaling = SpatialGradientScaling(IMAGES, bins=9, power=0.5)
    fit(model, scaling)
    for layer, inputs in ((first, IMAGES), (second, seen)):
        [found] = scaling.factors[layer.name]
        expected = gradient_factors(
            inputs, (3, 3), layer.dilation_rate, bins=9, power=0.5
        )
        np.testing.assert_allclose(found, expected, rtol=1e-3)


@pytest.mark.skipif(BACKEND == "tensorflow", reason="no channels_first on a CPU")
def test_channels_first():
    model = keras.Sequential(
        [
            keras.Input((4, 10, 10)),
            conv(data_format="channels_first", name="conv"),
            keras.layers.Flatten(),
            keras.layers.Dense(1),
        ]
    )
    model.compile("sgd", "mse")
    moved = np.moveaxis(IMAGES, -1, 1)
    scaling = SpatialGradientScaling(moved)
    fit(model, scaling, moved)
    [found] = scaling.factors["conv"]
    np.testing.assert_allclose(found, gradient_factors(IMAGES, (3, 3)), rtol=1e-6)


class Own(keras.Model):
    """A model of code, with a layer that it uses twice and one in a list."""

    def __init__(self):
        super().__init__()
        self.shared = conv(padding="same")
        self.more = [keras.Sequential([conv()])]
        self.pool = keras.layers.GlobalAveragePooling2D()

    def call(self, x):
        x = self.shared(keras.ops.tanh(self.shared(x)))
        return keras.ops.mean(self.pool(self.more[0](x)), axis=-1, keepdims=True)


def test_a_model_of_code_with_a_shared_layer():
    model = Own()
    model.compile(keras.optimizers.Adam(1e-3), "mse")
    scaling = SpatialGradientScaling(IMAGES)
    history = fit(model, scaling, epochs=3)
    assert len(scaling.factors) == 2
    assert history.history["loss"][-1] < history.history["loss"][0]
    once = gradient_factors(IMAGES, (3, 3))
    assert np.abs(scaling.factors[model.shared.name][0] - once).max() > 1e-3


def test_with_no_power_the_training_is_the_plain_one():
    results = []
    for scaling in (None, SpatialGradientScaling(IMAGES, every=1, power=0)):
        model = network(conv(), conv(kernel_regularizer="l2"))
        model.compile(keras.optimizers.Adam(1e-2), "mse")
        history = fit(model, scaling, epochs=3)
        results.append([history.history["loss"], *effective(model)])
    for plain, scaled in zip(*results, strict=True):
        np.testing.assert_allclose(scaled, plain, rtol=1e-4, atol=1e-5)


def test_factors_of_one_are_renewed_as_rarely_as_any():
    """Found: where all factors were 1, each epoch paid for a renewal."""
    model = network(conv())
    model.compile("sgd", "mse")
    scaling = SpatialGradientScaling(IMAGES, every=3, power=0)
    fit(model, scaling, epochs=4)
    assert [len(factors) for factors in scaling.factors.values()] == [2]


def test_a_regularizer_goes_on_to_act_on_the_effective_kernel():
    model = network(conv(kernel_regularizer="l2"))
    model.compile("sgd", "mse")
    before = model.evaluate(IMAGES, TARGETS, verbose=0)
    model.optimizer.learning_rate = 0.0
    fit(model, SpatialGradientScaling(IMAGES))
    after = model.evaluate(IMAGES, TARGETS, verbose=0)
    assert after == pytest.approx(before, rel=1e-5)
    assert not np.all(model.layers[0].density_map == 1)


def test_momentum_goes_on_in_optimizers_inside_of_others():
    learned = keras_wconv.WeightedConv2D(4, 3, density=[0.7], density_trainable=True)
    model = network(learned, conv(name="conv"))
    kernels = keras.optimizers.SGD(0.1, momentum=0.9)
    model.compile(
        keras.optimizers.LossScaleOptimizer(
            keras_wconv.optimizers.density_optimizer(kernels)
        ),
        "mse",
    )
    scaling = SpatialGradientScaling(IMAGES, where=lambda layer: layer.name == "conv")
    fit(model, scaling)
    layer = model.get_layer("conv")

    def momentum():
        [slot] = [v for v in kernels.variables if "conv_kernel_m" in v.name]
        phi = layer.density_map[..., None, None]
        return phi * keras.ops.convert_to_numpy(slot), phi

    before, phi = momentum()
    scaling.data = np.random.default_rng(5).normal(size=IMAGES.shape)
    scaling.renew()
    after, new = momentum()
    assert np.abs(new / phi - 1).max() > 0.1
    np.testing.assert_allclose(after, before, rtol=1e-6)
    assert np.abs(before).max() > 0


def test_a_training_goes_on_from_a_file(tmp_path):
    def made():
        model = network(conv(), conv())
        model.compile(keras.optimizers.Adam(1e-2), "mse")
        return model

    def losses(model, **arguments):
        scaling = SpatialGradientScaling(IMAGES, every=2)
        return fit(model, scaling, **arguments).history["loss"]

    expected = losses(made(), epochs=5)
    model = made()
    losses(model, epochs=3)  # Stopped between two renewals.
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.layers[0].density, StepDensity)
    found = losses(loaded, initial_epoch=3, epochs=5)
    # The files are exact; what is compiled anew may sum in another order.
    np.testing.assert_allclose(found, expected[3:], rtol=1e-5)

    weights = tmp_path / "model.weights.h5"
    model.save_weights(weights)
    other = made()
    SpatialGradientScaling(IMAGES).set_model(other)
    other.optimizer.build(other.trainable_variables)
    other.load_weights(weights)
    found = losses(other, initial_epoch=3, epochs=5)
    np.testing.assert_allclose(found, expected[3:], rtol=1e-5)


def test_backup_and_restore(tmp_path):
    def run(folder, stop=None):
        model = network(conv())
        model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse")
        model.optimizer.build(model.trainable_variables)

        def interrupt(epoch, logs):
            if epoch == stop:
                raise KeyboardInterrupt

        return model.fit(
            IMAGES,
            TARGETS,
            batch_size=16,
            epochs=5,
            verbose=0,
            callbacks=[
                SpatialGradientScaling(IMAGES, every=2),
                keras.callbacks.BackupAndRestore(folder),
                keras.callbacks.LambdaCallback(on_epoch_begin=interrupt),
            ],
        ).history["loss"]

    expected = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", stop=3)
    np.testing.assert_allclose(run(tmp_path / "cut"), expected[3:], rtol=1e-5)


def test_fold_makes_it_plain():
    model = network(conv(strides=2), keras.layers.DepthwiseConv2D(3))
    model.compile("sgd", "mse")
    fit(model, SpatialGradientScaling(IMAGES))
    outputs = model.predict(IMAGES, verbose=0)
    folded = keras_wconv.fold(model)
    assert [type(layer).__name__ for layer in folded.layers[:2]] == [
        "Conv2D",
        "DepthwiseConv2D",
    ]
    assert (
        folded.count_params()
        == network(conv(strides=2), keras.layers.DepthwiseConv2D(3)).count_params()
    )
    np.testing.assert_allclose(
        folded.predict(IMAGES, verbose=0), outputs, atol=1e-6 * np.abs(outputs).max()
    )


def test_what_is_left_and_why():
    frozen = conv(trainable=False)
    own = keras_wconv.WeightedConv2D(4, 3, density=[0.7])
    excluded, point = conv(), conv(kernel_size=1)
    model = network(conv(), frozen, own, excluded, point)
    model.compile("sgd", "mse")
    scaling = SpatialGradientScaling(IMAGES, where=lambda one: one is not excluded)
    with pytest.warns(UserWarning, match="it has another density"):
        fit(model, scaling)
    reasons = [entry.reason for entry in scaling.report.entries]
    assert reasons == [
        None,
        "its kernel is not trained",
        "it has another density",
        "`where` excludes it",
        "a kernel of 1 has nothing to weight",
    ]
    assert len(scaling.factors) == 1
    assert type(frozen) is keras.layers.Conv2D


@pytest.mark.parametrize(
    ("layer", "optimizer", "message"),
    [
        (lambda: conv(kernel_constraint="max_norm"), "sgd", "with `where`"),
        (lambda: conv(), "adafactor", "must be one of SGD, Adam"),
        (lambda: conv(kernel_size=1), "sgd", "must have a convolution"),
    ],
)
def test_what_cannot_be_scaled(layer, optimizer, message):
    model = network(layer())
    model.compile(optimizer, "mse")
    with pytest.raises(ValueError, match=message):
        fit(model, SpatialGradientScaling(IMAGES))


@pytest.mark.parametrize(
    "wrong",
    [{"every": 0}, {"every": 1.5}, {"bins": 1}, {"power": -1}, {"where": "conv"}],
)
def test_wrong_arguments(wrong):
    with pytest.raises(ValueError, match=f"`{next(iter(wrong))}` must"):
        SpatialGradientScaling(IMAGES, **wrong)


@pytest.mark.parametrize("data", [IMAGES[:0], np.full_like(IMAGES, np.nan)])
def test_data_that_tell_nothing_are_refused(data):
    model = network(conv())
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="`data` must have examples, of finite"):
        fit(model, SpatialGradientScaling(data))


def test_a_step_density_of_another_size_is_an_error():
    config = keras_wconv.WeightedConv2D(1, 3).get_config()
    config["density"] = keras.saving.serialize_keras_object(
        StepDensity(np.ones((5, 5)), (5, 5))
    )
    with pytest.raises(ValueError, match=r"fit kernel_size=\(3, 3\)"):
        keras_wconv.WeightedConv2D.from_config(config)


def test_where_may_ask_for_the_class_that_conversion_changes():
    model = network(conv(name="a"), keras.layers.DepthwiseConv2D(3), conv(name="b"))
    model.compile("sgd", "mse")
    scaling = SpatialGradientScaling(
        IMAGES, where=lambda layer: type(layer) is keras.layers.Conv2D
    )
    for _ in range(2):
        fit(model, scaling)
        assert list(scaling.factors) == ["a", "b"]
        assert all(len(found) == 1 for found in scaling.factors.values())


def momentum_of(model, name):
    """The momentum of a kernel, as that of the effective kernel."""
    [slot] = [v for v in model.optimizer.variables if f"{name}_kernel_m" in v.name]
    phi = getattr(model.get_layer(name), "density_map", np.ones((3, 3)))
    return phi[..., None, None] * keras.ops.convert_to_numpy(slot)


def test_the_momentum_of_a_kernel_is_its_own_after_another_was_frozen():
    model = network(*(conv(name=name, padding="same") for name in "abc"))
    model.compile(keras.optimizers.SGD(1e-3, momentum=0.9), "mse")
    scaling = SpatialGradientScaling(
        IMAGES, every=1, where=lambda layer: layer.name == "c"
    )
    fit(model, scaling)
    model.get_layer("a").trainable = False
    before = {name: momentum_of(model, name) for name in "abc"}
    phi = model.get_layer("c").density_map
    scaling.set_model(model)
    scaling.data = np.random.default_rng(5).normal(size=IMAGES.shape)
    scaling.renew()
    assert np.abs(model.get_layer("c").density_map / phi - 1).max() > 0.1
    for name, momentum in before.items():
        assert np.abs(momentum).max() > 0
        # Φ and the momentum are rounded to float32.
        np.testing.assert_allclose(momentum_of(model, name), momentum, rtol=1e-6)


def test_a_kernel_that_the_optimizer_does_not_hold_has_no_momentum():
    model = network(conv(name="a"), conv(name="b"))
    model.compile(keras.optimizers.SGD(1e-3, momentum=0.9), "mse")
    model.optimizer.build(model.get_layer("b").trainable_variables)
    scaling = SpatialGradientScaling(IMAGES)
    scaling.set_model(model)
    scaling.on_train_begin()
    before = effective(model)
    scaling.renew()
    assert not np.all(model.get_layer("a").density_map == 1)
    for own, was in zip(effective(model), before, strict=True):
        # The kernel is divided by Φ and multiplied, each rounded to float32.
        np.testing.assert_allclose(own, was, rtol=3e-7)


def test_a_kernel_that_is_frozen_after_a_training_is_left():
    model = network(conv(name="a"), conv(name="b"))
    model.compile("sgd", "mse")
    fit(model, SpatialGradientScaling(IMAGES))
    model.get_layer("a").trainable = False
    model.compile("adam", "mse")
    phi = model.get_layer("a").density_map
    scaling = SpatialGradientScaling(IMAGES)
    fit(model, scaling)
    reasons = [entry.reason for entry in scaling.report.entries]
    assert reasons == ["its kernel is not trained", None]
    assert list(scaling.factors) == ["b"]
    np.testing.assert_array_equal(model.get_layer("a").density_map, phi)
