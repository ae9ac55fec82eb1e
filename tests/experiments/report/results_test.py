"""What is said of made-up runs, and how often it is wrong."""

import numpy as np
import pytest
from made_results import record, results
from scipy import stats

from keras_wconv.experiments import Results, cli
from keras_wconv.experiments.report import figures

ANSWER = "proposal - baseline"


def answer(found):
    return found.effects()[ANSWER]


def test_a_failed_run_does_not_take_its_candidate_out_in_silence():
    """ST = [30, nan, 30.1], A = 28, B = 29 once read "B is better than the best"."""
    nan = float("nan")
    found = results(
        {
            "tuned": np.array([30.0, nan, 30.1]),
            "weighted": np.full(3, 29.0),
            "as it is": np.full(3, 28.0),
        }
    )
    assert found.failures()["tuned"] == 1
    assert answer(found).decision == 0
    assert "better" not in found.verdict()


def test_equal_differences_are_not_certain():
    """Three equal differences of +0.2 once gave p = 0 and an interval of width 0."""
    found = results({"a": np.ones(3), "b": np.full(3, 1.2)})
    effect = answer(found).effect
    assert effect.p == 1 and np.isnan(effect.low)
    assert answer(found).decision == 0


@pytest.mark.parametrize(("direction", "sign"), [("max", 1), ("min", -1)])
def test_the_direction_says_what_is_better(direction, sign):
    rng = np.random.default_rng(0)
    base = rng.normal(10, 0.1, 10)
    chance = {"max": 0.0, "min": 100.0}[direction]
    found = results(
        {"a": base, "b": base + sign + rng.normal(0, 0.05, 10)},
        direction=direction,
        chance=chance,
    )
    assert answer(found).decision == 1
    assert found.verdict().startswith("The proposal is better than the baseline: ")


def test_no_difference_is_said_with_what_is_excluded():
    rng = np.random.default_rng(1)
    base = rng.normal(10, 1, 10)
    found = results({"a": base, "b": base + rng.normal(0, 0.1, 10)})
    margin = answer(found).effect.excluded
    assert 0 < margin < 0.3
    assert f"A difference of {margin:.3g} or more in either" in found.verdict()


def test_where_all_runs_of_a_side_failed_there_is_a_dash_and_no_nan(tmp_path, capsys):
    found = results({"a": np.full(3, np.nan), "b": np.array([2.0, 3.1, 4.2])})
    found.folder = tmp_path
    found.save()
    cli._print_results(found)
    printed, report = capsys.readouterr().out, (tmp_path / "report.md").read_text()
    assert "–" in printed and "nan" not in printed
    assert "| a | – × | – × | – × |" in report and "nan" not in report


def test_the_answer_by_example_is_over_the_pairs_of_the_answer():
    """Failed runs once made each example's mean -2 dB beside an answer of +0.3."""
    found = results({"a": np.full(3, 2.0), "b": np.array([2.5, 2.3, 0.0])})
    assert found.by_example() == {}
    for run in found.records:
        score = run["test"]["score"]
        run["rows"] = {"first": score - 1, "second": score + 1}
    by_example = found.by_example()
    assert by_example == pytest.approx({"first": 0.4, "second": 0.4})
    assert np.mean(list(by_example.values())) == answer(found).effect.mean
    for run in found.records:
        run["failed_test"] = True
    assert found.by_example() == {}


def test_the_curve_of_a_candidate_is_that_of_its_runs_that_trained():
    """One run that ended at NaN took its candidate's curve out of the figure."""
    found = results({"a": np.ones(3), "b": np.array([1.0, np.nan, 1.0])})
    losses = {True: [[1, 9.0], [2, np.nan]], False: [[1, 0.5], [2, 0.25]]}
    for run in found.records:
        run["curve"] = losses[run["failed_test"]]
    found.records[0]["curve"] = [[1, 0.5]]  # A callback stopped it.
    [axes] = figures.curves(found).axes
    [line] = axes.lines
    assert line.get_label() == "b" and line.get_ydata().tolist() == [0.5, 0.25]


