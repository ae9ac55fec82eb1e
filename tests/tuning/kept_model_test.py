"""KeptModel: what it takes over, and what it refuses to."""

import hypothesis
import keras
import numpy as np
import pytest
from extent import examples
from hypothesis import strategies as st
from keras.ops import convert_to_numpy as to_numpy

from keras_wconv import WeightedConv2D
from keras_wconv.layers import EffectiveKernelRegularizer
from keras_wconv.optimizers import density_optimizer
from keras_wconv.tuning.kept_model import KeptModel

# Tracing takes TensorFlow longer than these runs do; JAX is slow without.
EAGERLY = keras.backend.backend() != "jax"


def build(
    density=(0.7,), filters=2, rate=0.1, loss="mse", activation="relu", **options
):
    inputs = keras.Input((6, 6, 1))
    block = keras.Sequential(
        [
            keras.Input((6, 6, filters)),
            WeightedConv2D(2, 3, density="gaussian", normalize_density=True),
        ],
        name="block",
    )
    x = WeightedConv2D(
        filters, 3, padding="same", density=list(density), activation=activation
    )(inputs)
    x = keras.layers.Dropout(0.5)(keras.layers.BatchNormalization()(x))
    x = keras.layers.Conv2D(1, 1)(block(x))
    model = keras.Model(inputs, x, name="network")
    model.compile(keras.optimizers.Adam(rate), loss, run_eagerly=EAGERLY, **options)
    return model


SCHEDULE = keras.optimizers.schedules.CosineDecay(0.1, 10)


def rebuild(**arguments):
    """Builds as a tuner does: with the names of the first model."""
    keras.utils.clear_session(free_memory=False)
    return build(**arguments)


@keras.saving.register_keras_serializable(package="tests")
class Own(WeightedConv2D):
    """A layer of a user, whose config is that of its base class."""


def test_a_layer_of_ones_own_is_kept():
    """Found: each trial was compiled anew, with a warning."""

    def build_own(density):
        keras.utils.clear_session(free_memory=False)
        layers = [keras.Input((6, 6, 1)), Own(2, 3, density=density, name="own")]
        model = keras.Sequential(layers, name="network")
        model.compile("sgd", "mse", run_eagerly=EAGERLY)
        return model

    kept = KeptModel(build_own([0.7]))
    new = build_own([1.3])
    assert kept.start_as(new) is None
    held, fixed = (model.get_layer("own").density_map for model in (kept.model, new))
    np.testing.assert_allclose(to_numpy(held), to_numpy(fixed), rtol=1e-6)


def test_starts_as_the_new_model():
    kept = KeptModel(build())
    for variable in (*kept.model.variables, *kept.model.optimizer.variables):
        variable.assign(variable + 1)
    new = rebuild(density=(1.3,), rate=0.2)
    assert kept.start_as(new) is None
    own = [v for v in kept.model.variables if "density" not in v.path]
    for variable, start in zip(
        (*own, *kept.model.optimizer.variables),
        (*new.variables, *new.optimizer.variables),
        strict=True,
    ):
        assert variable.path.split("/")[-1] == start.path.split("/")[-1]
        np.testing.assert_array_equal(to_numpy(variable), to_numpy(start))
    for held, fixed in (
        (kept.model.layers[1], new.layers[1]),
        (kept.model.get_layer("block").layers[0], new.get_layer("block").layers[0]),
    ):
        np.testing.assert_array_equal(
            to_numpy(held.effective_kernel), to_numpy(fixed.effective_kernel)
        )


def test_training_leaves_the_model_alone_that_it_started_as():
    layers = [keras.Input((4, 4, 1)), WeightedConv2D(1, 3, density=0.7)]
    model = keras.Sequential(layers)
    model.compile("sgd", "mse")
    before = [weight.copy() for weight in model.get_weights()]
    kept = KeptModel(model)
    kept.model.train_on_batch(np.ones((1, 4, 4, 1)), np.zeros((1, 2, 2, 1)))
    for weight, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_held_densities_are_not_trained_whatever_is_made_trainable():
    kept = KeptModel(build())
    kept.model.trainable = False
    kept.model.trainable = True
    assert not any("density" in v.path for v in kept.model.trainable_variables)
    assert any("density" in v.path for v in kept.model.non_trainable_variables)


@pytest.mark.parametrize(
    "arguments, difference",
    [
        ({"filters": 3}, "filters was 2 and is 3"),
        ({"rate": SCHEDULE}, "optimizer/config/learning_rate was any and is"),
        ({"loss": "mae"}, "compile_config/loss was mse and is mae"),
        ({"activation": "tanh"}, "activation was relu and is tanh"),
        ({"metrics": ["mae"]}, "compile_config/metrics was None"),
    ],
)
def test_differences_are_named(arguments, difference):
    kept = KeptModel(build())
    assert kept.start_as(rebuild()) is None
    assert difference in kept.start_as(rebuild(**arguments))


