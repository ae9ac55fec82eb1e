"""The arguments of the command `keras-wconv`.

This module lies outside the package, because `import keras_wconv` imports Keras and a
backend. That takes seconds, and the backend cannot be changed afterwards. The command
itself is in `experiments/cli.py`, which is imported after the arguments are checked.
"""

import argparse
import contextlib
import importlib.util
import json
import logging
import os
import shlex
import signal
import sys
import threading
import warnings
from importlib import metadata
from pathlib import Path

TASKS = {
    "photographs": "Denoising",
    "div2k": "Denoising",
    "digits": "Classification",
    "mnist": "Classification",
    "cifar100": "Classification",
    "time_series": "Classification",
    "volumes": "Classification",
}
BACKENDS = ("tensorflow", "jax", "torch")
FORMATS = {  # The suffix of the file; a folder has none.
    "onnx": ".onnx",
    "tf_saved_model": "",
    "openvino": ".xml",
    "litert": ".tflite",
}


def main(arguments=None):
    """Runs the command, and returns its exit status.

    Example:

    >>> from keras_wconv_cli import main
    >>> main(["show", "no_such_model.keras"])
    2
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        options = parse(arguments)
    except _Mistake as mistake:
        print(mistake, file=sys.stderr)
        return 2
    options.command_line = shlex.join(["keras-wconv", *arguments])
    try:
        _choose_backend(options.backend)
        with _silence(options.traceback):
            from keras_wconv.experiments import cli

            if options.command != "show":
                # Keras imports it anyway when it first serializes an object.
                with contextlib.suppress(ImportError):
                    import tensorflow  # noqa: F401
        # TensorFlow warns if a network is evaluated on pictures of several sizes.
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
        with _repeated_interrupts():
            cli.run(options)
    except KeyboardInterrupt:
        print(f"\nkeras-wconv {options.command}: {_stopped(options)}", file=sys.stderr)
        return 130
    except (ValueError, RuntimeError, ImportError, OSError) as error:
        if options.traceback:
            raise
        line = " ".join(str(error).split())
        print(f"keras-wconv {options.command}: {line}", file=sys.stderr)
        return 2
    return 0


def parse(arguments):
    """Parses arguments, and returns the options as an `argparse.Namespace`.

    Example:

    >>> from keras_wconv_cli import parse
    >>> parse(["search", "--task", "digits"]).kind
    'Classification'
    """
    options = _parser().parse_args(arguments)
    if options.command == "export":
        options.format = _format(options)
    # The class whose method makes the task; None for the user's own data.
    options.kind = TASKS.get(getattr(options, "task", None))
    return options


def _choose_backend(backend):
    """Sets the backend before Keras is imported, which reads it once."""
    asked = backend or os.environ.get("KERAS_BACKEND")
    if not asked:
        return  # Keras reads its configuration file, or takes TensorFlow.
    if asked not in BACKENDS:
        raise ValueError(
            f"KERAS_BACKEND must be one of {', '.join(BACKENDS)}. Received: {asked}"
        )
    if "keras" in sys.modules:  # A program called `main`.
        import keras

        if keras.backend.backend() != asked:
            raise ValueError(
                f"Keras already runs on {keras.backend.backend()} in this process. Set "
                f"KERAS_BACKEND={asked} before it is imported."
            )
    elif importlib.util.find_spec(asked) is None:
        raise ValueError(
            f"The backend {asked} is not installed. Install it with: "
            f'pip install "keras_wconv[{asked}]"'
        )
    os.environ["KERAS_BACKEND"] = asked


@contextlib.contextmanager
def _repeated_interrupts(seconds=2):
    """Repeats a Ctrl-C until it has stopped the command.

    Bare `except:` clauses in Keras and TensorFlow may swallow the first one.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not (is_main and hasattr(signal, "setitimer")):  # Windows has no timers.
        yield
        return

    def interrupt(*_):
        signal.setitimer(signal.ITIMER_REAL, seconds)
        raise KeyboardInterrupt

    kinds = (signal.SIGINT, signal.SIGALRM)
    before = [signal.signal(kind, interrupt) for kind in kinds]
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)


