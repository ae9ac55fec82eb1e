"""What every test shares: quiet, deterministic backends, state that does not leak."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "agg")

import keras
import pytest

# What computes nothing with the backend, or takes long and computes the same with each,
# runs once, under TensorFlow. `make test-all` runs everything under each.
ONCE = [
    "benchmarks_test.py",
    "docs_test.py",
    "experiments/cli_test.py",
    "experiments/planted_test.py",
    "experiments/report/*",
    "experiments/find_test.py",
    "experiments/study/log_test.py",
    "experiments/study/tune_test.py",
    "experiments/tasks/batches_test.py",
    "experiments/tasks/datasets_test.py",
    "guides_test.py",
    "release_test.py",
    "studies/*",
    "tuning/density_space_test.py",
    "tuning/direct_l_test.py",
    "tuning/mixed_space_test.py",
    "tuning/oracle_test.py",
    "wheel_test.py",
]
if keras.backend.backend() != "tensorflow" and "TEST_ALL" not in os.environ:
    collect_ignore_glob = ONCE


@pytest.fixture(autouse=True)
def clean_keras_state():
    """Gives each test the same seed and layer names, and the default policies back."""
    # Collecting garbage here took more time than most tests do.
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(0)
    policy = keras.config.dtype_policy()
    data_format = keras.config.image_data_format()
    yield
    keras.config.set_dtype_policy(policy)
    keras.config.set_image_data_format(data_format)
