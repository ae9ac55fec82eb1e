import functools
import json

import keras
import numpy as np
import pytest
import small_tasks
from layer_checks import float64
from scipy import stats

from keras_wconv.densities import Gaussian
from keras_wconv.experiments import Denoising, comparison, datasets

ADAM = functools.partial(keras.optimizers.AdamW, weight_decay=0.01)
SGD = functools.partial(
    keras.optimizers.SGD, momentum=0.9, nesterov=True, weight_decay=0.01
)


def start_of(arm):
    arm.start(seed=3)
    return {w.path: keras.ops.convert_to_numpy(w) for w in arm.model.weights}


@pytest.fixture(scope="module")
def starts():
    task = small_tasks.denoising()
    arms = {letter: comparison.Arm(letter, task, [0.5]) for letter in comparison.ARMS}
    return {letter: start_of(arm) for letter, arm in arms.items()}


@pytest.mark.parametrize("letter", "BDFGNLT")
def test_arms_share_their_start(starts, letter):
    for path, value in starts["A"].items():
        np.testing.assert_array_equal(value, starts[letter][path])


@pytest.mark.parametrize("letter", "CE")
def test_start_arms_begin_at_the_effective_kernel(starts, letter):
    phi = np.outer([0.5, 1, 0.5], [0.5, 1, 0.5])[..., None, None]
    for path, value in starts["A"].items():
        factor = phi if path.endswith("/kernel") else 1
        np.testing.assert_allclose(starts[letter][path], factor * value, rtol=1e-6)


def test_arms_see_the_same_batches(monkeypatch):
    task = small_tasks.denoising(epochs=1)
    seen = {}
    for letter in "AB":
        drawn = seen.setdefault(letter, [])
        original = type(task).batches

        def batches(self, seed, original=original, drawn=drawn):
            made = original(self, seed)
            drawn.append([made[i] for i in range(len(made))])
            return made

        monkeypatch.setattr(type(task), "batches", batches)
        arm = comparison.Arm(letter, task, [0.5])
        drawn.clear()
        arm.train(seed=1)
        monkeypatch.setattr(type(task), "batches", original)
    for first, second in zip(*(seen[letter][0] for letter in "AB"), strict=True):
        np.testing.assert_array_equal(first[0], second[0])


@pytest.mark.parametrize("optimizer", [SGD, ADAM])
def test_start_and_step_are_the_weighted_network(optimizer):
    with float64():
        keras.config.set_floatx("float64")
        keras.config.set_dtype_policy("float64")
        try:
            task = small_tasks.denoising(
                task_class=Denoising,
                channels=3,  # PyTorch cannot train a single filter in float64.
                epochs=4,
                optimizer=optimizer,
            )
            weighted, controls = (
                comparison.Arm(letter, task, [0.3]).train(seed=0) for letter in "BE"
            )
            (inputs, _) = task.batches(seed=9)[0]
            for layer in weighted.layers:
                if hasattr(layer, "effective_kernel"):
                    plain = controls.get_layer(layer.name).kernel
                    np.testing.assert_allclose(
                        keras.ops.convert_to_numpy(layer.effective_kernel),
                        keras.ops.convert_to_numpy(plain),
                        rtol=1e-9,
                        atol=1e-12,
                    )
            np.testing.assert_allclose(
                keras.ops.convert_to_numpy(weighted(inputs)),
                keras.ops.convert_to_numpy(controls(inputs)),
                rtol=1e-9,
                atol=1e-12,
            )
        finally:
            keras.config.set_floatx("float32")


def test_start_alone_and_step_alone_are_not():
    task = small_tasks.denoising(epochs=2)
    results = [
        comparison.Arm(letter, task, [0.3]).train(seed=0).get_weights()[-1]
        for letter in "ABCD"
    ]
    for i, first in enumerate(results):
        assert not any(np.allclose(first, other) for other in results[:i])


def test_gain_has_the_mean_square_of_the_density_and_no_shape():
    task = small_tasks.denoising()
    maps = comparison.density_maps(comparison.Arm("F", task, [0.5]).model)
    phi = np.outer([0.5, 1, 0.5], [0.5, 1, 0.5])
    for gain in maps.values():
        np.testing.assert_allclose(gain, np.sqrt(np.mean(phi**2)))


