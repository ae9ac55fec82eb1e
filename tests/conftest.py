"""What every test shares: quiet, deterministic backends, state that does not leak."""

import gc
import os
from fnmatch import fnmatch
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "agg")

if "TEST_ALL" not in os.environ:
    # The tests compile many small programs and run each a few times.
    quickly = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes"
    os.environ.setdefault("XLA_FLAGS", quickly)

import keras
import pytest
from extent import ALL

# What computes nothing with the backend, or takes long and computes the same with each,
# runs once: files, or tests of a file. Many short trainings run under PyTorch, which
# compiles nothing.
ONCE = {
    "tensorflow": [
        "applications/convnext_test.py::test_computes_what_keras_applications_computes",
        "applications/vgg_test.py::test_normalized_density_keeps_the_variance",
        "applications/vgg_test.py::test_takes_the_weights_of_keras_applications*",
        "benchmarks_test.py",
        "docs_test.py",
        "doctest_test.py::*keras_wconv.applications*",
        "experiments/cli_test.py",
        "guides_test.py",
        "keras_wconv/conversion_test.py::test_a_folded_model_loads_without_*",
        "keras_wconv/densities_test.py",
        "keras_wconv/density_choice_test.py",
        "keras_wconv/files_test.py",
        "keras_wconv/import_test.py::test_the_import_brings_nothing_that_keras_did_not",
        "keras_wconv/untrusted_files_test.py",
        "keras_wconv/visualization_test.py",
        "release_test.py",
        "studies/*",
        "tuning/tuner_test.py::test_losses_equal_those_of_a_new_model*build_gaussian*",
        "tuning/tuner_test.py::test_losses_equal_those_of_a_new_model*build_rates*",
        "typing_test.py",
        "wheel_test.py",
    ],
    "torch": [
        "doctest_test.py::*keras_wconv.experiments*",
        "doctest_test.py::*keras_wconv.tuning*",
        "experiments/planted_test.py",
        "experiments/report/*",
        "experiments/comparison_test.py::test_tensorboard_follows_each_run",
        "experiments/comparison_test.py::test_lengths_and_numbers_of_examples*",
        "experiments/comparison_test.py::test_trials_that_do_not_divide*",
        "experiments/comparison_test.py::test_what_*",
        "experiments/find_test.py",
        "experiments/study/log_test.py",
        "experiments/study/sides_test.py",
        "experiments/study/tune_test.py",
        "experiments/tasks/batches_test.py",
        "experiments/tasks/classification_test.py",
        "experiments/tasks/datasets_test.py",
        "experiments/tasks/denoising_test.py",
        "experiments/tasks/regression_test.py",
        "tuning/density_space_test.py",
        "tuning/direct_l_test.py",
        "tuning/mixed_space_test.py",
        "tuning/oracle_test.py",
        "tuning/resume_test.py::test_backup*",
        "tuning/resume_test.py::test_interrupted_trials*with_schedule*",
        "tuning/resume_test.py::test_only_what_is_missing_is_trained",
        "tuning/resume_test.py::test_search_killed_by_the_system*",
        "tuning/resume_test.py::test_torn*",
        "tuning/resume_test.py::test_training_that_was_stopped_is_over",
        "tuning/resume_test.py::test_what_cannot_be_taken_up_is_said*",
        "tuning/tuner_test.py::test_a_failed_execution*",
        "tuning/tuner_test.py::test_all_garbage*",
        "tuning/tuner_test.py::test_an_epoch_that_is_not_finite*",
        "tuning/tuner_test.py::test_changed_search_space*",
        "tuning/tuner_test.py::test_each_training_has_a_density_log_of_its_own",
        "tuning/tuner_test.py::test_end_after_failures*",
        "tuning/tuner_test.py::test_failures_are_told*",
        "tuning/tuner_test.py::test_hyperband_trains_as_long_as_it_says",
        "tuning/tuner_test.py::test_saving_every_model_as_h5*",
        "tuning/tuner_test.py::test_search_is_resumed_and_prolonged",
        "tuning/tuner_test.py::test_space_that_fit_declares*",
        "tuning/tuner_test.py::test_worker_gives_up*",
    ],
}
# What another backend runs.
ELSEWHERE = [
    entry
    for backend, entries in ONCE.items()
    if not (ALL or backend == keras.backend.backend())
    for entry in entries
]
collect_ignore_glob = [entry for entry in ELSEWHERE if "::" not in entry]
TESTS = Path(__file__).parent


def pytest_configure(config):
    config.addinivalue_line("markers", "exhaustive: runs in `make test-all` alone")


def pytest_collection_modifyitems(config, items):
    """Leaves out what is `exhaustive`, unless all or a marker is asked for."""

    def is_left_out(item):
        if not (ALL or config.option.markexpr) and item.get_closest_marker(
            "exhaustive"
        ):
            return True
        name = f"{item.path.relative_to(TESTS).as_posix()}::{item.name}"
        return any(fnmatch(name, pattern) for pattern in ELSEWHERE)

    left_out = [item for item in items if is_left_out(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


def pytest_collection_finish(session):
    """What is imported by now stays: no collection of garbage looks at it again.

    KerasTuner collects twice a trial, half a second each with all of TensorFlow.
    """
    gc.collect()
    gc.freeze()


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
