import json
import threading

import keras
import numpy as np
import pytest
import small_tasks
from extent import first

from keras_wconv.experiments import Classification, Denoising, Task, datasets

MAKERS = [small_tasks.classification, small_tasks.denoising]


def train(task, seed=0, **kwargs):
    keras.utils.set_random_seed(seed)
    model = task.model([0.7])
    task.compile(model)
    return model, task.fit(model, seed=seed, **kwargs).history


def assert_equal_weights(first, second):
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_same_seed_gives_identical_results():
    task = small_tasks.denoising()
    (first, history), (again, same) = train(task), train(task)
    assert_equal_weights(first, again)
    assert history == same != train(task, seed=1)[1]


class Killed(Exception):
    pass


class KillIn(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if self.current == self.epoch and batch:
            raise Killed

    def on_epoch_begin(self, epoch, logs=None):
        self.current = epoch


@pytest.mark.parametrize("make", MAKERS)
def test_killed_training_resumes_to_the_same_result(make, tmp_path):
    task = make(epochs=3)
    whole, _ = train(task)
    with pytest.raises(Killed):
        train(task, callbacks=[KillIn(epoch=2)], backup_dir=tmp_path)
    resumed, history = train(task, backup_dir=tmp_path)
    assert len(history["loss"]) == 1
    assert_equal_weights(whole, resumed)


@pytest.mark.parametrize("make", MAKERS)
def test_training_improves_the_metric_to_choose_by(make):
    task = make(epochs=10)
    before = task.evaluate(train(task, epochs=0)[0])[task.monitor]
    model, history = train(task, validate=True)
    after = task.evaluate(model)[task.monitor]
    logged = history[f"val_{task.monitor}"]
    assert after > before
    assert len(logged) == 10
    assert after == pytest.approx(logged[-1], rel=1e-4)


def test_callbacks_of_keras_work(tmp_path):
    task = small_tasks.classification(epochs=4)
    model = task.model()
    task.compile(model, learning_rate=0.0)
    callbacks = [
        keras.callbacks.CSVLogger(tmp_path / "log.csv"),
        keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras"),
        keras.callbacks.EarlyStopping("val_accuracy", mode="max", patience=1),
    ]
    history = task.fit(model, callbacks=callbacks, validate=True)
    assert len(history.epoch) == 2
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 3
    assert (tmp_path / "2.keras").exists()


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        ("constant", [0.1, 0.1, 0.1]),
        ("cosine", [0.1, 0.05, 1e-5]),
        ("steps", [0.1, 0.02, 0.0008]),
    ],
)
def test_schedules_span_the_recipe(schedule, rates):
    task = small_tasks.classification(
        epochs=10, schedule=schedule, optimizer=keras.optimizers.SGD
    )
    optimizer = task.optimizer()
    total = 10 * task.steps
    for step, rate in zip((0, total // 2, total), rates, strict=True):
        optimizer.iterations.assign(step)
        assert float(optimizer.learning_rate) == pytest.approx(rate, rel=1e-4)


def test_unknown_schedule_is_refused():
    with pytest.raises(ValueError, match=r"`schedule` must be one of .*'linear'"):
        small_tasks.classification(schedule="linear")


def test_learned_densities_get_their_own_optimizer():
    task = small_tasks.denoising()
    model = task.model([0.7], density_trainable=True)
    task.compile(model)
    optimizer = model.optimizer
    assert optimizer.density_optimizer is not optimizer.kernel_optimizer
    before = model.get_layer("conv1").density_map
    task.fit(model)
    assert not np.array_equal(before, model.get_layer("conv1").density_map)


@pytest.mark.parametrize("make", MAKERS)
def test_mixed_precision(make):
    keras.config.set_dtype_policy("mixed_bfloat16")
    task = make(epochs=1)
    model, history = train(task, validate=True)
    assert np.isfinite(history["val_loss"]).all()
    assert model.weights[0].dtype == "float32"
    assert np.isfinite(task.evaluate(model)[task.monitor])


def test_weight_decay_in_place_of_the_recipes():
    """Where the loss has no gradient, a step of SGD leaves 1 - rate * decay."""
    zeros = np.zeros((8, 4)), np.zeros((8, 1))
    task = LinearTask(
        datasets.Dataset("zeros", zeros, zeros, zeros),
        None,
        epochs=1,
        batch_size=8,
        learning_rate=0.1,
        optimizer=keras.optimizers.SGD,
        weight_decay=0.5,
    )
    for given, decay in ((None, 0.5), (2.0, 2.0), (0.0, 0.0)):
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        before = model.get_weights()[0]
        task.compile(model, weight_decay=given)
        task.fit(model)
        after = model.get_weights()[0]
        np.testing.assert_allclose(after, before * (1 - 0.1 * decay), rtol=1e-6)


class LinearTask(Task):
    name, loss, metrics = "linear", "mse", ("mae",)
    monitor, direction = "mae", "min"


def test_the_recipes_decay_stays_without_another():
    task = small_tasks.classification()
    assert task.optimizer().weight_decay == 5e-3
    assert task.optimizer(weight_decay=0.1).weight_decay == 0.1


def test_an_optimizer_brings_its_rate_and_decay():
    task = small_tasks.classification()
    model = task.model()
    with pytest.raises(ValueError, match="`optimizer` brings its own learning rate"):
        task.compile(model, learning_rate=0.1, optimizer=keras.optimizers.SGD())


@pytest.mark.parametrize("total", first(1, 7, 2, 12, 36, 37, count=2))
@pytest.mark.parametrize("make", MAKERS)
def test_a_training_may_have_any_number_of_steps(make, total):
    task = make(schedule="cosine").with_steps(total)
    assert task.total_steps == total == task.epochs * task.steps
    assert (
        task.optimizer().get_config()["learning_rate"]["config"]["decay_steps"] == total
    )
    model = task.model()
    task.compile(model)
    task.fit(model)
    assert int(model.optimizer.iterations) == total


def test_multiples_of_an_epoch_keep_its_length():
    task = small_tasks.classification()
    assert task.steps == 3
    assert (task.with_steps(36).epochs, task.with_steps(36).steps) == (12, 3)


def test_no_training_is_without_steps():
    with pytest.raises(ValueError, match="`total_steps` must be a positive integer"):
        small_tasks.classification().with_steps(0)


def test_batches_of_ones_own_must_have_the_steps_that_they_are_told():
    class Deaf(type(small_tasks.denoising())):
        def batches(self, seed):
            return small_tasks.denoising().batches(seed)

    task = small_tasks.denoising(task_class=Deaf)
    with pytest.raises(
        ValueError, match="`batches` of a task must give `steps_per_epoch`"
    ):
        task.with_steps(7)


def test_the_steps_are_known_without_threads():
    before = threading.active_count()
    assert [small_tasks.classification().steps for _ in range(20)] == [3] * 20
    assert threading.active_count() == before


def test_a_task_without_limits_is_the_same_for_every_seed():
    task = small_tasks.denoising()
    assert task.for_seed(3) is task


def test_folds_that_leave_too_few_examples_are_refused():
    """Found: the runs of the tuning had fewer examples than those reported."""
    task = small_tasks.classification()
    count = task.data.count()
    task = task.with_examples(count).with_folds(2)
    with pytest.raises(ValueError, match="`folds` must leave"):
        task.for_seed(1_000_000)


def test_folds_need_two_examples_of_each_class():
    """Found: it failed in the middle of the tuning, in the fold that held the one."""
    x, y = np.zeros((12, 8, 8, 1)), np.array(["rare", *["a", "b"] * 5, "rare"])
    held = x[:2], np.array(["a", "b"])

    def task(count):
        data = datasets.Dataset("rare", (x[:count], y[:count]), held, held)
        return Classification(data, batch_size=2)

    with pytest.raises(ValueError, match=r"`folds` need two .* one of 'rare'"):
        task(11).with_folds(3)
    pair = task(12).with_folds(3)
    for seed in range(1_000_000, 1_000_006):
        assert set(pair.for_seed(seed).data.train[1]) == {0, 1, 2}


@pytest.mark.parametrize("make", MAKERS)
def test_fewer_examples_are_a_part_of_more_and_differ_by_seed(make):
    def names(task):
        part = task.data.train
        return set(part.names) if make is MAKERS[1] else {x.tobytes() for x in part[0]}

    task = make()
    few, more = task.with_examples(2), task.with_examples(3)
    drawn = [names(few.for_seed(seed)) for seed in range(5)]
    assert all(len(part) == 2 for part in drawn) and len(set(map(frozenset, drawn))) > 1
    for seed, part in enumerate(drawn):
        assert part < names(more.for_seed(seed))
        assert (
            part
            == names(few.for_seed(seed))
            == names(more.with_examples(2).for_seed(seed))
        )
    assert names(few) == drawn[0]
    assert few.total_steps == task.total_steps
    assert few.data.test is task.data.test
    model = few.model()
    few.compile(model)
    few.fit(model, seed=1)
    assert int(model.optimizer.iterations) == task.total_steps


@pytest.mark.parametrize("count", [0, 5, 2.5])
def test_only_examples_that_are_there_can_be_taken(count):
    with pytest.raises(ValueError, match=r"`n` must be a number .* 1 to the 4"):
        small_tasks.denoising().with_examples(count)


@pytest.mark.parametrize("make", MAKERS)
def test_a_config_says_what_decides_and_is_the_same_in_every_process(make):
    config = make().get_config()
    assert json.loads(json.dumps(config)) == config
    assert make().get_config() == config  # Names of optimizers count up in between.
    for other in (
        make(learning_rate=0.3),
        make(weight_decay=0.1),
        make(schedule="constant" if make is MAKERS[0] else "cosine"),
        make(epochs=3),
        make(batch_size=8 if make is MAKERS[1] else 4),
        make(optimizer=keras.optimizers.RMSprop),
        make().with_steps(5),
        make().with_examples(3),
    ):
        assert other.get_config() != config
    assert Denoising.photographs(loss="mae").get_config() != (
        Denoising.photographs().get_config()
    )


def test_a_config_needs_no_network():
    def network(**options):
        raise AssertionError("was built")

    small_tasks.classification(network).get_config()


def test_a_task_without_a_network_says_so():
    task = small_tasks.classification(network=None)
    with pytest.raises(ValueError, match=r"`network` must be given to the task"):
        task.model(density=[0.7])


def test_means_leave_out_what_is_no_metric():
    rows = [
        {"example": "a", "sigma": 1, "mae": 2},
        {"example": "b", "sigma": 3, "mae": 4},
    ]
    assert Task.average(rows) == {"sigma": 2, "mae": 3}
    assert Denoising.average(rows) == {"mae": 3}


# What networks of one's own may be like, and what is wrong with them.


class Subclassed(keras.Model):
    def __init__(self, units, activation=None):
        super().__init__()
        self.flat = keras.layers.Flatten()
        self.dense = keras.layers.Dense(units, activation=activation)

    def call(self, inputs):
        return self.dense(self.flat(inputs))


def unnamed_input(units):
    return keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(units)])