def test_opposite_signals_are_both_told():
    rng = np.random.default_rng(0)
    base = rng.normal(10, 0.1, 20)
    better = base + 0.5 + rng.normal(0, 0.01, 20)
    better[:8] = np.nan
    found = results({"a": base, "b": better})
    verdict, reason = found.verdict(), "better where both train but fails more often"
    assert verdict.startswith("Neither side is better: +0.5")
    assert f"The proposal is {reason}." in verdict
    assert "No difference" not in verdict and "is excluded" not in verdict


def test_sentences_keep_to_the_confidence():
    values = {"a": np.zeros(7) + 1, "b": np.arange(7) + 2.0}
    verdict = results(values, confidence=0.995).verdict()
    # Of 8 signs all are alike with a probability of 2 / 256, of 9 with 2 / 512.
    assert "with its 99.5% interval" in verdict
    assert "with fewer than 9 pairs" in verdict and "always above 0.5%" in verdict


def test_the_title_is_of_what_was_compared():
    runs = {name: np.arange(6) + 1.0 for name in ("a", "b", "c")}
    sides = {"baseline": ["a", "b"], "proposal": ["c"], "controls": []}
    found = results(runs, sides=sides)
    found.settings["chosen"]["10 steps"]["baseline"] = "b"
    found = Results(found.settings, found.records)
    assert "c against b, numbers" in found._repr_html_()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("sides", {"baseline": ["a"], "proposal": ["c"], "controls": []}),
        ("trials", 2),
    ],
)
def test_what_an_earlier_call_chose_is_not_shown_under_newer_settings(key, value):
    """A call with other candidates, killed, once left the old choice as its own."""
    found = results({name: np.arange(6) + 1.0 for name in ("a", "b", "c")})
    settings = found.settings
    settings["chosen"]["10 steps"] |= {
        name: settings[name] for name in ("sides", "trials")
    }
    assert Results(settings, found.records).cells == ["10 steps"]
    with pytest.raises(ValueError, match="call `compare` again"):
        Results({**settings, key: value}, found.records)


def test_lengths_and_sizes_are_not_one_line():
    found = results({"a": np.arange(6) + 1.0, "b": np.arange(6) + 2.0})
    settings, records = found.settings, []
    [chosen] = settings["chosen"].values()
    settings["cells"] = [[size, steps] for size in (50, 200) for steps in (10, 20)]
    settings["chosen"] = {}
    for size, steps in settings["cells"]:
        settings["chosen"][f"{size} examples, {steps} steps"] = chosen
        records += [{**r, "examples": size, "steps": steps} for r in found.records]
    _, right = figures.cells(Results(settings, records)).axes
    lines = [line for line in right.lines if len(line.get_xdata()) == 2]
    assert [line.get_xdata().tolist() for line in lines] == [[50, 200]] * 4
    names = [text.get_text() for text in right.get_legend().get_texts()]
    assert names[0] == "baseline, 10 steps" and names[-1] == "proposal, 20 steps"


def test_what_the_tuning_never_tried_is_told():
    """With 5 runs for three values, the density was 1 in all, "chosen" by nobody."""
    found = results({"a": np.arange(6) + 1.0, "b": np.arange(6) + 2.0})
    assert "Never tried" not in found.verdict()
    [chosen] = found.settings["chosen"].values()
    chosen["never_tried"] = {"a": [], "b": ["density", "bias"]}
    verdict = Results(found.settings, found.records).verdict()
    assert "Never tried by the tuning: b (density, bias). Give more" in verdict


def test_too_few_pairs_say_so():
    found = results({"a": np.array([1.0, 2, 3]), "b": np.array([2.0, 3.1, 4.2])})
    assert "Give more `seeds`" in found.verdict()


def test_where_nothing_has_learned_it_is_said():
    found = results({"a": np.full(8, 0.1), "b": np.full(8, 0.1)}, chance=0.1)
    assert "No run has learned anything" in found.verdict()
    assert found.failures() == {"a": 8, "b": 8}


