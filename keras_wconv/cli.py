"""The command `keras-wconv`: search, compare, show, fold, export."""

import argparse
import functools
import json
import os
import shlex
import sys
import zipfile
from pathlib import Path

import keras

from . import __version__
from .densities import PUBLISHED

_TASKS = {
    "photographs": "Denoising",
    "div2k": "Denoising",
    "digits": "Classification",
    "cifar100": "Classification",
    "time_series": "Classification",
    "volumes": "Classification",
}


def main(arguments=None):
    """Runs the command; returns its exit status.

    Example:

    >>> from keras_wconv.cli import main
    >>> main(["show", "no_such_model.keras"])
    2
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = _parser().parse_args(arguments)
    backend = getattr(options, "backend", None)
    if backend not in (None, keras.backend.backend()):
        # Keras has chosen its backend by now, and keeps it for the whole process.
        environment = {**os.environ, "KERAS_BACKEND": backend}
        command = [sys.executable, "-m", "keras_wconv.cli", *arguments]
        os.execve(sys.executable, command, environment)
    options.command_line = shlex.join(["keras-wconv", *arguments])
    try:
        options.run(options)
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on from here.", file=sys.stderr)
        return 130
    except (ValueError, RuntimeError, ImportError, OSError) as error:
        if options.traceback:
            raise
        print(f"keras-wconv {options.command}: {error}", file=sys.stderr)
        return 2
    return 0


def _parser():
    parser = argparse.ArgumentParser(
        prog="keras-wconv",
        allow_abbrev=False,
        description="Weighted convolutions: find a density, see what it does, ship it.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name, run, help):
        sub = commands.add_parser(
            name,
            help=help,
            description=help,
            allow_abbrev=False,  # "--data" would mean "--data-dir".
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
        sub.add_argument("--traceback", action="store_true", help="of an error, whole")
        sub.set_defaults(run=run)
        return sub

    compare = command(
        "compare",
        _compare,
        "Train a standard and a weighted network from the same kernels on the same "
        "batches. One pair on pictures, or, with --seeds or --controls, an experiment "
        "with intervals.",
    )
    _add_task(compare)
    compare.add_argument(
        "--density",
        type=_density,
        help="JSON or a name: 0.7, [0.2,0.8], gaussian, "
        '{"3":[0.7],"7":[0.25,0.15,0.55]}; by default a published one for the kernel',
    )
    compare.add_argument("--normalize-density", action="store_true")
    compare.add_argument("--seeds", type=int, help="paired runs of each arm")
    compare.add_argument(
        "--controls",
        action="store_true",
        help="also arms that tell start, step, gain and place of the density apart",
    )
    compare.add_argument("--arms", help="keys of arms, such as A,ST,B,BT")
    compare.add_argument(
        "--budgets", type=_integers, help="lengths of the training: 300,1000,3000"
    )
    compare.add_argument(
        "--trials", type=int, default=9, help="trainings to tune one arm"
    )
    compare.add_argument("--seed", type=int, default=0, help="of the one pair")
    compare.add_argument("--output", type=Path, default=Path("runs/compare"))

    search = command(
        "search",
        _search,
        "Find the density of a network with DIRECT-L, and compare it with the standard "
        "network, whose start and learning rate get as many trials. The same command "
        "goes on where it was stopped.",
    )
    _add_task(search)
    search.add_argument("--trials", type=int, default=9, help="trainings for each side")
    search.add_argument(
        "--resolution",
        type=float,
        default=0.03,
        help="where the search stops, as a part of a coefficient's range",
    )
    search.add_argument(
        "--per-axis", action="store_true", help="coefficients of its own for each axis"
    )
    search.add_argument(
        "--best", type=int, default=2, help="setups of each side to train anew"
    )
    search.add_argument("--seeds", type=int, default=3, help="fresh seeds of each")
    search.add_argument("--output", type=Path, default=Path("runs/search"))
    search.add_argument(
        "--overwrite", action="store_true", help="begin again instead of going on"
    )

    show = command(
        "show", _show, "Print the profiles and gains of a model's layers, draw the maps"
    )
    show.add_argument("model", type=Path, help="a .keras file")
    show.add_argument("--figure", type=Path, help="where to draw the density maps")

    fold = command("fold", _fold, "Multiply the densities of a model into its kernels")
    fold.add_argument("model", type=Path, help="a .keras file")
    fold.add_argument("output", type=Path, help="the .keras file to write")

    export = command("export", _export, "Fold a model and export it for serving")
    export.add_argument("model", type=Path, help="a .keras file")
    export.add_argument("output", type=Path)
    export.add_argument(
        "--format",
        default="onnx",
        choices=["onnx", "tf_saved_model", "openvino", "litert"],
    )
    for sub in (show, fold, export):
        _add_backend(sub)
    return parser


def _add_backend(parser):
    parser.add_argument(
        "--backend",
        choices=["tensorflow", "jax", "torch"],
        help="in place of KERAS_BACKEND",
    )


def _add_task(parser):
    parser.add_argument(
        "--task",
        default="photographs",
        help=f"one of {', '.join(_TASKS)}, or a folder of your own pictures",
    )
    parser.add_argument("--data-dir", help="where tensorflow-datasets keeps its data")
    parser.add_argument(
        "--network", help="builder in keras_wconv.applications, such as ResNet20"
    )
    parser.add_argument(
        "--network-options", type=json.loads, default={}, help='JSON: {"depth": 9}'
    )
    parser.add_argument("--kernel-size", type=int, help="of a DnCNN; 3 by default")
    parser.add_argument("--sigma", type=float, help="of the noise, on a scale of 255")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--steps-per-epoch", type=int, help="of a denoising task")
    _add_backend(parser)


def _density(text):
    """A density as the command line has it."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return text
    if isinstance(value, dict) and "class_name" not in value:
        return {_kernel_size(size): density for size, density in value.items()}
    return value