def test_schedules_are_part_of_the_step():
    kept = KeptModel(build(rate=SCHEDULE))
    assert kept.start_as(rebuild(rate=SCHEDULE)) is None
    other = keras.optimizers.schedules.CosineDecay(0.2, 10)
    difference = kept.start_as(rebuild(rate=other))
    assert "initial_learning_rate was 0.1 and is 0.2" in difference


@keras.saving.register_keras_serializable("kept_model_test")
class OwnOptimizer(keras.optimizers.SGD):
    """Its step may know the learning rate as a number."""


def wrapped(rate):
    return keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(rate))


def of_learned_densities(rate):
    return density_optimizer(keras.optimizers.SGD(0.5), keras.optimizers.Adam(rate))


@pytest.mark.parametrize(
    "optimizer, is_taken",
    [(wrapped, True), (of_learned_densities, True), (OwnOptimizer, False)],
)
def test_learning_rates_of_other_optimizers(optimizer, is_taken):
    def model(rate):
        keras.utils.clear_session(free_memory=False)
        layers = [
            keras.Input((4, 4, 1)),
            WeightedConv2D(1, 3, density=0.7, density_trainable=True),
        ]
        model = keras.Sequential(layers)
        model.compile(optimizer(rate), "mse")
        return model

    kept = KeptModel(model(0.1))
    new = model(0.2)
    if not is_taken:
        assert "learning_rate was 0.1" in kept.start_as(new)
        return
    assert kept.start_as(new) is None
    for variable, start in zip(
        kept.model.optimizer.variables, new.optimizer.variables, strict=True
    ):
        np.testing.assert_array_equal(to_numpy(variable), to_numpy(start))
    optimizer = kept.model.optimizer
    inner = [
        getattr(optimizer, name)
        for name in ("kernel_optimizer", "density_optimizer", "inner_optimizer")
        if hasattr(optimizer, name)
    ]
    rates = [float(to_numpy(one.learning_rate)) for one in inner]
    assert np.float32(0.2) in rates


def test_training_that_compiles_again_is_noticed():
    kept = KeptModel(build())
    kept.model.compile("sgd", "mse")
    assert "compiles the model again" in kept.start_as(rebuild())


def test_training_that_freezes_layers_is_noticed():
    kept = KeptModel(build())
    kept.model.layers[1].trainable = False
    assert "trainable was True and is False" in kept.start_as(rebuild())


def registered_loss(factor):
    @keras.saving.register_keras_serializable("kept_model_test")
    def loss(y_true, y_pred):
        return factor * keras.ops.mean(keras.ops.square(y_true - y_pred))

    return loss


def test_functions_made_for_each_trial_are_noticed():
    loss = registered_loss(1.0)
    kept = KeptModel(build(loss=loss))
    assert kept.start_as(rebuild(loss=loss)) is None
    assert "made anew" in kept.start_as(rebuild(loss=registered_loss(2.0)))


def test_density_in_a_wrapper_is_not_overlooked():
    def build_video(density):
        conv = WeightedConv2D(1, 3, density=density)
        layers = [keras.Input((2, 6, 6, 1)), keras.layers.TimeDistributed(conv)]
        model = keras.Sequential(layers, name="video")
        model.compile("sgd", "mse")
        return model

    kept = KeptModel(build_video(0.7))
    keras.utils.clear_session(free_memory=False)
    assert "coefficients" in kept.start_as(build_video(0.8))


@keras.saving.register_keras_serializable("kept_model_test")
class Foam(keras.layers.Layer):
    def __init__(self, density, **options):
        super().__init__(**options)
        self.density = density

    def call(self, inputs):
        return inputs * self.density

    def get_config(self):
        return {**super().get_config(), "density": self.density}


def test_a_layer_of_ones_own_may_have_a_density():
    def build_foam(density, of_foam=0.5):
        keras.utils.clear_session(free_memory=False)
        conv = WeightedConv2D(1, 3, density=[density])
        layers = [keras.Input((6, 6, 1)), conv, Foam(of_foam)]
        model = keras.Sequential(layers, name="foamy")
        model.compile("sgd", "mse")
        return model

    kept = KeptModel(build_foam(0.7))
    assert kept.start_as(build_foam(0.8)) is None
    assert "density was 0.5 and is 0.6" in kept.start_as(build_foam(0.8, 0.6))


class Subclassed(keras.Model):
    def call(self, inputs):
        return inputs


@keras.saving.register_keras_serializable("kept_model_test")
class OwnTrainStep(keras.Model):
    def train_step(self, *args):
        raise NotImplementedError