@contextlib.contextmanager
def _silence(is_traced):
    """Suppresses the log messages of backends.

    During its import, TensorFlow writes some from C++, whatever level is set. So the
    error stream of the process is redirected, not only Python's.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if not sys.warnoptions:
        # Libraries raise these. This package raises UserWarnings about your data.
        for category in (DeprecationWarning, FutureWarning):
            warnings.simplefilter("ignore", category)
        # JAX warns of a fork. OpenVINO forks, but its child does not run JAX.
        warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)
    if is_traced or "keras" in sys.modules:
        yield
        return
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _format(options):
    """Returns the format of an export, and checks the suffix of the output."""
    suffix, format = options.output.suffix, options.format
    if format is None:
        found = [name for name, end in FORMATS.items() if end == suffix]
        if not found:
            raise _Mistake(
                "keras-wconv export: the output must end with .onnx, .xml (openvino) "
                "or .tflite (litert), or have no ending, for a folder "
                f"(tf_saved_model). Received: {options.output}"
            )
        return found[0]
    if FORMATS[format] not in ("", suffix):
        raise _Mistake(
            f"keras-wconv export: the output of --format {format} must end with "
            f"{FORMATS[format]}. Received: {options.output}"
        )
    return format


def _stopped(options):
    """Returns the message after Ctrl-C."""
    if options.command not in ("compare", "search"):
        return "stopped. Nothing was kept; the same command starts again."
    command = options.command_line.replace(" --overwrite", "")
    return f"stopped. Finished runs are kept. To continue: {command}"


class _Mistake(Exception):
    """A wrong argument."""


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def __init__(self, **kwargs):
        self.arguments = []
        # Otherwise, "--data" would mean "--data-dir".
        super().__init__(allow_abbrev=False, **kwargs)

    def add_argument(self, *args, **kwargs):
        self.arguments.append(super().add_argument(*args, **kwargs))
        return self.arguments[-1]

    def error(self, message):
        raise _Mistake(f"{self.prog}: {message}. See {self.prog} --help")


def _parser():
    parser = _Parser(
        prog="keras-wconv",
        description="Weighted convolutions: find a density, see what it does, ship it.",
    )
    parser.add_argument(
        "--version", action=_Version, nargs=0, help="print the version and exit"
    )
    parser.add_argument(
        "--print-completion",
        action=_Completion,
        choices=("bash", "zsh", "tcsh"),
        help="print a script that completes this command in a shell, and exit",
    )
    parser.commands = parser.add_subparsers(
        dest="command", required=True, metavar="command", title="commands"
    )

    def command(name, help):
        return parser.commands.add_parser(name, help=help, description=help)

    _add_compare(
        command(
            "compare",
            "Compare a weighted network with the standard one on your data, both tuned "
            "in the same way. The same command continues where it was stopped.",
        )
    )
    _add_search(
        command(
            "search",
            "Find the density of a network with DIRECT-L, and compare it with the "
            "standard network, which is tuned with as many runs. The same command "
            "continues where it was stopped.",
        )
    )
    show = command(
        "show", "Print the profiles and gains of a model's layers, draw the maps"
    )
    fold = command("fold", "Multiply the densities of a model into its kernels")
    export = command("export", "Fold a model and export it for serving")
    for sub in (show, fold, export):
        sub.add_argument("model", type=_model, help="a .keras file")
    show.add_argument(
        "--figure",
        type=_output(".png", ".svg", ".pdf"),
        help="where to draw the density maps: .png, .svg or .pdf (default: nowhere)",
    )
    fold.add_argument("output", type=_output(".keras"), help="the .keras file to write")
    fold.add_argument(
        "--trim",
        type=_tolerance,
        metavar="TOLERANCE",
        help="remove the outer rings of taps of each folded kernel that change it by "
        "at most this part of its norm, such as 0.01; 0 removes only zeros (default: "
        "all taps stay)",
    )
    export.add_argument(
        "output",
        type=_output(),
        help="what to write: .onnx, .xml (openvino), .tflite (litert), or a folder "
        "(tf_saved_model)",
    )
    export.add_argument(
        "--format",
        choices=FORMATS,
        help="default: by the suffix of the output",
    )
    for sub in parser.commands.choices.values():
        sub.add_argument(
            "--backend",
            choices=BACKENDS,
            help="default: KERAS_BACKEND, or Keras's own setting",
        )
        sub.add_argument(
            "--traceback",
            action="store_true",
            help="show the traceback of an error (default: one line)",
        )
    return parser


class _Version(argparse.Action):
    def __call__(self, parser, *arguments):
        print(metadata.version("keras_wconv"))
        parser.exit()


class _Completion(argparse.Action):
    def __call__(self, parser, options, shell, name):
        try:
            import shtab
        except ImportError:
            raise _Mistake(f"{name} needs shtab: pip install shtab") from None
        for command in parser.commands.choices.values():
            for action in command.arguments:
                if action.nargs != 0 and not action.choices:
                    action.complete = shtab.FILE
        print(shtab.complete(parser, shell))
        parser.exit()


def _add_compare(parser):
    _add_task(parser)
    parser.add_argument(
        "--density",
        type=_density,
        help="JSON or a name: 0.7, [0.2,0.8], gaussian, "
        '{"3":[0.7],"7":[0.25,0.15,0.55]} (default: a published one for the kernel)',
    )
    parser.add_argument(
        "--controls",
        action="store_true",
        help="also train networks that separate the effects of the density on start, "
        "step, gain and place (default: without)",
    )
    parser.add_argument(
        "--examples",
        type=_integers,
        help="sizes of the training split, such as 50,200,1000 (default: all of it)",
    )
    _add_runs(parser, seeds=10)
    _add_output(parser, "runs/compare")


def _add_search(parser):
    _add_task(parser)
    parser.add_argument(
        "--per-axis",
        action="store_true",
        help="coefficients for each axis (default: all axes share them)",
    )
    _add_runs(parser, seeds=6)
    _add_output(parser, "runs/search")
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="start again (default: continue with the runs in the output folder)",
    )


def _add_runs(parser, seeds):
    _add_count(parser, "--trials", "runs to tune each side", 18)
    _add_count(parser, "--seeds", "paired runs that are reported", seeds, 2)
    parser.add_argument(
        "--budgets",
        type=_integers,
        help="lengths of the training in steps, such as 300,1000,3000 (default: the "
        "task's)",
    )
    parser.add_argument(
        "--plan",
        action="store_true",
        help="print the number of runs and how long they take, and stop (default: run)",
    )


def _add_task(parser):
    own = "the task's"
    parser.add_argument(
        "--task",
        type=_task,
        default="photographs",
        help=f"one of {', '.join(TASKS)}; or your own data: a folder of pictures (to "
        "denoise), a folder with a folder for each class, an .npz, .csv or .tsv file, "
        "or the name of a UCR set (default: photographs)",
    )
    parser.add_argument(
        "--data-dir",
        help="where downloaded data are kept (default: the folder of their library)",
    )
    parser.add_argument(
        "--network",
        help="builder in keras_wconv.applications, such as ResNet20, or your own "
        f"module:function (default: {own})",
    )
    parser.add_argument(
        "--network-options",
        type=_object,
        default={},
        help='arguments of the builder as JSON, such as {"depth": 9} (default: none)',
    )
    _add_count(parser, "--kernel-size", "of a DnCNN", "3")
    parser.add_argument(
        "--sigma",
        type=_positive,
        help="of the noise on a scale of 255, for denoising (default: 25)",
    )
    _add_count(parser, "--epochs", "of a training", own)
    _add_count(parser, "--batch-size", "of a training", own)
    parser.add_argument(
        "--learning-rate", type=_positive, help=f"the peak (default: {own})"
    )
    _add_count(parser, "--steps-per-epoch", "for denoising", own)
    _add_count(parser, "--patch-size", "pixels per side, for denoising", own)
    _add_count(
        parser,
        "--image-size",
        "pixels per side to which a folder of classes is resized",
        "as they are",
    )


def _add_count(parser, name, help, default, least=1):
    """Adds an option that is a whole number. A default in words is only shown."""
    message = f"must be a whole number from {least}"
    parser.add_argument(
        name,
        type=_checked(int, lambda value: value >= least, message),
        metavar="N",
        default=None if isinstance(default, str) else default,
        help=f"{help} (default: {default})",
    )


def _add_output(parser, folder):
    parser.add_argument(
        "--output",
        type=_folder,
        default=Path(folder),
        help=f"folder of the results, made if it does not exist (default: {folder})",
    )


def _fail(message, received):
    raise argparse.ArgumentTypeError(f"{message}. Received: {received}")


def _checked(convert, is_right, message):
    """Returns a type of arguments: a text is converted, and the value checked."""

    def checked(text):
        with contextlib.suppress(ValueError):
            value = convert(text)
            if is_right(value):
                return value
        _fail(message, text)

    return checked


_positive = _checked(
    float, lambda value: 0 < value < float("inf"), "must be a number above 0"
)
_tolerance = _checked(
    float, lambda value: 0 <= value < 1, "must be a number from 0 to below 1"
)
_integers = _checked(
    lambda text: [int(number) for number in text.split(",")],
    lambda values: min(values) >= 1,
    "must be whole numbers from 1, separated by commas",
)
_object = _checked(
    json.loads,
    lambda value: isinstance(value, dict),
    'must be a JSON object, such as {"depth": 9}',
)
_model = _checked(Path, Path.is_file, "must be a .keras file that exists")
_folder = _checked(
    Path,
    lambda path: all(p.is_dir() or not p.exists() for p in (path, *path.parents)),
    "must be a folder, not a file",
)


def _density(text):
    """Returns the density of an argument: a name, or the value of JSON."""
    if text.isidentifier():
        return text
    try:
        value = json.loads(text)
        if isinstance(value, dict) and "class_name" not in value:
            return {_kernel_size(size): density for size, density in value.items()}
    except ValueError:
        _fail('must be JSON or a name, such as 0.7, "[0.2, 0.8]" or gaussian', text)
    return value


def _kernel_size(text):
    sizes = tuple(int(size) for size in text.split("x"))
    return sizes if len(sizes) > 1 else sizes[0]


def _task(text):
    path = Path(text)
    # The name of a UCR set, or of a task, is checked when it is loaded.
    if text.isidentifier() or path.is_dir():
        return text
    if path.suffix.lower() not in (".npz", ".csv", ".tsv"):
        _fail(f"must be one of {', '.join(TASKS)}, or a folder or file of data", text)
    if not path.is_file():
        _fail("must be a file that exists", text)
    return text


def _output(*suffixes):
    """Returns a type of arguments: a path to write, in a folder that exists."""

    def output(text):
        path = Path(text)
        if not path.parent.is_dir():
            _fail(f"must be in a folder that exists; make {path.parent} first", text)
        if suffixes and path.suffix not in suffixes:
            _fail(f"must end with {' or '.join(suffixes)}", text)
        if suffixes and path.is_dir():
            _fail("must be a file, not a folder", text)
        return path

    return output


if __name__ == "__main__":
    sys.exit(main())
