"""The command `keras-wconv`, run as a user would."""

import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import zipfile

import keras
import numpy as np
import pytest
from keras_versions import needs_keras

import keras_wconv
import keras_wconv_cli
from keras_wconv.experiments import cli

COMMAND = [sys.executable, "-m", "keras_wconv_cli"]


# The command sets its own log level.
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}


def run(*arguments, **environment):
    """Run the command in a process of its own."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        env={**ENVIRONMENT, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


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
    assert keras_wconv_cli.main(["show", str(model_path), "--figure", str(figure)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "first" in printed
    assert "0.2 0.8 1 0.8 0.2" in printed
    profile = np.array([0.2, 0.8, 1, 0.8, 0.2])
    assert f"{np.mean(profile**2) ** 2:.3f}" in printed
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_fold_writes_a_plain_model_with_the_same_outputs(model_path, tmp_path):
    folded_path = tmp_path / "folded.keras"
    assert keras_wconv_cli.main(["fold", str(model_path), str(folded_path)]) == 0
    model, folded = (keras.saving.load_model(p) for p in (model_path, folded_path))
    assert [type(layer) for layer in folded.layers] == [keras.layers.Conv2D] * 2
    x = np.random.default_rng(0).random((2, 8, 8, 1), dtype="float32")
    # The product is rounded once in both; only the order of sums may differ.
    np.testing.assert_allclose(folded.predict(x), model.predict(x), atol=1e-5)


def test_fold_trims_and_prints_what_it_removed(tmp_path, capsys):
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras_wconv.WeightedConv2D(2, 5, density=[0, 1], padding="same", name="a"),
            keras_wconv.WeightedConv2D(2, 5, density=[0, 1], name="b"),
        ]
    )
    paths = [tmp_path / "model.keras", tmp_path / "folded.keras"]
    model.save(paths[0])
    assert keras_wconv_cli.main(["show", str(paths[0])]) == 0
    assert "a │ 5 × 5 │ 3 × 3" in " ".join(capsys.readouterr().out.split())
    assert keras_wconv_cli.main(["fold", *map(str, paths), "--trim", "0"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    folded = keras.saving.load_model(paths[1])
    assert [layer.kernel_size for layer in folded.layers] == [(3, 3), (5, 5)]
    assert "→ 3 × 3" in printed and "padding='valid'" in printed
    assert f"weights: {model.count_params()} -> {folded.count_params()}" in printed
    x = np.random.default_rng(0).random((2, 8, 8, 1), dtype="float32")
    # Sums of 50 products of about 1 in two orders.
    np.testing.assert_allclose(folded.predict(x), model.predict(x), atol=1e-5)


def test_fold_keeps_the_loss_and_does_not_overwrite_its_input(model_path, tmp_path):
    model = keras.saving.load_model(model_path)
    model.compile(keras.optimizers.SGD(0.25), "mae", metrics=["mse"])
    model.save(model_path)
    before = model_path.read_bytes()
    link = tmp_path / "link.keras"
    link.symlink_to(model_path)
    for output in (model_path, link):
        assert keras_wconv_cli.main(["fold", str(model_path), str(output)]) == 2
    assert model_path.read_bytes() == before
    folded_path = tmp_path / "folded.keras"
    assert keras_wconv_cli.main(["fold", str(model_path), str(folded_path)]) == 0
    folded = keras.saving.load_model(folded_path)
    assert folded.loss == "mae"
    assert float(folded.optimizer.learning_rate) == 0.25


def test_export_writes_a_model_or_says_what_the_backend_cannot(
    model_path, tmp_path, capsys
):
    output = tmp_path / "exported"
    command = ["export", str(model_path), str(output), "--format", "tf_saved_model"]
    if keras.backend.backend() == "torch":
        assert keras_wconv_cli.main(command) == 2
        [line] = capsys.readouterr().err.splitlines()
        assert line.startswith("keras-wconv export: format='tf_saved_model' could not")
        assert line.endswith("every format: add --backend tensorflow")
    else:
        assert keras_wconv_cli.main(command) == 0
        assert (output / "saved_model.pb").is_file()


@pytest.mark.skipif(
    keras.backend.backend() == "jax", reason="Keras does not write it there."
)
@needs_keras("3.13", "does not write OpenVINO's files")
def test_export_names_both_files_of_openvino(model_path, tmp_path, capsys):
    pytest.importorskip("openvino")
    output = tmp_path / "exported.xml"
    assert keras_wconv_cli.main(["export", str(model_path), str(output)]) == 0
    written = f"Written: {output} and {output.with_suffix('.bin')}"
    assert written in capsys.readouterr().out
    assert output.is_file() and output.with_suffix(".bin").is_file()


SHORT = ["--epochs", "1", "--batch-size", "250", "--seeds", "2", "--trials", "3"]
TINY = ["--network", "VGG", "--network-options"]
TINY += ['{"convolutions": [1], "filters": [2], "hidden_units": []}']


def test_compare_writes_what_it_promises(tmp_path, capsys):
    output = tmp_path / "compared"
    command = ["compare", "--task", "digits", *SHORT, *TINY, "--density", "0.7"]
    assert keras_wconv_cli.main([*command, "--output", str(output)]) == 0
    written = {path.name for path in output.iterdir()}
    assert written >= {"report.md", "report.html", "settings.json", "results.json"}
    printed = capsys.readouterr()
    assert "classification on digits: 500 train, 300 validation" in printed.out
    assert "997 test, examples of shape (8, 8, 1)" in printed.out
    assert "14 runs of 2 steps: 3 to tune each side" in printed.out
    assert "knowing nothing" in printed.out and "on the test split" in printed.out
    lines = printed.err.splitlines()
    assert not re.search(r"[^\n -~]", "\n".join(lines))  # It is no terminal.
    # Runs that two networks share are trained once, and taken out of the count.
    numbered = [
        line for line in lines if re.match(r"\d+ of 1[0-4]: .*validation", line)
    ]
    assert len(numbered) >= 10 and numbered[0].startswith("1 of 14: ")
    assert "keras-wconv compare" in (output / "report.md").read_text()


def test_plan_says_how_long_it_takes_and_runs_nothing(tmp_path, capsys):
    output = tmp_path / "planned"
    command = ["search", "--task", "digits", *SHORT, *TINY, "--plan"]
    assert keras_wconv_cli.main([*command, "--output", str(output)]) == 0
    assert re.search(r"About \d+ minutes \(\d+ s a run\)", capsys.readouterr().out)
    assert not output.exists()


def test_plan_counts_each_length_of_the_training(tmp_path, capsys):
    """Found: it said "runs of 2 steps" whatever `--budgets` were, and counted twins."""
    command = ["compare", "--task", "digits", *SHORT, *TINY, "--density", "0.7"]
    command += ["--budgets", "10,3,10", "--plan", "--output", str(tmp_path / "planned")]
    assert keras_wconv_cli.main(command) == 0
    assert "28 runs of 3 or 10 steps: 3 to tune each" in capsys.readouterr().out


def test_a_set_of_series_takes_a_folder_for_downloads(tmp_path):
    make, recipe = cli._own_task("GunPoint", {"data_dir": tmp_path, "epochs": 3})
    task = make(**recipe)
    assert task.data.name == "GunPoint" and task.epochs == 3


def test_ones_own_classes_arrays_and_network(tmp_path, capsys, monkeypatch):
    """The task is guessed from what is there."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for name in ("cats", "dogs"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for i in range(12):
            Image.fromarray(rng.integers(0, 255, (9, 9), "uint8")).save(
                tmp_path / "pets" / name / f"{i}.png"
            )
    (tmp_path / "mine.py").write_text(
        "from keras_wconv.applications import VGG\n"
        "def net(input_shape, classes, density=None, **options):\n"
        "    return VGG((1,), (2,), density=density, input_shape=input_shape,\n"
        "               classes=classes, hidden_units=(), **options)\n"
    )
    monkeypatch.chdir(tmp_path)
    options = ["--network", "mine:net", "--plan"]
    assert keras_wconv_cli.main(["compare", "--task", "pets", *options]) == 0
    assert "classification on pets" in capsys.readouterr().out
    series = rng.normal(size=(30, 16, 1)).astype("float32")
    np.savez(tmp_path / "waves.npz", x=series, y=np.arange(30) % 3)
    with (tmp_path / "waves.csv").open("w") as file:
        for values, label in zip(series[..., 0], np.arange(30) % 3, strict=True):
            file.write(",".join([f"c{label}", *map(str, values)]) + "\n")
    for name in ("waves.npz", "waves.csv"):
        parsed = keras_wconv_cli.parse(["compare", "--task", name])
        assert cli._task(parsed).model().output_shape == (None, 3)
    # Found: --data and --schedule, which are no options, were among those named.
    wrong = keras_wconv_cli.parse(["compare", "--task", "waves.npz", "--sigma", "3"])
    with pytest.raises(ValueError, match=r"--task waves\.npz .* one of --sigma:"):
        cli._task(wrong)
    parsed = keras_wconv_cli.parse(["search", "--task", name, "--kernel-size", "4"])
    with pytest.raises(ValueError, match=r"a DnCNN, which does not fit.*waves\.csv"):
        cli._task(parsed)


