"""The built wheel, in an environment that holds nothing else of this repository."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import keras
import pytest

ROOT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="One wheel serves every backend."
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    # From a copy: a build folder left in the tree would put stale files in the wheel.
    source = tmp_path_factory.mktemp("source") / "keras_wconv"
    ignored = shutil.ignore_patterns(".*", "build", "runs", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, source, ignore=ignored)
    target = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    options = ["--no-deps", "--no-build-isolation", "--wheel-dir", str(target)]
    subprocess.run([*pip, "wheel", *options, str(source)], check=True, cwd=target)
    return next(target.glob("*.whl"))


def test_wheel_holds_the_rooms_and_no_tests(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for module in ("", "layers/", "applications/", "experiments/", "tuning/"):
        assert f"keras_wconv/{module}__init__.py" in names
    assert "keras_wconv/py.typed" in names
    rooms = {name.split("/")[0] for name in names}
    assert {room for room in rooms if not room.endswith(".dist-info")} == {
        "keras_wconv"
    }
    assert not [name for name in names if name.endswith("_test.py")]


def test_installed_wheel_imports_them_all(wheel, tmp_path):
    environment = tmp_path / "fresh"
    venv = [sys.executable, "-m", "venv", "--without-pip", str(environment)]
    subprocess.run(venv, check=True)
    python = str(environment / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps"]
    subprocess.run([*pip, str(wheel)], check=True, cwd=tmp_path)
    script = (
        "import keras_wconv, keras_wconv.applications, keras_wconv.tuning\n"
        "import keras_wconv.experiments\n"
        "import keras_wconv.applications.vgg\n"
        "print(keras_wconv.tuning.__file__)"
    )
    # The dependencies come from the environment of the tests; its path files, and so
    # the editable install of this repository, are not read from PYTHONPATH.
    result = subprocess.run(
        [python, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": sysconfig.get_path("purelib")},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1].startswith(str(environment))
