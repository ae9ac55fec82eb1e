"""The command `keras-wconv`: search, compare, show, fold, export."""

import argparse
import csv
import functools
import json
import os
import shlex
import sys
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
        help="arms that tell start, step, gain and place of the density apart",
    )
    compare.add_argument("--arms", help="letters of the arms, in place of --controls")
    compare.add_argument("--seed", type=int, default=0, help="of the one pair")
    compare.add_argument("--output", type=Path, default=Path("runs/compare"))

    search = command(
        "search",
        _search,
        "Find the density of a network with DIRECT-L, then train the best few and the "
        "standard network anew and compare them. The same command goes on where it "
        "was stopped.",
    )
    _add_task(search)
    search.add_argument("--trials", type=int, default=9, help="networks to train")
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
        "--best", type=int, default=2, help="densities to train again on fresh seeds"
    )
    search.add_argument("--seeds", type=int, default=3, help="fresh seeds of each")
    search.add_argument("--seed", type=int, default=0, help="of all trials")
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


def _compare(options):
    from .experiments import comparison, datasets, report

    density = options.density
    if density is None:
        density = _published_density(options.kernel_size or 3)
    arms = options.arms or ("ABCDFG" if options.controls else "AB")
    density_options = {"normalize_density": True} if options.normalize_density else {}
    on_pictures = options.task == "photographs" or Path(options.task).is_dir()
    one_pair = options.seeds is None and arms == "AB"
    if on_pictures and one_pair and options.network is None:
        data = None
        if options.task != "photographs":
            data = datasets.image_folder(options.task)
        rows = comparison.compare_pictures(
            options.output,
            density,
            options.kernel_size or 3,
            data,
            options.seed,
            options.command_line,
            density_options,
            **_recipe(options),
        )
        _print_pictures(rows)
    else:
        seeds = range(5 if options.seeds is None else options.seeds)
        results = comparison.compare(
            _task(options),
            options.output,
            density,
            seeds=seeds,
            arms=arms,
            **density_options,
        )
        report.write_comparison(results, options.command_line)
        print(results.conclusion())
    print(f"\nWritten: {options.output / 'report.md'} and report.html")


def _search(options):
    from . import tuning
    from ._optional import require
    from .conversion import fold
    from .experiments import search

    kt = require("keras_tuner", extra="tuning")

    task = _task(options)
    size = options.kernel_size or 3
    kernel_size = (size, size) if options.per_axis else size

    class Network(kt.HyperModel):
        """The network of the task, weighted by the density of a trial."""

        def build(self, hp):
            model = task.model(tuning.density(hp, kernel_size))
            task.compile(model)
            return model

        def fit(self, hp, model, callbacks=(), **kwargs):
            history = task.fit(model, options.seed, callbacks=callbacks, validate=True)
            # The last epoch: the best of many flatters noise.
            return {name: values[-1] for name, values in history.history.items()}

    with _search_progress() as progress:
        bar = progress.add_task("Searching", total=options.trials, best="")

        class Tuner(tuning.DirectL):
            """Shows the best so far and the time left."""

            def on_trial_end(self, trial):
                super().on_trial_end(trial)
                update()

        tuner = Tuner(
            Network(),
            kt.Objective(f"val_{task.monitor}", task.direction),
            max_trials=options.trials,
            min_side=options.resolution,
            seed=options.seed,
            directory=options.output,
            project_name="trials",
            overwrite=options.overwrite,
        )

        def update():
            done = [t for t in tuner.oracle.trials.values() if t.status != "RUNNING"]
            scored = [t.score for t in tuner.oracle.get_best_trials() if t.score]
            best = f"best {task.monitor} {scored[0]:.4f}" if scored else ""
            progress.update(bar, completed=len(done), best=best)

        update()
        tuner.search(verbose=0)
    figure = _write_trials(tuner, task, options.output)

    candidates = []
    for trial in tuner.oracle.get_best_trials(options.trials):
        density = tuning.density(trial.hyperparameters, kernel_size)
        if trial.status == "COMPLETED" and not _is_standard(density):
            candidates.append(density)
    fresh = range(options.seed + 1, options.seed + 1 + options.seeds)
    chosen = search.select(
        task, options.output / "final", candidates[: options.best], fresh
    )
    search.write_report(
        chosen,
        task,
        options.output,
        figure,
        len(tuner.oracle.trials),
        options.command_line,
    )
    best = _load(chosen.model)
    best.save(options.output / "best.keras")
    fold(best).save(options.output / "folded.keras")
    print(search.conclusion(chosen, task))
    print(
        f"\nWritten to {options.output}: report.md, report.html, trials.csv, "
        "best.keras, folded.keras"
    )


def _is_standard(coefficients):
    return all(value == 1 for value in keras.tree.flatten(coefficients))


def _write_trials(tuner, task, folder):
    """Writes the table of a search; returns its figure."""
    from . import visualization

    trials = [tuner.oracle.trials[name] for name in tuner.oracle.start_order]
    names = list(trials[0].hyperparameters.values)
    coefficients = {n: [t.hyperparameters[n] for t in trials] for n in names}
    scores = [t.score for t in trials]
    with (folder / "trials.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["trial", *names, task.monitor, "status"])
        for trial in trials:
            values = (trial.hyperparameters[name] for name in names)
            table.writerow([trial.trial_id, *values, trial.score, trial.status])
    return visualization.plot_search(
        coefficients, scores, task.direction, f"validation {task.monitor}"
    )


def _search_progress():
    from rich import progress

    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[best]}"),
        progress.TextColumn("left"),
        progress.TimeRemainingColumn(),
    )


def _print_pictures(rows):
    from rich.console import Console
    from rich.table import Table

    table = Table(title="PSNR in dB (SSIM) of held-out pictures")
    names = [key.removesuffix("_psnr") for key in rows[0] if key.endswith("_psnr")]
    for column in ("picture", *names):
        table.add_column(column, justify="left" if column == "picture" else "right")
    for row in rows:
        cells = (f"{row[f'{n}_psnr']:.2f} ({row[f'{n}_ssim']:.3f})" for n in names)
        table.add_row(row["picture"], *cells)
    Console().print(table)


def _load(path):
    if not path.is_file():
        raise ValueError(
            f"No model was found. Expected a .keras file. Received: {path}"
        )
    return keras.saving.load_model(path, compile=False)


def _show(options):
    from . import visualization

    model = _load(options.model)
    visualization.summary(model)
    if options.figure is not None:
        visualization.plot_densities(model).savefig(options.figure)
        print(f"Written: {options.figure}")


def _fold(options):
    from .conversion import fold

    folded = fold(_load(options.model))
    folded.save(options.output)
    kinds = sorted({type(layer).__name__ for layer in folded.layers})
    print(f"Written: {options.output}, made of {', '.join(kinds)}")


def _export(options):
    from .export import export

    export(_load(options.model), options.output, options.format)
    print(f"Written: {options.output}")


if __name__ == "__main__":
    sys.exit(main())
