"""Files of strangers: a malformed density is an error that names the layer.

Nothing in the file is run, and no memory is taken for what it only declares.
"""

import json
import tracemalloc
import zipfile

import keras
import pytest

import keras_wconv


def density(name, **config):
    return {
        "module": "keras_wconv.densities",
        "class_name": name,
        "config": config,
        "registered_name": f"keras_wconv>{name}",
    }


def foreign(module, name, config):
    return {
        "module": module,
        "class_name": name,
        "config": config,
        "registered_name": name,
    }


def nested(depth, wrap, value):
    for _ in range(depth):
        value = wrap(value)
    return value


def radial(function):
    return {"density": density("Radial", function=function)}


MALFORMED = {
    "too long": (
        {"density": density("Separable", coefficients=[0.7, 0.2])},
        "does not fit the kernel",
    ),
    "not a number": (
        {"density": density("Separable", coefficients=[float("nan")])},
        "must be finite",
    ),
    "text": ({"density": density("Separable", coefficients="abc")}, "must be finite"),
    "unknown argument": ({"density": density("Gaussian", width=1.0)}, "'width'"),
    "a word": ({"density": density("Gaussian", sigma="wide")}, "`sigma` must be"),
    "ragged map": ({"density": density("Map", values=[[1], [1, 2]])}, "inhomogeneous"),
    "other map": ({"density": density("Map", values=[[1.0] * 5])}, r"shape \(3, 3\)"),
    "command": (
        {"density": foreign("os", "system", "touch executed")},
        "Expected the config of a `keras_wconv.densities.Density`",
    ),
    "process": (
        {"density": foreign("subprocess", "Popen", {"args": ["touch", "executed"]})},
        "Expected the config of a",
    ),
    "a layer of Keras": (
        {"density": foreign("keras.layers", "Dense", {"units": 2**40})},
        "Expected the config of a",
    ),
    "a Python lambda": (
        radial({"class_name": "__lambda__", "config": {"value": "4wAAAAA="}}),
        "disallowed by default",
    ),
    "a function of Python": (
        radial(foreign("builtins", "function", "exec")),
        "Could not locate function 'exec'",
    ),
    "a function of Keras that loads": (
        radial(
            {
                "module": "keras.saving",
                "class_name": "function",
                "config": "load_model",
                "registered_name": "load_model",
            }
        ),
        "cannot be made from its config",
    ),
    "configs in configs": (
        {
            "density": nested(
                100, lambda inner: density("Separable", coefficients=inner), [0.7]
            )
        },
        "must be finite",
    ),
    "lists in lists": (
        {
            "density": density(
                "Separable", coefficients=nested(500, lambda inner: [inner], 0.7)
            )
        },
        "must be finite",
    ),
    "a map of gigabytes": (
        {
            "kernel_size": [30_000, 30_000],
            "padding": "same",
            "density": density("Gaussian", sigma=2.0),
        },
        "at most 4,194,304 taps",
    ),
    "one of gigabytes to learn": (
        {
            "kernel_size": [30_000, 30_000],
            "padding": "same",
            "density_trainable": True,
            "density": density("Gaussian", sigma=2.0),
        },
        "at most 4,194,304 taps",
    ),
    "regularizer": (
        {
            "density_trainable": True,
            "density_regularizer": foreign("os", "system", "touch executed"),
        },
        "Could not interpret regularizer",
    ),
}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("written") / "model.keras"
    layer = keras_wconv.WeightedConv2D(4, 3, density=[0.7], name="conv")
    keras.Sequential([keras.Input((8, 8, 3)), layer]).save(path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_density_names_its_layer(case, written, tmp_path, monkeypatch):
    change, message = MALFORMED[case]
    config = json.loads(written["config.json"])
    config["config"]["layers"][1]["config"] |= change
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**written, "config.json": json.dumps(config)}.items():
            archive.writestr(name, content)
    monkeypatch.chdir(tmp_path)
    tracemalloc.start()
    with pytest.raises(ValueError, match=rf"(?s)layer 'conv' .*{message}"):
        keras.saving.load_model(path, safe_mode=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**25
    assert not (tmp_path / "executed").exists()


def test_an_unregistered_density_comes_with_custom_objects(tmp_path):
    class Own(keras_wconv.densities.Gaussian):
        pass

    layer = keras_wconv.WeightedConv2D(1, 3, density=Own(2.0))
    model = keras.Sequential([keras.Input((4, 4, 1)), layer])
    model.save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match=r"registered .* or is in `custom_objects`"):
        keras.saving.load_model(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", {"Own": Own})
    assert type(loaded.layers[0].density.initial) is Own
