"""Is a weighted network better than a standard one? Paired runs, with controls.

What a density does to training has two parts: the kernels start elsewhere, and each
step is rescaled. The arms of a comparison separate them. All share the initial kernels
and the batches of a seed, so that differences are paired.
"""

import dataclasses
import functools
import json
import os
import time
from pathlib import Path

import keras
import numpy as np
from keras import ops
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from .. import densities
from .._files import write_atomically
from .._optional import require
from ..conversion import fold
from . import report
from .denoising import Denoising, SmallDnCNN

ARMS = {
    "A": "standard",
    "T": "standard, own learning rate",
    "B": "weighted",
    "C": "start only",
    "D": "step only",
    "E": "start and step",
    "F": "gain only",
    "G": "permuted density",
    "N": "normalized density",
    "L": "learned density",
}

# Sums of arms, each with its sign. The first that there is answers the question.
EFFECTS = {
    "weighted - standard, own learning rate": "+B-T",
    "weighted - standard": "+B-A",
    "start (C - A)": "+C-A",
    "step (D - A)": "+D-A",
    "interaction (B - C - D + A)": "+B-C-D+A",
    "gain (F - A)": "+F-A",
    "shape (B - F)": "+B-F",
    "place (B - G)": "+B-G",
    "normalized - standard": "+N-A",
    "learned - standard": "+L-A",
}

_UNITS = {"accuracy": (100, "percentage points"), "psnr": (1, "dB")}


def density_maps(model):
    """Return Φ of every weighted layer of a model, a dict by layer name.

    Example:

    >>> from keras_wconv.applications import DnCNN
    >>> from keras_wconv.experiments import comparison
    >>> model = DnCNN(depth=2, filters=4, density=[0.5])
    >>> comparison.density_maps(model)["conv1"].tolist()
    [[0.25, 0.5, 0.25], [0.5, 1.0, 0.5], [0.25, 0.5, 0.25]]
    """
    return {
        layer.name: layer.density_map
        for layer in model.layers
        if getattr(layer, "density", None) is not None
    }


def kernel_maps(model):
    """Return Φ by the path of the kernel that it multiplies, with axes for channels."""
    maps = {}
    for name, phi in density_maps(model).items():
        layer = model.get_layer(name)
        kernel = getattr(layer, layer.weighted_kernel)
        maps[kernel.path] = phi[..., None, None]
    return maps


def rescale_steps(optimizer, maps):
    """Return an optimizer that steps K = Φ·w as it would have done by stepping w.

    It sees the gradient of w, which is that of K times Φ, and its step is multiplied by
    Φ. For SGD, with momentum too, that is the gradient times Φ²; for Adam the step
    times Φ, with epsilon divided by Φ. Decoupled weight decay is not rescaled.

    Args:
        optimizer: `keras.optimizers.Optimizer` that adds its step to a variable.
        maps: dict of Φ by the path of the kernel.

    Returns:
        An optimizer with the same configuration.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> from keras_wconv.experiments import comparison
    >>> kernel = keras.Variable([1.0, 1.0], name="kernel")
    >>> maps = {kernel.path: np.array([1.0, 0.5])}
    >>> optimizer = comparison.rescale_steps(keras.optimizers.SGD(1.0), maps)
    >>> optimizer.apply([keras.ops.ones(2)], [kernel])
    >>> keras.ops.convert_to_numpy(kernel).tolist()
    [0.0, 0.75]
    """
    # The class of a backend may step all variables at once; the public one does not.
    public = getattr(keras.optimizers, type(optimizer).__name__)
    rescaled = type("RescaledSteps", (_RescaledSteps, public), {"maps": maps})
    return rescaled.from_config(optimizer.get_config())


class _RescaledSteps:
    maps = {}

    def _rescale(self, variable, value):
        try:
            index = self._get_variable_index(variable)
        except KeyError:  # A moment, which is that of the rescaled gradient.
            return value
        phi = self.maps.get(self._trainable_variables[index].path)
        return value if phi is None else ops.multiply(value, ops.cast(phi, value.dtype))

    def update_step(self, gradient, variable, learning_rate):
        gradient = self._rescale(variable, gradient)
        super().update_step(gradient, variable, learning_rate)

    def assign_add(self, variable, value):
        super().assign_add(variable, self._rescale(variable, value))

    def assign_sub(self, variable, value):
        super().assign_sub(variable, self._rescale(variable, value))


