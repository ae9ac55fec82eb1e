"""README and the page of answers say what the logs of the studies say."""

import importlib
import json
import platform
import sys
from pathlib import Path

import pytest

from keras_wconv.experiments import Results
from keras_wconv.experiments.study import identity

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pages():
    sys.path.insert(0, str(ROOT))
    try:
        from studies import __main__ as pages
    finally:
        sys.path.remove(str(ROOT))
    return pages


def test_readme_shows_what_the_logs_say(pages):
    rows, studies = pages.read_linear(), pages.load_networks()
    readme = pages.README.read_text()
    table = pages.readme_table(rows, studies)
    assert pages.page_with(readme, table, pages.README_MARKS) == readme


def test_the_page_of_answers_is_made_of_the_logs(pages):
    page = pages.PAGE.read_text()
    written = pages.text(pages.read_linear(), pages.load_networks())
    assert pages.page_with(page, written) == page


def test_the_report_of_the_linear_study_is_made_of_its_log(pages):
    report = pages.linear_prior.FOLDER / "report.md"
    assert report.read_text() == pages.linear_prior.table(pages.read_linear())


def test_the_results_of_each_comparison_are_those_of_its_log():
    files = sorted((ROOT / "studies").rglob("results.json"))
    assert len(files) > 20
    for file in files:
        found = Results.load(file.parent).to_dict()
        assert json.loads(file.read_text()) == json.loads(json.dumps(found)), file


@pytest.mark.parametrize(
    ("study", "task"),
    [
        ("fashion", "Clothes"),
        ("few_pictures", "Pictures"),
        ("gradient_scaling", "Scaling"),
        ("learned_sizes", "series.Series"),
        ("recipes", "Recipes"),
        ("series", "Series"),
    ],
)
def test_studies_go_on_from_their_logs(pages, study, task):
    """A finished study, called again, finds its runs: its code is that of its log."""
    kind = importlib.import_module(f"studies.{study}")
    for name in task.split("."):
        kind = getattr(kind, name)
    files = [
        file
        for file in (ROOT / "studies" / study).rglob("settings.json")
        if (file.parent / "runs.jsonl").exists()
    ]
    assert files
    for file in files:
        settings = json.loads(file.read_text())
        python = settings["environment"]["versions"]["python"].split(".")[:2]
        if python == platform.python_version().split(".")[:2]:
            assert settings["shared"]["code of the task"] == identity.describe_code(
                kind
            ), file.parent
