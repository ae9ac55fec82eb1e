"""The command `keras-wconv`, run as a user would, in this process."""

import re

import keras
import numpy as np
import pytest

import keras_wconv
from keras_wconv import cli


@pytest.fixture
def model_path(tmp_path):
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras_wconv.WeightedConv2D(2, 5, density=[0.2, 0.8], name="first"),
            keras.layers.Conv2D(1, 1, name="last"),
        ]
    )
    path = tmp_path / "model.keras"
    model.save(path)
    return path


def test_show_prints_profiles_and_gain_and_draws(model_path, tmp_path, capsys):
    figure = tmp_path / "maps.png"
    assert cli.main(["show", str(model_path), "--figure", str(figure)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "first" in printed
    assert "0.2 0.8 1 0.8 0.2" in printed
    profile = np.array([0.2, 0.8, 1, 0.8, 0.2])
    assert f"{np.mean(profile**2) ** 2:.3f}" in printed
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_fold_writes_a_plain_model_with_the_same_outputs(model_path, tmp_path):
    folded_path = tmp_path / "folded.keras"
    assert cli.main(["fold", str(model_path), str(folded_path)]) == 0
    model, folded = (keras.saving.load_model(p) for p in (model_path, folded_path))
    assert [type(layer) for layer in folded.layers] == [keras.layers.Conv2D] * 2
    x = np.random.default_rng(0).random((2, 8, 8, 1), dtype="float32")
    # The product is rounded once in both; only the order of sums may differ.
    np.testing.assert_allclose(folded.predict(x), model.predict(x), atol=1e-5)


def test_export_writes_a_model_or_says_what_the_backend_cannot(
    model_path, tmp_path, capsys
):
    output = tmp_path / "exported"
    command = ["export", str(model_path), str(output), "--format", "tf_saved_model"]
    if keras.backend.backend() == "torch":
        assert cli.main(command) == 2
        assert "The TensorFlow backend exports every format" in capsys.readouterr().err
    else:
        assert cli.main(command) == 0
        assert (output / "saved_model.pb").is_file()


def test_compare_writes_what_it_promises(tmp_path, capsys):
    output = tmp_path / "pair"
    command = ["compare", "--epochs", "1", "--steps-per-epoch", "1"]
    assert cli.main([*command, "--output", str(output)]) == 0
    written = {path.name for path in output.iterdir()}
    assert written >= {
        "report.md",
        "report.html",
        "settings.json",
        "standard.keras",
        "weighted.keras",
        "folded.keras",
    }
    assert "camera" in capsys.readouterr().out
    assert "keras-wconv compare" in (output / "report.md").read_text()


def test_search_writes_what_it_promises_and_goes_on(tmp_path, capsys):
    output = tmp_path / "search"
    command = ["search", "--epochs", "1", "--steps-per-epoch", "1", "--seeds", "2"]
    command += ["--best", "1", "--network-options", '{"depth": 2, "filters": 2}']
    command += ["--output", str(output)]
    assert cli.main([*command, "--trials", "3"]) == 0
    written = {path.name for path in output.iterdir()}
    assert written >= {
        "report.md",
        "report.html",
        "trials.csv",
        "search.png",
        "best.keras",
        "folded.keras",
    }
    folded = keras.saving.load_model(output / "folded.keras")
    assert not any(hasattr(layer, "density") for layer in folded.layers)
    first = (output / "trials.csv").read_text().splitlines()
    values = [float(line.split(",")[1]) for line in first[1:]]
    # The middle of [0.5, 1.5], which is the standard convolution, then its thirds.
    np.testing.assert_allclose(values, [1, 1 + 1 / 3, 1 - 1 / 3])
    runs = (output / "runs.jsonl").read_text()

    assert cli.main([*command, "--trials", "3"]) == 0
    assert (output / "trials.csv").read_text().splitlines() == first
    assert (output / "runs.jsonl").read_text() == runs
    assert "ST (standard, own start and learning rate)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "density"),
    [
        ("0.7", 0.7),
        ("[0.2, 0.8]", [0.2, 0.8]),
        ("gaussian", "gaussian"),
        ('{"3": [0.7], "1x7": [[], [1, 1, 1]]}', {3: [0.7], (1, 7): [[], [1, 1, 1]]}),
    ],
)
def test_density_of_the_command_line(text, density):
    assert cli._density(text) == density


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "absent.keras"], "No model was found.*absent.keras"),
        (["compare", "--task", "absent"], "`--task` must be one of.*absent"),
        (["search", "--task", "digits", "--kernel-size", "3"], "Name the network"),
        (["compare", "--network", "Absent"], "`--network` must be a builder.*Absent"),
        (
            ["compare", "--kernel-size", "9"],
            "No density is published for a kernel of 9",
        ),
        (["compare", "--density", "[0.1, 0.2, 0.3]"], "fits no kernel"),
        (["compare", "--seeds", "1"], "`seeds`"),
        (["compare", "--seeds", "2", "--trials", "0"], "`trials` must be at least 1"),
        (["search", "--best", "0"], "`best` must be at least 1"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(arguments, message, tmp_path, capsys):
    output = ["--output", str(tmp_path)] if arguments[0] != "show" else []
    assert cli.main([*arguments, *output]) == 2
    printed = capsys.readouterr().err
    assert "Traceback" not in printed
    assert re.search(message, printed, re.DOTALL)


def test_a_file_that_is_no_model_is_named(tmp_path, capsys):
    path = tmp_path / "notes.keras"
    path.write_text("no model")
    assert cli.main(["show", str(path)]) == 2
    assert re.search("is no model.*notes.keras", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("command", "output", "message"),
    [
        ("fold", "absent/folded.keras", "folder of the output must exist.*absent"),
        ("fold", "folded.h5", "must end with .keras"),
        ("export", "absent/model.onnx", "folder of the output must exist.*absent"),
    ],
)
def test_an_output_is_checked_before_the_model_is_loaded(
    command, output, message, tmp_path, capsys
):
    model = str(tmp_path / "absent.keras")
    assert cli.main([command, model, str(tmp_path / output)]) == 2
    assert re.search(message, capsys.readouterr().err)


def test_folder_without_pictures_is_named(tmp_path, capsys):
    assert cli.main(["compare", "--task", str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err


def test_an_abbreviated_option_is_refused(capsys):
    with pytest.raises(SystemExit) as status:
        cli.main(["compare", "--data", "pictures"])
    assert status.value.code == 2
    assert "unrecognized arguments: --data" in capsys.readouterr().err
