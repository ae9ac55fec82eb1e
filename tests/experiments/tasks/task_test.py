import keras
import numpy as np
import pytest
import small_tasks

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
    assert isinstance(model.optimizer, keras.optimizers.MultiOptimizer)
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