class Arm:
    """One network of a comparison: compiled once, trained from the start of any seed.

    Args:
        letter: str, a key of `ARMS`.
        task: `Task`.
        density: the density of the weighted network, as its builder takes it.
        learning_rate: float, in place of the recipe's.
        **density_options: for the weighted network.

    Attributes:
        model: `keras.Model`.

    Example:

    >>> from keras_wconv import experiments
    >>> from keras_wconv.experiments import comparison
    >>> task = experiments.Classification.digits(epochs=1)
    >>> arm = comparison.Arm("C", task, [0.7])
    >>> arm.start(seed=0)
    >>> arm.model.name
    'vgg'
    """

    def __init__(self, letter, task, density, learning_rate=None, **density_options):
        if letter not in ARMS:
            raise ValueError(f"Expected an arm of {list(ARMS)}. Received: {letter!r}")
        self.task = task
        weighted = task.model(density, **density_options)
        phis = density_maps(weighted)
        maps = kernel_maps(weighted)
        if letter == "B":
            self.model = weighted
        elif letter in "FG":
            change = _gain if letter == "F" else _permuted
            by_name = {name: densities.Map(change(phi)) for name, phi in phis.items()}
            self.model = task.model(lambda name, kernel_size: by_name.get(name))
        elif letter == "N":
            options = {**density_options, "normalize_density": True}
            self.model = task.model(density, **options)
        elif letter == "L":
            options = {**density_options, "density_trainable": True}
            self.model = task.model(density, **options)
        else:
            self.model = task.model()
        optimizer = task.optimizer(learning_rate)
        if letter in "DE":
            optimizer = rescale_steps(optimizer, maps)
        task.compile(self.model, learning_rate, optimizer)
        self._start_maps = maps if letter in "CE" else {}
        self._fresh = [
            (variable, ops.convert_to_numpy(variable))
            for variable in (*self.model.variables, *self.model.optimizer.variables)
        ]

    def start(self, seed):
        """Set all weights to the start that the seed decides, the same in every arm."""
        for variable, value in self._fresh:
            variable.assign(value)
        keras.utils.set_random_seed(seed)
        start = {weight.path: weight for weight in self.task.model().weights}
        for weight in self.model.weights:
            if weight.path in start:  # A learned density is not.
                value = ops.convert_to_numpy(start[weight.path])
                weight.assign(value * self._start_maps.get(weight.path, 1))

    def train(self, seed, callbacks=()):
        """Train from the start of a seed, and return the model."""
        self.start(seed)
        self.task.fit(self.model, seed, callbacks=callbacks)
        return self.model


def _learned(model):
    """Return the learned coefficients of every layer, as JSON can hold them."""
    return {
        layer.name: [ops.convert_to_numpy(w).tolist() for w in layer.density.weights]
        for layer in model.layers
        if getattr(layer, "density_trainable", False)
    }


def _gain(phi):
    return np.full(phi.shape, np.sqrt(np.mean(phi**2)))


