"""The numbers of a comparison: effects, intervals and tables, no prose."""

import csv
import dataclasses
import hashlib
import io
import itertools
import json
import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path

import keras
import numpy as np

from .._device import device
from .._files import write_atomically
from .._optional import require
from .arms import EFFECTS

ANSWER = "weighted - standard"


@dataclasses.dataclass(frozen=True)
class Effect:
    """The mean of differences that are paired by seed, with its t interval.

    Attributes:
        mean, low, high: floats.
        p: float, of the paired t test.
        deviation: float, the standard deviation of the differences.
        count: int, of seeds.
        formula: str, the arms that were subtracted.

    Example:

    >>> from keras_wconv.experiments import Effect
    >>> Effect.of([0.1, 0.2, 0.3]).format(unit="dB")
    '+0.200 dB (-0.048 to +0.448)'
    """

    mean: float
    low: float
    high: float
    p: float = float("nan")
    deviation: float = 0.0
    count: int = 0
    formula: str = ""

    @classmethod
    def of(cls, differences, confidence=0.95, formula=""):
        """Returns the effect of differences, one for each seed."""
        stats = require("scipy.stats", extra="data")
        differences = np.asarray(differences, "float64")
        mean, count = float(differences.mean()), len(differences)
        if np.ptp(differences) == 0:
            return cls(mean, mean, mean, float(mean == 0), 0.0, count, formula)
        test = stats.ttest_1samp(differences, 0)
        low, high = map(float, test.confidence_interval(confidence))
        deviation = float(differences.std(ddof=1))
        return cls(mean, low, high, float(test.pvalue), deviation, count, formula)

    @property
    def sign(self):
        """1 or -1 if the interval lies on that side of 0, 0 if it contains 0."""
        return int(self.low > 0) - int(self.high < 0)

    def format(self, scale=1, unit=""):
        """Returns the mean and the interval as text."""
        mean, low, high = (scale * x for x in (self.mean, self.low, self.high))
        unit = f" {unit}" if unit else ""
        return f"{mean:+.3f}{unit} ({low:+.3f} to {high:+.3f})"

    def seeds_for(self, difference, power=0.8, confidence=0.95, limit=1000):
        """Returns how many seeds show a difference of a size, given this spread.

        Args:
            difference: float, the true difference.
            power: float, the probability to show it.
            confidence: float, of the two-sided t test.
            limit: int, to stop at.

        Returns:
            int, or None if `limit` seeds do not suffice.

        Example:

        >>> from keras_wconv.experiments import Effect
        >>> Effect(0.0, 0.0, 0.0, deviation=0.1).seeds_for(0.1)
        10
        """
        stats = require("scipy.stats", extra="data")
        if self.deviation == 0:
            return 2
        for count in range(2, limit + 1):
            shift = abs(difference) / self.deviation * np.sqrt(count)
            critical = stats.t.ppf((1 + confidence) / 2, count - 1)
            if stats.nct.sf(critical, count - 1, shift) >= power:
                return count
        return None


def holm(p_values, alpha=0.05):
    """Returns which of a family of tests stay significant by Holm's method.

    Example:

    >>> from keras_wconv.experiments import results
    >>> results.holm([0.01, 0.04, 0.03])
    [True, False, False]

    Source: Holm, "A simple sequentially rejective multiple test procedure", 1979.
    """
    stays = [False] * len(p_values)
    order = np.argsort(p_values)
    for rank, index in enumerate(order):
        if not p_values[index] <= alpha / (len(p_values) - rank):
            break
        stays[index] = True
    return stays


