"""Comparisons of networks that are not ours, on the real loop."""

import keras
import keras_tuner
import numpy as np
import pytest
from made_study import Stripes, candidate, functional, sequential

from keras_wconv.experiments import Candidate, Results, Task, compare

SEEDS = (0, 1, 2)


@pytest.fixture(scope="module")
def sizes(tmp_path_factory):
    """Kernels of 3 against kernels of 5, the learning rate tuned on both sides."""
    folder = tmp_path_factory.mktemp("sizes")
    return folder, compare(Stripes(), folder, *size_candidates(), trials=3, seeds=SEEDS)


def size_candidates():
    return (
        candidate("kernels of 3", tune="learning_rate"),
        candidate(
            "kernels of 5", lambda hp: sequential(size=5), tune=("learning_rate",)
        ),
    )


def test_both_sides_get_the_same_number_of_runs(sizes):
    _, results = sizes
    assert [len(results.tried(name)) for name in results.candidates] == [3, 3]
    assert len(results.runs) == 2 * len(SEEDS)
    tuning = {
        record["seed"] for name in results.candidates for record in results.tried(name)
    }
    assert not tuning & set(SEEDS)


def test_trials_that_do_not_divide_are_spent_all_the_same(tmp_path):
    results = compare(
        Stripes(),
        tmp_path,
        [candidate(name, tune="learning_rate") for name in "ab"],
        candidate("c", functional, tune="learning_rate"),
        trials=3,
        seeds=(0, 1),
    )
    assert [len(results.tried(name)) for name in "abc"] == [2, 1, 3]


def test_a_second_call_trains_nothing_and_more_seeds_are_added(sizes, monkeypatch):
    """The names of unnamed models have counted up in between."""
    folder, results = sizes
    trained = []
    fit = Task.fit
    monkeypatch.setattr(
        Task, "fit", lambda *args, **kw: trained.append(args) or fit(*args, **kw)
    )
    again = compare(Stripes(), folder, *size_candidates(), trials=3, seeds=SEEDS)
    assert not trained and again.to_dict()["cells"] == results.to_dict()["cells"]
    more = compare(Stripes(), folder, *size_candidates(), trials=3, seeds=(*SEEDS, 7))
    assert len(trained) == 2 and len(more.runs) == 2 * (len(SEEDS) + 1)


def test_a_report_needs_the_files_alone(sizes):
    folder, _ = sizes
    before = (folder / "results.json").read_text()
    loaded = Results.load(folder)
    assert loaded.verdict() in before
    report = (folder / "report.md").read_text()
    assert loaded.verdict().partition(". ")[0] in report
    assert "knowing nothing" in report
    assert "<table" in loaded._repr_html_()
    assert loaded.plot().axes[0].get_xlabel() == (
        "difference of accuracy, percentage points"
    )


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda: Stripes(noise=0.9), "data.digest"),
        (lambda: Stripes(batch_size=4), "batch_size"),
    ],
)
def test_another_task_is_refused_in_the_folder(sizes, change, named):
    folder, _ = sizes
    with pytest.raises(ValueError, match=f"holds runs of something else.*{named}"):
        compare(change(), folder, *size_candidates(), trials=3, seeds=SEEDS)


def test_another_network_of_the_same_name_is_refused(sizes):
    folder, _ = sizes
    first, _ = size_candidates()
    other = candidate("kernels of 5", lambda hp: sequential(size=5, filters=6))
    with pytest.raises(ValueError, match="candidate 'kernels of 5'"):
        compare(Stripes(), folder, first, other, seeds=SEEDS)


def test_a_task_whose_code_changed_is_refused(tmp_path):
    """Arrays, names and settings are the same: what is done with them is not."""

    def task(factor):
        class Scaled(Stripes):
            def batches(self, seed):
                batches = super().batches(seed)
                load = batches.load

                def scaled(indices, rng):
                    inputs, labels = load(indices, rng)
                    return factor * inputs, labels

                batches.load = scaled
                return batches

        return Scaled()

    other = candidate("other", functional)
    compare(task(1.0), tmp_path, candidate(), other, seeds=(0, 1))
    compare(task(1.0), tmp_path, candidate(), other, seeds=(0, 1))
    with pytest.raises(ValueError, match="code of the task"):
        compare(task(0.0), tmp_path, candidate(), other, seeds=(0, 1))


