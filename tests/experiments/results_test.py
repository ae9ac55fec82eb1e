"""The numbers of a comparison, against scipy and by simulation."""

import csv
import json

import numpy as np
import pytest
import small_tasks
from scipy import stats

from keras_wconv.experiments import Arm, Effect, Results, arms, results


@pytest.fixture
def make(tmp_path):
    """Results of made-up runs at 100 steps."""

    def make(values, direction="max", tuned=(), validation=None, extra=()):
        task = small_tasks.denoising()
        task.direction = direction
        validation = validation or values
        runs = {
            arm: [
                {
                    "test": {"psnr": test},
                    "validation": {"psnr": chosen},
                    "density": [0.5],
                    "learning_rate": 0.1,
                    "start": 1.0,
                }
                for test, chosen in zip(values[arm], validation[arm], strict=True)
            ]
            for arm in values
        }
        known = {**arms.ARMS, **{arm.key: arm for arm in extra}}
        return Results(
            task,
            tmp_path,
            {key: known[key] for key in values},
            [0, 1, 2],
            {100: runs},
            trainings={100: dict(tuned)},
        )

    return make


def test_interval_and_p_are_those_of_the_paired_t_test(make):
    a, b = [27.1, 28.3, 26.9], [27.5, 28.4, 27.6]
    effect = make({"A": a, "B": b}).effects()["weighted"]
    expected = stats.ttest_rel(b, a)
    interval = expected.confidence_interval(0.95)
    assert (effect.low, effect.high) == pytest.approx(tuple(interval))
    assert effect.p == pytest.approx(expected.pvalue)
    assert effect.mean == pytest.approx(np.mean(b) - np.mean(a))


def test_effects_of_start_and_step_and_interaction_add_up(make):
    values = np.random.default_rng(0).normal(27, 1, (4, 3))
    effects = make(dict(zip("ABCD", values.tolist(), strict=True))).effects()
    total = sum(effects[part].mean for part in ("start", "step", "interaction"))
    assert total == pytest.approx(effects["weighted"].mean)


def test_the_answer_is_the_best_of_each_side_by_validation(make):
    """The test split would choose T and B."""
    test = {"A": [1.0, 2, 3], "T": [9.0, 9, 8], "B": [9.0, 9, 9], "BT": [2.0, 3, 5]}
    validation = {"A": [2.0, 2, 2], "T": [1.0, 1, 1], "B": [1.0, 1, 1], "BT": [2, 2, 2]}
    answer = next(iter(make(test, validation=validation).effects().values()))
    assert answer.formula == "BT - A"
    assert answer.mean == pytest.approx(4 / 3)


@pytest.mark.parametrize(
    ("weighted", "direction", "says"),
    [
        ([28.0, 29.0, 27.9], "max", "The weighted network is better than"),
        ([26.0, 27.0, 25.9], "max", "The weighted network is worse than"),
        ([28.0, 29.0, 27.9], "min", "The weighted network is worse than"),
        ([27.3, 27.9, 27.0], "max", "These runs do not show a difference"),
        ([27.1, 28.1, 27.0], "max", "These runs do not show a difference"),
    ],
)
def test_conclusion_says_what_the_interval_allows(make, weighted, direction, says):
    untuned = 20.0 if direction == "max" else 40.0
    values = {"A": [untuned] * 3, "ST": [27.1, 28.1, 27.0], "B": weighted}
    outcome = make(values, direction, {"ST": 9, "B": 9})
    assert outcome.conclusion().startswith(says)


@pytest.mark.parametrize("tuned", [{}, {"T": 9}, {"ST": 4, "BT": 9}, {"S": 9}], ids=str)
def test_better_is_never_said_of_a_less_tuned_standard_network(make, tuned):
    values = {key: [27.1, 28.1, 27.0] for key in ("A", *tuned) if key != "BT"}
    values |= {"B": [28.0, 29.0, 27.9], "BT": [28.1, 29.1, 28.0]}
    conclusion = make(values, tuned=tuned).conclusion()
    assert conclusion.startswith("Not decided")
    assert "add the arm ST" in conclusion
    assert "better" not in conclusion


def test_own_arm_is_compared_with_the_standard_network(make):
    own = Arm("H", "half start")
    values = {"A": [1.0, 2, 3], "B": [2.0, 3, 5], "H": [3.0, 5, 5]}
    effects = make(values, extra=[own]).effects()
    assert effects["half start"].formula == "H - A"
    assert effects["half start"].mean == pytest.approx(7 / 3)


def test_a_published_initializer_may_be_the_best_standard_network(make):
    """It needs no tuning: better than A alone is then not better than standard."""
    values = {"A": [1.0, 2, 3], "ST": [1.1, 2, 3], "glorot": [5.0, 5, 6]}
    results = make({**values, "B": [3.0, 3, 5]}, tuned={"ST": 9, "B": 9})
    effects = results.effects()
    assert effects["weighted - standard"].formula == "B - glorot"
    assert effects["Glorot start"].mean == pytest.approx(10 / 3)
    assert results.conclusion().startswith("The weighted network is worse")


def test_holm_agrees_with_its_definition():
    """Each adjusted p-value is the largest of its predecessors, times what is left."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        p = rng.uniform(0, 0.06, 6)
        order = np.argsort(p)
        adjusted = np.maximum.accumulate(p[order] * np.arange(6, 0, -1))
        expected = np.empty(6, bool)
        expected[order] = adjusted <= 0.05
        assert results.holm(p) == expected.tolist()


def test_seeds_for_a_difference_are_those_of_a_simulation():
    effect = Effect.of(np.random.default_rng(0).normal(0, 0.1, 2000))
    rng = np.random.default_rng(1)
    count = effect.seeds_for(0.12)

    def power(count):
        drawn = rng.normal(0.12, effect.deviation, (4000, count))
        return np.mean(stats.ttest_1samp(drawn, 0, axis=1).pvalue < 0.05)

    # 4000 draws: the deviation of the power is below 0.008.
    assert power(count) > 0.78
    assert power(count - 1) < 0.82
    assert effect.seeds_for(1e-4, limit=50) is None


def test_files_hold_the_numbers(make, tmp_path):
    values = {"A": [1.0, 2, 3], "ST": [1.5, 2, 3], "B": [2.0, 3, 5]}
    outcome = make(values, tuned={"ST": 9})
    outcome.save()
    saved = json.loads((tmp_path / "results.json").read_text())
    budget = saved["budgets"]["100"]
    assert budget["arms"]["B"]["test"] == [2, 3, 5]
    assert budget["arms"]["ST"]["trainings"] == 9
    assert saved["environment"]["versions"]["keras"]
    with (tmp_path / "effects.csv").open() as file:
        rows = list(csv.DictReader(file))
    answer = outcome.effects()["weighted - standard"]
    assert float(rows[0]["mean"]) == pytest.approx(answer.mean, abs=1e-4)
    assert budget["effects"]["weighted - standard"]["mean"] == answer.mean
    latex = (tmp_path / "effects.tex").read_text()
    assert latex.count(r"\\") == len(rows) + 1
    assert f"{answer.mean:.4f}" in latex
