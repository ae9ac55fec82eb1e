"""What the command `keras-wconv` does; its arguments are in `keras_wconv_cli.py`."""

import functools
import os
import sys
import warnings
import zipfile

import keras

from keras_wconv_cli import TASKS, is_experiment, main

from .._files import whole_file
from ..densities import PUBLISHED


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
    """The settings of a task that were given, and no others."""
    names = ("sigma", "epochs", "batch_size", "learning_rate", "steps_per_epoch")
    given = {name: getattr(options, name) for name in names}
    return {name: value for name, value in given.items() if value is not None}


def _network(options):
    """The builder that was asked for, or None for that of the task."""
    from .. import applications, experiments

    network_options = dict(options.network_options)
    if options.kernel_size is not None:
        network_options["kernel_size"] = options.kernel_size
    if options.network is not None:
        if options.network not in applications.__all__:
            raise ValueError(
                "`--network` must be a builder of keras_wconv.applications, such as "
                f"VGG16, ResNet20, DnCNN or NAFNet. Received: {options.network}"
            )
        builder = getattr(applications, options.network)
        return functools.partial(builder, **network_options)
    if not network_options:
        return None
    if TASKS.get(options.task, "Denoising") != "Denoising":
        raise ValueError(
            "`--kernel-size` and `--network-options` without `--network` are those of "
            f"a DnCNN, which does not fit --task {options.task}. Name the network."
        )
    return functools.partial(experiments.denoising.SmallDnCNN, **network_options)


def _task(options):
    from .. import experiments

    network = _network(options)
    recipe = _recipe(options)
    if options.data_dir is not None:
        recipe["data_dir"] = options.data_dir
    if network is not None:
        recipe["network"] = network
    if options.task in TASKS:
        make = getattr(getattr(experiments, TASKS[options.task]), options.task)
    else:
        make = experiments.Denoising.photographs
        recipe["data"] = experiments.datasets.image_folder(options.task)
    try:
        task = make(**recipe)
        if network is not None:
            task.model()
    except TypeError as error:
        given = ", ".join(f"--{name.replace('_', '-')}" for name in recipe)
        raise ValueError(
            f"--task {options.task} does not go with one of {given}: {error}"
        ) from error
    return task


def _published_density(kernel_size):
    if kernel_size not in PUBLISHED:
        raise ValueError(
            f"No density is published for a kernel of {kernel_size}. Give one with "
            "`--density`."
        )
    return PUBLISHED[kernel_size]


def _compare(options):
    from .. import experiments
    from . import report

    density = options.density
    if density is None:
        density = _published_density(options.kernel_size or 3)
    density_options = {"normalize_density": True} if options.normalize_density else {}
    task = _task(options)
    if not is_experiment(options):
        rows = experiments.train_pair(
            task,
            options.output,
            density,
            options.seed,
            options.command_line,
            **density_options,
        )
        _print_pair(task, rows)
    else:
        arms = "A,ST,B,BT,C,D,F,G" if options.controls else "A,ST,B,BT"
        results = experiments.compare(
            task,
            options.output,
            density,
            seeds=range(5 if options.seeds is None else options.seeds),
            arms=options.arms or arms,
            budgets=options.budgets,
            trials=options.trials,
            **density_options,
        )
        report.write_comparison(results, options.command_line)
        print(results.conclusion())
    print(f"\nWritten: {options.output / 'report.md'} and report.html")


def _search(options):
    from .. import experiments

    size = options.kernel_size or 3
    results = experiments.search(
        _task(options),
        options.output,
        kernel_size=(size, size) if options.per_axis else size,
        trials=options.trials,
        search_epochs=options.search_epochs,
        best=options.best,
        seeds=range(options.seeds),
        resolution=options.resolution,
        overwrite=options.overwrite,
        command=options.command_line,
    )
    print(results.conclusion())
    print(
        f"\nWritten to {options.output}: report.md, report.html, trials.csv, "
        "best.keras, folded.keras"
    )


def _print_pair(task, rows):
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"Test {task.monitor}{f' in {task.unit}' * bool(task.unit)}")
    table.add_column("example")
    for name in rows:
        table.add_column(name, justify="right")
    for measured in zip(*rows.values(), strict=True):
        cells = (f"{task.scale * row[task.monitor]:.2f}" for row in measured)
        table.add_row(measured[0]["example"], *cells)
    Console().print(table)


def _load(path):
    if not zipfile.is_zipfile(path):
        raise ValueError(
            f"The file is no model. Expected what `model.save` writes to a .keras "
            f"file. Received: {path}"
        )
    try:
        return keras.saving.load_model(path, compile=False)
    except Exception as error:  # Keras raises many kinds.
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{path} could not be loaded as a Keras model: {reason}"
        ) from error


def _show(options):
    from .. import visualization

    model = _load(options.model)
    visualization.summary(model)
    if options.figure is not None:
        visualization.plot_densities(model).savefig(options.figure)
        print(f"Written: {options.figure}")


def _fold(options):
    from ..conversion import fold

    folded = fold(_load(options.model))
    with whole_file(options.output) as temporary:
        folded.save(temporary)
    kinds = sorted({type(layer).__name__ for layer in folded.layers})
    print(f"Written: {options.output}, made of {', '.join(kinds)}")


def _export(options):
    from ..export import export

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of the tracers, which users cannot mend.
        export(_load(options.model), options.output, options.format)
    print(f"Written: {options.output}")


if __name__ == "__main__":
    # The package has imported Keras by now, whose backend may be an option.
    command = [sys.executable, "-m", main.__module__, *sys.argv[1:]]
    os.execv(sys.executable, command)
