"""What real models taught: each fault of a conversion that was found, as its kind."""

import warnings

import hypothesis
import keras
import numpy as np
import pytest
from extent import examples
from hypothesis import strategies as st
from keras import layers
from keras_versions import KERAS

import keras_wconv

SETTINGS = hypothesis.settings(
    max_examples=examples(5, 12),  # Each makes and copies models.
    deadline=None,
    derandomize=True,
    suppress_health_check=list(hypothesis.HealthCheck),
)


def to_numpy(tensor):
    return np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32")))


def relative_error(outputs, expected):
    outputs, expected = to_numpy(outputs), to_numpy(expected)
    return np.abs(outputs - expected).max() / np.abs(expected).max()


def random(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def both_ways(model):
    """A weighted and a folded model, once as copies and once in place."""
    weighted = keras_wconv.to_weighted(model, 0.6)
    yield weighted
    yield keras_wconv.fold(weighted)
    yield keras_wconv.to_weighted(model, 0.6, in_place=True)
    yield keras_wconv.fold(model, in_place=True)


# Point 6: precision.


@SETTINGS
@hypothesis.given(
    policy=st.sampled_from(
        ["float16", "mixed_float16", "bfloat16", "mixed_bfloat16", "float32"]
    ),
    family=st.sampled_from(["Conv2D", "DepthwiseConv2D", "SeparableConv1D", "Conv1D"]),
    size=st.sampled_from([3, 5, 7]),
    exponent=st.floats(-12, 1),
    scale=st.sampled_from([1e-4, 0.05, 30.0]),
    in_place=st.booleans(),
)
def test_a_conversion_keeps_kernels_to_rounding_or_is_refused(
    policy, family, size, exponent, scale, in_place
):
    """The product that the layer computes, by NumPy, against the old kernel."""
    rank = int(family[-2])
    arguments = (size,) if "Depthwise" in family else (2, size)
    layer = getattr(layers, family)(*arguments, dtype=policy)
    model = keras.Sequential([keras.Input((*[8] * rank, 2)), layer])
    name = "kernel" if family.startswith(("Conv", "Depthwise")) else "depthwise_kernel"
    getattr(layer, name).assign(scale * random(getattr(layer, name).shape))
    compute = layer.compute_dtype
    old = to_numpy(keras.ops.cast(getattr(layer, name), compute)).astype("float64")
    density = [10.0**exponent] * (size // 2)
    try:
        weighted = keras_wconv.to_weighted(model, density, in_place=in_place)
    except ValueError as error:
        # Never where the profile is far from what a precision cannot hold.
        assert "preserve='function'" in str(error)
        assert "float16" in policy or exponent < -9
        assert "float16" not in policy or 10.0 ** (exponent * rank) < 1e-2 or scale > 1
        return
    new = weighted.layers[0]
    kernel = keras.ops.cast(getattr(new, name), compute)
    phi = keras.ops.cast(new.density_map.astype("float32"), compute)
    product = to_numpy(kernel).astype("float64")
    product *= to_numpy(phi).astype("float64")[..., None, None]
    digits = {"float16": 2.0**-10, "bfloat16": 2.0**-7}.get(compute, 2.0**-23)
    smallest = {"float16": 2.0**-24}.get(compute, 2.0**-126)
    bound = 5 * (digits * np.abs(old) + smallest * max(1.0, np.max(new.density_map)))
    assert np.all(np.abs(product - old) <= bound)


@pytest.mark.parametrize("policy", ["float16", "mixed_float16"])
@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize(
    ("size", "density"),
    [
        (3, [0.001]),
        (7, keras_wconv.densities.Gaussian(0.75)),
        (7, keras_wconv.densities.Gaussian(0.78)),
    ],
)
def test_what_float16_cannot_hold_is_refused(policy, in_place, size, density):
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(4, size, padding="same", dtype=policy, name="conv"),
        ]
    )
    before = to_numpy(model.layers[0].kernel).copy()
    options = {"normalize_density": False, "in_place": in_place}
    with pytest.raises(ValueError, match=r"'conv' in float16, taps \[\(0, 0\).*float3"):
        keras_wconv.to_weighted(model, density, **options)
    np.testing.assert_array_equal(to_numpy(model.layers[0].kernel), before)
    kept = keras_wconv.to_weighted(model, density, preserve="kernel", **options)
    assert type(kept.layers[0]) is keras_wconv.WeightedConv2D