def _kernel_size(text):
    sizes = tuple(int(size) for size in text.split("x"))
    return sizes if len(sizes) > 1 else sizes[0]


def _recipe(options):
    """The settings of a task that were given, and no others."""
    names = ("sigma", "epochs", "batch_size", "learning_rate", "steps_per_epoch")
    given = {name: getattr(options, name) for name in names}
    return {name: value for name, value in given.items() if value is not None}


def _network(options):
    """The builder that was asked for, or None for that of the task."""
    from . import applications, experiments

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
    if _TASKS.get(options.task, "Denoising") != "Denoising":
        raise ValueError(
            "`--kernel-size` and `--network-options` without `--network` are those of "
            f"a DnCNN, which does not fit --task {options.task}. Name the network."
        )
    return functools.partial(experiments.denoising.SmallDnCNN, **network_options)


def _task(options):
    from . import experiments

    network = _network(options)
    recipe = _recipe(options)
    if Path(options.task).is_dir():
        data = experiments.datasets.image_folder(options.task)
        return experiments.Denoising.photographs(network, data, **recipe)
    if options.task not in _TASKS:
        raise ValueError(
            f"`--task` must be one of {', '.join(_TASKS)}, or a folder of pictures. "
            f"Received: {options.task}"
        )
    if options.data_dir is not None:
        recipe["data_dir"] = options.data_dir
    make = getattr(getattr(experiments, _TASKS[options.task]), options.task)
    return make(network, **recipe) if network else make(**recipe)


def _published_density(kernel_size):
    if kernel_size not in PUBLISHED:
        raise ValueError(
            f"No density is published for a kernel of {kernel_size}. Give one with "
            "`--density`."
        )
    return PUBLISHED[kernel_size]


def _integers(text):
    return [int(number) for number in text.split(",")]


def _compare(options):
    from . import experiments
    from .experiments import report

    density = options.density
    if density is None:
        density = _published_density(options.kernel_size or 3)
    density_options = {"normalize_density": True} if options.normalize_density else {}
    task = _task(options)
    many = (options.seeds, options.arms, options.budgets, options.controls or None)
    if many == (None, None, None, None):
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
    from . import experiments

    size = options.kernel_size or 3
    results = experiments.search(
        _task(options),
        options.output,
        kernel_size=(size, size) if options.per_axis else size,
        trials=options.trials,
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
    if not path.is_file():
        raise ValueError(
            f"No model was found. Expected a .keras file. Received: {path}"
        )
    if not zipfile.is_zipfile(path):
        raise ValueError(
            f"The file is no model. Expected what `model.save` writes to a .keras "
            f"file. Received: {path}"
        )
    return keras.saving.load_model(path, compile=False)


def _check_output(path, suffix=""):
    """Refuse what cannot be written before the model is loaded."""
    if not path.parent.is_dir():
        raise ValueError(
            f"The folder of the output must exist. Received: {path}, where "
            f"{path.parent} is no folder"
        )
    if not path.name.endswith(suffix):
        raise ValueError(f"The output must end with {suffix}. Received: {path}")


def _show(options):
    from . import visualization

    model = _load(options.model)
    visualization.summary(model)
    if options.figure is not None:
        visualization.plot_densities(model).savefig(options.figure)
        print(f"Written: {options.figure}")


def _fold(options):
    from .conversion import fold

    _check_output(options.output, ".keras")
    folded = fold(_load(options.model))
    folded.save(options.output)
    kinds = sorted({type(layer).__name__ for layer in folded.layers})
    print(f"Written: {options.output}, made of {', '.join(kinds)}")


def _export(options):
    from .export import export

    _check_output(options.output)
    export(_load(options.model), options.output, options.format)
    print(f"Written: {options.output}")


if __name__ == "__main__":
    sys.exit(main())