def own_train_step():
    inputs = keras.Input((6, 6, 1))
    model = OwnTrainStep(inputs, keras.layers.Conv2D(1, 3)(inputs))
    model.compile("sgd", "mse")
    return model


def mean_squared_error(y_true, y_pred):
    return 0.0


@pytest.mark.parametrize(
    "make, reason",
    [
        (lambda: Subclassed(), "not a class of Keras"),
        (own_train_step, "not a class of Keras"),
        (lambda: keras.Sequential([keras.layers.Dense(1)]), "not built"),
        (lambda: build(loss=lambda y_true, y_pred: 0.0), "lambda"),
        (lambda: build(loss=mean_squared_error), "does not lead to"),
    ],
)
def test_models_that_configs_do_not_describe_are_refused(make, reason):
    with pytest.raises((ValueError, TypeError), match=reason):
        KeptModel(make())


# === What a config does not hold ===


def small(*changes, policy="float32", optimizer=keras.optimizers.AdamW, **options):
    """Builds a model, and does to it what its config will not hold."""
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(0)
    layers = [
        keras.Input((6, 6, 1)),
        WeightedConv2D(2, 3, density=0.7, padding="same", dtype=policy, name="first"),
        keras.layers.Conv2D(2, 3, dtype=policy, name="second"),
        keras.layers.Flatten(),
        keras.layers.Dense(1, dtype="float32", name="last"),
    ]
    model = keras.Sequential(layers, name="model")
    model.compile(optimizer(0.01), "mse", run_eagerly=EAGERLY, **options)
    for change in changes:
        change(model)
    return model


def exclude_by_name(model):
    model.optimizer.exclude_from_weight_decay(var_names=["bias"])


def exclude_by_variable(model):
    model.optimizer.exclude_from_weight_decay(var_list=[model.layers[0].kernel])


def regularize(model):
    model.layers[1].kernel.regularizer = keras.regularizers.L2(0.1)


def regularize_too_late(model):
    model.layers[1].kernel_regularizer = keras.regularizers.L2(0.1)


def constrain(model):
    model.layers[0].kernel.constraint = keras.constraints.MaxNorm(0.1)


def freeze_one_weight(model):
    model.layers[1].kernel.trainable = False


def replace_a_method(model):
    layer = model.layers[1]
    plain = layer.call
    layer.call = lambda inputs: 2.0 * plain(inputs)


def replace_the_step(model):
    plain = model.train_step
    model.train_step = lambda *batch: plain(*batch)


def mark(model):
    model.batches_of_mine = 12


def clip(model):
    model.optimizer.clipnorm = 0.01


def begin_elsewhere(model):
    model.layers[1].kernel.assign(model.layers[1].kernel * 0.5)
    model.layers[0].bias.assign(model.layers[0].bias + 1.0)


def count_on(model):
    model.optimizer.build(model.trainable_variables)
    model.optimizer.iterations.assign(100)


def freeze_a_layer(model):
    model.layers[1].trainable = False


LOST = [
    (exclude_by_name, "exclude_from_weight_decay"),
    (exclude_by_variable, "exclude_from_weight_decay"),
    (regularize, "regularizer"),
    (regularize_too_late, "regularizer"),
    (constrain, "constraint"),
    (freeze_one_weight, "trainable"),
    (replace_a_method, "call"),
    (replace_the_step, "train_step"),
    (mark, "batches_of_mine"),
]
HELD = [begin_elsewhere, count_on, clip, freeze_a_layer]


@pytest.mark.parametrize(
    "change, named", LOST, ids=lambda one: getattr(one, "__name__", "")
)
def test_what_a_config_does_not_hold_is_noticed(change, named):
    with pytest.raises(ValueError, match=f"does not hold all of it.*{named}"):
        KeptModel(small(change))
    kept = KeptModel(small())
    assert named in kept.start_as(small(change))


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="hooks of PyTorch")
def test_hooks_are_noticed():
    def hook(model):
        model.layers[1].register_forward_hook(lambda *arguments: None)

    with pytest.raises(ValueError, match="_forward_hooks"):
        KeptModel(small(hook))
    assert "_forward_hooks" in KeptModel(small()).start_as(small(hook))


@keras.saving.register_keras_serializable("kept_model_test")
class OwnMetric(keras.metrics.MeanSquaredError):
    """Its config lacks the factor."""

    def __init__(self, factor=1.0, **options):
        super().__init__(**options)
        self._factor = factor


@keras.saving.register_keras_serializable("kept_model_test")
class OwnLayer(keras.layers.Layer):
    """Its config lacks the factor."""

    def __init__(self, factor=1.0, **options):
        super().__init__(**options)
        self._factor = factor

    def call(self, inputs):
        return inputs * self._factor

    def get_config(self):
        return super().get_config()