class Jitter(Stripes):
    def __init__(self, jitter, **recipe):
        self.jitter, self.limit, self.calls = jitter, np.inf, 0
        super().__init__(**recipe)

    def batches(self, seed):
        self.calls += 1
        batches = super().batches(seed)
        load = batches.load

        def jittered(indices, rng):
            inputs, labels = load(indices, rng)
            return inputs + rng.normal(scale=self.jitter, size=inputs.shape), labels

        batches.load = jittered
        return batches


def test_a_task_with_other_attributes_is_refused(tmp_path):
    """Found: their code is the same, and the first one's results were shown."""
    both = candidate(), candidate("other", functional)
    first = compare(Jitter(0.0), tmp_path / "a", *both, seeds=(0, 1))
    again = compare(Jitter(0.0), tmp_path / "a", *both, seeds=(0, 1))
    assert len(again.runs) == len(first.runs)
    with pytest.raises(ValueError, match=r"attributes\.jitter is '0\.0' there and '9"):
        compare(Jitter(9.0), tmp_path / "a", *both, seeds=(0, 1))
    other = compare(Jitter(9.0), tmp_path / "b", *both, seeds=(0, 1))
    ids = [{run["id"] for run in results.runs} for results in (first, other)]
    assert not ids[0] & ids[1]


def test_the_log_may_have_runs_of_other_initial_values(tmp_path):
    """Weights that `build` loads change; the results are of those of the last call."""

    def results(value, trials=3):
        def pretrained(hp):
            model = sequential()
            kernel = model.layers[0].kernel
            kernel.assign(np.full(kernel.shape, value))
            return model

        return compare(
            Stripes(),
            tmp_path,
            candidate("pretrained", pretrained, tune="learning_rate"),
            candidate("other", functional),
            trials=trials,
            seeds=(0, 1),
        )

    curves = [[run["curve"] for run in results(v).runs] for v in (0.1, -0.5, 0.1)]
    assert curves[0] == curves[2] != curves[1]
    assert len(results(0.1, trials=4).tried("pretrained")) == 4
    assert len(results(0.1).tried("pretrained")) == 3


def test_a_task_that_does_not_say_what_is_better_is_refused_before_all_runs(tmp_path):
    task = Stripes()
    task.direction = None
    with pytest.raises(ValueError, match="`direction` must be"):
        compare(task, tmp_path, candidate("one"), candidate("two"), seeds=(0, 1))
    assert not [*tmp_path.iterdir()]


def test_examples_of_one_name_are_not_one_example(tmp_path):
    class Twice(Stripes):
        def measure(self, model, split="test"):
            [row] = super().measure(model, split)
            return [{**row, "example": "a"}, {**row, "example": "a"}]

    sides = candidate("one"), candidate("two", functional)
    results = compare(Twice(), tmp_path, *sides, seeds=(0, 1))
    assert [*results.runs[0]["rows"]] == ["a", "a (1)"]


def test_the_same_network_under_another_name_is_trained_once(tmp_path):
    task = Stripes()
    results = compare(
        task, tmp_path, candidate("one"), candidate("two", functional), seeds=(0, 1)
    )
    values = results.metrics()
    np.testing.assert_array_equal(values["one"], values["two"])
    effect = results.effects()["proposal - baseline"].effect
    assert effect.mean == 0 and effect.p == 1
    assert "all candidates draw the same initial values" in results.verdict()


def test_a_network_with_dropout_is_paired_with_one_without(tmp_path):
    results = compare(
        Stripes(),
        tmp_path,
        candidate("without"),
        candidate("with dropout", lambda hp: sequential(dropout=0.3)),
        seeds=(0, 1),
    )
    assert results.is_paired("without", "with dropout")
    losses = {run["candidate"]: run["curve"] for run in results.runs}
    assert losses["without"] != losses["with dropout"]


def test_a_seed_that_changes_nothing_is_an_error(tmp_path):
    fixed = keras.initializers.GlorotUniform(seed=7)

    def build(hp):
        model = sequential(kernel_initializer=fixed)
        model.layers[-1].kernel.assign(np.ones((4, 2)))
        return model

    with pytest.raises(ValueError, match="Every seed starts the candidate 'stuck'"):
        compare(Stripes(), tmp_path, candidate(), candidate("stuck", build))
    assert not (tmp_path / "runs.jsonl").exists()