def test_float16_with_a_mild_density_converts():
    for policy in ("float16", "mixed_float16"):
        model = keras.Sequential(
            [keras.Input((8, 8, 3)), layers.Conv2D(4, 5, dtype=policy)]
        )
        x = random((2, 8, 8, 3))
        expected = to_numpy(model(x))
        weighted = keras_wconv.to_weighted(model, [0.2, 0.8])
        # 75 products that are rounded to 2^-11 each, of both signs.
        assert relative_error(weighted(x), expected) < 1e-2


# Point 7: regularizers and constraints.

PENALTIES = {
    "kernel_constraint": [
        keras.constraints.MaxNorm(1.0),
        keras.constraints.UnitNorm(),
        keras.constraints.NonNeg(),
    ],
    "kernel_regularizer": [keras.regularizers.L2(0.01), keras.regularizers.L1(0.01)],
}


def one_step_at_rate_0(model, x):
    model.compile(keras.optimizers.SGD(0.0), "mse")
    model.train_on_batch(x, np.zeros(model(x).shape, "float32"))


def penalized(**kwargs):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(4, 3, name="conv", **kwargs),
            layers.Conv2D(2, 3, name="free"),
        ]
    )
    layer = model.layers[0]
    layer.kernel.assign(keras.ops.abs(layer.kernel))
    if layer.kernel_constraint is not None:  # As a training leaves it.
        layer.kernel.assign(layer.kernel_constraint(layer.kernel))
    return model


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize(
    ("name", "penalty"),
    [(name, each) for name, values in PENALTIES.items() for each in values],
    ids=lambda value: type(value).__name__,
)
def test_penalties_act_on_what_they_acted_on(name, penalty, in_place, tmp_path):
    model = penalized(**{name: penalty})
    x = random((2, 8, 8, 3))
    expected, losses = to_numpy(model(x)), [to_numpy(loss) for loss in model.losses]
    with pytest.warns(UserWarning, match=rf"conv \({name}={type(penalty).__name__}"):
        keras_wconv.to_weighted(model, [0.5])
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        weighted = keras_wconv.to_weighted(
            model, [0.5], penalize="effective_kernel", in_place=in_place
        )
    weighted.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    weighted = keras_wconv.to_weighted(weighted, [0.6])  # They stay as they are.
    for each in (weighted, loaded):
        assert relative_error(each(x), expected) < 1e-5
        for loss, own in zip(losses, each.losses, strict=True):
            np.testing.assert_allclose(to_numpy(own), loss, rtol=1e-5)
        one_step_at_rate_0(each, x)
        # UnitNorm and MaxNorm divide by a norm plus Keras's epsilon of 1e-7.
        assert relative_error(each(x), expected) < 1e-5
        folded = keras_wconv.fold(each)
        assert type(getattr(folded.layers[0], name)) is type(penalty)
        assert relative_error(folded(x), expected) < 1e-5
        one_step_at_rate_0(folded, x)
        assert relative_error(folded(x), expected) < 1e-5
    keras_wconv.fold(loaded, in_place=True)
    assert type(getattr(loaded.layers[0], name)) is type(penalty)
    for loss, own in zip(losses, loaded.losses, strict=True):
        np.testing.assert_allclose(to_numpy(own), loss, rtol=1e-5)


@SETTINGS
@hypothesis.given(
    family=st.sampled_from(["Conv1D", "Conv2D", "DepthwiseConv2D", "SeparableConv1D"]),
    coefficient=st.floats(0.2, 1.5),
    learned=st.booleans(),
    in_place=st.booleans(),
    strength=st.floats(0.01, 1.0),
)
def test_a_loss_stays_what_it_was(family, coefficient, learned, in_place, strength):
    rank = int(family[-2])
    is_depthwise = not family.startswith("Conv")
    name = "depthwise_regularizer" if is_depthwise else "kernel_regularizer"
    arguments = (3,) if family.startswith("Depthwise") else (2, 3)
    layer = getattr(layers, family)(
        *arguments, **{name: keras.regularizers.L2(strength)}
    )
    model = keras.Sequential([keras.Input((*[8] * rank, 2)), layer])
    [loss] = model.losses
    expected = to_numpy(loss)
    weighted = keras_wconv.to_weighted(
        model,
        coefficient,
        penalize="effective_kernel",
        in_place=in_place,
        density_trainable=learned,
    )
    np.testing.assert_allclose(to_numpy(weighted.losses[0]), expected, rtol=1e-5)


