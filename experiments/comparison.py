"""Is a weighted network better than a standard one? Paired runs, with controls.

All networks of a seed share the initial kernels and the batches, so that differences
are paired. The standard network gets as many trainings as the weighted one to find a
start and a learning rate of its own.
"""

import dataclasses
import json
import time
from pathlib import Path

import keras
import numpy as np

from .._files import FolderLock, whole_file, write_atomically
from ..conversion import fold
from . import report, runs, trials
from .arms import ARMS, select
from .results import Results, model_path
from .runs import Network, RunLog, Setup, show_progress

TUNING_SEED = 1000


def compare(
    task,
    folder,
    density=None,
    search=None,
    seeds=range(5),
    arms=("A", "ST", "B", "BT"),
    budgets=None,
    tune_at=None,
    trials=9,
    best=1,
    resolution=0.01,
    confidence=0.95,
    **density_options,
):
    """Compares a weighted network with a standard one, and with controls.

    1. Each arm that tunes something does so on the validation split, with `trials`
       trainings on a seed of their own.
    2. The best few setups of each arm are trained with every seed; the mean on the
       validation split chooses one of them.
    3. The test split is reported, once, for all arms.

    Each finished training is a line of `runs.jsonl` in the folder. Called again, after
    a kill or with more seeds, arms or budgets, the comparison does what is missing.

    Args:
        task: `Task`.
        folder: str or `pathlib.Path`, of the results.
        density: density of the weighted network, declared beforehand.
        search: function of `keras_tuner.HyperParameters` that returns a density, in
            place of `density`, such as
            `functools.partial(tuning.density, kernel_size=3)`. The arm B then tunes
            the density, and the other arms take the one that it found.
        seeds: ints, two at least.
        arms: keys of `arms.ARMS`, as a sequence or one string with commas, and `Arm`
            objects of your own. A and B are always there.
        budgets: lengths of the training in steps, each with its whole schedule; or a
            dict of arms by length. By default that of the task.
        tune_at: int, the length of the trainings that tune, for all budgets; by
            default each budget tunes for itself.
        trials: int, trainings to tune one arm. With `search`, where a weighted arm
            tunes its learning rate too, the standard arms get twice as many.
        best: int, setups of a tuned arm to train with all seeds.
        resolution: float, where tuning stops, as a part of a range.
        confidence: float, of the intervals.
        **density_options: for the weighted network, such as `normalize_density`.

    Returns:
        `Results`. `report.write_comparison` makes a page of them.

    Raises:
        ValueError: If an argument is wrong, or `folder` holds runs of another task.

    Example:

    >>> from keras_wconv import experiments
    >>> task = experiments.Classification.digits(epochs=1)
    >>> results = experiments.compare(task, "digits", [0.7], seeds=(0, 1), arms="A,B")
    >>> sorted(results.metrics("test", "accuracy"))
    ['A', 'B']
    """
    seeds = list(seeds)
    if len(set(seeds)) < 2 or len(set(seeds)) < len(seeds):
        raise ValueError(
            "`seeds` must be at least two, all different: one run of an arm gives no "
            f"interval. Received: {seeds}"
        )
    if TUNING_SEED in seeds:
        raise ValueError(
            f"`seeds` must not contain {TUNING_SEED}, which tunes. Received: {seeds}"
        )
    if (density is None) == (search is None):
        raise ValueError(
            "Exactly one of `density` and `search` must be given. Received: "
            f"density={density}, search={search}"
        )
    for name, value in (("trials", trials), ("best", best)):
        if value < 1:
            raise ValueError(f"`{name}` must be at least 1. Received: {value}")
    plan = _plan(task, arms, budgets, search)
    if density is not None:
        task.model(density, **density_options)  # Refuses it before any training.
    log = RunLog(folder, _settings(task, density_options))
    chosen = {arm.key: arm for arms in plan.values() for arm in arms}
    results = Results(task, log.folder, chosen, seeds, runs={}, confidence=confidence)
    # How many trainings tune each arm.
    counts = {n: _tunings(arms, trials, search) for n, arms in plan.items()}
    epochs = sum(
        count * task.with_steps(tune_at or steps).epochs
        + (min(count, best) or 1) * len(seeds) * task.with_steps(steps).epochs
        for steps, arms in counts.items()
        for count in arms.values()
    )
    with log, show_progress(epochs) as progress:
        for steps, budget_arms in plan.items():
            at = task.with_steps(steps)
            tuned_at = at if tune_at is None else task.with_steps(tune_at)
            found, spent = density, 0
            final, setups, trainings = {}, {}, {}
            for arm in budget_arms:
                candidates, cost = [Setup(arm, found, task.learning_rate)], 0
                if arm.tuned:
                    candidates, cost = _tune(
                        tuned_at,
                        arm,
                        found,
                        log,
                        progress,
                        counts[steps][arm.key],
                        search,
                        min_side=resolution,
                        **density_options,
                    )
                setup, final[arm.key] = _train(
                    at, candidates[:best], seeds, log, progress, **density_options
                )
                setups[arm.key] = setup
                if "density" in arm.tuned:
                    found, spent, cost = setup.density, cost, 0
                trainings[arm.key] = cost + (0 if arm.side == "standard" else spent)
            order = [key for key in chosen if key in final]
            results.runs[steps] = {key: final[key] for key in order}
            results.setups[steps] = setups
            results.trainings[steps] = trainings
        lengths = plan if tune_at is None else [tune_at]
        results.tuned.extend(
            record
            for record in log.records
            if record["stage"] == "tuning" and record["steps"] in lengths
        )
        results.save()
    return results


