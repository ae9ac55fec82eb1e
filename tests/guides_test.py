"""Runs every guide as its reader would, in an empty folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from extent import first

GUIDES = sorted((Path(__file__).parents[1] / "guides").glob("*.py"))
# The one that a reader begins with. `make docs` runs every guide, at each push.
FIRST = [path for path in GUIDES if path.stem == "weighted_convolution_in_five_minutes"]


@pytest.mark.parametrize(
    "guide", first(*FIRST, *sorted({*GUIDES} - {*FIRST})), ids=lambda path: path.stem
)
def test_guide_runs(guide, tmp_path):
    # GUIDE_QUICK shortens the runs of the guides that have long ones.
    environment = {**os.environ, "MPLBACKEND": "agg", "GUIDE_QUICK": "1"}
    result = subprocess.run(
        [sys.executable, str(guide)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.stem)
def test_guide_has_the_header_of_a_keras_guide(guide):
    header = guide.read_text().split('"""')[1]
    for field in ("Title:", "Author:", "Date created:", "Last modified:"):
        assert field in header
