import os
import subprocess
import sys
import textwrap

import keras
import pytest

BACKEND = keras.backend.backend()


def run(script, **environment):
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout


def test_the_import_brings_nothing_that_keras_did_not():
    brought = run("""
        import sys
        import keras
        before = set(sys.modules)
        import keras_wconv
        roots = {name.partition(".")[0] for name in set(sys.modules) - before}
        print(*sorted(roots - sys.stdlib_module_names - {"keras_wconv"}))
    """)
    assert brought.strip() == ""


@pytest.mark.skipif(BACKEND == "tensorflow", reason="it is the backend")
def test_works_where_tensorflow_is_not_installed(tmp_path):
    run(
        """
        import os, sys
        sys.modules["tensorflow"] = None  # what import takes for "not there"
        import keras, keras_wconv, numpy

        learned = {"density": [0.7], "density_trainable": True}
        model = keras.Sequential(
            [
                keras.Input((6, 6, 2)),
                keras_wconv.WeightedConv2D(3, 3, **learned),
                keras_wconv.WeightedSeparableConv2D(3, 3, density="gaussian"),
                keras.layers.Flatten(),
                keras.layers.Dense(1),
            ]
        )
        model.compile(keras_wconv.optimizers.density_optimizer("sgd"), "mse")
        inputs = numpy.ones((4, 6, 6, 2), "float32")
        model.fit(inputs, numpy.zeros((4, 1)), verbose=0)
        path = os.path.join(os.environ["FOLDER"], "model.keras")
        model.save(path)
        loaded = keras.saving.load_model(path, safe_mode=True)
        numpy.testing.assert_array_equal(
            loaded.predict(inputs, verbose=0), model.predict(inputs, verbose=0)
        )
        assert sys.modules["tensorflow"] is None
        """,
        FOLDER=str(tmp_path),
    )