def _plan(task, arms, budgets, search):
    """Returns the arms of each budget, in the order in which they are trained."""
    budgets = [task.total_steps] if budgets is None else budgets
    if not isinstance(budgets, dict):
        budgets = dict.fromkeys(budgets, arms)
    plan = {}
    for steps, chosen in sorted(budgets.items()):
        task.with_steps(steps)
        chosen = select(chosen)
        chosen = {"A": ARMS["A"], "B": ARMS["B"], **chosen}
        if search is not None:
            searched = dataclasses.replace(chosen["B"], tuned=("density",))
            # The density that it finds is that of the other arms.
            chosen = {"B": searched, **{k: a for k, a in chosen.items() if k != "B"}}
        plan[steps] = list(chosen.values())
    return plan


def _tunings(arms, trials, search):
    """Returns how many trainings tune each arm of a budget, by its key."""
    # A weighted arm that tunes more than the density costs two searches.
    searches = 1 + any(
        arm.side == "weighted" and arm.tuned and "density" not in arm.tuned
        for arm in arms
    )
    of_standard = trials if search is None else trials * searches
    return {
        arm.key: bool(arm.tuned) * (of_standard if arm.side == "standard" else trials)
        for arm in arms
    }


def _settings(task, density_options):
    """Returns what all runs of a folder share."""
    return {
        **task.get_config(),
        "density_options": {key: str(value) for key, value in density_options.items()},
        "backend": keras.backend.backend(),
        "dtype_policy": keras.config.dtype_policy().name,
    }


def _tune(task, arm, density, log, progress, count, search, **options):
    setups, trainings = trials.tune(
        task, arm, density, log, progress, count, TUNING_SEED, search, **options
    )
    if "density" in arm.tuned:
        # The standard convolution is the other arm.
        weighted = [s for s in setups if not _is_standard(s.density)]
        if not weighted:
            raise ValueError(
                "The search tried no density but the standard convolution. Give it "
                f"more `trials`. Received: {count}"
            )
        setups = weighted
    return setups, trainings


def _is_standard(density):
    return all(np.all(np.asarray(v) == 1) for v in keras.tree.flatten(density))


def _train(task, candidates, seeds, log, progress, **density_options):
    """Trains candidates with every seed; returns the best, and its runs."""
    final = []
    for setup in candidates:
        save_as = None
        if setup.arm.side != "control":
            save_as = model_path(log.folder, task, setup, task.total_steps)
        final.append(
            runs.train(task, setup, seeds, log, progress, save_as, **density_options)
        )
    sign = 1 if task.direction == "max" else -1
    means = [
        sign * np.mean([record["validation"][task.monitor] for record in records])
        for records in final
    ]
    chosen = int(np.argmax(means))
    return candidates[chosen], final[chosen]


def train_pair(task, folder, density, seed=0, command=None, **density_options):
    """Trains a standard and a weighted network alike, and shows what each has become.

    Both start from the same initial kernels and see the same batches. One pair shows
    an example and proves nothing; `compare` gives intervals.

    Args:
        task: `Task`.
        folder: str or `pathlib.Path`, of the results: `report.md`, `report.html`,
            `standard.keras`, `weighted.keras`, `folded.keras` (the weighted one as
            plain Keras), and `settings.json`.
        density: density of the weighted network, as its builder takes it.
        seed: int, of the initial kernels and of the batches.
        command: str, to be shown in the report.
        **density_options: for the weighted network.

    Returns:
        A dict by network of the metrics on the test split, a list of dicts, one for
        each `"example"`.

    Example:

    >>> from keras_wconv import experiments
    >>> task = experiments.Denoising.photographs(epochs=1, steps_per_epoch=1)
    >>> rows = experiments.train_pair(task, "photographs", [0.7])
    >>> list(rows), rows["standard"][0]["example"]
    (['standard', 'weighted'], 'camera')
    """
    networks = {
        name: Network(task, Setup(ARMS[key], density, task.learning_rate), **options)
        for name, key, options in (
            ("standard", "A", {}),
            ("weighted", "B", density_options),
        )
    }
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        **_settings(task, density_options),
        "density": runs.describe_density(task, density),
        "seed": seed,
        "keras": keras.__version__,
    }
    models, rows = {}, {}
    started = time.perf_counter()
    with FolderLock(folder), show_progress(2 * task.epochs) as progress:
        text = json.dumps(settings, indent=1) + "\n"
        write_atomically(folder / "settings.json", text)
        for name, network in networks.items():
            with runs.EpochBar(progress, f"Training: {name}", task) as advance:
                models[name] = network.train(seed, [advance])
            with whole_file(folder / f"{name}.keras") as temporary:
                models[name].save(temporary)
            rows[name] = task.measure(models[name], "test")
        seconds = time.perf_counter() - started
        with whole_file(folder / "folded.keras") as temporary:
            fold(models["weighted"]).save(temporary)
        report.write_pair(folder, task, models, rows, command, seed, seconds)
    return rows
