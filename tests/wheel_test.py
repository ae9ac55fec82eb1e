"""The built wheel, in an environment that holds nothing else of this repository."""

import os
import re
import runpy
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import keras
import pytest
from extent import first

import keras_wconv

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


def metadata(monkeypatch, **environment):
    """What setup.py says, in an environment of these variables."""
    said = {}
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("setuptools.setup", lambda **kwargs: said.update(kwargs))
    runpy.run_path(str(ROOT / "setup.py"))
    return said


def test_links_of_readme_work_on_a_package_index(monkeypatch):
    said = metadata(
        monkeypatch,
        GITHUB_SERVER_URL="https://git.example",
        GITHUB_REPOSITORY="some/one",
        GITHUB_REF_NAME="v1.2.3",
    )
    text = said["long_description"]
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    assert len(targets) > 20
    assert all(target.startswith("https://") for target in targets)
    assert "(https://git.example/some/one/raw/v1.2.3/docs/images/" in text
    assert "(https://git.example/some/one/blob/v1.2.3/docs/faq.md)" in text
    assert said["project_urls"]["Homepage"] == "https://git.example/some/one/"


def test_without_an_address_readme_is_as_it_is(monkeypatch):
    said = metadata(monkeypatch)
    assert said["long_description"] == (ROOT / "README.md").read_text()
    assert said["project_urls"] == {}


def test_wheel_holds_the_rooms_and_no_tests(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for module in ("", "layers/", "applications/", "experiments/study/", "tuning/"):
        assert f"keras_wconv/{module}__init__.py" in names
    assert "keras_wconv/py.typed" in names
    rooms = {name.split("/")[0] for name in names}
    assert {room for room in rooms if not room.endswith(".dist-info")} == {
        "keras_wconv",
        "keras_wconv_cli.py",
    }
    assert f"-{keras_wconv.__version__}-" in wheel.name
    assert not [name for name in names if name.endswith("_test.py")]


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """The interpreter of an environment with the wheel and nothing else."""
    environment = tmp_path_factory.mktemp("fresh")
    venv = [sys.executable, "-m", "venv", "--without-pip", str(environment)]
    subprocess.run(venv, check=True)
    python = str(environment / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps"]
    subprocess.run([*pip, str(wheel)], check=True, cwd=environment)
    return python


IMPORTS = """
import keras_wconv
from keras_wconv import applications, callbacks, experiments, export, tuning
from keras_wconv.applications import DnCNN, ResNet20
from keras_wconv.experiments import Candidate, Denoising, Results, compare, datasets
from keras_wconv.layers import WeightedConv2D
from keras_wconv.tuning import DirectL, DirectLOracle
"""


def test_installed_wheel_imports_them_all(python, tmp_path):
    # The dependencies come from the environment of the tests; its path files, and so
    # the editable install of this repository, are not read from PYTHONPATH.
    result = subprocess.run(
        [python, "-c", f"{IMPORTS}\nprint(tuning.__file__)"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": sysconfig.get_path("purelib")},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    environment = str(Path(python).parents[1])
    assert result.stdout.splitlines()[-1].startswith(environment)


@pytest.mark.parametrize("install", first("wheel", "editable"))
def test_type_checker_resolves_all_imports(install, request, tmp_path):
    interpreter = request.getfixturevalue("python") if install == "wheel" else None
    (tmp_path / "script.py").write_text(IMPORTS)
    command = [sys.executable, "-m", "pyright", "--pythonpath"]
    result = subprocess.run(
        [*command, interpreter or sys.executable, "script.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