def test_permuted_density_has_its_values_in_other_places():
    network = functools.partial(small_tasks.small_dncnn, kernel_size=5)
    task = small_tasks.denoising(network)
    maps = comparison.density_maps(comparison.Arm("G", task, Gaussian(1.5)).model)
    phi = Gaussian(1.5)((5, 5))
    for permuted in maps.values():
        np.testing.assert_allclose(np.sort(permuted, None), np.sort(phi, None))
        assert permuted[2, 2] == phi[2, 2]
        assert not np.allclose(permuted, phi)
        np.testing.assert_array_equal(permuted, maps["conv1"])


def test_arm_can_be_trained_again_from_another_seed():
    task = small_tasks.denoising(epochs=1)
    used, fresh = (comparison.Arm("L", task, [0.5]) for _ in range(2))
    used.train(seed=0)
    for a, b in zip(
        used.train(seed=1).get_weights(), fresh.train(seed=1).get_weights(), strict=True
    ):
        np.testing.assert_array_equal(a, b)


def test_unknown_arm_is_refused():
    with pytest.raises(ValueError, match="Expected an arm of"):
        comparison.Arm("Z", small_tasks.denoising(), [0.5])


def compare(folder, task=None, **arguments):
    task = task or small_tasks.denoising(epochs=1)
    settings = {"density": [0.5], "seeds": (0, 1), "arms": "ABC", **arguments}
    return comparison.compare(task, folder, **settings)


def lines(folder):
    return [json.loads(line) for line in (folder / "runs.jsonl").open()]


class Killed(BaseException):
    pass


def test_kill_loses_at_most_the_run_in_progress(tmp_path, monkeypatch):
    whole = compare(tmp_path / "whole")
    train = comparison.Arm.train
    trained = []

    def train_until_killed(self, seed, callbacks=()):
        if len(trained) == 3:
            raise Killed
        trained.append(seed)
        return train(self, seed, callbacks)

    monkeypatch.setattr(comparison.Arm, "train", train_until_killed)
    with pytest.raises(Killed):
        compare(tmp_path / "killed")
    assert len(lines(tmp_path / "killed")) == 3
    with (tmp_path / "killed" / "runs.jsonl").open("a") as file:
        file.write('{"stage": "final", "arm": "B", "se')  # Torn by the kill.
    trained[:] = [None]  # Two runs until it is killed again.
    with pytest.raises(Killed):
        compare(tmp_path / "killed")
    assert len(lines(tmp_path / "killed")) == 5
    monkeypatch.setattr(comparison.Arm, "train", train)
    resumed = compare(tmp_path / "killed")
    assert len(lines(tmp_path / "killed")) == 6
    for arm, values in whole.metrics("test", "psnr").items():
        np.testing.assert_array_equal(values, resumed.metrics("test", "psnr")[arm])


def test_finished_comparison_trains_nothing_again(tmp_path, monkeypatch):
    first = compare(tmp_path)
    monkeypatch.setattr(comparison.Arm, "train", None)
    assert compare(tmp_path).runs == first.runs


def test_folder_with_other_settings_is_refused(tmp_path):
    compare(tmp_path, arms="AB")
    with pytest.raises(ValueError, match=r"epochs is 1 there and 3 now"):
        compare(tmp_path, small_tasks.denoising(epochs=3), arms="AB")
    with pytest.raises(ValueError, match=r"density\.0 is 0\.5 there and 0\.6 now"):
        compare(tmp_path, density=[0.6], arms="AB")


def test_searches_have_the_same_number_of_runs_and_never_see_the_test(tmp_path):
    results = compare(
        tmp_path,
        density=None,
        search=comparison.search_among([[0.5], [0.9], [1.1]]),
        arms="AB",
    )
    stages = {"search": [], "sweep": [], "final": []}
    for record in lines(tmp_path):
        stages[record["stage"]].append(record)
    assert len(stages["search"]) == len(stages["sweep"]) == 3
    for record in (*stages["search"], *stages["sweep"]):
        assert record["seed"] not in (0, 1)
        assert "test" not in record
    best = max(stages["search"], key=lambda record: record["validation"]["psnr"])
    assert results.density == best["density"]
    best = max(stages["sweep"], key=lambda record: record["validation"]["psnr"])
    assert results.rates["T"] == best["learning_rate"]
    assert list(results.runs) == ["A", "T", "B"]