def of_own_metric(factor):
    return small(metrics=[OwnMetric(factor, name="own")])


def of_own_layer(factor):
    keras.utils.clear_session(free_memory=False)
    inputs = keras.Input((6, 6, 1))
    model = keras.Model(inputs, OwnLayer(factor)(WeightedConv2D(1, 3)(inputs)))
    model.compile("sgd", "mse")
    return model


@pytest.mark.parametrize("make", [of_own_metric, of_own_layer])
def test_incomplete_configs_are_noticed(make):
    with pytest.raises(ValueError, match=r"_factor was 2\.0 and is 1\.0 in a copy"):
        KeptModel(make(2.0))
    kept = KeptModel(make(1.0))
    assert kept.start_as(make(1.0)) is None
    assert "_factor was 1.0 and is 3.0" in kept.start_as(make(3.0))


INPUTS = np.random.default_rng(0).normal(size=(4, 6, 6, 1)).astype("float32")
TARGETS = np.random.default_rng(1).normal(size=(4, 1)).astype("float32")


def two_steps(model):
    model.reset_metrics()  # In Keras 3.10 `train_on_batch` does not.
    losses = [float(model.train_on_batch(INPUTS, TARGETS)) for _ in range(2)]
    return losses, [to_numpy(v) for v in model.trainable_variables]


@hypothesis.given(
    first=st.sets(st.sampled_from(HELD + [change for change, _ in LOST])),
    second=st.sets(st.sampled_from(HELD + [change for change, _ in LOST])),
    policy=st.sampled_from(["float32", "mixed_float16"]),
    optimizer=st.sampled_from([keras.optimizers.AdamW, keras.optimizers.SGD]),
    twice=st.booleans(),
)
@hypothesis.settings(
    max_examples=30 if EAGERLY else examples(10, 30),
    deadline=None,
    derandomize=True,
)
def test_a_kept_model_trains_as_the_new_one_or_is_not_kept(
    first, second, policy, optimizer, twice
):
    def make(changes):
        ordered = sorted(changes, key=lambda change: change.__name__)
        return small(*ordered, policy=policy, optimizer=optimizer)

    second = first if twice else second
    lost = {change for change, _ in LOST}
    if freeze_a_layer in first:  # Its weights are frozen, the one as the others.
        lost.remove(freeze_one_weight)
    try:
        kept = KeptModel(make(first))
    except ValueError:
        assert first & lost or {count_on, freeze_a_layer} <= first
        return
    assert not first & lost
    kept.model.train_on_batch(INPUTS, TARGETS)
    kept.start_as(make(first))
    if kept.start_as(make(second)) is not None:
        assert first != second
        return
    # Sums in another order: float16 has 11 bits.
    tolerance = 1e-5 if policy == "float32" else 2e-3
    losses, weights = two_steps(kept.model)
    expected_losses, expected = two_steps(make(second))
    np.testing.assert_allclose(losses, expected_losses, rtol=tolerance)
    for weight, other in zip(weights, expected, strict=True):
        np.testing.assert_allclose(weight, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_layers_frozen_after_the_optimizer_was_built(policy):
    changes = count_on, freeze_a_layer
    with pytest.raises(ValueError, match=r"frozen.* after the optimizer was built"):
        KeptModel(small(*changes, policy=policy))
    kept = KeptModel(small(freeze_a_layer, policy=policy))
    assert "after the optimizer was built" in kept.start_as(
        small(*changes, policy=policy)
    )


def penalized(density):
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(0)
    penalty = EffectiveKernelRegularizer(keras.regularizers.L2(0.1))
    conv = WeightedConv2D(2, 3, density=density, kernel_regularizer=penalty)
    layers = [keras.Input((6, 6, 1)), conv, keras.layers.Flatten()]
    model = keras.Sequential([*layers, keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.01), "mse")
    return model


def test_penalties_of_the_effective_kernel_see_each_density():
    kept = KeptModel(penalized(0.7))
    kept.model.train_on_batch(INPUTS, TARGETS)
    assert kept.start_as(penalized(1.5)) is None
    losses, weights = two_steps(kept.model)
    expected_losses, expected = two_steps(penalized(1.5))
    # Sums in another order.
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-5)
    for weight, other in zip(weights, expected, strict=True):
        np.testing.assert_allclose(weight, other, rtol=1e-5, atol=1e-6)


def test_saving_in_the_old_format_takes_nothing_away(tmp_path):
    """Keras takes the optimizer out of the compile config of a model saved as .h5."""
    kept = KeptModel(small())
    kept.model.save(tmp_path / "best.h5")
    assert kept.start_as(small()) is None