def test_a_learned_density_has_no_constraint_of_the_effective_kernel():
    with pytest.raises(ValueError, match="needs a density that is fixed"):
        keras_wconv.to_weighted(
            penalized(kernel_constraint="non_neg"),
            0.5,
            penalize="effective_kernel",
            density_trainable=True,
        )


@pytest.mark.parametrize("in_place", [False, True])
def test_a_folded_model_has_no_penalties_of_effective_kernels(in_place):
    l2 = keras_wconv.layers.EffectiveKernelRegularizer(keras.regularizers.L2(0.5))
    non_neg = keras_wconv.layers.EffectiveKernelConstraint("non_neg")
    plain = {"kernel_regularizer": l2, "kernel_constraint": non_neg}
    frame = layers.TimeDistributed(
        keras.Sequential([keras.Input((8, 8, 2)), layers.Conv2D(2, 1, **plain)])
    )
    inputs = keras.Input((2, 8, 8, 2))
    x = keras_wconv.WeightedSeparableConv2D(
        2,
        3,
        density=0.7,
        depthwise_regularizer=l2,
        pointwise_regularizer=l2,
        bias_regularizer=l2,
    )(frame(inputs)[:, 0])
    model = keras.Model(inputs, layers.Conv2D(2, 1, **plain)(x))
    losses = [to_numpy(loss) for loss in model.losses]
    assert len(losses) == 5
    folded = keras_wconv.fold(model, in_place=in_place)
    assert "keras_wconv" not in str(folded.get_config())
    # The same sums of float32 products, which were multiplied in another order.
    np.testing.assert_allclose(
        [to_numpy(loss) for loss in folded.losses], losses, rtol=1e-5
    )


def test_folding_says_what_penalties_act_on():
    model = penalized(kernel_regularizer="l2")
    weighted = keras_wconv.to_weighted(model, 0.5, preserve="kernel")
    with pytest.warns(UserWarning, match=r"folded.*conv \(kernel_regularizer=L2"):
        keras_wconv.fold(weighted)


# Point 10: what a model was compiled with.


def test_folding_keeps_loss_metrics_and_optimizer():
    def own_loss(y, p):  # Not registered: only the live model has it.
        return keras.ops.mean(keras.ops.abs(y - p), axis=(1, 2, 3))

    model = penalized()
    weighted = keras_wconv.to_weighted(model, 0.5)
    weighted.compile(
        keras.optimizers.Adam(0.25, beta_1=0.5),
        own_loss,
        metrics=["mse", keras.metrics.MeanAbsoluteError(name="own")],
    )
    x, y = random((2, 8, 8, 3)), random((2, 4, 4, 2))
    expected = weighted.evaluate(x, y, verbose=0)
    folded = keras_wconv.fold(weighted)
    np.testing.assert_allclose(folded.evaluate(x, y, verbose=0), expected, rtol=1e-4)
    optimizer = folded.optimizer
    assert optimizer.name == "adam" and optimizer.beta_1 == 0.5
    assert float(optimizer.learning_rate) == 0.25
    assert optimizer is not weighted.optimizer
    folded.fit(x, y, verbose=0)
    np.testing.assert_allclose(weighted.evaluate(x, y, verbose=0), expected, rtol=1e-6)


def test_folding_takes_the_optimizer_of_the_kernels():
    weighted = keras_wconv.to_weighted(penalized(), 0.5, density_trainable=True)
    weighted.compile(keras_wconv.optimizers.density_optimizer("sgd"), "mse")
    # By class: names count up, and are others in Keras before 3.15.
    assert isinstance(keras_wconv.fold(weighted).optimizer, keras.optimizers.SGD)
    keras_wconv.fold(weighted, in_place=True)
    assert isinstance(weighted.optimizer, keras.optimizers.SGD)


