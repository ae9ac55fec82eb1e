"""Installs extras into new environments, one after the other, and uses them there.

python tests/clean_environments.py tuning+jax data+tensorflow [-- arguments of pip]

Each pair of an extra and a backend gets an environment that holds nothing else, so that
what a dependency imports without saying so is missing there, as it is for a user.
"none" is no extra. `--all` is every pair.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BACKENDS = ("tensorflow", "jax", "torch")

MODEL = """
    import keras, keras_wconv, numpy as np
    inputs, targets = np.ones((4, 8, 8, 1), "float32"), np.zeros((4, 1), "float32")
    def build(hp=None, density=(0.7,)):
        model = keras.Sequential([
            keras.Input((8, 8, 1)),
            keras_wconv.WeightedConv2D(2, 3, density=density),
            keras.layers.Flatten(),
            keras.layers.Dense(1),
        ])
        model.compile("sgd", "mse")
        return model
"""
# What each extra is for. Files are written to the current folder, a new one.
USES = {
    "none": """
        model = build()
        model.fit(inputs, targets, verbose=0)
        model.save("model.keras")
        loaded = keras.saving.load_model("model.keras")
        folded = keras_wconv.fold(loaded)
        assert np.allclose(folded.predict(inputs, verbose=0),
                           model.predict(inputs, verbose=0), atol=1e-5)
        from keras_wconv.applications import ResNet20
        ResNet20(density=[0.7])
    """,
    "tuning": """
        from keras_wconv import tuning
        tuner = tuning.DirectL(
            lambda hp: build(density=tuning.density(hp, 3)),
            objective="val_loss", max_trials=2, directory="search",
        )
        tuner.search(
            inputs, targets, validation_data=(inputs, targets), epochs=1, verbose=0
        )
        assert len(tuner.oracle.trials) == 2
    """,
    "data": """
        from keras_wconv.experiments import datasets
        for make in (datasets.digits, datasets.mnist, datasets.photographs):
            print(make())
        import tensorflow_datasets
    """,
    "series": """
        from aeon.datasets import load_classification
        assert load_classification("GunPoint", split="train")[0].shape == (50, 1, 150)
    """,
    "optuna": """
        import optuna
        study = optuna.create_study()
        study.optimize(lambda trial: trial.suggest_float("d", 0, 1), n_trials=2)
    """,
    "plot": """
        from keras_wconv.visualization import plot_densities
        plot_densities(build()).savefig("maps.png")
    """,
    "cli": """
        import subprocess, sys
        build().save("model.keras")
        for arguments in (
            "--version",
            "--print-completion bash",
            "show model.keras --figure maps.png",
            "fold model.keras folded.keras",
            "compare --task digits --plan",
        ):
            command = ["keras-wconv", *arguments.split()]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    """,
    "export": """
        from keras_wconv.export import export
        formats = {
            "tensorflow": ["exported", "m.onnx", "m.xml", "m.tflite"],
            "jax": [],  # Keras exports with TensorFlow there.
            "torch": ["m.onnx", "m.xml"],
        }
        for path in formats[keras.backend.backend()]:
            print(export(build(), path))
        import onnx, onnxruntime, openvino
    """,
}
USES["all"] = "".join(
    textwrap.dedent(use) for extra, use in USES.items() if extra != "none"
)


def build_wheel(folder):
    """Builds from a copy: a build folder in the tree would put old files in it."""
    ignored = shutil.ignore_patterns(".*", "build", "runs", "*.egg-info", "__pycache__")
    source = folder / "source"
    shutil.copytree(ROOT, source, ignore=ignored)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--wheel-dir", folder, source], check=True)
    return next(folder.glob("*.whl"))


def try_pair(wheel, extra, backend, pip_arguments):
    """Returns whether the extra installs and does what it is for."""
    extras = backend if extra == "none" else f"{extra},{backend}"
    with tempfile.TemporaryDirectory() as folder:
        venv.create(Path(folder) / "environment", with_pip=True)
        bin = Path(folder) / "environment" / "bin"
        pip = [bin / "python", "-m", "pip", "--disable-pip-version-check", "--quiet"]
        script = textwrap.dedent(MODEL) + textwrap.dedent(USES[extra])
        environment = {
            **os.environ,
            "KERAS_BACKEND": backend,
            "MPLBACKEND": "agg",
            "PATH": f"{bin}{os.pathsep}{os.environ['PATH']}",
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        environment.pop("PYTHONPATH", None)
        for command in (
            [*pip, "install", *pip_arguments, f"{wheel}[{extras}]"],
            [*pip, "check"],
            [bin / "python", "-W", "ignore", "-c", script],
        ):
            if subprocess.run(command, cwd=folder, env=environment).returncode:
                return False
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pairs", nargs="*", metavar="EXTRA+BACKEND")
    parser.add_argument("--all", action="store_true")
    arguments, _, pip_arguments = " ".join(sys.argv[1:]).partition(" -- ")
    options = parser.parse_args(arguments.split())
    pairs = [pair.split("+") for pair in options.pairs]
    if options.all:
        pairs = [(extra, backend) for extra in USES for backend in BACKENDS]
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        wheel = build_wheel(Path(folder))
        for extra, backend in pairs:
            passed = try_pair(wheel, extra, backend, pip_arguments.split())
            failed += not passed
            print(f"{extra}+{backend}: {'passed' if passed else 'FAILED'}", flush=True)
    print(f"{len(pairs) - failed} passed, {failed} failed")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
