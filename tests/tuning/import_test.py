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


FORK = """
import os
import keras

for script in {scripts}:
    if not os.fork():
        exec(script)
        os._exit(0)
    assert os.wait()[1] == 0, script
"""


def run(*scripts):
    """Runs each in a process of its own, which has imported nothing but Keras."""
    result = subprocess.run(
        [sys.executable, "-u", "-c", FORK.format(scripts=scripts)],
        env={**os.environ, "KERAS_BACKEND": "numpy"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout


def test_what_is_not_installed_is_named_when_it_is_needed():
    run(
        *(
            f"""
import sys

sys.modules.update(dict.fromkeys({absent}))
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
"""
            for absent, missing, extra, there in [
                (["keras_tuner"], KERAS_TUNER, "tuning", [*NEITHER, "DirectLSampler"]),
                (["optuna"], ["DirectLSampler"], "optuna", [*NEITHER, *KERAS_TUNER]),
                (["optuna", "keras_tuner"], KERAS_TUNER, "tuning", NEITHER),
            ]
        )
    )


def test_a_part_brings_nothing_that_another_needs():
    brought = run(
        """
import sys
import keras_wconv.tuning

for name in ("DirectLSearch", "DirectLSampler", "DirectLOracle"):
    getattr(keras_wconv.tuning, name)
    print("optuna" in sys.modules, "keras_tuner" in sys.modules)
"""
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