@pytest.mark.parametrize("make", [Subclassed, unnamed_input])
def test_a_model_without_shapes_is_checked_by_calling_it(make):
    task = small_tasks.classification(network=None)
    model = make(2)
    task.check_model(model)
    assert model.built and len(model.weights) == 2
    with pytest.raises(
        ValueError, match=rf"`model` '{make(3).name[:6]}.* 2 classes.*3"
    ):
        task.check_model(make(3))


class TwoOutputs(Subclassed):
    def call(self, inputs):
        return [super().call(inputs)] * 2


def two_inputs():
    inputs = [keras.Input((8, 8, 1)), keras.Input((8, 8, 1))]
    both = keras.layers.Add()(inputs)
    return keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(both)))


def sized(*shape):
    layers = [keras.layers.Flatten(), keras.layers.Dense(2)]
    return keras.Sequential([keras.Input(shape), *layers], name="sized")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sized(8, 8, 3), r"`model` 'sized' must take .*\(8, 8, 1\).*\(8, 8, 3"),
        (lambda: sized(8, 8), r"`model` 'sized' must take .* \(8, 8\)"),
        (two_inputs, "must have one input and one output"),
        (lambda: TwoOutputs(2), "return one tensor. Received: a list of 2"),
        (lambda: keras.layers.Dense(2), "`model` must be a keras.Model"),
        (
            lambda: keras.Sequential([keras.layers.Conv1D(2, 3)]),
            "must take examples of",
        ),
    ],
)
def test_a_model_that_does_not_fit_is_refused(make, message):
    task = small_tasks.classification(network=None)
    with pytest.raises(ValueError, match=message):
        task.compile(make())


def test_a_lacking_channel_axis_is_named():
    images = np.zeros((12, 8, 8)), np.arange(12) % 2
    data = datasets.Dataset("flat", images, images, images)
    task = small_tasks.EagerClassification(data, small_tasks.small_vgg, batch_size=4)
    for build in (task.model, lambda: task.check_model(sized(8, 8, 1))):
        with pytest.raises(ValueError, match=r"inputs\[\.\.\., None\]"):
            build()
