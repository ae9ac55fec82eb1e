"""What the command `keras-wconv` does; its arguments are in `keras_wconv_cli.py`."""

import functools
import importlib
import sys
import time
import zipfile
from pathlib import Path

import keras
from rich.console import Console
from rich.table import Table

from .. import applications, experiments, visualization
from .._files import whole_file
from ..conversion import fold
from ..densities import PUBLISHED
from ..export import ExportError, export
from .tasks import datasets
from .tasks._pictures import SPLIT_NAMES, is_hidden, picture_files
from .tasks.classification import SmallR3D, SmallResNet, SmallVGG
from .tasks.denoising import SmallDnCNN


def run(options):
    """Runs a command.

    Args:
        options: `argparse.Namespace` of `keras_wconv_cli`.

    Raises:
        ValueError, RuntimeError, ImportError, OSError: With a message for the user.
    """
    commands = {
        "compare": _compare,
        "search": _search,
        "show": _show,
        "fold": _fold,
        "export": _export,
    }
    commands[options.command](options)


def _network(options):
    """Returns the builder that was asked for, or None for that of the task."""
    network_options = dict(options.network_options)
    if options.kernel_size is not None:
        network_options["kernel_size"] = options.kernel_size
    if options.network is not None:
        return functools.partial(_builder(options.network), **network_options)
    if not network_options:
        return None
    if options.kind not in (None, "Denoising"):
        raise _dncnn_alone(options)
    return functools.partial(SmallDnCNN, **network_options)


def _dncnn_alone(options):
    return ValueError(
        "`--kernel-size` and `--network-options` without `--network` are for a DnCNN, "
        f"which does not fit --task {options.task}. Name the network."
    )


def _builder(name):
    """Returns a builder of the package, or a `module:function` of the user."""
    module, colon, function = name.partition(":")
    if not colon:
        if name not in applications.__all__:
            raise ValueError(
                "`--network` must be a builder of keras_wconv.applications, such as "
                "VGG16, ResNet20, DnCNN or NAFNet, or module:function of your own. "
                f"Received: {name}"
            )
        return getattr(applications, name)
    sys.path.insert(0, str(Path.cwd()))  # As `python -m` does.
    try:
        builder = getattr(importlib.import_module(module), function)
        if not callable(builder):
            raise AttributeError(f"{function!r} is a {type(builder).__name__}")
        return builder
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"`--network {name}` must name a function that can be imported from here: "
            f"{error}"
        ) from error
    finally:
        sys.path.remove(str(Path.cwd()))


def _task(options):
    """Makes the task, and prints its name, its data and their size."""
    names = ("sigma", "epochs", "batch_size", "learning_rate", "steps_per_epoch")
    names += ("patch_size", "image_size", "data_dir")
    recipe = {name: getattr(options, name) for name in names}
    recipe["network"] = _network(options)
    recipe = {name: value for name, value in recipe.items() if value is not None}
    given = ", ".join(f"--{name.replace('_', '-')}" for name in recipe)
    if options.kind is not None:
        make = getattr(getattr(experiments, options.kind), options.task)
    else:
        is_dncnn = "network" in recipe and options.network is None
        make, recipe = _own_task(options.task, recipe)
        if is_dncnn and make is experiments.Classification:
            raise _dncnn_alone(options)
    try:
        task = make(**recipe)
        task.model()
    except TypeError as error:
        raise ValueError(
            f"--task {options.task} does not take one of {given}: {error}"
        ) from error
    counts = ", ".join(f"{task.data.count(s)} {s}" for s in datasets.SPLITS)
    shape = f"examples of shape {task.sample(1).shape[1:]}"
    print(f"{task.name} on {task.data.name}: {counts}, {shape}", flush=True)
    return task