@pytest.mark.parametrize("in_place", [False, True])
def test_a_folded_model_keeps_the_scaling_of_the_loss(in_place):
    weighted = keras_wconv.to_weighted(penalized(), 0.5, density_trainable=True)
    optimizer = keras_wconv.optimizers.density_optimizer(keras.optimizers.SGD(0.25))
    weighted.compile(keras.optimizers.LossScaleOptimizer(optimizer, 8.0), "mse")
    folded = keras_wconv.fold(weighted, in_place=in_place)
    assert "keras_wconv" not in str(folded.get_compile_config())
    assert folded.optimizer.initial_scale == 8.0
    assert isinstance(folded.optimizer.inner_optimizer, keras.optimizers.SGD)
    assert float(folded.optimizer.inner_optimizer.learning_rate) == 0.25


def test_folding_says_what_it_cannot_compile():
    class Own(keras.optimizers.SGD):
        def get_config(self):
            raise NotImplementedError("not written")

    weighted = keras_wconv.to_weighted(penalized(), 0.5)
    weighted.compile(Own(), "mse")
    with pytest.warns(UserWarning, match=r"Compile the model.*not written"):
        folded = keras_wconv.fold(weighted)
    assert not folded.compiled


# Point 12: activations with weights.


@SETTINGS
@hypothesis.given(
    family=st.sampled_from(
        ["Conv1D", "Conv2D", "Conv2DTranspose", "DepthwiseConv2D", "SeparableConv2D"]
    ),
    activation=st.sampled_from(["PReLU", "Dense", "BatchNormalization"]),
    dtype=st.sampled_from(["float32", "mixed_bfloat16"]),
)
def test_an_activation_with_weights(family, activation, dtype):
    rank = 1 if "1D" in family else 2
    make = {
        "PReLU": lambda: layers.PReLU("random_normal", shared_axes=[1]),
        "Dense": lambda: layers.Dense(3),
        "BatchNormalization": layers.BatchNormalization,
    }[activation]
    arguments = (3,) if family.startswith("Depthwise") else (2, 3)
    layer = getattr(layers, family)(*arguments, activation=make(), dtype=dtype)
    model = keras.Sequential([keras.Input((*[8] * rank, 2)), layer])
    x = random((2, *[8] * rank, 2))
    model(x)
    for seed, weight in enumerate(model.weights):
        weight.assign(np.abs(random(weight.shape, seed)) + 0.1)
    expected, weights = to_numpy(model(x)), len(model.weights)
    for each in both_ways(model):
        bound = 1e-5 if dtype == "float32" else 4e-2  # bfloat16 has 8 bits.
        assert relative_error(each(x), expected) < bound
        assert len(each.weights) == weights


def test_an_activation_that_layers_share_stays_shared():
    prelu = layers.PReLU("random_normal", shared_axes=[1, 2])
    model = keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            layers.Conv2D(2, 3, activation=prelu),
            layers.Conv2D(2, 3, activation=prelu),
        ]
    )
    x = random((2, 8, 8, 2))
    expected = to_numpy(model(x))
    for each in both_ways(model):
        assert relative_error(each(x), expected) < 1e-5
        assert len(each.weights) == 5


# Point 14: subclasses of graphs, and what is trainable.


class Residual(keras.Sequential):
    def call(self, x, training=None, mask=None):
        return x + super().call(x, training=training, mask=mask)


class WithConstructor(keras.Model):
    """A Functional model with a constructor and a call of its own."""

    def __init__(self, width, **kwargs):
        inputs = keras.Input((8, 8, 2))
        outputs = layers.Conv2D(width, 3, padding="same")(inputs)
        super().__init__(inputs, outputs, **kwargs)
        self.width = width

    def call(self, x, training=None, mask=None):
        return 3.0 * super().call(x, training=training, mask=mask)

    def get_config(self):
        return {"width": self.width, "name": self.name}


class OwnStep(keras.Model):
    """A Functional model with a training step of its own."""

    def train_step(self, *args, **kwargs):
        raise RuntimeError("own step")


