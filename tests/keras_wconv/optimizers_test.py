import keras
import numpy as np
import pytest
from keras_versions import needs_keras
from layer_checks import BACKEND, gradients, normal, randomize, to_numpy

import keras_wconv
from keras_wconv.optimizers import density_optimizer, published_optimizer

INPUTS, TARGETS = normal((8, 6, 6, 2)), normal((8, 3), 1)


def small_model(**arguments):
    learned = {"density": [0.7], "density_trainable": True} | arguments
    return keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            keras_wconv.WeightedConv2D(3, 3, name="hidden", **learned),
            keras.layers.Conv2D(3, 3, name="density"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(3, name="dense_density"),
        ]
    )


def train(model, optimizer, steps=1):
    if optimizer is not None:
        model.compile(optimizer, "mse")
    model.fit(INPUTS, TARGETS, batch_size=8, epochs=steps, verbose=0, shuffle=False)


def values(model):
    return {w.path.split("/", 1)[1]: to_numpy(w).copy() for w in model.weights}


DENSITY = "hidden/density/coefficients"


@pytest.mark.parametrize(("kernel_rate", "density_rate"), [(0.0, 0.5), (0.5, 0.0)])
def test_each_optimizer_trains_its_own_weights_only(kernel_rate, density_rate):
    model = small_model()
    before = values(model)
    train(
        model,
        density_optimizer(
            keras.optimizers.SGD(kernel_rate), keras.optimizers.SGD(density_rate)
        ),
    )
    for path, value in values(model).items():
        moved = not np.array_equal(value, before[path])
        assert moved == bool(density_rate if path == DENSITY else kernel_rate), path


def test_each_step_has_its_own_rate():
    model = small_model()
    loss = keras.losses.MeanSquaredError()
    found = gradients(lambda: loss(TARGETS, model(INPUTS)), model.trainable_variables)
    paths = [v.path.split("/", 1)[1] for v in model.trainable_variables]
    before = values(model)
    train(
        model, density_optimizer(keras.optimizers.SGD(0.01), keras.optimizers.SGD(0.1))
    )
    after = values(model)
    for path, gradient in zip(paths, found, strict=True):
        rate = 0.1 if path == DENSITY else 0.01
        np.testing.assert_allclose(
            after[path], before[path] - rate * gradient, rtol=1e-4, atol=1e-6
        )


@pytest.mark.parametrize(
    ("arguments", "learned"),
    [
        ({"density": [[0.7], [0.6]]}, ["coefficients_0", "coefficients_1"]),
        ({"density": np.full((3, 3), 0.5)}, ["map"]),
    ],
)
def test_every_form_of_a_learned_density_is_found(arguments, learned):
    model = small_model(**arguments)
    before = values(model)
    train(model, density_optimizer(keras.optimizers.SGD(0.0), 0.1))
    moved = [p for p, v in values(model).items() if not np.array_equal(v, before[p])]
    assert moved == [f"hidden/density/{name}" for name in learned]


def test_densities_in_nested_models_are_found():
    inner = small_model()
    model = keras.Sequential([keras.Input((6, 6, 2)), inner])
    before = [to_numpy(w).copy() for w in model.weights]
    train(model, density_optimizer(keras.optimizers.SGD(0.0), 0.1))
    moved = [
        w.path.split("/")[-1]
        for w, start in zip(model.weights, before, strict=True)
        if not np.array_equal(to_numpy(w), start)
    ]
    assert moved == ["coefficients"]


def test_decay_of_the_kernels_does_not_touch_the_density():
    model = small_model()
    model.compile(
        density_optimizer(keras.optimizers.AdamW(0.1, weight_decay=0.5)),
        lambda targets, outputs: 0.0 * keras.ops.sum(outputs),  # no gradient at all
    )
    before = values(model)
    train(model, None)
    after = values(model)
    np.testing.assert_array_equal(after[DENSITY], before[DENSITY])
    np.testing.assert_allclose(
        after["hidden/kernel"], before["hidden/kernel"] * (1 - 0.1 * 0.5), rtol=1e-5
    )


def test_the_density_may_have_decay_of_its_own():
    model = small_model()
    model.compile(
        density_optimizer("sgd", keras.optimizers.AdamW(0.1, weight_decay=0.5)),
        lambda targets, outputs: 0.0 * keras.ops.sum(outputs),
    )
    train(model, None)
    assert values(model)[DENSITY] == pytest.approx(0.7 * (1 - 0.1 * 0.5))