@pytest.fixture
def results():
    """Results of made-up runs: B is better than A and T, and C is not."""

    def make(arms, direction="max"):
        task = small_tasks.denoising()
        task.direction = direction
        runs = {
            arm: [{"test": {"psnr": value}, "validation": {}} for value in values]
            for arm, values in arms.items()
        }
        return comparison.Results(
            task, None, [0.5], [0, 1, 2], runs, dict.fromkeys(arms, 0.1), []
        )

    return make


def test_interval_is_that_of_the_paired_t_test(results):
    a, b = [27.1, 28.3, 26.9], [27.5, 28.4, 27.6]
    effect = results({"A": a, "B": b}).effects()["weighted - standard"]
    expected = stats.ttest_rel(b, a).confidence_interval(0.95)
    assert (effect.low, effect.high) == pytest.approx(tuple(expected))
    assert effect.mean == pytest.approx(np.mean(b) - np.mean(a))


def test_effects_of_start_and_step_and_interaction_add_up(results):
    values = np.random.default_rng(0).normal(27, 1, (4, 3))
    effects = results(dict(zip("ABCD", values, strict=True))).effects()
    parts = ("start (C - A)", "step (D - A)", "interaction (B - C - D + A)")
    total = sum(effects[part].mean for part in parts)
    assert total == pytest.approx(effects["weighted - standard"].mean)


@pytest.mark.parametrize(
    ("weighted", "direction", "says"),
    [
        ([28.0, 29.0, 27.9], "max", "The weighted network is better"),
        ([26.0, 27.0, 25.9], "max", "The weighted network is worse"),
        ([28.0, 29.0, 27.9], "min", "The weighted network is worse"),
        ([27.3, 27.9, 27.0], "max", "These runs do not show a difference"),
        ([27.1, 28.1, 27.0], "max", "These runs do not show a difference"),
    ],
)
def test_conclusion_says_what_the_interval_allows(results, weighted, direction, says):
    arms = {"A": [27.1, 28.1, 27.0], "B": weighted}
    assert results(arms, direction).conclusion().startswith(says)


def test_tuned_baseline_is_the_question_when_there_is_one(results):
    arms = {"A": [27.0, 27.1, 27.2], "T": [28.0, 28.1, 28.2], "B": [27.5, 27.6, 27.8]}
    conclusion = results(arms).conclusion()
    assert conclusion.startswith("The weighted network is worse")
    assert "own learning rate" in conclusion


def test_one_seed_allows_no_interval(tmp_path):
    for seeds in ([0], [1, 1]):
        with pytest.raises(ValueError, match=r"`seeds` should be two at least"):
            compare(tmp_path, seeds=seeds)


def test_density_and_search_are_given_one_at_a_time(tmp_path):
    for arguments in ({"density": None}, {"search": lambda evaluate: [0.5]}):
        with pytest.raises(ValueError, match="Exactly one of `density` and `search`"):
            compare(tmp_path, **arguments)


def test_arms_that_are_none_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"`arms` should be letters of .*\['X'\]"):
        compare(tmp_path, arms="ABX")


def test_density_that_does_not_fit_is_refused_before_any_run(tmp_path):
    with pytest.raises(ValueError, match="fits no kernel"):
        compare(tmp_path, density=[0.2, 0.8])
    assert not (tmp_path / "runs.jsonl").exists()


def test_pictures_are_compared(tmp_path):
    parts = [small_tasks.pictures(count, size=64) for count in (3, 1, 2)]
    rows = comparison.compare_pictures(
        tmp_path,
        density=[0.5],
        data=datasets.Dataset("squares", *parts),
        epochs=1,
        steps_per_epoch=1,
    )
    assert [row["picture"] for row in rows] == ["picture0", "picture1"]
    assert rows[0]["noisy_psnr"] == pytest.approx(20.17, abs=0.3)
    models = {
        name: keras.models.load_model(tmp_path / f"{name}.keras", compile=False)
        for name in ("standard", "weighted", "folded")
    }
    assert type(models["folded"].get_layer("conv1")) is keras.layers.Conv2D
    inputs = small_tasks.pictures(1)[0][None].astype("float32") / 255
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(models["folded"](inputs)),
        keras.ops.convert_to_numpy(models["weighted"](inputs)),
        atol=1e-5,
    )
    settings = json.loads((tmp_path / "settings.json").read_text())
    assert (settings["density"], settings["seed"]) == ([0.5], 0)
    assert (tmp_path / "pictures.png").stat().st_size > 10_000
    assert "data:image/png;base64," in (tmp_path / "report.html").read_text()