def _permuted(phi):
    """Φ with all but its centre in other places, the same ones for every layer."""
    flat = phi.flatten()
    centre = np.ravel_multi_index([size // 2 for size in phi.shape], phi.shape)
    others = np.delete(np.arange(flat.size), centre)
    flat[others] = flat[np.random.default_rng(0).permutation(others)]
    return flat.reshape(phi.shape)


def compare(
    task,
    folder,
    density=None,
    search=None,
    seeds=(0, 1, 2, 3, 4),
    arms="ABCDFG",
    confidence=0.95,
    **density_options,
):
    """Compare a weighted network with a standard one, and with controls.

    1. `search`, if given, looks for a density on the validation split.
    2. The standard network gets as many runs to look for a learning rate of its own,
       between a quarter of the recipe's and four times it: arm T.
    3. Every arm is trained with every seed and evaluated on the test split, once.

    The searches use a seed of their own. Each finished run is a line of `runs.jsonl` in
    the folder; called again with the same arguments after a kill, the comparison goes
    on after the last one.

    Args:
        task: `Task`.
        folder: str or `pathlib.Path`, of the results.
        density: density of the weighted network, declared beforehand.
        search: function of `evaluate` that returns a density, in place of `density`. It
            calls `evaluate(density)`, which trains and returns `task.monitor` on the
            validation split, as often as it likes; its choices may depend on nothing
            else, so that it can be resumed. `search_among` makes a simple one.
        seeds: ints, two at least.
        arms: str, keys of `ARMS`. A and B are always there; T is, if `search` is given.
        confidence: float, of the intervals.
        **density_options: for the weighted network, such as `normalize_density`.

    Returns:
        `Results`, of which `report.write_comparison` makes a page.

    Raises:
        ValueError: If an argument is wrong, or `folder` holds a comparison with other
            settings.

    Example:

    >>> from keras_wconv import experiments
    >>> from keras_wconv.experiments import comparison
    >>> task = experiments.Classification.digits(epochs=1)
    >>> results = comparison.compare(task, "digits", [0.7], seeds=(0, 1), arms="AB")
    >>> sorted(results.metrics("test", "accuracy"))
    ['A', 'B']
    """
    seeds = list(seeds)
    if len(set(seeds)) < 2:
        raise ValueError(
            "`seeds` should be two at least, all different: one run an arm allows no "
            f"interval. Received: {seeds}"
        )
    if (density is None) == (search is None):
        raise ValueError(
            "Exactly one of `density` and `search` should be given. Received: "
            f"density={density}, search={search}"
        )
    unknown = sorted(set(arms) - set(ARMS))
    if unknown:
        raise ValueError(
            f"`arms` should be letters of {''.join(ARMS)}. Received: {arms!r}, of "
            f"which {unknown} are none"
        )
    arms = [arm for arm in ARMS if arm in {"A", "B", *arms, *("T" if search else "")}]
    settings = {
        **task.get_config(),
        "density": None if density is None else _describe(task, density),
        "density_options": {key: str(value) for key, value in density_options.items()},
        "seeds": seeds,
        "arms": "".join(arms),
        "backend": keras.backend.backend(),
        "dtype_policy": keras.config.dtype_policy().name,
    }
    log = RunLog(folder, settings)
    search_seed = max(seeds) + 1000

    with _progress() as progress:

        def run(stage, arm, density, learning_rate, seed_list, splits):
            """Do the runs of one arm that are not in the log; return all records."""
            compiled = None
            records = []
            for seed in seed_list:
                key = {
                    "stage": stage,
                    "arm": arm,
                    "density": _describe(task, density),
                    "learning_rate": learning_rate,
                    "seed": seed,
                }
                record = log.find(key)
                if record is None:
                    title = f"{stage}: {ARMS[arm]}, seed {seed}"
                    bar = progress.add_task(title, total=task.epochs)
                    started = time.perf_counter()
                    compiled = compiled or Arm(
                        arm, task, density, learning_rate, **density_options
                    )
                    model = compiled.train(seed, [_Advance(progress, bar)])
                    record = dict(key)
                    for split in splits:
                        record[split] = task.evaluate(model, split)
                    record["seconds"] = round(time.perf_counter() - started, 2)
                    if arm == "L":
                        record["densities"] = _learned(model)
                    first = stage == "final" and seed == seeds[0]
                    if first and arm in "AB" and learning_rate == task.learning_rate:
                        model.save(log.folder / f"{ARMS[arm]}.keras")
                    log.append(record)
                    progress.remove_task(bar)
                    score = record["validation"][task.monitor]
                    progress.console.print(
                        f"{title}: validation {task.monitor} {score:.4f}, "
                        f"{record['seconds']:.0f} s"
                    )
                records.append(record)
            return records

        def validate(stage, arm, density, rate):
            (record,) = run(stage, arm, density, rate, [search_seed], ["validation"])
            return record["validation"][task.monitor]

        searched = set()
        if search is not None:

            def evaluate(candidate):
                searched.add(json.dumps(_describe(task, candidate)))
                return validate("search", "B", candidate, task.learning_rate)

            density = search(evaluate)
        rates = dict.fromkeys(arms, task.learning_rate)
        if "T" in arms:
            sweep = learning_rates(task.learning_rate, len(searched))
            best = max if task.direction == "max" else min
            rates["T"] = best(
                sweep, key=lambda rate: validate("sweep", "A", density, rate)
            )
        splits = ["validation", "test"]
        final = {}
        for arm in arms:
            if arm == "T" and rates["T"] == rates["A"]:
                final["T"] = final["A"]
            else:
                same = "A" if arm == "T" else arm
                final[arm] = run("final", same, density, rates[arm], seeds, splits)
    tried = [record for record in log.records if record["stage"] != "final"]
    return Results(
        task=task,
        folder=log.folder,
        density=_describe(task, density),
        seeds=seeds,
        runs=final,
        rates=rates,
        searched=tried,
        confidence=confidence,
    )


def compare_pictures(
    folder,
    density=(0.7,),
    kernel_size=3,
    data=None,
    seed=0,
    command=None,
    density_options=None,
    **recipe,
):
    """Train a standard and a weighted DnCNN alike, and show what each makes of noise.

    Both start from the same initial kernels and see the same batches. This is one pair:
    it shows, and proves nothing; `compare` gives intervals.

    Args:
        folder: str or `pathlib.Path`, of the results: `report.md` and `report.html`
            with a table of the held-out pictures and a figure, `standard.keras`,
            `weighted.keras`, `folded.keras` (the weighted one as plain Keras), and
            `settings.json`.
        density: density of the weighted network, as its builder takes it.
        kernel_size: int, of all convolutions.
        data: `datasets.Dataset` of pictures; by default the shipped photographs.
        seed: int, of the initial kernels and of the batches.
        command: str, to be shown in the report.
        density_options: dict, for the weighted network.
        **recipe: for `Denoising.photographs`, such as `epochs` and `sigma`.

    Returns:
        A list of dicts, one a held-out picture, of the PSNR and the SSIM of the noisy
        input (`noisy_`), and of both networks' outputs (`standard_`, `weighted_`).

    Example:

    >>> from keras_wconv.experiments import comparison
    >>> rows = comparison.compare_pictures("photographs", epochs=1, steps_per_epoch=1)
    >>> rows[0]["picture"], sorted(rows[0])[-2:]
    ('camera', ['weighted_psnr', 'weighted_ssim'])
    """
    network = functools.partial(SmallDnCNN, kernel_size=kernel_size)
    task = Denoising.photographs(network, data, **recipe)
    density = list(density) if isinstance(density, tuple) else density
    arms = {
        ARMS[letter]: Arm(letter, task, density, **(density_options or {}))
        for letter in "AB"
    }
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        **task.get_config(),
        "density": _describe(task, density),
        "seed": seed,
        "backend": keras.backend.backend(),
        "keras": keras.__version__,
    }
    write_atomically(folder / "settings.json", json.dumps(settings, indent=1))
    with _progress() as progress:
        for name, arm in arms.items():
            bar = progress.add_task(f"Training the {name} DnCNN", total=task.epochs)
            arm.train(seed, [_Advance(progress, bar)])
            arm.model.save(folder / f"{name}.keras")
    models = {name: arm.model for name, arm in arms.items()}
    fold(models["weighted"]).save(folder / "folded.keras")
    return report.write_pictures(folder, task, models, command)


def search_among(candidates, direction="max"):
    """Return a `search` for `compare` that trains each of some densities.

    Args:
        candidates: list of densities.
        direction: str, `task.direction`.

    Example:

    >>> from keras_wconv.experiments import comparison
    >>> search = comparison.search_among([[0.5], [0.9], [1.2]])
    >>> search(lambda density: -abs(density[0] - 1))
    [0.9]
    """
    best = max if direction == "max" else min
    return lambda evaluate: best(candidates, key=evaluate)


def learning_rates(centre, count):
    """Return learning rates around one, as many as the density search had runs.

    They are evenly spaced by ratio, from a quarter to four times the middle one, which
    is the recipe's and always among them.

    Example:

    >>> from keras_wconv.experiments import comparison
    >>> comparison.learning_rates(0.01, 5)
    [0.0025, 0.005, 0.01, 0.02, 0.04]
    """
    if count < 2:
        return [centre]
    steps = np.arange(count) - count // 2
    return [float(f"{centre * 4 ** (s / (count // 2)):.3g}") for s in steps]


@dataclasses.dataclass(frozen=True)
class Results:
    """The final runs of a comparison, and what they allow to be said.

    Attributes:
        task: `Task`.
        folder: `pathlib.Path`.
        density: the density that was declared or found, as JSON holds it.
        seeds: list of int.
        runs: dict of the records by arm, in the order of the seeds.
        rates: dict of the learning rates by arm.
        searched: list of the records of both searches.
        confidence: float, of the intervals.
    """

    task: object
    folder: Path
    density: object
    seeds: list
    runs: dict
    rates: dict
    searched: list
    confidence: float = 0.95

    @staticmethod
    def label(arm):
        return ARMS[arm]

    @property
    def scale(self):
        """What to multiply a metric by, and the unit that it then has."""
        return _UNITS.get(self.task.monitor, (1, ""))

    def metrics(self, split, metric):
        """Return the values of a metric by arm, in the order of the seeds."""
        return {
            arm: np.array([record[split][metric] for record in records])
            for arm, records in self.runs.items()
        }

    def effects(self):
        """Return `Effect` by name: differences of `task.monitor` on the test split."""
        values = self.metrics("test", self.task.monitor)
        effects = {}
        for name, formula in EFFECTS.items():
            signs, arms = formula[::2], formula[1::2]
            if set(arms) <= set(values):
                differences = sum(
                    values[arm] if sign == "+" else -values[arm]
                    for sign, arm in zip(signs, arms, strict=True)
                )
                effects[name] = Effect.of(differences, self.confidence)
        return effects

    def conclusion(self):
        """Return, in sentences, what the intervals allow to be said and no more."""
        scale, unit = self.scale
        effects = self.effects()
        question, main = next(iter(effects.items()))
        verdict = {
            0: "These runs do not show a difference",
            1: "The weighted network is better",
            -1: "The weighted network is worse",
        }[main.sign * (1 if self.task.direction == "max" else -1)]
        sentences = [
            f"{verdict}: {question}, test {self.task.monitor}, "
            f"{main.format(scale, unit)}, {self.confidence:.0%} interval of the paired "
            f"differences of {len(self.seeds)} seeds."
        ]
        parts = [
            f"{name} {effects[name].format(scale, unit)}"
            f"{'' if effects[name].sign else ', not distinguishable from 0'}"
            for name in effects
            if name.endswith(")")  # A control, with its formula.
        ]
        if parts:
            sentences.append("At one learning rate for all: " + "; ".join(parts) + ".")
        if len(effects) > 1:
            sentences.append(
                f"The first of the {len(effects)} intervals answers the question; the "
                "others are not corrected for their number."
            )
        return " ".join(sentences)

    def models(self):
        """Return the networks of arms A and B, first seed, by name."""
        paths = {ARMS[arm]: self.folder / f"{ARMS[arm]}.keras" for arm in "AB"}
        return {
            name: keras.models.load_model(path, compile=False)
            for name, path in paths.items()
            if path.exists()
        }

    def protocol(self):
        """Return lines that say how the comparison was done."""
        task = self.task
        yield (
            f"Task {task.name} on {task.data.name}, {task.epochs} epochs of "
            f"{task.steps} batches of {task.batch_size}, backend "
            f"{keras.backend.backend()}. Density: {json.dumps(self.density)}."
        )
        yield "Learning rates: " + ", ".join(
            f"{arm} {rate:g}" for arm, rate in self.rates.items()
        )
        for stage, what in (("search", "density"), ("sweep", "learning rate")):
            tried = [
                f"{json.dumps(record[what.replace(' ', '_')])} "
                f"{record['validation'][task.monitor]:.4f}"
                for record in self.searched
                if record["stage"] == stage
            ]
            if tried:
                yield (
                    f"The {what} was chosen on the validation split, {len(tried)} runs "
                    f"with a seed of their own ({task.monitor}): {', '.join(tried)}."
                )
        yield (
            "Initial kernels and batches are the same in all arms of a seed. The test "
            "split was evaluated once for each run of the table."
        )


@dataclasses.dataclass(frozen=True)
class Effect:
    """The mean of paired differences, with its confidence interval.

    Example:

    >>> from keras_wconv.experiments import comparison
    >>> comparison.Effect.of([0.1, 0.2, 0.3]).format(unit="dB")
    '+0.200 dB (-0.048 to +0.448)'
    """

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, differences, confidence=0.95):
        """Return the t interval of differences that are paired by seed."""
        stats = require("scipy.stats", extra="data")
        differences = np.asarray(differences, "float64")
        mean = float(differences.mean())
        if np.ptp(differences) == 0:
            return cls(mean, mean, mean)
        interval = stats.ttest_1samp(differences, 0).confidence_interval(confidence)
        return cls(mean, float(interval.low), float(interval.high))

    @property
    def sign(self):
        """1 or -1 if the interval lies on that side of 0, 0 if it contains 0."""
        return int(self.low > 0) - int(self.high < 0)

    def format(self, scale=1, unit=""):
        mean, low, high = (scale * x for x in (self.mean, self.low, self.high))
        unit = f" {unit}" if unit else ""
        return f"{mean:+.3f}{unit} ({low:+.3f} to {high:+.3f})"


