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
    changelog = (ROOT / "CHANGELOG.md").read_text()
    newest = re.search(r"^## ([\d.]+) - (\d{4}-\d\d-\d\d)$", changelog, re.MULTILINE)
    citation = (ROOT / "CITATION.cff").read_text()
    fields = dict(
        re.findall(r"^(version|date-released): (.+)$", citation, re.MULTILINE)
    )
    assert newest.groups() == (fields["version"], fields["date-released"])
    assert fields["version"] == keras_wconv.__version__