def _own_task(text, recipe):
    """Returns the task for a file, a folder or a name of a set, and its recipe."""
    path = Path(text)
    suffix = path.suffix.lower()
    if path.is_dir() and not _has_classes(path):
        data = datasets.image_folder(path)
        return experiments.Denoising.photographs, {**recipe, "data": data}
    if path.is_dir():
        data = datasets.class_folder(path, recipe.pop("image_size", None))
    elif suffix == ".npz":
        data = datasets.npz(path)
    elif suffix in (".csv", ".tsv"):
        data = datasets.csv(path)
    else:
        data = datasets.ucr(text, data_dir=recipe.pop("data_dir", None))
    # By the axes of the inputs: series, pictures or volumes with channels.
    networks = {3: SmallResNet, 4: SmallVGG, 5: SmallR3D}
    shape = data.train[0].shape
    if "network" not in recipe and len(shape) not in networks:
        raise ValueError(
            "`--network` must be given for data other than series, pictures or volumes "
            f"with channels. Received: examples of {shape[1:]}"
        )
    # Series are seldom uint8, or as long as they have channels.
    lacks_axis = len(shape) == 3 and data.train[0].dtype == "uint8"
    lacks_axis |= suffix == ".npz" and len(shape) < 5 and len(set(shape[1:])) == 1
    if "network" not in recipe and lacks_axis:
        raise ValueError(
            f"Do the inputs of {text} have no channel axis? Save x[..., None], or name "
            f"`--network`. Received: examples of shape {shape[1:]}, "
            f"{data.train[0].dtype}, of which the last axis is that of the channels."
        )
    defaults = {
        "network": networks.get(len(shape)),
        "epochs": 20,
        "batch_size": max(2, min(32, data.count("train") // 4)),
        "learning_rate": 0.02,
        "schedule": "cosine",
    }
    return experiments.Classification, {"data": data, **defaults, **recipe}


def _has_classes(path):
    """Returns whether a folder has folders of classes, in it or in its splits."""
    folders = _folders_in(path)
    splits = [folder for folder in folders if folder.name.lower() in SPLIT_NAMES]
    if splits:
        return any(map(_folders_in, splits))
    has_pictures = any(file.parent == path for file in picture_files(path))
    return len(folders) > 1 and not has_pictures


def _folders_in(path):
    return [one for one in path.iterdir() if one.is_dir() and not is_hidden(one.name)]


def _compare(options):
    density, size = options.density, options.kernel_size or 3
    if density is None:
        if size not in PUBLISHED:
            raise ValueError(
                f"No density is published for a kernel of {size}. Give one with "
                "`--density`."
            )
        density = PUBLISHED[size]
    controls = ("standard as it is", "weighted as it is")
    if options.controls:
        controls += ("one factor", "permuted", "start alone", "step alone")
    task = _task(options)
    task.model(density)  # Raises what is wrong with it, also with `--plan`.
    for count in options.examples or ():
        task.with_examples(count)
    _say_plan(options, task, len(controls))
    if options.plan:
        return
    results = experiments.compare(
        task,
        options.output,
        density=density,
        controls=controls,
        seeds=range(options.seeds),
        budgets=options.budgets,
        examples=options.examples,
        trials=options.trials,
    )
    results.save(options.command_line, task)
    _print_results(results)
    print(f"\nWritten: {options.output / 'report.md'} and report.html")


def _search(options):
    size = options.kernel_size or 3
    task = _task(options)
    kernel_size = (size, size) if options.per_axis else size
    _say_plan(options, task, 1)
    if options.plan:
        return
    results = experiments.search(
        task,
        options.output,
        kernel_size=kernel_size,
        trials=options.trials,
        seeds=range(options.seeds),
        budgets=options.budgets,
        overwrite=options.overwrite,
        command=options.command_line,
    )
    _print_results(results)
    print(
        f"\nWritten to {options.output}: report.md, report.html, trials.csv, "
        "best.keras, folded.keras"
    )


def _say_plan(options, task, controls):
    """Prints how many runs there will be, and with `--plan` how long they take."""
    budgets = sorted(set(options.budgets or [task.total_steps]))
    sizes = len(set(getattr(options, "examples", None) or [0]))
    networks = 2 + controls
    runs = sizes * len(budgets) * (2 * options.trials + networks * options.seeds)
    print(
        f"{runs} runs of {' or '.join(map(str, budgets))} steps: {options.trials} to "
        f"tune each side, then {options.seeds} of each of {networks} networks.",
        flush=True,
    )
    if options.plan:
        seconds = _seconds_of_a_run(task, sum(budgets) / len(budgets))
        minutes = round(runs * seconds / 60)
        unit = "minute" if minutes == 1 else "minutes"
        print(f"About {minutes} {unit} ({seconds:.0f} s a run).")


def _seconds_of_a_run(task, total):
    """Estimates the time of a run by a few steps, first with compilation."""
    steps = min(4, int(total))
    short = task.with_steps(steps)
    model = short.model()
    short.compile(model)
    begin = time.perf_counter()
    short.fit(model)
    compiled = time.perf_counter()
    short.fit(model)
    a_step = (time.perf_counter() - compiled) / steps
    return compiled - begin + (total - steps) * a_step


def _print_results(results):
    metric, scale = results.metric, results.settings["scale"]
    unit = results.settings["unit"]
    table = Table(title=f"Test {metric}{f', {unit}' if unit else ''}")
    table.add_column("")
    table.add_column("mean", justify="right")
    table.add_column("failed", justify="right")
    chance = results.settings["chance"]["test"]
    if chance is not None:
        table.add_row("knowing nothing", f"{scale * chance:.2f}", "")
    for name, one in results.summaries().items():
        mean = f"{scale * one['mean']:.2f}" if one["count"] else "–"
        table.add_row(name, mean, str(one["failed"]))
    Console().print(table)
    print(results.verdict())


def _load(path, compile=False):
    if not zipfile.is_zipfile(path):
        raise ValueError(
            f"The file is not a model that `model.save` has written to a .keras file. "
            f"Received: {path}"
        )
    try:
        return keras.saving.load_model(path, compile=compile)
    except Exception as error:  # Keras raises many kinds.
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{path} could not be loaded as a Keras model: {reason}"
        ) from error


def _show(options):
    model = _load(options.model)
    visualization.summary(model)
    if options.figure is not None:
        visualization.plot_densities(model).savefig(options.figure)
        print(f"Written: {options.figure}")


def _fold(options):
    if options.output.exists() and options.output.samefile(options.model):
        raise ValueError(
            "OUTPUT must be another file than MODEL: folding cannot be undone. "
            f"Received for both: {options.output}"
        )
    try:
        model = _load(options.model, compile=True)
    except ValueError:  # The code of its loss may not be here.
        model = _load(options.model)
        print("Folded without optimizer, loss and metrics: their code is not here.")
    folded, report = fold(model, options.trim, return_report=True)
    with whole_file(options.output) as temporary:
        folded.save(temporary)
    if options.trim is not None:
        Console().print(visualization.fold_table(report))
        print("\n".join(report.totals()))
    kinds = sorted({type(layer).__name__ for layer in folded.layers})
    print(f"Written: {options.output}, made of {', '.join(kinds)}")


def _export(options):
    try:
        written = export(_load(options.model), options.output, options.format)
    except ExportError as error:
        hint = " The tensorflow backend writes every format: add --backend tensorflow"
        if keras.backend.backend() == "tensorflow":
            hint = ""
        raise RuntimeError(f"{error.reason}{hint}") from error
    print(f"Written: {' and '.join(map(str, written))}")