@dataclasses.dataclass(frozen=True)
class Results:
    """The final runs of a comparison, and what they allow to be said.

    Attributes:
        task: `Task`.
        folder: `pathlib.Path`.
        arms: dict of `Arm` by key.
        seeds: list of int.
        runs: dict by budget, the steps of a training, of dicts of the records by arm,
            in the order of the seeds.
        setups: dict by budget of dicts of `runs.Setup` by arm.
        trainings: dict by budget of dicts by arm, how many trainings tuned it.
        tuned: list of the records of these trainings.
        confidence: float, of the intervals.
    """

    task: object
    folder: Path | None
    arms: dict
    seeds: list
    runs: dict
    setups: dict = dataclasses.field(default_factory=dict)
    trainings: dict = dataclasses.field(default_factory=dict)
    tuned: list = dataclasses.field(default_factory=list)
    confidence: float = 0.95

    @property
    def budgets(self):
        """The lengths of the trainings in steps, the shortest first."""
        return sorted(self.runs)

    @property
    def seconds(self):
        """How long all trainings took."""
        final = (r for runs in self.runs.values() for one in runs.values() for r in one)
        return sum(record.get("seconds", 0) for record in (*self.tuned, *final))

    def metrics(self, split, metric, steps=None):
        """Returns the values of a metric by arm, in the order of the seeds.

        Args:
            split: `"validation"` or `"test"`.
            metric: str.
            steps: int, one of the budgets; by default the longest.
        """
        return {
            arm: np.array([record[split][metric] for record in records])
            for arm, records in self.runs[steps or self.budgets[-1]].items()
        }

    def best(self, side, steps=None):
        """Returns the key of the best arm of a side, by the mean on validation."""
        values = self.metrics("validation", self.task.monitor, steps)
        sign = 1 if self.task.direction == "max" else -1
        keys = [key for key in values if self.arms[key].side == side]
        return max(keys, key=lambda key: sign * values[key].mean())

    def effects(self, steps=None):
        """Returns `Effect` by name, of `task.monitor` on the test split.

        The first one, `"weighted - standard"`, answers the question. It subtracts the
        best arm of each side, both chosen on the validation split.
        """
        values = self.metrics("test", self.task.monitor, steps)
        answer = f"{self.best('weighted', steps)} - {self.best('standard', steps)}"
        effects = {}
        for name, formula in {ANSWER: answer, **EFFECTS}.items():
            signs, keys = _terms(formula)
            if set(keys) <= set(values):
                terms = zip(signs, keys, strict=True)
                differences = sum(sign * values[key] for sign, key in terms)
                effects[name] = Effect.of(differences, self.confidence, formula)
        known = {key for formula in EFFECTS.values() for key in _terms(formula)[1]}
        for key, arm in self.arms.items():
            # An arm of one's own is compared with the standard network.
            if key in values and key not in known:
                differences = values[key] - values["A"]
                effects[arm.name] = Effect.of(
                    differences, self.confidence, f"{key} - A"
                )
        return effects

    def significant(self, steps=None):
        """Returns the names of the effects, but the first, that pass Holm's method."""
        others = dict(list(self.effects(steps).items())[1:])
        stays = holm([effect.p for effect in others.values()], 1 - self.confidence)
        return [name for name, stay in zip(others, stays, strict=True) if stay]

    def is_fair(self, steps=None):
        """Returns whether the standard network was tuned as much as the weighted one.

        It was if one standard arm tuned start and learning rate together, with no fewer
        trainings than the weighted arm of the answer.
        """
        steps = steps or self.budgets[-1]
        counts = self.trainings.get(steps, {})
        spent = counts.get(self.best("weighted", steps), 0)
        return any(
            self.arms[key].side == "standard"
            and {"start", "learning_rate"} <= set(self.arms[key].tuned)
            and counts.get(key, 0) >= spent
            for key in self.runs[steps]
        )

    def conclusion(self, steps=None):
        """Returns, in sentences, what the intervals allow to be said and no more."""
        steps = steps or self.budgets[-1]
        task = self.task
        effects = self.effects(steps)
        answer = effects[ANSWER]
        sign = answer.sign * (1 if task.direction == "max" else -1)
        weighted, standard = (self.best(s, steps) for s in ("weighted", "standard"))
        fair = self.is_fair(steps)
        best = "the best standard one"
        verdict = {
            0: "These runs do not show a difference between the weighted network and "
            f"{best}",
            1: f"The weighted network is better than {best}" if fair else "Not decided",
            -1: f"The weighted network is worse than {best}",
        }[sign]
        counts = self.trainings.get(steps, {})
        sentences = [
            f"{verdict}: {answer.format(task.scale, task.unit)} on the test split.",
            f"This is the {task.monitor} of {weighted} ({self.arms[weighted].name}) "
            f"less that of {standard} ({self.arms[standard].name}) after {steps} "
            f"steps: the mean over {answer.count} seeds and its {self.confidence:.0%} "
            "interval.",
            f"Trainings to tune them: {counts.get(weighted, 0)} and "
            f"{counts.get(standard, 0)}.",
        ]
        if not fair:
            sentences.append(
                "The standard network had no start and learning rate of its own, so "
                "this is no answer: add the arm ST."
            )
        if len(effects) > 1:
            stays = self.significant(steps)
            found = [
                f"{name} {effects[name].format(task.scale, task.unit)}"
                for name in stays
            ]
            sentences.append(
                f"Of the {len(effects) - 1} other effects, these stay significant "
                f"by Holm's method: {'; '.join(found) or 'none'}."
            )
        return " ".join(sentences)

    def doublings(self):
        """Returns what each step to a longer training brought, by arm.

        Returns:
            A dict by `(shorter, longer)` of dicts of `Effect` by arm.
        """
        gains = {}
        for shorter, longer in itertools.pairwise(self.budgets):
            before, after = (
                self.metrics("test", self.task.monitor, n) for n in (shorter, longer)
            )
            gains[shorter, longer] = {
                arm: Effect.of(after[arm] - before[arm], self.confidence)
                for arm in after
                if arm in before
            }
        return gains

    def by_example(self, steps=None):
        """Returns the answer's difference for each test example, a mean over seeds.

        An empty dict if the task measures the split as a whole.
        """
        runs = self.runs[steps or self.budgets[-1]]
        records = [runs[self.best(side, steps)] for side in ("weighted", "standard")]
        examples = [[record.get("examples", {}) for record in side] for side in records]
        names = examples[0][0]
        if len(names) < 2:
            return {}
        means = [
            {name: np.mean([run[name] for run in side]) for name in names}
            for side in examples
        ]
        return {name: float(means[0][name] - means[1][name]) for name in names}

    def models(self):
        """Returns the networks of the answer, first seed and longest training, by name.

        Only those whose files are in the folder.
        """
        steps = self.budgets[-1]
        paths = {
            side: self.model_path(self.setups[steps][self.best(side, steps)], steps)
            for side in ("standard", "weighted")
            if steps in self.setups
        }
        return {
            side: keras.saving.load_model(path, compile=False)
            for side, path in paths.items()
            if path.exists()
        }

    def model_path(self, setup, steps):
        """Returns where the network of a setup is kept, for the first seed."""
        return model_path(self.folder, self.task, setup, steps)

    def to_dict(self):
        """Returns everything that can be reported, as JSON can hold it."""
        task, metric = self.task, self.task.monitor
        budgets = {}
        for steps in self.budgets:
            validation = self.metrics("validation", metric, steps)
            test = self.metrics("test", metric, steps)
            stays = self.significant(steps)
            budgets[str(steps)] = {
                "conclusion": self.conclusion(steps),
                "fair": self.is_fair(steps),
                "effects": {
                    name: {
                        **dataclasses.asdict(effect),
                        "holm": name in stays,
                    }
                    for name, effect in self.effects(steps).items()
                },
                "arms": {
                    arm: {
                        "name": self.arms[arm].name,
                        "side": self.arms[arm].side,
                        "tuned": list(self.arms[arm].tuned),
                        "trainings": self.trainings.get(steps, {}).get(arm, 0),
                        "setup": {
                            key: self.runs[steps][arm][0].get(key)
                            for key in ("density", "learning_rate", "start")
                        },
                        "validation": validation[arm].tolist(),
                        "test": test[arm].tolist(),
                    }
                    for arm in test
                },
            }
        return {
            "task": task.name,
            "data": task.data.name,
            "network": task.model().name,
            "metric": metric,
            "direction": task.direction,
            "unit": task.unit,
            "scale": task.scale,
            "seeds": self.seeds,
            "confidence": self.confidence,
            "budgets": budgets,
            "seconds": round(self.seconds, 1),
            "environment": environment(),
        }

    def save(self):
        """Writes `results.json`, `effects.csv` and `effects.tex` into the folder."""
        content = json.dumps(self.to_dict(), indent=1)
        write_atomically(self.folder / "results.json", content + "\n")
        columns = ("steps", "effect", "arms", "mean", "low", "high", "p", "holm")
        rows = []
        for steps in self.budgets:
            stays = self.significant(steps)
            for name, e in self.effects(steps).items():
                numbers = [
                    f"{self.task.scale * x:.4f}" for x in (e.mean, e.low, e.high)
                ]
                mark = "yes" if name in stays else "no"
                rows.append([steps, name, e.formula, *numbers, f"{e.p:.2g}", mark])
        table = io.StringIO()
        csv.writer(table).writerows([columns, *rows])
        write_atomically(self.folder / "effects.csv", table.getvalue())
        write_atomically(self.folder / "effects.tex", _latex(columns, rows))


