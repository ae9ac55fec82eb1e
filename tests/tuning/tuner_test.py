"""DensityTuner and DirectL: the trials, and what they share."""

import gc
import socket
import warnings
from xml.etree import ElementTree

import keras
import keras_tuner as kt
import numpy as np
import pytest
from filelock import FileLock

from keras_wconv import WeightedConv2D, WeightedDepthwiseConv2D, callbacks, tuning
from keras_wconv.tuning import _keras_tuner

X = np.random.default_rng(0).random((24, 6, 6, 2), "float32")
Y = np.random.default_rng(1).integers(0, 3, 24)
DATA = {"x": X, "y": Y, "batch_size": 12, "validation_data": (X[:8], Y[:8])}
# Tracing takes TensorFlow longer than these runs do; JAX is slow without.
EAGERLY = keras.backend.backend() != "jax"


def classifier(layers, optimizer="sgd", **compile_options):
    model = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            *layers,
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(3, activation="softmax", dtype="float32"),
        ]
    )
    model.compile(optimizer, "sparse_categorical_crossentropy", **compile_options)
    return model


def build_small(hp):
    density = tuning.density(hp, kernel_size=3)
    return classifier([WeightedConv2D(2, 3, density=density)], run_eagerly=EAGERLY)


def build_normalized(hp):
    """Batch normalization, dropout, a schedule, and metrics with states."""
    density = tuning.density(hp, kernel_size=3)
    layers = [
        WeightedConv2D(3, 3, density=density, normalize_density=True),
        keras.layers.BatchNormalization(),
        keras.layers.ReLU(),
        keras.layers.Dropout(0.3),
    ]
    schedule = keras.optimizers.schedules.CosineDecay(0.1, decay_steps=6)
    metrics = ["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(2)]
    return classifier(layers, keras.optimizers.Adam(schedule), metrics=metrics)


def build_mixed(hp):
    """Mixed precision, moving averages and momentum; the rate is lowered in `fit`."""
    options = {"dtype": "mixed_bfloat16", "kernel_regularizer": "l2"}
    depthwise = tuning.density(hp, kernel_size=(3, 5))
    density = tuning.density(hp, kernel_size=3)
    layers = [
        WeightedDepthwiseConv2D((3, 5), density=depthwise, dtype="mixed_bfloat16"),
        WeightedConv2D(3, 3, padding="same", density=density, **options),
    ]
    sgd = keras.optimizers.SGD(
        0.1, momentum=0.9, use_ema=True, ema_overwrite_frequency=2
    )
    return classifier(layers, sgd)


def build_gaussian(hp):
    """A width, whose density is normalized because the layer is not told."""
    density = tuning.density(hp, kernel_size=9)
    layers = [
        WeightedConv2D(3, 9, padding="same", density=density),
        keras.layers.BatchNormalization(),
    ]
    return classifier(layers, run_eagerly=EAGERLY)


def build_rates(hp):
    """A density and a learning rate that are searched together."""
    density = tuning.density(hp, kernel_size=3)
    rate = hp.Float("rate", 0.01, 0.1, sampling="log")
    layers = [
        WeightedConv2D(3, 3, density=density),
        keras.layers.BatchNormalization(),
        keras.layers.Dropout(0.3),
    ]
    return classifier(layers, keras.optimizers.AdamW(rate), run_eagerly=EAGERLY)


def make_tuner(directory, hypermodel=build_small, **arguments):
    arguments = {"objective": "val_loss", "max_trials": 3, **arguments}
    return tuning.DirectL(hypermodel, directory=directory, **arguments)


class Recorded(kt.HyperModel):
    """Records the histories of the runs, and which models they were of."""

    def __init__(self, build):
        super().__init__()
        self.function = build
        self.histories = []
        self.models = []

    def build(self, hp):
        return self.function(hp)

    def fit(self, hp, model, *args, **kwargs):
        history = model.fit(*args, **kwargs)
        self.histories.append(history.history)
        self.models.append(model)
        return history


class Seed(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        keras.utils.set_random_seed(0)


@pytest.mark.parametrize(
    "build", [build_normalized, build_mixed, build_rates, build_gaussian]
)
def test_losses_equal_those_of_a_new_model_to_the_last_bit(tmp_path, build):
    plateau = keras.callbacks.ReduceLROnPlateau("loss", min_delta=10.0, patience=0)
    arguments = {"epochs": 2, "callbacks": [plateau], "verbose": 0, **DATA}
    if build is build_normalized:
        arguments["callbacks"] = []  # the rate has a schedule

    kept = Recorded(build)
    tuner = make_tuner(tmp_path / "kept", kept, max_trials=5)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        tuner.search(**arguments)
    assert len(set(map(id, kept.models))) == 1

    trial = tuner.oracle.trials["4"]
    if build is build_mixed and keras.backend.backend() == "jax":
        # XLA keeps more precision than asked for, and not the same with constants.
        new = Recorded(build)
        afresh = make_tuner(tmp_path / "new", new, reuse_model=False)
        afresh.run_trial(trial, **arguments)
        assert new.models[0] is not kept.models[0]
        expected = new.histories[0]
    else:
        keras.utils.clear_session()
        keras.utils.set_random_seed(0)
        model = build(trial.hyperparameters)
        arguments["callbacks"] = [Seed(), *arguments["callbacks"]]
        expected = model.fit(**arguments).history
    assert kept.histories[4] == expected
    assert len({history["loss"][-1] for history in kept.histories}) == 5


def test_plain_keras_tuner_oracles_share_the_model_too(tmp_path):
    recorded = Recorded(build_small)
    oracle = kt.oracles.RandomSearchOracle("val_loss", max_trials=3, seed=0)
    tuner = tuning.DensityTuner(oracle, recorded, directory=tmp_path)
    tuner.search(**DATA, verbose=0)
    assert len(set(map(id, recorded.models))) == 1
    assert len({history["loss"][0] for history in recorded.histories}) == 3


def test_best_model_is_a_plain_one_with_the_best_weights(tmp_path):
    tuner = make_tuner(tmp_path)
    tuner.search(**DATA, verbose=0)
    trial = tuner.oracle.get_best_trials()[0]
    model = tuner.get_best_models()[0]
    coefficient = trial.hyperparameters["density_3_1"]
    assert model.layers[0].density.initial.coefficients == (coefficient,)
    assert model.count_params() == 3 * 3 * 2 * 2 + 2 + 2 * 3 + 3
    loss = model.evaluate(*DATA["validation_data"], batch_size=12, verbose=0)
    assert loss == trial.score


def test_trials_that_differ_in_more_get_models_of_their_own(tmp_path):
    def build(hp):
        density = tuning.density(hp, kernel_size=3)
        momentum = hp.Float("momentum", 0.1, 0.9)
        layers = [WeightedConv2D(2, 3, density=density)]
        sgd = keras.optimizers.SGD(0.1, momentum=momentum)
        return classifier(layers, sgd, run_eagerly=EAGERLY)

    recorded = Recorded(build)
    tuner = make_tuner(tmp_path, recorded, max_trials=5)
    with pytest.warns(UserWarning, match="momentum was") as caught:
        tuner.search(**DATA, verbose=0)
    assert len([w for w in caught if "of their own" in str(w.message)]) == 1
    # The first three trials vary the density alone.
    assert len(set(map(id, recorded.models[:3]))) == 1
    momenta = [model.optimizer.momentum for model in recorded.models]
    values = [t.hyperparameters["momentum"] for t in tuner.oracle.trials.values()]
    assert momenta == values


def test_models_that_cannot_be_kept_are_built_each_time(tmp_path):
    class Subclassed(keras.Model):
        def __init__(self, density):
            super().__init__()
            self.conv = WeightedConv2D(3, 6, density=density)

        def call(self, inputs):
            return keras.ops.softmax(self.conv(inputs)[:, 0, 0])

    def build(hp):
        model = Subclassed([hp.Float("a", 0.5, 1.5), hp.Float("b", 0.5, 1.5)])
        loss = "sparse_categorical_crossentropy"
        model.compile("sgd", loss, run_eagerly=EAGERLY)
        return model

    recorded = Recorded(build)
    with pytest.warns(UserWarning, match="Subclassed is not a class of Keras"):
        make_tuner(tmp_path, recorded).search(**DATA, verbose=0)
    assert len(set(map(id, recorded.models))) == 3


def test_model_of_a_failed_trial_is_not_kept(tmp_path):
    class Failing(Recorded):
        def fit(self, hp, model, *args, **kwargs):
            if len(self.models) == 2:
                self.models.append(model)
                raise RuntimeError("out of memory")
            return super().fit(hp, model, *args, **kwargs)

    recorded = Failing(build_small)
    tuner = make_tuner(tmp_path, recorded, max_trials=4)
    tuner.search(**DATA, verbose=0)
    first, second, failed, last = map(id, recorded.models)
    assert first == second == failed != last
    statuses = [trial.status for trial in tuner.oracle.trials.values()]
    assert statuses == ["COMPLETED", "COMPLETED", "FAILED", "COMPLETED"]


def test_executions_have_seeds_of_their_own_that_all_trials_share(tmp_path):
    class Constant(Recorded):
        def fit(self, hp, model, *args, **kwargs):
            self.histories.append(np.sum([np.sum(w) for w in model.get_weights()]))
            return 1.0

    def build(hp):
        hp.Float("unused", 0, 1)
        return classifier([keras.layers.Conv2D(2, 3)])

    recorded = Constant(build)
    tuner = make_tuner(tmp_path, recorded, objective=None, executions_per_trial=2)
    tuner.search(**DATA, verbose=0)
    first, second = recorded.histories[:2]
    assert first != second
    assert recorded.histories == [first, second] * 3


def test_nothing_accumulates(tmp_path, monkeypatch):
    """The model that a trial was built from is gone when the trial trains."""
    # Python 3.12 freezes objects itself, those that never die.
    monkeypatch.setattr(gc, "freeze", lambda: pytest.fail("The heap was frozen."))
    kinds = (keras.Variable, keras.layers.Layer)
    counts = []

    class Counted(Recorded):
        def fit(self, hp, model, *args, **kwargs):
            found = (isinstance(thing, kinds) for thing in gc.get_objects())
            counts.append(sum(found))
            return super().fit(hp, model, *args, **kwargs)

    tuner = make_tuner(tmp_path, Counted(build_small), max_trials=7)
    gc.disable()  # Only what the tuner itself collects is gone.
    try:
        tuner.search(**DATA, verbose=0)
        assert not gc.isenabled()
    finally:
        gc.enable()
    assert counts[2:] == [counts[2]] * 5


def test_all_garbage_is_collected_for_a_part_of_the_time(monkeypatch):
    clock, collections = [0.0], []

    def collect():
        collections.append(clock[0])
        clock[0] += 0.2

    monkeypatch.setattr(_keras_tuner.gc, "collect", collect)
    monkeypatch.setattr(_keras_tuner.time, "perf_counter", lambda: clock[0])
    collection = _keras_tuner.Collection(share=0.1)
    for _ in range(45):  # trials of 0.1 seconds
        collection.collect()
        clock[0] += 0.1
    assert collections == pytest.approx([0.0, 2.2, 4.4], abs=0.3)  # a trial each
    for _ in range(3):  # trials of a minute
        clock[0] += 60
        collection.collect()
    assert len(collections) == 6


def test_worker_gives_up_on_a_chief_that_stays_away(monkeypatch, tmp_path):
    with socket.socket() as probe:  # Nobody listens at its port afterwards.
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    monkeypatch.setenv("KERASTUNER_ORACLE_PORT", str(port))
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "worker0")
    monkeypatch.setattr(_keras_tuner, "CHIEF_TIMEOUT", 0.5)
    tuner = tuning.DirectL(lambda hp: classifier([]), max_trials=1, directory=tmp_path)
    with pytest.raises(kt.errors.FatalRuntimeError, match="has not answered"):
        tuner.oracle.create_trial("worker0")


class Function(tuning.DirectL):
    """Minimizes a function: trials train nothing."""

    def run_trial(self, trial, **kwargs):
        return sum(
            (value - 0.7) ** 2 for value in trial.hyperparameters.values.values()
        )


def declare(**ranges):
    def build(hp):
        for name, bounds in ranges.items():
            hp.Float(name, *bounds)
        return classifier([])

    return build


def search_function(directory, build, **arguments):
    arguments = {"max_trials": 8, **arguments}
    tuner = Function(build, directory=directory, **arguments)
    tuner.search(verbose=0)
    return tuner


@pytest.mark.parametrize(
    "ranges, change",
    [
        ({"a": (0.5, 1.5), "b": (0.1, 1)}, "'b' was Float in .0.0, 1.0.* and is"),
        ({"a": (0.5, 1.5), "b": (0, 1), "c": (0, 1)}, "'c' was absent"),
        ({"a": (0.5, 1.5)}, "'b' was .* and is absent"),
    ],
)
def test_changed_search_space_is_not_continued(tmp_path, ranges, change):
    search_function(tmp_path, declare(a=(0.5, 1.5), b=(0, 1)))
    with pytest.raises(ValueError, match=change):
        search_function(tmp_path, declare(**ranges))


def test_search_is_resumed_and_prolonged(tmp_path):
    build = declare(a=(0.5, 1.5), b=(0, 1))
    whole = search_function(tmp_path / "whole", build)
    search_function(tmp_path / "parts", build, max_trials=3)
    parts = search_function(tmp_path / "parts", build)
    assert [trial.hyperparameters.values for trial in parts.oracle.trials.values()] == [
        trial.hyperparameters.values for trial in whole.oracle.trials.values()
    ]
    again = search_function(tmp_path / "parts", build, overwrite=True, max_trials=1)
    assert len(again.oracle.trials) == 1


def test_what_direct_cannot_search_is_refused_at_once(tmp_path):
    def build(hp):
        hp.Float("rate", 0.0, float("inf"))
        return classifier([])

    with pytest.raises(ValueError, match=r"rate.*Give it finite bounds"):
        make_tuner(tmp_path, build)


def test_objective_that_is_not_in_the_results(tmp_path):
    tuner = make_tuner(tmp_path, objective="val_accuracy")
    with pytest.raises(kt.errors.FatalValueError, match=r"lack the objective.*'loss'"):
        tuner.search(**DATA, verbose=0)
    assert tuner.oracle.create_trial("tuner1").status == "RUNNING"


# === Trials that fail ===


def test_saving_every_model_as_h5_fails_no_trial(tmp_path):
    """Keras takes the optimizer out of the compile config (pull request 23475)."""
    recorded = Recorded(build_small)
    tuner = make_tuner(tmp_path, recorded)
    checkpoint = keras.callbacks.ModelCheckpoint(str(tmp_path / "best.h5"))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        tuner.search(**DATA, verbose=0, callbacks=[checkpoint])
    statuses = {trial.status for trial in tuner.oracle.trials.values()}
    assert statuses == {"COMPLETED"}
    assert len(set(map(id, recorded.models))) == 1


def returning(values):
    """A hypermodel whose trials return one result after the other."""
    left = iter(values)

    class Returning(kt.HyperModel):
        def build(self, hp):
            hp.Float("a", 0, 1)
            return classifier([])

        def fit(self, hp, model, *args, **kwargs):
            result = next(left)
            if isinstance(result, Exception):
                raise result
            if isinstance(result, list):
                history = keras.callbacks.History()
                history.history = {"val_loss": result}
                return history
            return result

    return Returning()


class Stub(tuning.DirectL):
    runs = 0

    def run_trial(self, trial, verbose):
        self.runs += 1
        return trial.hyperparameters["a"]


def make_stub(directory, **arguments):
    hp = kt.HyperParameters()
    hp.Float("a", 0, 1)
    return Stub(hyperparameters=hp, directory=directory, **arguments)


def contents(folder):
    return {p: p.read_bytes() for p in folder.rglob("*.json")}


@pytest.mark.parametrize("how", ["overwrites", "was made early"])
def test_a_folder_in_use_is_left_alone(tmp_path, how):
    early = make_stub(tmp_path, max_trials=9)
    make_stub(tmp_path, max_trials=3).search(verbose=0)
    before = contents(tmp_path)
    # Another lock of one process is refused as that of another process is.
    with FileLock(tmp_path / "untitled_project" / ".lock"):
        with pytest.raises(ValueError, match="is in use by process"):
            if how == "overwrites":
                make_stub(tmp_path, overwrite=True)
            else:
                early.search(verbose=0)
        assert contents(tmp_path) == before
    make_stub(tmp_path, overwrite=True)
    assert not contents(tmp_path)


def test_a_tuner_made_early_goes_on_from_what_is_there(tmp_path):
    early = make_stub(tmp_path, max_trials=9)
    make_stub(tmp_path, max_trials=4).search(verbose=0)
    early.search(verbose=0)
    assert early.runs == 5
    whole = make_stub(tmp_path / "whole", max_trials=9)
    whole.search(verbose=0)
    scores = [[t.score for t in x.oracle.trials.values()] for x in (early, whole)]
    assert scores[0] == scores[1]


ORACLES = {
    "direct_l": tuning.DirectLOracle,
    "random": lambda *args, **kwargs: kt.oracles.RandomSearchOracle(
        *args, seed=0, **kwargs
    ),
}
INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize("oracle", ORACLES)
@pytest.mark.parametrize("failure", [NAN, INF, -INF, [NAN, INF], [-INF, 1.0], "raises"])
def test_failures_are_told_at_the_end_and_never_best(tmp_path, oracle, failure):
    shown = str(failure).strip("[]").split(",")[0]
    if failure == "raises":
        failure, shown = RuntimeError("out of memory"), "out of memory"
    shown = "inf" if failure == [NAN, INF] else shown
    results = [0.3, failure, 0.2, failure, 0.4]
    oracle = ORACLES[oracle]("val_loss", max_trials=5)
    tuner = tuning.DensityTuner(
        oracle, returning(results), directory=tmp_path, reuse_model=False
    )
    with pytest.warns(UserWarning, match="2 of 5 trials failed. Trials") as caught:
        tuner.search(**DATA, verbose=0)
    (told,) = [str(w.message) for w in caught if "trials failed" in str(w.message)]
    assert shown in told
    trials = list(oracle.trials.values())
    assert str(trials[1].hyperparameters.values) in told
    statuses = [trial.status for trial in trials]
    assert statuses == ["COMPLETED", "FAILED"] * 2 + ["COMPLETED"]
    assert oracle.get_best_trials()[0].score == 0.2


@pytest.mark.parametrize("oracle", ORACLES)
@pytest.mark.parametrize("failure", [NAN, INF, -INF])
def test_a_failed_execution_is_not_averaged(tmp_path, oracle, failure):
    oracle = ORACLES[oracle]("val_loss", max_trials=2)
    hypermodel = returning([0.1, failure, 0.4, 0.6])
    tuner = tuning.DensityTuner(
        oracle, hypermodel, directory=tmp_path, executions_per_trial=2
    )
    with pytest.warns(UserWarning, match="1 of 2 trials failed"):
        tuner.search(**DATA, verbose=0)
    failed, completed = oracle.trials.values()
    assert (failed.status, completed.status) == ("FAILED", "COMPLETED")
    assert completed.score == pytest.approx(0.5)


@pytest.mark.parametrize("failure", [NAN, INF])
def test_an_epoch_that_is_not_finite_is_not_the_best(tmp_path, failure):
    tuner = make_tuner(
        tmp_path, returning([[failure, 0.4, 0.3, failure]]), max_trials=1
    )
    tuner.search(**DATA, verbose=0)
    (trial,) = tuner.oracle.trials.values()
    assert (trial.status, trial.score, trial.best_step) == ("COMPLETED", 0.3, 2)


@pytest.mark.parametrize("oracle", ORACLES)
def test_end_after_failures_in_a_row_names_the_way_out(tmp_path, oracle):
    oracle = ORACLES[oracle]("val_loss", max_trials=5)
    tuner = tuning.DensityTuner(oracle, returning([NAN] * 3), directory=tmp_path)
    with pytest.raises(RuntimeError) as caught:
        tuner.search(**DATA, verbose=0)
    text = str(caught.value)
    for part in ("limit of 3", "val_loss is nan", "'a': ", "Trial ", "learning rate"):
        assert part in text


# === What is asked of the tuner ===


def test_a_tuner_without_a_hypermodel_says_so():
    with pytest.raises(ValueError, match="`hypermodel` must be"):
        tuning.DirectL(objective="val_loss")


@pytest.mark.parametrize(
    "arguments", [{"optimizer": "adam", "loss": "mse"}, {"loss": "mae"}], ids=str
)
def test_optimizer_and_loss_of_the_tuner(tmp_path, arguments):
    def build(hp):
        density = tuning.density(hp, kernel_size=3)
        layers = [keras.Input((6, 6, 2)), WeightedConv2D(1, 3, density=density)]
        model = keras.Sequential(layers)
        model.compile("sgd", "mse")
        return model

    recorded = Recorded(build)
    tuner = make_tuner(tmp_path, recorded, objective="loss", **arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        tuner.search(X, np.ones((24, 4, 4, 1)), verbose=0)
    assert len(set(map(id, recorded.models))) == 1
    assert recorded.models[0].loss == arguments["loss"]


def test_an_error_without_a_text_is_named(tmp_path, monkeypatch):
    def refuse(model):
        raise NotImplementedError

    monkeypatch.setattr("keras_wconv.tuning.tuner.KeptModel", refuse)
    with pytest.warns(UserWarning, match="other trials: NotImplementedError"):
        make_tuner(tmp_path, max_trials=1).search(**DATA, verbose=0)


class BatchSize(Recorded):
    """KerasTuner's documented way to search a batch size."""

    def fit(self, hp, model, *args, **kwargs):
        kwargs["batch_size"] = hp.Choice("batch_size", [8, 12, 24])
        with hp.conditional_scope("batch_size", [24]):
            if kwargs["batch_size"] == 24:
                kwargs["epochs"] = hp.Int("epochs", 1, 2)
        return super().fit(hp, model, *args, **kwargs)


def test_space_that_fit_declares_is_searched(tmp_path):
    def search(max_trials):
        recorded = BatchSize(build_small)
        tuner = make_tuner(tmp_path, recorded, max_trials=max_trials)
        tuner.search(X, Y, validation_data=(X, Y), verbose=0)
        return tuner, recorded

    tuner, recorded = search(5)
    assert len(recorded.models) == 5  # No training but those of the trials.
    names = {hp.name for hp in tuner.oracle.get_space().space}
    assert names == {"density_3_1", "batch_size", "epochs"}
    tuner, recorded = search(8)
    assert len(recorded.models) == 3  # It goes on.
    tried = [t.hyperparameters.values for t in tuner.oracle.trials.values()]
    assert {values["batch_size"] for values in tried} == {8, 12, 24}


def test_space_that_fit_declares_too_late_is_refused_before_it_trains(tmp_path):
    def ask(hp):
        return getattr(hp, "Choice")("batch_size", [8, 12])  # noqa: B009 - not seen

    class Hidden(Recorded):
        def fit(self, hp, model, *args, **kwargs):
            kwargs["batch_size"] = ask(hp)
            return super().fit(hp, model, *args, **kwargs)

    recorded = Hidden(build_small)
    tuner = make_tuner(tmp_path, recorded)
    with pytest.raises(kt.errors.FatalValueError, match=r"batch_size.*appeared after"):
        tuner.search(X, Y, validation_data=(X, Y), verbose=0)
    assert not recorded.models


def test_hyperband_trains_as_long_as_it_says(tmp_path):
    recorded = Recorded(build_small)
    oracle = kt.oracles.HyperbandOracle("val_loss", max_epochs=4, factor=2, seed=0)
    tuner = tuning.DensityTuner(oracle, recorded, directory=tmp_path)
    tuner.search(**DATA, verbose=0)
    trained = [len(history["loss"]) for history in recorded.histories]
    values = [t.hyperparameters.values for t in oracle.trials.values()]
    expected = [v["tuner/epochs"] - v["tuner/initial_epoch"] for v in values]
    assert trained == expected
    assert len(set(trained)) > 1
    assert len(set(map(id, recorded.models))) == 1
    # The first epoch of a later round goes on where the earlier one was best.
    plain = kt.Hyperband(
        build_small,
        "val_loss",
        max_epochs=4,
        factor=2,
        seed=0,
        directory=tmp_path,
        project_name="plain",
    )
    plain.search(**DATA, verbose=0)
    plain = [t.hyperparameters.values for t in plain.oracle.trials.values()]
    names = "tuner/epochs", "tuner/initial_epoch", "tuner/round"
    assert [[v[n] for n in names] for v in values] == [
        [v[n] for n in names] for v in plain
    ]


def test_each_training_has_a_density_log_of_its_own(tmp_path):
    def build(hp):
        rate = hp.Float("rate", 0.01, 0.1)
        layer = WeightedConv2D(2, 3, density=[0.7], density_trainable=True)
        return classifier([layer], keras.optimizers.SGD(rate), run_eagerly=EAGERLY)

    tuner = make_tuner(tmp_path / "search", build, executions_per_trial=2)
    logger = callbacks.DensityLogger(tmp_path / "densities.csv")
    tuner.search(**DATA, epochs=2, verbose=0, callbacks=[logger])
    names = sorted(path.name for path in tmp_path.glob("*.csv"))
    assert names == [
        f"densities_trial_{trial}_execution_{execution}.csv"
        for trial in range(3)
        for execution in range(2)
    ]
    for name in names:
        rows = (tmp_path / name).read_text().splitlines()[1:]
        epochs = [row.split(",")[0] for row in rows]
        # One training alone: each epoch once, with as many rows as the others.
        assert epochs == sorted([*"012"] * (len(rows) // 3))


def test_a_notebook_shows_the_trials_the_best_first(tmp_path):
    tuner = tuning.DirectL(
        returning([0.3, RuntimeError("<out> of memory"), 0.2]),
        "val_loss",
        max_trials=3,
        directory=tmp_path,
    )
    assert "DirectL: 0 trials" in tuner._repr_html_()
    with pytest.warns(UserWarning, match="1 of 3 trials failed"):
        tuner.search(**DATA, verbose=0)
    table = ElementTree.fromstring(tuner._repr_html_())
    assert table.find("caption").text == (
        "DirectL: 3 trials, 2 with a score. The best is trial 2, val_loss 0.2"
    )
    rows = [[cell.text for cell in row] for row in table.iter("tr")]
    a = [t.hyperparameters.values["a"] for t in tuner.oracle.trials.values()]
    assert rows == [
        ["trial", "a", "val_loss"],
        ["2", f"{a[2]:.5g}", "0.2"],
        ["0", "0.5", "0.3"],
        ["1", f"{a[1]:.5g}", "–"],
    ]


def test_a_table_of_many_trials_is_cut(tmp_path):
    tuner = search_function(tmp_path, declare(a=(0.5, 1.5)), max_trials=25)
    table = ElementTree.fromstring(tuner._repr_html_())
    assert "25 trials" in table.find("caption").text
    assert len(list(table.iter("tr"))) == 1 + 20