def test_schedules_go_on_for_both():
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([1], [0.1, 0.0])
    model = small_model()
    start = values(model)
    train(model, density_optimizer(keras.optimizers.SGD(0.01), schedule), steps=2)
    moved = values(model)
    assert not np.array_equal(moved[DENSITY], start[DENSITY])
    train(model, None, steps=2)  # the schedule is at 0 now
    after = values(model)
    np.testing.assert_array_equal(after[DENSITY], moved[DENSITY])
    assert not np.array_equal(after["hidden/kernel"], moved["hidden/kernel"])


def test_a_saved_model_goes_on_as_if_it_had_not_stopped(tmp_path):
    model = small_model()
    train(model, density_optimizer(keras.optimizers.Adam(0.01), 0.05), steps=2)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    for a, b in zip(model.optimizer.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(to_numpy(a), to_numpy(b))
    for each in (model, loaded):
        train(each, None, steps=2)
    for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


def both(optimizer):
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    return optimizer.kernel_optimizer, optimizer.density_optimizer


def rates(optimizer):
    return [float(to_numpy(one.learning_rate)) for one in both(optimizer)]


SCHEDULE = keras.optimizers.schedules.PiecewiseConstantDecay([100], [0.05, 0.0])
CALLBACKS = {
    "plateau": keras.callbacks.ReduceLROnPlateau(
        "loss", factor=0.5, patience=0, min_delta=1e3
    ),
    "scheduler": keras.callbacks.LearningRateScheduler(
        lambda epoch, rate: rate * (0.5 if epoch else 1.0)
    ),
}


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
@pytest.mark.parametrize("density", [0.05, SCHEDULE], ids=["constant", "schedule"])
@pytest.mark.parametrize("callback", CALLBACKS)
def test_callbacks_lower_the_rate_of_the_kernels_alone(policy, density, callback):
    keras.config.set_dtype_policy(policy)
    model = small_model()
    model.compile(density_optimizer(keras.optimizers.SGD(0.01), density), "mse")
    wrapped = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert wrapped == (policy == "mixed_float16")
    options = {"epochs": 2, "batch_size": 8, "verbose": 0}
    model.fit(INPUTS, TARGETS, callbacks=[CALLBACKS[callback]], **options)
    assert rates(model.optimizer) == pytest.approx([0.005, 0.05])
    assert float(to_numpy(model.optimizer.learning_rate)) == pytest.approx(0.005)


def test_a_schedule_of_the_kernels_is_not_settable_as_in_keras():
    optimizer = density_optimizer(keras.optimizers.SGD(SCHEDULE))
    assert float(to_numpy(optimizer.learning_rate)) == pytest.approx(0.05)
    with pytest.raises(TypeError, match="not settable"):
        optimizer.learning_rate = 0.1


def test_settings_are_those_of_the_kernels():
    optimizer = density_optimizer(
        keras.optimizers.AdamW(weight_decay=0.1, clipnorm=2.0)
    )
    assert (optimizer.weight_decay, optimizer.clipnorm) == (0.1, 2.0)
    optimizer.weight_decay, optimizer.clipnorm = 0.2, 3.0
    kernels, densities = both(optimizer)
    assert (kernels.weight_decay, kernels.clipnorm) == (0.2, 3.0)
    assert (densities.weight_decay, densities.clipnorm) == (None, None)


@pytest.mark.parametrize("by", ["names", "variables"])
def test_exclusions_from_weight_decay_count_for_both(by):
    # Keras on PyTorch fails where all weights of an optimizer are excluded.
    model = small_model(density=[[0.7], [0.6]])
    optimizer = density_optimizer(
        keras.optimizers.AdamW(0.1, weight_decay=0.5),
        keras.optimizers.AdamW(0.1, weight_decay=0.5, name="density_adamw"),
    )
    if by == "names":
        optimizer.exclude_from_weight_decay(var_names=["coefficients_0", "bias"])
    else:
        layer = model.get_layer("hidden")
        excluded = [layer.bias, layer.density.weights[0]]
        optimizer.exclude_from_weight_decay(var_list=excluded)
    model.get_layer("hidden").bias.assign(np.ones(3))
    model.compile(optimizer, lambda targets, outputs: 0.0 * keras.ops.sum(outputs))
    before = values(model)
    train(model, None)
    after = values(model)
    for path in (f"{DENSITY}_0", "hidden/bias"):
        np.testing.assert_array_equal(after[path], before[path])
    for path in (f"{DENSITY}_1", "hidden/kernel"):
        # Decoupled decay without a gradient: w - w * rate * decay.
        np.testing.assert_allclose(after[path], before[path] * 0.95, rtol=1e-5)


@needs_keras("3.15", "has no `MultiOptimizer`")
@pytest.mark.parametrize(
    "options", [{}, {"use_ema": True}, {"clipnorm": 0.01}], ids=str
)
def test_steps_are_those_of_a_multi_optimizer_of_keras(options):
    def pair():
        return (
            keras.optimizers.AdamW(0.01, weight_decay=0.1, **options),
            keras.optimizers.Adam(0.1, name="density"),
        )

    kernels, densities = pair()
    pattern = {r".*/density/coefficients": densities}
    multi = keras.optimizers.MultiOptimizer(
        keras.optimizers.OptimizerMap(kernels, pattern)
    )
    results = []
    for optimizer in (multi, density_optimizer(*pair())):
        keras.utils.clear_session(free_memory=False)
        keras.utils.set_random_seed(0)
        model = small_model()
        train(model, optimizer, steps=3)
        results.append(model.get_weights())
    for expected, weight in zip(*results, strict=True):
        np.testing.assert_allclose(weight, expected, rtol=1e-6, atol=1e-7)


def test_a_loss_scale_of_the_kernels_is_one_for_both():
    results = []
    for scale in (None, 8.0):
        keras.utils.set_random_seed(0)
        model = small_model()
        kernels = keras.optimizers.SGD(0.01, loss_scale_factor=scale)
        train(model, density_optimizer(kernels, keras.optimizers.SGD(0.1)), steps=2)
        results.append(model.get_weights())
    for expected, weight in zip(*results, strict=True):
        # A power of 2 is exact, but a compiler may order the sums anew.
        np.testing.assert_allclose(weight, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("explicit", [True, False])
def test_steps_of_a_training_loop_of_ones_own(explicit):
    model = small_model()
    optimizer = density_optimizer(
        keras.optimizers.SGD(0.01), keras.optimizers.SGD(0.1, name="density")
    )
    variables = model.trainable_variables
    steps = [keras.ops.ones(variable.shape) for variable in variables]
    before = values(model)
    if explicit:
        optimizer.apply(steps[::-1], variables[::-1])
    else:
        with pytest.raises(ValueError, match="must be given"):
            optimizer.apply(steps)
        optimizer.build(variables)
        optimizer.apply(steps)
    for path, value in values(model).items():
        rate = 0.1 if path == DENSITY else 0.01
        np.testing.assert_allclose(value, before[path] - rate, rtol=1e-5, atol=1e-7)
    assert int(optimizer.iterations) == 1


@pytest.mark.parametrize("absent", ["densities", "kernels"])
def test_missing_gradients_are_told_and_stop_nothing(absent):
    model = small_model()
    optimizer = density_optimizer(
        keras.optimizers.SGD(0.01), keras.optimizers.SGD(0.1, name="density")
    )
    before = values(model)
    gradients = [
        None if (("/density/c" in v.path) == (absent == "densities")) else 0 * v + 1
        for v in model.trainable_variables
    ]
    with pytest.warns(UserWarning, match=f"any of the {absent}"):
        optimizer.apply(gradients, model.trainable_variables)
    moved = [p for p, v in values(model).items() if not np.array_equal(v, before[p])]
    assert (DENSITY in moved) == (absent == "kernels")
    assert (len(moved) > 1) == (absent == "densities")
    with pytest.raises(ValueError, match="No gradients"):
        optimizer.apply([None] * len(gradients), model.trainable_variables)


def test_an_optimizer_that_scales_the_loss_is_refused():
    scaled = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD())
    with pytest.raises(ValueError, match="`kernel_optimizer` must not scale"):
        density_optimizer(scaled)
    with pytest.raises(ValueError, match="`density_optimizer` must not scale"):
        density_optimizer("sgd", scaled)


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_state_is_loaded_with_the_rates(tmp_path, policy):
    keras.config.set_dtype_policy(policy)
    model = small_model()
    train(model, density_optimizer(keras.optimizers.Adam(0.01), SCHEDULE), steps=2)
    model.optimizer.learning_rate = 0.002
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert rates(loaded.optimizer) == pytest.approx([0.002, 0.05])
    for a, b in zip(model.optimizer.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(to_numpy(a), to_numpy(b))


def test_a_killed_training_goes_on_with_the_state_of_both(tmp_path):
    def fit(folder, epochs):
        keras.utils.clear_session(free_memory=False)
        keras.utils.set_random_seed(0)
        model = small_model()
        model.compile(density_optimizer(keras.optimizers.Adam(0.01), SCHEDULE), "mse")
        model.optimizer.build(model.trainable_variables)
        backup = keras.callbacks.BackupAndRestore(folder, delete_checkpoint=False)
        options = {"shuffle": False, "verbose": 0, "batch_size": 8}
        model.fit(INPUTS, TARGETS, epochs=epochs, callbacks=[backup], **options)
        return model

    whole = fit(tmp_path / "whole", 3)
    fit(tmp_path / "parts", 2)
    parts = fit(tmp_path / "parts", 3)
    for a, b in zip(
        (*whole.weights, *whole.optimizer.variables),
        (*parts.weights, *parts.optimizer.variables),
        strict=True,
    ):
        np.testing.assert_allclose(to_numpy(a), to_numpy(b), rtol=1e-6, atol=1e-7)


def test_loss_scaling_under_mixed_float16():
    keras.config.set_dtype_policy("mixed_float16")
    model = small_model()
    before = values(model)
    train(model, density_optimizer(keras.optimizers.SGD(0.01), 0.1), steps=2)
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    after = values(model)
    assert all(np.all(np.isfinite(value)) for value in after.values())
    assert not np.array_equal(after[DENSITY], before[DENSITY])
    # Adam's first two steps are of its rate, whatever the scale of the loss.
    assert np.abs(after[DENSITY] - before[DENSITY]).max() < 0.21


@pytest.mark.skipif(BACKEND == "torch", reason="its compiler takes over a minute")
def test_jit_compiled():
    model = small_model()
    randomize(model)
    optimizer = density_optimizer("adam")
    model.compile(optimizer, "mse", jit_compile=True)
    before = values(model)
    train(model, None)
    assert all(not np.array_equal(v, before[p]) for p, v in values(model).items())


def test_optimizers_of_one_name_are_kept_apart():
    with pytest.warns(UserWarning, match="Both optimizers are called 'adam'"):
        optimizer = density_optimizer(
            keras.optimizers.Adam(1e-3, name="adam"),
            keras.optimizers.Adam(1e-2, beta_1=0.5, name="adam"),
        )
    kernels, densities = both(optimizer)
    assert (kernels.name, densities.name) == ("adam", "density_adam")
    assert densities.beta_1 == 0.5
    assert float(densities.learning_rate) == pytest.approx(1e-2)


@pytest.mark.parametrize("given", ["sgd", "config"])
def test_names_and_configs_are_accepted(given):
    if given == "config":
        given = keras.optimizers.serialize(keras.optimizers.SGD(name="sgd"))
    kernels, densities = both(density_optimizer(given))
    assert isinstance(kernels, keras.optimizers.SGD)
    assert densities.name == "density_adam"


def test_one_instance_for_both_is_refused():
    shared = keras.optimizers.Adam()
    with pytest.raises(ValueError, match="must be another instance"):
        density_optimizer(shared, shared)


def test_a_model_without_a_density_trains_as_always():
    model = keras.Sequential([keras.Input((6, 6, 2)), keras.layers.Flatten()])
    model.add(keras.layers.Dense(3))
    before = model.get_weights()
    train(model, density_optimizer(keras.optimizers.SGD(0.1)))
    assert not np.array_equal(model.get_weights()[0], before[0])


def test_the_published_recipe():
    """Against AdamW by hand: without a gradient, decay alone moves the weights."""
    model = small_model(density=[0.7])
    model.compile(
        published_optimizer(steps_per_epoch=2),
        lambda targets, outputs: 0.0 * keras.ops.sum(outputs),
    )
    before = values(model)
    train(model, None, steps=22)
    after = values(model)
    # 20 steps of half a cosine, and two from its beginning again.
    steps = [*range(20), 0, 1]
    cosine = 0.5 * (1 + np.cos(np.pi * np.array(steps) / 20))
    for path, rate in ((DENSITY, 1e-2), ("hidden/kernel", 1e-4)):
        expected = before[path] * np.prod(1 - rate * cosine * 1e-2)
        np.testing.assert_allclose(after[path], expected, rtol=1e-5)


@pytest.mark.parametrize("steps", [0, -1, 2.5, None])
def test_bad_steps_of_the_published_recipe(steps):
    with pytest.raises(ValueError, match="`steps_per_epoch` must be"):
        published_optimizer(steps)