def model_path(folder, task, setup, steps):
    """Returns where a comparison keeps the network of a setup, for the first seed."""
    digest = hashlib.sha1(json.dumps(setup.describe(task)).encode()).hexdigest()[:8]
    return folder / "models" / f"{setup.arm.key}-{steps}-{digest}.keras"


def environment():
    """Returns the versions, the machine and the git commit, if there is one."""
    backend = keras.backend.backend()
    packages = ("keras_wconv", "keras", backend, "numpy", "scipy", "keras-tuner")
    versions = {"python": platform.python_version()}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    try:
        commit = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40"],
            cwd=Path(__file__).resolve().parent,
            capture_output=True,
            text=True,
            timeout=20,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        commit = ""
    return {
        "versions": versions,
        "backend": backend,
        "system": platform.system(),
        "machine": platform.machine(),
        "processors": os.cpu_count(),
        "device": device(),
        "commit": commit or None,
    }


def _terms(formula):
    """Splits "B - C + A" into its signs and its arms."""
    parts = re.findall(r"([+-]?)\s*(\w+)", formula)
    return [-1 if sign == "-" else 1 for sign, _ in parts], [key for _, key in parts]


def _latex(columns, rows):
    """Returns a LaTeX table for the package booktabs."""

    def line(cells):
        cells = (re.sub(r"([&%#_])", r"\\\1", str(cell)) for cell in cells)
        return " & ".join(cells) + r" \\"

    body = "\n".join(map(line, rows))
    return (
        f"\\begin{{tabular}}{{rll{'r' * 4}l}}\n\\toprule\n{line(columns)}\n\\midrule\n"
        f"{body}\n\\bottomrule\n\\end{{tabular}}\n"
    )
