"""One version: what the package says, its changelog and its citation."""

import re
from pathlib import Path

import keras
import pytest

import keras_wconv

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="One release serves every backend."
)


def test_changelog_and_citation_name_the_version_and_its_date():
    """Or neither has a date, before the release."""
    changelog = (ROOT / "CHANGELOG.md").read_text()
    newest = re.search(
        r"^## ([\d.]+) - (\d{4}-\d\d-\d\d|unreleased)$", changelog, re.MULTILINE
    )
    citation = (ROOT / "CITATION.cff").read_text()
    fields = dict(
        re.findall(r"^(version|date-released): (.+)$", citation, re.MULTILINE)
    )
    released = fields.get("date-released", "unreleased")
    assert newest.groups() == (fields["version"], released)
    assert fields["version"] == keras_wconv.__version__