def test_other_files_beside_the_folders_of_classes_are_no_pictures(tmp_path):
    """Found: with a LICENSE.txt beside them, the classes were denoised."""
    from PIL import Image

    for name in ("daisy", "rose"):
        (tmp_path / name).mkdir()
        Image.new("L", (9, 9)).save(tmp_path / name / "0.png")
    (tmp_path / "LICENSE.txt").write_text("All rights reserved.")
    assert cli._has_classes(tmp_path)
    Image.new("L", (9, 9)).save(tmp_path / "0.png")
    assert not cli._has_classes(tmp_path)


def save_squares(folder, *sizes):
    from PIL import Image

    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(list(folder.name.encode()))
    for i, size in enumerate(sizes):
        pixels = rng.integers(0, 255, (size, size), "uint8")
        Image.fromarray(pixels).save(folder / f"{i}.png")


def test_pictures_of_classes_of_several_sizes_are_resized(tmp_path):
    """Found: the error asked for an `image_size` that the command lacked."""
    for name in ("cats", "dogs"):
        save_squares(tmp_path / name, 16, 16, 20, 20, 20, 20)
    command = ["compare", "--task", str(tmp_path)]
    with pytest.raises(ValueError, match="`image_size` must be given"):
        cli._task(keras_wconv_cli.parse(command))
    task = cli._task(keras_wconv_cli.parse([*command, "--image-size", "12"]))
    assert task.sample(1).shape == (1, 12, 12, 3)