def graphs():
    inputs = keras.Input((8, 8, 2))
    conv = layers.Conv2D(2, 3, padding="same")
    inner = Residual([keras.Input((8, 8, 2)), layers.Conv2D(2, 3, padding="same")])
    return {
        "residual": Residual(
            [keras.Input((8, 8, 2)), layers.Conv2D(2, 3, padding="same")]
        ),
        "constructor": WithConstructor(2),
        "step": OwnStep(inputs, conv(inputs)),
        "nested": keras.Model(inputs, conv(inner(inputs))),
        "nested_constructor": keras.Model(inputs, conv(WithConstructor(2)(inputs))),
    }


@SETTINGS
@hypothesis.given(name=st.sampled_from(sorted(graphs())), in_place=st.booleans())
def test_what_the_class_of_a_graph_does_is_kept(name, in_place):
    model = graphs()[name]
    x = random((2, 8, 8, 2))
    expected = to_numpy(model(x))
    try:
        weighted = keras_wconv.to_weighted(model, 0.5, in_place=in_place)
    except ValueError as error:
        assert not in_place and "in_place=True" in str(error)
        return
    assert type(weighted) is type(model)
    assert relative_error(weighted(x), expected) < 1e-5
    if name == "step":
        weighted.compile("sgd", "mse")
        with pytest.raises(RuntimeError, match="own step"):
            weighted.fit(x, x, verbose=0)


@pytest.mark.parametrize("in_place", [False, True])
def test_the_trainable_of_a_weight_is_kept(in_place):
    model = penalized()
    model.layers[0].kernel.trainable = False
    model.layers[1].bias.trainable = False
    weighted = keras_wconv.to_weighted(model, 0.5, in_place=in_place)
    for each in (weighted, keras_wconv.fold(weighted, in_place=in_place)):
        assert [weight.trainable for weight in each.weights] == [0, 1, 1, 0]


# Point 15: functions and classes that Keras cannot load.


def relu(x):  # Not Keras's own.
    return keras.ops.relu(x) - 0.5


def doubled(x):
    return 2.0 * x


class OwnPenalty(keras.regularizers.Regularizer):
    def __call__(self, x):
        return 0.125 * keras.ops.sum(keras.ops.square(x))

    def get_config(self):
        return {}


FACTOR = 3.0

# Keras before 3.15 takes no plain function as the regularizer of a variable.
FUNCTIONS = [lambda x: 0.5 * keras.ops.sum(keras.ops.square(x))]
if KERAS < (3, 15):
    FUNCTIONS = []


@SETTINGS
@hypothesis.given(
    kind=st.sampled_from(["conv", "dense", "wrapped"]),
    activation=st.sampled_from([relu, doubled, lambda x: FACTOR * x, "tanh"]),
    initializer=st.sampled_from(
        ["ones", lambda shape, dtype=None: 0.1 * keras.ops.ones(shape, dtype)]
    ),
    regularizer=st.sampled_from([None, OwnPenalty(), *FUNCTIONS]),
)
def test_functions_are_taken_from_the_live_layer(
    kind, activation, initializer, regularizer
):
    options = {
        "activation": activation,
        "kernel_initializer": initializer,
        "kernel_regularizer": regularizer,
    }
    own = {
        "conv": lambda: layers.Conv1D(2, 3, **options),
        "dense": lambda: layers.Dense(2, **options),
        "wrapped": lambda: layers.TimeDistributed(layers.Dense(2, **options)),
    }[kind]()
    model = keras.Sequential([keras.Input((8, 2)), own, layers.Conv1D(2, 3)])
    x = random((2, 8, 2))
    expected = to_numpy(model(x))
    losses = sum(to_numpy(loss) for loss in model.losses)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The outputs of the")
        for each in both_ways(model):
            assert relative_error(each(x), expected) < 1e-5
        # The last is plain again, with the kernels of before.
        np.testing.assert_allclose(
            sum(to_numpy(loss) for loss in each.losses), losses, rtol=1e-5
        )


class NoConfig(layers.Layer):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def call(self, x):
        return self.factor * x


class NoKeywords(NoConfig):
    def get_config(self):
        return {**super(NoConfig, self).get_config(), "factor": self.factor}