def test_more_failures_are_worse_although_the_rest_is_equal():
    rng = np.random.default_rng(2)
    base = rng.normal(10, 0.1, 20)
    fails = np.where(np.arange(20) < 9, np.nan, base + rng.normal(0, 0.1, 20))
    found = results({"steady": base, "risky": fails})
    assert answer(found).decision == -1
    assert "fails more often" in found.verdict()


def test_edges_pairing_and_repeats_are_told():
    scores = {"a": np.arange(1.0, 9), "b": np.arange(2.0, 10)}
    made = results(scores, edges={"b": ["start"]})
    runs = [dict(run) for run in made.records]
    for run in runs:
        if run["candidate"] == "b":
            run["initial"] = "other"
    again = record("a", 7, 8.0, 8.5) | {"stage": "repeat"}
    found = type(made)(made.settings, [*runs, again])
    text = found.verdict()
    assert "At the edge of a tuned range: b (start)" in text
    assert "but not its initial values: b" in text
    assert "a repeated run differed by 0.5" in text


def test_a_control_is_compared_with_the_baseline_under_one_rule():
    rng = np.random.default_rng(3)
    base = rng.normal(0, 1, 10) + 10
    found = results({"a": base, "b": base + rng.normal(0, 1, 10), "c": base + 2})
    assert list(found.effects()) == [ANSWER, "c - baseline"]
    adjusted = found.adjusted()
    assert adjusted[ANSWER].p >= answer(found).effect.p_decisive


def test_an_incomplete_comparison_is_refused_with_the_way_out():
    made = results({"a": np.arange(1.0, 5), "b": np.arange(1.0, 5)})
    with pytest.raises(ValueError, match="call `compare` again"):
        type(made)(made.settings, made.records[:-1])


def test_a_cell_that_is_not_complete_is_refused():
    """Found: an AttributeError."""
    made = results({"a": np.arange(1.0, 5), "b": np.arange(1.0, 5)})
    made.settings["cells"].append([None, 99])
    found = type(made)(made.settings, made.records)
    with pytest.raises(ValueError, match="`cell` must be one of"):
        found.metrics(cell="99 steps")


def test_a_metric_that_no_run_has_is_refused():
    """Found: its values were all NaN."""
    found = results({"a": np.arange(1.0, 5), "b": np.arange(1.0, 5)})
    with pytest.raises(ValueError, match=r"`metric` must be one of .*'score'"):
        found.metrics(metric="scores")


@pytest.mark.parametrize("failing", [0.0, 0.1, 0.4])
def test_errors_are_as_rare_as_promised(failing):
    """1,000 comparisons without a difference.

    The promise is 5 %, and 6 % leaves room for the draws; the seed is fixed.
    """
    rng = np.random.default_rng(int(100 * failing))
    wrong = covered = shown = 0
    for _ in range(1000):
        common = rng.normal(10, 1, 10)
        scores = {name: common + rng.normal(0, 0.5, 10) for name in "ab"}
        for name in scores:
            lost = rng.random(10) < failing
            scores[name] = np.where(lost, np.nan, scores[name])
        found = answer(results(scores))
        wrong += found.decision != 0
        if found.effect.count > 1:
            shown += 1
            covered += found.effect.low <= 0 <= found.effect.high
    assert wrong / 1000 <= 0.06
    assert covered / shown >= 0.93


def test_a_planted_difference_is_found_as_often_as_the_t_test_promises():
    """Power of the noncentral t; the sign-flip test, needed too, costs a few points."""
    rng = np.random.default_rng(5)
    shift, spread, seeds = 0.5, 0.5, 10
    found = 0
    for _ in range(400):
        base = rng.normal(10, 1, seeds)
        other = base + shift + rng.normal(0, spread, seeds)
        found += answer(results({"a": base, "b": other})).decision == 1
    critical = stats.t.ppf(0.975, seeds - 1)
    promised = stats.nct.sf(critical, seeds - 1, shift / spread * np.sqrt(seeds))
    # Three standard errors of 400 draws, and the price of the second test.
    assert found / 400 >= promised - 3 * np.sqrt(promised * (1 - promised) / 400) - 0.04