def test_small_pictures_are_denoised_with_small_patches(tmp_path):
    """Found: the error asked for a `patch_size` that the command lacked."""
    save_squares(tmp_path, *[24] * 5)
    command = ["compare", "--task", str(tmp_path)]
    with pytest.raises(ValueError, match="give a smaller `patch_size`"):
        cli._task(keras_wconv_cli.parse(command))
    small = ["--patch-size", "16", "--batch-size", "2"]
    task = cli._task(keras_wconv_cli.parse([*command, *small]))
    assert task.sample(1).shape == (1, 16, 16, 1)
    with pytest.raises(ValueError, match=r"does not take one of .*--image-size"):
        cli._task(keras_wconv_cli.parse([*command, *small, "--image-size", "16"]))


@pytest.mark.parametrize("name", ["UPPER.CSV", "tabs.tsv", "Arrays.NPZ"])
def test_suffixes_in_any_case_and_tabs(name, tmp_path):
    path, y = tmp_path / name, np.arange(20) % 2
    x = np.random.default_rng(0).normal(size=(20, 16))
    with path.open("wb") as file:
        if name.endswith("NPZ"):
            np.savez(file, x=x[..., None], y=y)
        else:
            delimiter = "\t" if name.endswith("tsv") else ","
            np.savetxt(file, np.column_stack([y, x]), delimiter=delimiter)
    task = cli._task(keras_wconv_cli.parse(["compare", "--task", str(path)]))
    assert task.sample(1).shape == (1, 16, 1)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((28, 28), "uint8"), ((28, 20), "uint8"), ((9, 9), "float32"), ((6,) * 3, "int8")],
)
def test_pictures_without_a_channel_axis_are_not_series(shape, dtype, tmp_path):
    """Found: mnist.npz of Keras was trained as series of 28 channels."""
    path = tmp_path / "mnist.npz"
    y = np.arange(20) % 2
    np.savez(path, x=np.zeros((20, *shape), dtype), y=y)
    with pytest.raises(ValueError, match=r"channel axis\? .*x\[\.\.\., None\].*--net"):
        cli._own_task(str(path), {})
    cli._own_task(str(path), {"network": print})
    np.savez(path, x=np.zeros((20, *shape, 1), dtype), y=y)
    cli._own_task(str(path), {})


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
    assert keras_wconv_cli._density(text) == density