def test_a_run_that_fails_is_counted_and_never_dropped(tmp_path):
    def diverges(hp):
        return sequential(bias_initializer=keras.initializers.Constant(np.nan))

    results = compare(
        Stripes(),
        tmp_path,
        candidate("steady"),
        candidate("wild", diverges),
        seeds=SEEDS,
    )
    assert results.failures()["wild"] == len(SEEDS)
    assert "failed" in results.verdict()
    assert results.effects()["proposal - baseline"].effect.count == 0
    assert "NaN" not in (tmp_path / "results.json").read_text()


def test_lengths_and_numbers_of_examples_are_cells(tmp_path):
    results = compare(
        Stripes(),
        tmp_path,
        candidate("3"),
        candidate("5", lambda hp: sequential(size=5)),
        seeds=(0, 1),
        budgets=[2, 4],
        examples=[8, 16],
    )
    assert results.cells == [
        f"{size} examples, {steps} steps" for size in (8, 16) for steps in (2, 4)
    ]
    assert list(results.table()) == results.cells
    assert "All lengths" in (tmp_path / "report.md").read_text()


def test_numbers_may_be_of_numpy(tmp_path):
    results = compare(
        Stripes(),
        tmp_path,
        candidate("3", tune="learning_rate"),
        candidate("5", lambda hp: sequential(size=5)),
        trials=np.int64(1),
        seeds=np.arange(2),
        budgets=np.array([2]),
        examples=np.int64(8),
    )
    assert results.cells == ["8 examples, 2 steps"] and results.seeds == [0, 1]


def conditional(hp):
    """What `hp` asks depends on what it answered, in all the ways that are usual."""
    if hp.Boolean("wide"):
        assert hp.Choice("how", ["a", "b"]) in "ab"
        if hp.get("how") == "b":
            hp.Float("inner", 0.1, 1)
    layers = hp.Int("layers", 1, 3)
    for i in range(layers):
        hp.Int(f"units_{i}", 2, 4)
    kind = hp.Choice("kind", ["plain", "large"])
    with hp.conditional_scope("kind", ["large"]):
        if kind == "large":
            return sequential(size=hp.Int("size", 3, 5, step=2))
    return sequential()


def test_all_that_is_asked_under_a_condition_is_tuned(tmp_path):
    space = candidate("asks", conditional).space(Stripes())
    names = {one.name for one in space.space}
    units = {f"units_{i}" for i in range(3)}
    assert names == {"wide", "how", "inner", "layers", "kind", "size"} | units

    def build(hp):
        wide = hp.Choice("wide", ["no", "yes"])
        return sequential(filters=hp.Int("filters", 3, 9)) if wide == "yes" else (
            sequential()
        )  # fmt: skip

    results = compare(
        Stripes(), tmp_path, candidate(), candidate("asks", build), trials=8,
        seeds=(0, 1),
    )  # fmt: skip
    values = [record["values"] for record in results.tried("asks")]
    assert len({one["filters"] for one in values if one["wide"] == "yes"}) > 1


def test_what_is_found_too_late_is_refused(tmp_path):
    def build(hp):
        if 0.4 < hp.Float("width", 0.1, 1) < 0.8:
            hp.Int("filters", 2, 4)
        return sequential()

    with pytest.raises(ValueError, match=r"'filters'.*conditional_scope"):
        compare(Stripes(), tmp_path, candidate(), candidate("asks", build), trials=3)


def test_values_that_make_no_network_are_said(tmp_path):
    def build(hp, error=keras_tuner.errors.FailedTrialError):
        size = hp.Choice("size", [3, 5, 7])
        if size == 7:
            raise error("larger than the picture")
        return sequential(size=size)

    asks = candidate("asks", build)
    results = compare(
        Stripes(), tmp_path, candidate(), asks, trials=6, seeds=(0, 1)
    )  # fmt: skip
    assert {record["values"]["size"] for record in results.tried("asks")} == {3, 5}
    assert results.values("asks")["size"] < 7  # Also if no run has learned anything.
    wrong = candidate("wrong", lambda hp: build(hp, TypeError))
    with pytest.raises(TypeError, match=r"larger.*\n.*'wrong'.*'size': 7"):
        compare(Stripes(), tmp_path / "other", candidate(), wrong, trials=6)


