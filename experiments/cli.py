"""What the command `keras-wconv` does; its arguments are in `keras_wconv_cli.py`."""

import functools
import importlib
import os
import sys
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
from .tasks._pictures import SPLIT_NAMES, is_hidden
from .tasks.classification import SmallVGG
from .tasks.denoising import SmallDnCNN


def run(options):
    """Does what the parsed arguments of a command say.

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


def _recipe(options):
    """Returns the settings of a task that were given, and no others."""
    names = ("sigma", "epochs", "batch_size", "learning_rate", "steps_per_epoch")
    given = {name: getattr(options, name) for name in names}
    return {name: value for name, value in given.items() if value is not None}


def _network(options):
    """Returns the builder that was asked for, or None for that of the task."""
    network_options = dict(options.network_options)
    if options.kernel_size is not None:
        network_options["kernel_size"] = options.kernel_size
    if options.network is not None:
        builder = _builder(options.network)
        return functools.partial(builder, **network_options)
    if not network_options:
        return None
    if options.kind not in (None, "Denoising"):
        raise ValueError(
            "`--kernel-size` and `--network-options` without `--network` are those of "
            f"a DnCNN, which does not fit --task {options.task}. Name the network."
        )
    return functools.partial(SmallDnCNN, **network_options)


def _builder(name):
    """Returns a builder of the package, or one's own as `module:function`."""
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
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"`--network {name}` must name a function that can be imported from here: "
            f"{error}"
        ) from error
    finally:
        sys.path.remove(str(Path.cwd()))


def _task(options):
    """Makes the task, and prints its name, its data and their size."""
    network, recipe = _network(options), _recipe(options)
    if options.data_dir is not None:
        recipe["data_dir"] = options.data_dir
    if network is not None:
        recipe["network"] = network
    if options.kind is not None:
        make = getattr(getattr(experiments, options.kind), options.task)
    else:
        make, recipe = _of_ones_own(options.task, recipe)
    try:
        task = make(**recipe)
        task.model()
    except TypeError as error:
        given = ", ".join(f"--{name.replace('_', '-')}" for name in recipe)
        raise ValueError(
            f"--task {options.task} does not go with one of {given}: {error}"
        ) from error
    counts = ", ".join(f"{task.data.count(s)} {s}" for s in datasets.SPLITS)
    print(f"{task.name} on {task.data.name}: {counts}", flush=True)
    return task


def _of_ones_own(text, recipe):
    """Returns the task that suits a file, a folder or a name, and its recipe."""
    path = Path(text)
    if path.is_dir() and not _has_classes(path):
        data = datasets.image_folder(path)
        return experiments.Denoising.photographs, {**recipe, "data": data}
    if path.is_dir():
        data = datasets.class_folder(path)
    elif path.suffix == ".npz":
        data = datasets.npz(path)
    elif path.suffix == ".csv":
        data = datasets.csv(path)
    else:
        data = datasets.ucr(text)
    # By the axes of an example: a series, a picture or a volume with channels.
    networks = {
        3: functools.partial(applications.TimeSeriesResNet, filters=(16, 32, 32)),
        4: SmallVGG,
        5: functools.partial(applications.R3D18, filters=(8, 16, 32, 32)),
    }
    axes = data.train[0].ndim
    if "network" not in recipe and axes not in networks:
        raise ValueError(
            "`--network` must be given for data that are no series, pictures or "
            f"volumes with channels. Received: examples of {data.train[0].shape[1:]}"
        )
    recipe = {"network": networks.get(axes), **recipe}
    defaults = {
        "epochs": 20,
        "batch_size": max(2, min(32, data.count("train") // 4)),
        "learning_rate": 0.02,
        "schedule": "cosine",
    }
    return experiments.Classification, {"data": data, **defaults, **recipe}


def _has_classes(path):
    """Whether a folder has folders of classes, in it or in its splits."""
    folders = _folders_in(path)
    splits = [folder for folder in folders if folder.name.lower() in SPLIT_NAMES]
    if splits:
        return any(map(_folders_in, splits))
    lies_here = any(one.is_file() and one.name[0] != "." for one in path.iterdir())
    return len(folders) > 1 and not lies_here


def _folders_in(path):
    return [one for one in path.iterdir() if one.is_dir() and not is_hidden(one.name)]


def _published_density(kernel_size):
    if kernel_size not in PUBLISHED:
        raise ValueError(
            f"No density is published for a kernel of {kernel_size}. Give one with "
            "`--density`."
        )
    return PUBLISHED[kernel_size]


def _compare(options):
    density = options.density
    if density is None:
        density = _published_density(options.kernel_size or 3)
    controls = ("standard as it is", "weighted as it is")
    if options.controls:
        controls += ("one factor", "permuted", "start alone", "step alone")
    task = _task(options)
    both = experiments.sides(task.model, density, controls=controls)
    _say_plan(options, task, both)
    if options.plan:
        return
    results = experiments.compare(
        task,
        options.output,
        **both,
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
    from .. import tuning

    kernel_size = (size, size) if options.per_axis else size
    find = functools.partial(tuning.density, kernel_size=kernel_size)
    both = experiments.sides(task.model, search=find, controls=["standard as it is"])
    _say_plan(options, task, both)
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


def _say_plan(options, task, both):
    """Says how many runs there will be, and with `--plan` how long they take."""
    cells = len(options.budgets or [0]) * len(getattr(options, "examples", None) or [0])
    finals = (2 + len(both["controls"])) * options.seeds
    runs = cells * (2 * options.trials + finals)
    print(
        f"{runs} runs of {task.total_steps} steps: {options.trials} to tune each side, "
        f"then {options.seeds} of each of {2 + len(both['controls'])} networks.",
        flush=True,
    )
    if options.plan:
        seconds = _seconds_of_a_run(task)
        minutes = round(runs * seconds / 60)
        unit = "minute" if minutes == 1 else "minutes"
        print(f"About {minutes} {unit} ({seconds:.0f} s a run).")


def _seconds_of_a_run(task):
    """Estimates a run by the time of a few steps after the first one."""
    import time

    steps = min(4, task.total_steps)
    short = task.with_steps(steps)
    model = short.model()
    short.compile(model)
    begin = time.perf_counter()
    short.fit(model)
    compiled = time.perf_counter()
    short.fit(model)
    a_step = (time.perf_counter() - compiled) / steps
    return compiled - begin + (task.total_steps - steps) * a_step


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
            f"The file is no model. Expected what `model.save` writes to a .keras "
            f"file. Received: {path}"
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
            f"Received twice: {options.output}"
        )
    try:
        model = _load(options.model, compile=True)
    except ValueError:  # Its loss may be of code that is not here.
        model = _load(options.model)
        print("Folded without optimizer, loss and metrics, which are of other code.")
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
        way_out = "The tensorflow backend writes every format: add --backend tensorflow"
        if keras.backend.backend() == "tensorflow":
            way_out = ""
        raise RuntimeError(f"{error.reason} {way_out}") from error
    print(f"Written: {' and '.join(map(str, written))}")


if __name__ == "__main__":
    # Keras is imported by now, but its backend may be an option of the command.
    command = [sys.executable, "-m", "keras_wconv_cli", *sys.argv[1:]]
    os.execv(sys.executable, command)