MISTAKES = [
    ([], "arguments are required: command"),
    (["absent"], "invalid choice: 'absent'"),
    (["search", "--trials", "0"], "--trials: must be a whole number from 1.*0"),
    (["compare", "--seeds", "1"], "--seeds: must be a whole number from 2.*1"),
    (["compare", "--budgets", "300,x"], "--budgets.*300,x"),
    (["compare", "--data", "x"], "unrecognized arguments: --data x"),
    (["compare", "--task", "no/folder"], "--task: must be one of.*no/folder"),
    (["compare", "--task", "absent.csv"], "--task: must be a file that exists"),
    (["compare", "--density", "[0.1,"], r"--density: must be JSON.*\[0\.1,"),
    (["compare", "--density", '{"x": [0.7]}'], "--density: must be JSON"),
    (["search", "--network-options", "[1]"], "--network-options: must be a JSON obj"),
    (["search", "--learning-rate", "-1"], "--learning-rate: must be a number above 0"),
    (["compare", "--output", "file/x"], "--output: must be a folder, not a file"),
    (["show", "absent.keras"], "must be a .keras file that exists.*absent.keras"),
    (["show", "file", "--figure", "absent/x.png"], "make absent first"),
    (["show", "file", "--figure", "x.txt"], "must end with .png"),
    (["fold", "file", "absent/x.keras"], "make absent first.*absent/x.keras"),
    (["fold", "file", "x.h5"], "must end with .keras"),
    (["fold", "file", "x.keras", "--trim", "1"], "--trim: must be a number from 0.*1"),
    (["fold", "file", "x.keras", "--trim", "nan"], "--trim: must be a number from 0"),
    (["export", "file", "absent/x.onnx"], "make absent first"),
    (["export", "file", "x.onnx", "--format", "openvino"], "must end with .xml"),
    (["export", "file", "x.xyz"], "the output must end with .onnx, .xml .*x.xyz"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES)
def test_a_wrong_argument_is_one_line_and_status_2(
    arguments, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    assert keras_wconv_cli.main(arguments) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("keras-wconv") and printed.count("\n") == 1
    assert re.search(message, printed)


@pytest.mark.parametrize(
    "arguments", [["--help"], ["search", "--help"], ["--version"], ["search", "--x"]]
)
def test_help_and_wrong_arguments_import_no_keras(arguments):
    script = (
        "import sys, keras_wconv_cli\n"
        "try: status = keras_wconv_cli.main(sys.argv[1:])\n"
        "except SystemExit as error: status = error.code\n"
        "heavy = {'keras', 'numpy', 'rich'} & {n.split('.')[0] for n in sys.modules}\n"
        "print('imported:', *heavy)\n"
        "sys.exit(status)"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True
    )
    assert result.returncode == (2 if "--x" in arguments else 0)
    assert result.stdout.splitlines()[-1] == "imported:"


BASH = """
eval "$completion"
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_shtab_keras_wconv
echo "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["comp"], {"compare"}),
        (["export", "--form"], {"--format"}),
        (["export", "--format", "o"], {"onnx", "openvino"}),
        (["fold", "mod"], {"model.keras"}),
    ],
)
def test_bash_completes_commands_options_and_files(words, completed, tmp_path, capsys):
    pytest.importorskip("shtab")
    bash = shutil.which("bash") or pytest.skip("There is no bash here.")
    with pytest.raises(SystemExit) as stopped:
        keras_wconv_cli.main(["--print-completion", "bash"])
    assert not stopped.value.code
    (tmp_path / "model.keras").touch()
    result = subprocess.run(
        [bash, "-c", BASH, "bash", "keras-wconv", *words],
        cwd=tmp_path,
        env={**os.environ, "completion": capsys.readouterr().out},
        capture_output=True,
        text=True,
    )
    assert set(result.stdout.split()) == completed, result.stderr


def test_every_option_has_a_help_text_with_its_default():
    commands = keras_wconv_cli._parser()._subparsers._group_actions[0].choices
    assert set(commands) == {"compare", "search", "show", "fold", "export"}
    for parser in commands.values():
        for action in parser._actions:
            if action.option_strings and action.dest != "help":
                assert "default: " in action.help, action.option_strings
                if action.default not in (None, False, {}):
                    assert f"(default: {action.default})" in action.help


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["search", "--task", "digits", "--kernel-size", "3"], "Name the network"),
        (["search", "--task", "digits", "--sigma", "3"], "--task digits.*--sigma"),
        (["compare", "--network", "Denoising"], "must be a builder.*Denoising"),
        (["compare", "--network", "absent:net"], "can be imported from here"),
        (["compare", "--task", "NoSuchSet"], "NoSuchSet"),
        (["compare", "--network", "VGG16"], "--task photographs.*--network"),
        (["compare", "--network", "DnCNN", "--network-options", '{"x": 1}'], "'x'"),
        (
            ["compare", "--kernel-size", "9"],
            "No density is published for a kernel of 9",
        ),
        (["compare", "--density", "[0.1, 0.2, 0.3]"], "fits no kernel"),
        (["compare", "--density", "NaN", "--plan"], "NaN|finite"),
        (["compare", "--examples", "999", "--plan"], "must be a number of examples"),
        (["compare", "--network", "os:sep"], "can be imported from here"),
        (["compare", "--density", "absent"], "absent"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(arguments, message, tmp_path, capsys):
    output = ["--output", str(tmp_path / "results")]
    assert keras_wconv_cli.main([*arguments, *output]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("keras-wconv") and printed.count("\n") == 1
    assert re.search(message, printed)


@pytest.mark.parametrize("is_archive", [False, True])
def test_a_file_that_is_no_model_is_named(is_archive, tmp_path, capsys):
    path = tmp_path / "notes.keras"
    path.write_text("no model")
    if is_archive:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("notes.txt", "no model")
    assert keras_wconv_cli.main(["show", str(path)]) == 2
    printed = capsys.readouterr().err
    assert "notes.keras" in printed and printed.count("\n") == 1


def test_a_folder_without_pictures_is_named(tmp_path, capsys):
    assert keras_wconv_cli.main(["compare", "--task", str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err


def test_a_folder_of_pictures_trains_the_network_of_the_task(tmp_path):
    from PIL import Image

    pictures = np.random.default_rng(0).integers(0, 255, (3, 48, 48), "uint8")
    for i, picture in enumerate(pictures):
        Image.fromarray(picture).save(tmp_path / f"{i}.png")
    options = keras_wconv_cli.parse(["search", "--task", str(tmp_path)])
    assert cli._task(options).model().name == "dncnn"


def test_an_unknown_backend_is_one_line_and_status_2(model_path):
    result = run("show", model_path, KERAS_BACKEND="absent")
    assert (result.returncode, result.stdout) == (2, "")
    assert re.fullmatch(".*must be one of .*: absent\n", result.stderr)


def test_backend_is_chosen_before_keras_is_imported(model_path):
    other = "jax" if keras.backend.backend() != "jax" else "torch"
    result = run("show", model_path, "--backend", keras.backend.backend())
    assert result.returncode == 0
    # Nothing but the table: no log lines of TensorFlow.
    assert result.stderr == "" and "0.2  0.8  1  0.8  0.2" in result.stdout
    script = (
        "import sys, keras_wconv_cli\n"
        "status = keras_wconv_cli.main(sys.argv[1:])\n"
        "import keras; print(keras.backend.backend())"
    )
    command = [sys.executable, "-c", script, "show", str(model_path)]
    result = subprocess.run(
        [*command, "--backend", other], capture_output=True, text=True
    )
    assert result.stdout.splitlines()[-1] == other, result.stderr


def test_another_backend_than_that_of_the_process_is_refused(model_path, capsys):
    other = "jax" if keras.backend.backend() != "jax" else "torch"
    assert keras_wconv_cli.main(["show", str(model_path), "--backend", other]) == 2
    assert f"KERAS_BACKEND={other}" in capsys.readouterr().err


def test_ctrl_c_is_repeated_until_it_ends_the_command():
    script = """
        import os, signal, time
        import keras_wconv_cli

        with keras_wconv_cli._repeated_interrupts(seconds=0.2):
            try:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(60)
            except:
                pass
            time.sleep(60)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert result.stderr.endswith("KeyboardInterrupt\n")


def test_ctrl_c_says_how_to_go_on(tmp_path):
    output = tmp_path / "search"
    short = ["--epochs", "1", "--steps-per-epoch", "20"]
    arguments = ["search", "--overwrite", *short, "--output", str(output)]
    process = subprocess.Popen(
        [*COMMAND, *arguments], stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    )
    assert "1 of " in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, printed = process.communicate(timeout=60)
    assert process.returncode == 130
    last = printed.splitlines()[-1]
    again = f"keras-wconv search {' '.join(short)} --output {output}"
    assert last.endswith(f"To continue: {again}")
    assert "Traceback" not in printed