class RunLog:
    """Finished runs in `runs.jsonl`, one line each, and the settings that they share.

    A line is on the disk before the next run begins. A last line that a kill has torn
    is dropped.

    Args:
        folder: str or `pathlib.Path`, made if it is not there.
        settings: dict that JSON can hold.

    Raises:
        ValueError: If the folder holds runs with other settings.

    Example:

    >>> from keras_wconv.experiments import comparison
    >>> log = comparison.RunLog("runs", {"epochs": 3})
    >>> log.append({"arm": "A", "seed": 0, "test": {"psnr": 27.5}})
    >>> comparison.RunLog("runs", {"epochs": 3}).find({"arm": "A"})["seed"]
    0
    """

    def __init__(self, folder, settings):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._path = self.folder / "runs.jsonl"
        settings = json.loads(json.dumps(settings))
        path = self.folder / "settings.json"
        if path.exists():
            self._check(json.loads(path.read_text()), settings)
        else:
            write_atomically(path, json.dumps(settings, indent=1))
        written = self._path.read_bytes() if self._path.exists() else b""
        whole = written[: written.rfind(b"\n") + 1]
        if whole != written:
            os.truncate(self._path, len(whole))
        self.records = [json.loads(line) for line in whole.splitlines()]

    def _check(self, saved, settings):
        saved, now = dict(_flatten(saved)), dict(_flatten(settings))
        differing = [
            f"{key} is {saved.get(key, 'absent')!r} there and "
            f"{now.get(key, 'absent')!r} now"
            for key in {**saved, **now}
            if saved.get(key, "absent") != now.get(key, "absent")
        ]
        if differing:
            more = f" and {len(differing) - 5} more" if len(differing) > 5 else ""
            raise ValueError(
                f"`folder` holds runs with other settings: {str(self.folder)!r}, where "
                f"{'; '.join(differing[:5])}{more}. Give the same settings to go on, "
                "or another folder."
            )

    def find(self, key):
        """Return the record that has all items of `key`, or `None`."""
        key = json.loads(json.dumps(key))
        for record in self.records:
            if key.items() <= record.items():
                return record
        return None

    def append(self, record):
        with self._path.open("a") as file:
            file.write(json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.records.append(record)


def _flatten(value, prefix=""):
    if isinstance(value, dict | list) and value:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from _flatten(item, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value


def _describe(task, density):
    """Return a density as JSON can hold it: as it was given, or as maps by layer."""
    if isinstance(density, np.ndarray):
        return density.tolist()
    if isinstance(density, dict):
        return {str(size): _describe(task, one) for size, one in density.items()}
    if isinstance(density, densities.Density):
        return densities.serialize(density)
    if callable(density):
        maps = density_maps(task.model(density))
        return {name: phi.tolist() for name, phi in maps.items()}
    return density


def _progress():
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("epoch {task.completed:.0f} of {task.total:.0f}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )


class _Advance(keras.callbacks.Callback):
    def __init__(self, progress, bar):
        super().__init__()
        self._bar = bar
        self._progress_bar = progress

    def on_epoch_end(self, epoch, logs=None):
        self._progress_bar.update(self._bar, completed=epoch + 1)
