"""What `keras_wconv.tuning` needs, and what it says where that is not installed."""

import os
import subprocess
import sys

import keras
import pytest

from keras_wconv import tuning

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow",
    reason="no backend is asked: once is enough",
)

KERAS_TUNER = ["DensityTuner", "DirectL", "DirectLOracle"]
NEITHER = ["DirectLSearch", "density"]


def run(absent, script):
    blocked = f"import sys; sys.modules.update(dict.fromkeys({absent}))\n"
    result = subprocess.run(
        [sys.executable, "-c", blocked + script],
        env={**os.environ, "KERAS_BACKEND": "numpy"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout


@pytest.mark.parametrize(
    ("absent", "missing", "extra", "there"),
    [
        (["keras_tuner"], KERAS_TUNER, "tuning", [*NEITHER, "DirectLSampler"]),
        (["optuna"], ["DirectLSampler"], "optuna", [*NEITHER, *KERAS_TUNER]),
        (["optuna", "keras_tuner"], KERAS_TUNER, "tuning", NEITHER),
    ],
)
def test_what_is_not_installed_is_named_when_it_is_needed(
    absent, missing, extra, there
):
    run(
        absent,
        f"""
from keras_wconv import tuning

assert set(tuning.__all__) <= set(dir(tuning))
for name in {there}:
    assert getattr(tuning, name).__name__ == name
for name in {missing}:
    try:
        getattr(tuning, name)
    except ImportError as error:
        assert 'pip install "keras_wconv[{extra}]"' in str(error), error
    else:
        raise AssertionError(name)
""",
    )


def test_a_part_brings_nothing_that_another_needs():
    brought = run(
        [],
        """
import sys
import keras_wconv.tuning

for name in ("DirectLSearch", "DirectLSampler", "DirectLOracle"):
    getattr(keras_wconv.tuning, name)
    print("optuna" in sys.modules, "keras_tuner" in sys.modules)
""",
    )
    assert brought.split() == ["False", "False", "True", "False", "True", "True"]


def test_all_names_are_there_and_no_other():
    for name in tuning.__all__:
        assert name in dir(tuning)
        assert getattr(tuning, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'absent'"):
        tuning.absent
    namespace = {}
    exec("from keras_wconv.tuning import *", namespace)
    assert set(tuning.__all__) <= set(namespace)