@pytest.mark.parametrize("cls", [NoConfig, NoKeywords])
def test_a_layer_without_a_config_is_named(cls):
    inputs = keras.Input((8, 2))
    layer = cls(np.float32(2.0))
    model = keras.Model(inputs, layers.Conv1D(2, 3)(layer(inputs)))
    x = random((2, 8, 2))
    expected = to_numpy(model(x))
    with pytest.raises(ValueError) as error:
        keras_wconv.to_weighted(model, 0.5)
    for text in (layer.name, cls.__name__, "get_config", "in_place=True"):
        assert text in str(error.value)
    keras_wconv.to_weighted(model, 0.5, in_place=True)
    assert relative_error(model(x), expected) < 1e-5


def cauchy(distance):  # Not registered.
    return 1.0 / (1.0 + distance * distance)


@pytest.mark.parametrize("learned", [False, True])
def test_a_density_with_a_function_is_copied(learned):
    def weighted(name):
        return keras_wconv.WeightedConv2D(
            2,
            3,
            padding="same",
            density=keras_wconv.densities.Radial(cauchy),
            density_trainable=learned,
            name=name,
        )

    frames = layers.TimeDistributed(weighted("inside"))
    inputs = keras.Input((2, 8, 8, 2))
    x = layers.Conv2D(2, 3, name="plain")(weighted("left")(frames(inputs)[:, 0]))
    model = keras.Model(inputs, x)
    x = random((1, 2, 8, 8, 2))
    with pytest.warns(UserWarning, match="are left.*: time_distributed"):
        copy = keras_wconv.to_weighted(
            model, 0.5, where=lambda layer: layer.name == "plain"
        )
    for each in (copy, keras_wconv.fold(model)):
        assert relative_error(each(x), model(x)) < 1e-5


def test_a_function_that_is_not_registered_is_said():
    frame = keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            keras_wconv.WeightedConv2D(
                2, 3, density=keras_wconv.densities.Radial(cauchy)
            ),
        ]
    )
    model = keras.Sequential([keras.Input((2, 8, 8, 2)), layers.TimeDistributed(frame)])
    with pytest.raises(ValueError, match=r"Register functions.*keras\.saving"):
        keras_wconv.fold(model)


# Names.


def test_a_layer_has_one_name_everywhere():
    def block(name):
        return keras.Sequential([layers.Conv2D(2, 3, name="conv")], name=name)

    model = keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            block("encoder"),
            block("decoder"),
            layers.Conv2D(2, 3, name="head"),
        ]
    )
    names = ["encoder/conv", "decoder/conv", "head"]
    given = {name: [0.1 * number] for number, name in enumerate(names, start=5)}

    def density(name, kernel_size):
        return given[name]

    weighted, report = keras_wconv.to_weighted(model, density, return_report=True)
    assert [entry.name for entry in report.entries] == names
    found = keras_wconv.inspection.weighted_layers(weighted)
    assert {
        name: list(layer.density.initial.coefficients) for name, layer in found.items()
    } == given
    _, report = keras_wconv.fold(weighted, return_report=True)
    assert [entry.name for entry in report.entries] == names
    _, report = keras_wconv.to_weighted(
        model, density, return_report=True, in_place=True
    )
    assert [entry.name for entry in report.entries] == names


@pytest.mark.parametrize("in_place", [False, True])
def test_a_map_with_channels_goes_where_it_fits(in_place):
    def model(filters):
        return keras.Sequential(
            [
                keras.Input((8, 8, 3)),
                layers.Conv2D(filters, 3, name="first"),
                layers.Conv2D(2, 3, name="second"),
            ]
        )

    density = np.full((3, 3, 1, 4), 0.5)
    options = {"in_place": in_place, "return_report": True}
    with pytest.warns(UserWarning, match="1 of 2 convolutions are left.*: second"):
        _, report = keras_wconv.to_weighted(model(4), density, **options)
    assert [entry.name for entry in report.converted] == ["first"]
    with pytest.raises(ValueError, match="fits no kernel of the network"):
        keras_wconv.to_weighted(model(5), density, **options)
    with pytest.raises(ValueError, match=r"'second': .*shape \(3, 3, 4, 2\)"):
        keras_wconv.to_weighted(model(4), {3: density}, **options)