def test_tensorboard_follows_each_run(tmp_path):
    """Callbacks are made for each run: those of Keras write beside each other."""
    names = []

    def callbacks(name):
        names.append(name)
        return [keras.callbacks.TensorBoard(tmp_path / "logs" / name)]

    compare(
        Stripes(),
        tmp_path / "results",
        candidate("one"),
        candidate("two", lambda hp: sequential(filters=5)),
        seeds=(0, 1),
        callbacks=callbacks,
    )
    assert len(set(names)) == 4 and all("/" not in name for name in names)
    for name in names:
        assert list((tmp_path / "logs" / name).rglob("events.out.tfevents*"))


def test_runs_may_stop_early_and_their_model_may_train_itself(tmp_path):
    """Curves are of different lengths then, or have no loss."""

    class Silent(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = sequential()

        def call(self, x):
            return self.inner(x)

        def train_step(self, *args):
            logs = super().train_step(*args)
            return ({"mine": 0.0}, logs[1]) if type(logs) is tuple else {"mine": 0.0}

    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = True

    results = compare(
        Stripes(epochs=2),
        tmp_path,
        candidate(),
        candidate("silent", lambda hp: Silent()),
        seeds=(0, 1),
        callbacks=lambda name: [Stop()] if name.endswith("seed-0") else [],
    )
    curves = {name: losses for name, (_, losses) in results.curves().items()}
    assert np.isnan(curves["sequential"]).tolist() == [[False, True], [False, False]]
    assert np.isnan(curves["silent"]).all()


def test_a_dtype_policy_holds_for_the_networks_and_no_longer(tmp_path):
    results = compare(
        Stripes(),
        tmp_path,
        candidate("one"),
        candidate("two", lambda hp: sequential(filters=5)),
        seeds=(0, 1),
        dtype_policy="mixed_bfloat16",
    )
    assert results.settings["shared"]["dtype_policy"] == "mixed_bfloat16"
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"baseline": None}, "`baseline` must be a Candidate"),
        ({"proposal": "mine"}, "`proposal` must be a Candidate"),
        ({"proposal": candidate()}, "Received twice: .'sequential'"),
        ({"proposal": sequential}, "`proposal` must be a Candidate"),
        ({"callbacks": []}, "`callbacks` must be a function"),
        ({"callbacks": lambda name: None}, "`callbacks` must return a list"),
        ({"task": Stripes}, "`task` must be a Task"),
        ({"seeds": 3}, "`seeds` must be at least two"),
        ({"seeds": [0]}, "`seeds` must be at least two"),
        ({"seeds": [0, 0]}, "`seeds` must be at least two different"),
        ({"trials": 0}, "`trials` must be an int of at least 1"),
        ({"confidence": 95}, "`confidence` must lie between 0 and 1"),
        ({"density": [0.7]}, "must not be given beside"),
        ({"budgets": []}, "must not be empty"),
        ({"examples": 1000}, "1000"),
        ({"confidence": 95}, "`confidence` must lie between 0 and 1"),
        ({"budgets": [1.5]}, "must be a positive integer"),
        (
            {
                "proposal": candidate(
                    "dense",
                    lambda hp: keras.Sequential(
                        [
                            keras.Input((6, 6, 1)),
                            keras.layers.Flatten(),
                            keras.layers.Dense(7),
                        ]
                    ),
                )
            },
            "2 classes",
        ),
        (
            {
                "baseline": [
                    candidate("a", tune="start"),
                    candidate("b", tune="start"),
                ],
                "trials": 1,
            },
            "`trials` must be at least 2",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused_before_any_run(
    arguments, message, tmp_path
):
    defaults = {
        "task": Stripes(),
        "folder": tmp_path,
        "baseline": candidate(),
        "proposal": candidate("other", functional),
        "seeds": SEEDS,
    }
    with pytest.raises(ValueError, match=message):
        compare(**{**defaults, **arguments})
    assert not (tmp_path / "runs.jsonl").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": ""}, "`name` must be a string"),
        ({"build": 3}, "`build` must be a function"),
        ({"tune": "width"}, "`tune` must be of"),
        ({"initial": "absent"}, "absent"),
    ],
)
def test_what_is_no_candidate_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Candidate(**{"name": "mine", "build": sequential, **settings})


def test_a_monitor_that_no_metric_measures_is_named(tmp_path):
    """Found: a bare KeyError after the first training."""
    task = Stripes()
    task.monitor = "f1"
    with pytest.raises(ValueError, match=r"`monitor` .*'accuracy'.*Received: 'f1'"):
        compare(task, tmp_path, candidate("a"), candidate("b"), seeds=(0, 1))
