"""Writes the reports, the tables and the figures of all studies from their logs alone.

    python -m studies

No data, task or model is needed: what was measured is in `runs.jsonl`.
"""

import json
from pathlib import Path

import numpy as np

from keras_wconv._files import write_atomically
from keras_wconv.experiments import Results
from keras_wconv.experiments.report import figures, statistics
from keras_wconv.experiments.report.page import markdown_table
from keras_wconv.experiments.report.verdict import ANSWER, SIDES
from keras_wconv.experiments.study.log import cell_name

from . import large_kernels, learned_sizes, linear_prior, question, series

HERE = Path(__file__).parent
ROOT = HERE.parent
PAGE = ROOT / "docs" / "does_it_help.md"
FIGURE = ROOT / "docs" / "images" / "few_examples.svg"
EXAMPLES = ROOT / "docs" / "images" / "networks_by_examples.svg"
PRICES = ROOT / "docs" / "images" / "price_of_size.svg"
MARKS = ("<!-- studies -->", "<!-- end of studies -->")
# README's rows: the middle of the numbers of examples that each study has.
LINEAR_EXAMPLES = 200
README_ROWS = {  # by study and number of examples
    ("Set12", 16): ("Small denoiser", "16 pictures"),
    **{(n, count): (n, f"{count} series") for n, count in series.SETS.items()},
    ("Fashion-MNIST", 1_000): ("Fashion-MNIST", "1,000 pictures"),
    ("Fashion-MNIST, depthwise", 1_000): ("the same, depthwise", "1,000 pictures"),
}
PICTURES = {
    "Fashion-MNIST": "fashion/dense",
    "Fashion-MNIST, depthwise": "fashion/depthwise",
    "Set12": "few_pictures/Set12",
    "BSD68": "few_pictures/BSD68",
}
SMALL = {
    "small_kernels/dncnn_3_1000": "DnCNN, 7 layers, 3x3",
    "small_kernels/dncnn_3_3000": "DnCNN, 7 layers, 3x3",
    "small_kernels/dncnn_7_1000": "DnCNN, 5 layers, 7x7",
    "small_kernels/dncnn_7_3000": "DnCNN, 5 layers, 7x7",
    "small_kernels/vgg_900": "VGG, 3x3, CIFAR-10",
}
SCALED = {
    "gradient_scaling/vgg": "VGG",
    "gradient_scaling/vgg_narrow": "narrow VGG",
    "gradient_scaling/resnet18": "ResNet18",
    "gradient_scaling/resnet18_narrow": "narrow ResNet18",
}
README = ROOT / "README.md"
README_MARKS = (
    "<!-- Written by python -m studies from its logs. -->",
    "<!-- End of what python -m studies wrote. -->",
)


def read_linear():
    """Returns the rows of the linear study."""
    text = (linear_prior.FOLDER / "runs.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def draw_linear(rows):
    """Draws PSNR against the number of examples: the figure of README."""
    sizes = sorted({row["examples"] for row in rows})
    lines = {
        "kernel of 3": "standard 3",
        "kernel of 15": "standard 15",
        "kernel of 15 with a density": "density 1.5",
    }
    with figures.new(size=(6.5, 3.4)) as (figure, axes):
        for label, name in lines.items():
            values = [
                [
                    r["test"]
                    for r in rows
                    if (r["examples"], r["candidate"]) == (n, name)
                ]
                for n in sizes
            ]
            means = [np.mean(one) for one in values]
            spread = [np.std(one, ddof=1) for one in values]
            axes.errorbar(sizes, means, spread, fmt="o-", capsize=3, label=label)
        axes.set_xscale("log")
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.minorticks_off()
        axes.set(xlabel="training examples", ylabel="PSNR, dB (bars: SD)")
        axes.legend(fontsize="small", loc="lower right")
    return figure


def load(folder):
    """Returns the results of a study's folder, or None if it is not complete."""
    folder = HERE / folder
    if not (folder / "settings.json").exists():
        return None
    try:
        return Results.load(folder)
    except ValueError:  # No complete length of training yet.
        return None


def load_networks():
    """Returns a dict of `(Results, examples of each cell)` by the title of a study."""
    studies = {}
    for name, count in series.SETS.items():
        found = load(f"series/{name}")
        if found:
            studies[name] = found, [count]
    for title, folder in PICTURES.items():
        found = load(folder)
        if found:
            cells = {cell_name(*cell): cell for cell in found.settings["cells"]}
            studies[title] = found, [cells[name][0] for name in found.cells]
    return studies


def best_standard(found, cell):
    """Returns the standard network whose size is the best on the validation split."""
    scores = found.validation(cell)
    standard = [name for name in scores if name.startswith("standard")]
    sign = 1 if found.settings["direction"] == "max" else -1
    return max(standard, key=lambda name: sign * scores[name])


def best_in_hindsight(found, cell):
    """Returns the standard network that is the best on the test split.

    It is too good: its own test results chose it, runs that failed left out.
    """
    values, failed = found.metrics(cell=cell), found.failed(cell=cell)
    sign = 1 if found.settings["direction"] == "max" else -1
    means = {
        name: sign * values[name][~failed[name]].mean()
        for name in values
        if name.startswith("standard") and not failed[name].all()
    }
    return max(means, key=means.__getitem__)


def network_rows(title, found, examples):
    """Returns the rows of a study, of which `network_table` is made.

    Args:
        title: str.
        found: `Results`.
        examples: list of ints, the number of training examples of each cell.
    """
    scale = found.settings["scale"]
    rows = []
    for cell, count in zip(found.cells, examples, strict=True):
        values, failed = found.metrics(cell=cell), found.failed(cell=cell)
        baseline = best_standard(found, cell)
        learned = found.choice("proposal", cell)
        trimmed = found.metrics(metric=f"{found.metric}_trimmed", cell=cell)[learned]
        sizes = found.metrics(metric="kernel_size", cell=cell)
        costs = found.metrics(metric="multiplications", cell=cell)
        compared = {
            "width tuned": (values["width tuned"], failed["width tuned"]),
            "learned": (values[learned], failed[learned]),
            "learned, trimmed": (trimmed, failed[learned]),
            "not normalized": (values["not normalized"], failed["not normalized"]),
            "large": (values["standard, large"], failed["standard, large"]),
        }
        hindsight = best_in_hindsight(found, cell)
        kept = ~failed[learned]
        cost = costs[learned][kept].mean()
        rows.append(
            {
                "study": title,
                "examples": count,
                "size": round(sizes[baseline][0]),
                "largest": round(sizes["standard, large"][0]),
                "hindsight size": round(sizes[hindsight][0]),
                "baseline": scale * values[baseline][~failed[baseline]].mean(),
                "unit": found.settings["unit"],
                "scale": scale,
                "effects": {
                    name: statistics.answer(
                        own, values[baseline], without, failed[baseline]
                    ).effect
                    for name, (own, without) in compared.items()
                }
                | {
                    "hindsight": statistics.answer(
                        values[learned],
                        values[hindsight],
                        failed[learned],
                        failed[hindsight],
                    ).effect
                },
                "trimmed size": sizes[learned][kept].mean(),
                "of large": cost / costs["standard, large"].max(),
                "of best": cost / costs[baseline].max(),
                "sides": (baseline, learned),
                "failed": found.failures(cell),
                "trials": len(found.tried(learned, cell)),
            }
        )
    return rows


def draw_examples(studies):
    """Draws the test metric against the number of examples, a panel for each study."""
    size = (4.2 * len(studies), 3.4)
    with figures.new(1, len(studies), size=size) as (figure, grid):
        for axes, (title, (found, examples)) in zip(
            np.atleast_1d(grid), studies.items(), strict=True
        ):
            scale = found.settings["scale"]
            for label, name in {
                "standard, best size": "baseline",
                "largest kernel": "standard, large",
                "largest kernel, learned density": "proposal",
            }.items():
                means, halves = [], []
                for cell in found.cells:
                    chosen = {
                        "baseline": best_standard(found, cell),
                        "proposal": found.choice("proposal", cell),
                    }.get(name, name)
                    kept = ~found.failed(cell=cell)[chosen]
                    values = scale * found.metrics(cell=cell)[chosen][kept]
                    means.append(values.mean())
                    halves.append(linear_prior.interval(values)[1])
                axes.errorbar(examples, means, halves, fmt="o-", capsize=3, label=label)
            axes.set_xscale("log")
            axes.set_xticks(examples, [f"{count:,}" for count in examples])
            axes.minorticks_off()
            metric = "PSNR, dB" if found.settings["unit"] == "dB" else "accuracy, %"
            axes.set(
                title=title, xlabel="examples (bars: 95 % interval)", ylabel=metric
            )
        axes.legend(fontsize="small", loc="lower right")
    return figure


def _interval(row, name, digits=1):
    effect, scale = row["effects"][name], row["scale"]
    half = (effect.high - effect.low) / 2
    return _signed(effect.mean * scale, half * scale, digits)


def _signed(mean, half, digits):
    """Returns a difference with half of its interval, which may be missing, as text."""
    text = f"{mean:+.{digits}f}"
    if np.isfinite(half):  # Without spaces: an interval is not broken across lines.
        text += f"±{half:.{digits}f}"
    return text.replace("-", "\N{MINUS SIGN}")


def _excluded(row, digits):
    """Returns the difference of the learned density that is excluded, as text."""
    learned = row["effects"]["learned"]
    if learned.sign or not (learned.can_decide and np.isfinite(learned.excluded)):
        return "\N{EN DASH}"
    return f"{learned.excluded * row['scale']:.{digits}f}"


def network_table(rows):
    """Returns the Markdown table of networks: differences from the best size."""
    names = list(rows[0]["effects"])
    lines = []
    for row in rows:
        digits = 2 if row["unit"] == "dB" else 1
        cells = {name: _interval(row, name, digits) for name in names}
        cells["hindsight"] += f" ({row['hindsight size']})"
        if row["effects"]["learned"].sign:
            cells["learned"] = f"**{cells['learned']}**"
        lines.append(
            [
                row["study"],
                f"{row['examples']:,}",
                f"{row['baseline']:.{digits}f} ({row['size']})",
                *cells.values(),
                _excluded(row, digits),
                " / ".join(str(row["failed"][name]) for name in row["sides"]),
                f"{row['trimmed size']:.0f} of {row['largest']}",
                f"{100 * row['of large']:.0f} %",
                f"{100 * row['of best']:.0f} %",
            ]
        )
    more = ("excluded", "failed runs", "trimmed size", "cost of large", "cost of best")
    columns = ["data", "examples", "best standard (its size)", *names[:-1]]
    columns += ["learned less best in hindsight (its size)", *more]
    return markdown_table(columns, lines)


PAIRS = (
    ("learned", "width tuned"),
    ("not normalized", "width tuned"),
    ("learned, not normalized", "learned"),
    ("permuted", "width tuned"),
)


def pairs_table(studies):
    """Returns the differences between networks with a density."""
    lines = []
    for title, (found, examples) in studies.items():
        scale, unit = found.settings["scale"], found.settings["unit"]
        for cell, count in zip(found.cells, examples, strict=True):
            values, failed = found.metrics(cell=cell), found.failed(cell=cell)
            line = [title, f"{count:,}"]
            for pair in PAIRS:
                if not set(pair) <= set(values):
                    line.append("\N{EN DASH}")
                    continue
                runs = (of[name] for of in (values, failed) for name in pair)
                effect = statistics.answer(*runs).effect
                half = (effect.high - effect.low) / 2
                digits = 2 if unit == "dB" else 1
                line.append(_signed(effect.mean * scale, half * scale, digits))
            lines.append(line)
    columns = ["data", "examples", *(f"{a} less {b}" for a, b in PAIRS)]
    return markdown_table(columns, lines)


def series_summary(rows):
    """Returns what all sets of series say together, as that field says it."""
    names = ("width tuned", "learned", "learned, trimmed")
    means = {
        name: np.array([row["effects"][name].mean for row in rows]) for name in names
    }
    table = {"best standard": np.zeros(len(rows)), **means}
    ranks = statistics.average_ranks(table)
    parts = [f"{name} {rank:.2f}" for name, rank in ranks.items()]
    tests = [f"{n} {statistics.wilcoxon(means[n]):.3f}" for n in names]
    hindsight = np.array([row["effects"]["hindsight"].mean for row in rows])
    return (
        f"Over {len(rows)} sets, mean ranks (1 is the best): {', '.join(parts)}. "
        "Wilcoxon's signed-rank test against the best standard network, p: "
        f"{', '.join(tests)}; learned against the best in hindsight "
        f"{statistics.wilcoxon(hindsight):.3f}."
    )


def load_sizes():
    """Returns the results of the starts, by set and rate, and of the prices, by set."""
    starts = {
        (name, rate): load(f"learned_sizes/{name}, rate {rate:g}")
        for name in learned_sizes.SETS
        for rate in learned_sizes.RATES
    }
    prices = {
        name: load(f"learned_sizes/{name}, prices") for name in learned_sizes.SETS
    }
    return (
        {key: found for key, found in starts.items() if found},
        {name: found for name, found in prices.items() if found},
    )


def _mean(found, name, metric=None):
    """Returns a test metric of a candidate with its deviation over the seeds, text."""
    values = found.settings["scale"] * found.metrics(metric=metric)[name]
    digits = 2 if found.settings["unit"] == "dB" else 1
    return f"{values.mean():.{digits}f} ± {values.std(ddof=1):.{digits}f}"


def starts_table(starts):
    """Returns the accuracy by where the width starts and how fast it is learned."""
    parts = [f"1/{part}" for part in learned_sizes.PARTS]
    lines = []
    for (name, rate), found in starts.items():
        cells = [_mean(found, f"learned from {part}") for part in parts]
        lines.append([name, f"learned, rate {rate:g}", *cells])
        if f"fixed {parts[0]}" in found.candidates:
            cells = [_mean(found, f"fixed {part}") for part in parts]
            lines.append([name, "fixed", *cells])
    columns = ["set", "width", *(f"sigma {part} of the kernel" for part in parts)]
    return markdown_table(columns, lines)


def prices_points(found):
    """Returns `(label, accuracy, deviation, multiplications, size)` by candidate."""
    points = []
    for name in found.metrics():
        priced = name.startswith("price")
        metric = "accuracy_trimmed" if priced else "accuracy"
        values = found.settings["scale"] * found.metrics(metric=metric)[name]
        cost, size = (
            found.metrics(metric=metric)[name].mean()
            for metric in ("multiplications", "kernel_size")
        )
        points.append((name, values.mean(), values.std(ddof=1), cost, size))
    return points


def prices_table(prices):
    """Returns accuracy and multiplications for each price and each standard size."""
    lines = []
    for name, found in prices.items():
        points = prices_points(found)
        largest = max(cost for *_, cost, _ in points)
        lines += [
            [
                name,
                label,
                f"{mean:.1f} ± {deviation:.1f}",
                f"{size:.1f}",
                f"{100 * cost / largest:.0f} %",
            ]
            for label, mean, deviation, cost, size in points
        ]
    columns = ["set", "network", "accuracy, %", "mean size", "multiplications"]
    return markdown_table(columns, lines)


def draw_prices(prices):
    """Draws accuracy against multiplications: prices beside standard sizes."""
    size = (4.2 * len(prices), 3.2)
    with figures.new(1, len(prices), size=size) as (figure, grid):
        grid = np.atleast_1d(grid)
        for axes, (name, found) in zip(grid, prices.items(), strict=True):
            points = prices_points(found)
            for kind, label in (("standard", "standard sizes"), ("price", "prices")):
                own = sorted(
                    (cost / 1e6, mean, deviation / np.sqrt(len(found.seeds)))
                    for name, mean, deviation, cost, _ in points
                    if name.startswith(kind)
                )
                axes.errorbar(*zip(*own, strict=True), fmt="o-", capsize=3, label=label)
            axes.set(title=name, xlabel="million multiplications")
            axes.set_ylabel("accuracy, % (bars: SE)")
            axes.set_xscale("log")
            axes.set_xticks([0.2, 0.5, 1, 2], ["0.2", "0.5", "1", "2"])
            axes.minorticks_off()
        grid[0].legend(fontsize="small")
    return figure


def load_answers(titles):
    """Returns title and results of those studies that are on file, in pairs."""
    found = [(title, load(folder)) for folder, title in titles.items()]
    return [(title, one) for title, one in found if one]


def answers_table(studies):
    """Returns the answer of each study: proposal less baseline."""
    lines = []
    for title, found in studies:
        scale, unit = found.settings["scale"], found.settings["unit"]
        [cell] = found.cells
        values, failed = found.metrics(cell=cell), found.failed(cell=cell)
        effect = found.effects(cell)[ANSWER].effect
        sides = [found.choice(side, cell) for side in SIDES]
        kept = ~np.any([failed[name] for name in sides], axis=0)
        lines.append(
            [
                title,
                cell,
                *(
                    f"{scale * values[name][kept].mean():.2f} ({name})"
                    for name in sides
                ),
                effect.format(scale, unit),
                f"{effect.count} of {len(found.seeds)}",
                " / ".join(str(failed[name].sum()) for name in sides),
                " / ".join(
                    str(sum(len(found.tried(name, cell)) for name in found.sides[side]))
                    for side in SIDES
                ),
                ", ".join(found.never_tried(sides[1], cell)) or "\N{EN DASH}",
            ]
        )
    columns = ["network", "training", *SIDES, "difference", "pairs", "failed runs"]
    return markdown_table([*columns, "tuning runs", "never tried"], lines)


def priced_table(studies):
    """Returns what a price on size makes of a network that is tuned with it."""
    name, lines = "learned, with a price", []
    for title, (found, _) in studies.items():
        cell = found.cells[-1]
        values, failed = found.metrics(cell=cell), found.failed(cell=cell)
        if name not in values:
            continue
        trimmed = found.metrics(metric=f"{found.metric}_trimmed", cell=cell)[name]
        sizes = found.metrics(metric="kernel_size", cell=cell)
        costs = found.metrics(metric="multiplications", cell=cell)
        scale = found.settings["scale"]
        line = [title, f"{scale * trimmed.mean():.1f}", f"{sizes[name].mean():.0f}"]
        for other in (best_standard(found, cell), best_in_hindsight(found, cell)):
            effect = statistics.answer(
                trimmed, values[other], failed[name], failed[other]
            ).effect
            half = scale * (effect.high - effect.low) / 2
            cost = costs[name].mean() / costs[other].max()
            line += [
                f"{_signed(scale * effect.mean, half, 1)} "
                f"({round(sizes[other][0])} taps)",
                f"{100 * cost:.0f} %",
            ]
        lines.append(line)
    columns = ["set", "accuracy, %", "mean size", "less best standard", "its cost"]
    return markdown_table([*columns, "less best in hindsight", "its cost"], lines)


def means_table(found):
    """Returns the test metric of each candidate: its mean, deviation and failures."""
    scale, unit = found.settings["scale"], found.settings["unit"]
    values = found.metrics()
    lines = [
        [
            name,
            _mean(found, name),
            f"{scale * values[name][~failed].mean():.2f}",
            f"{int(failed.sum())} of {len(failed)}",
        ]
        for name, failed in found.failed().items()
    ]
    columns = ["candidate", f"test, {unit}", "where it trained", "failed runs"]
    return markdown_table(columns, lines)


SETTING = """\
Differences in points of accuracy, or in dB of PSNR, from the best standard network:
mean and half of the 95 % interval over ten seeds, without the pairs in which a run
failed. Learning rate and weight decay are tuned on the validation split, for the
denoisers, which have no batch normalization, also one factor of all initial kernels.
Networks with a density have the largest kernels.

- "Best standard": each kernel size is given as many tuning runs as each density, so the
  standard side has several times as many in all. (It used fewer where values failed or
  the search had no new points.) The size is chosen by its validation score.
- "Width tuned", "not normalized": a fixed Gaussian density, whose width is tuned, too.
- "Large": the standard network with the largest kernels. Since its rate, decay and
  start are tuned, it also stands for one factor in place of the density.
- "Learned" in bold: better or worse by both tests. Elsewhere, "excluded" is the
  smallest difference, in either direction, that the runs rule out.
- "Best in hindsight": the standard network of the size that is best on the test split.
  Nobody could have chosen it, so this difference is biased against the density.
- "Failed runs": of the best standard network and of the learned density.
- "Trimmed size", "cost": of the learned density. Trimming takes up to 1 % of the norm
  of each kernel. The cost is in multiplications, relative to the large kernels and to
  the best standard ones; layers of one tap are not counted.

Series are tuned by cross-validation with three folds; four fifths of the published
training series train the runs that are shown. The rows of Set12 and BSD68 have
different test pictures but the same training, so they are not independent. Each study's
`report.md` compares with the size that one search for size, rate and decay chose, which
tried three of the sizes. It also tells what lies at the edge of a tuned range, and
which candidates share initial values.
"""


def text(rows, studies):
    """Returns what the page says of the studies, as Markdown."""
    starts, prices = load_sizes()
    _, _, tables = linear_prior.table(rows).partition("\n\n")
    parts = ["### One linear kernel", tables.strip()]
    if studies:
        found = {name: network_rows(name, *one) for name, one in studies.items()}
        parts += ["### Networks", SETTING.strip()]
        parts.append(network_table([row for rows in found.values() for row in rows]))
        if any(len(examples) > 1 for _, examples in studies.values()):
            parts.append("![By examples](images/networks_by_examples.svg)")
        of_series = [row for n in series.SETS if n in found for row in found[n]]
        if len(of_series) > 1:
            parts.append(series_summary(of_series))
        parts += [
            "Differences between networks with a density. A permuted density has the "
            "values of one of tuned width in other places.",
            pairs_table(studies),
        ]
    small, scaled = load_answers(SMALL), load_answers(SCALED)
    if small:
        parts += [
            "### Small kernels, plenty of examples",
            "The question of the first paper, on photographs and on CIFAR-10, with the "
            "published coefficients. Learning rate and one factor of all initial "
            "kernels are tuned on both sides with the same number of runs. The weight "
            "decay is not: the denoisers have none, VGG has that of its recipe. Mean "
            "of the test metric, and the difference with its 95 % interval, over the "
            "pairs in which both trained; failed runs of baseline and proposal; what "
            "of the proposal no tuning run varied. Where all differences are equal, "
            "the search chose a density of 1, the standard convolution. "
            "`python -m studies.small_kernels` runs it.",
            answers_table(small),
        ]
    if scaled:
        parts += [
            "### Spatial Gradient Scaling",
            "CIFAR-10; learning rate and weight decay are tuned on both sides with the "
            "same number of runs. `python -m studies.gradient_scaling` runs it.",
            answers_table(scaled),
        ]
    recipes = load("recipes")
    if recipes:
        parts += [
            "### The published recipe for a learned density",
            "DnCNN of 5 layers with kernels of 7, photographs, 1,000 steps, mean and "
            f"standard deviation over {len(recipes.seeds)} seeds, failed runs "
            "included, nothing tuned. `python -m studies.recipes` runs it.",
            means_table(recipes),
        ]
    if starts:
        parts += [
            "### Where a learned width starts",
            "Accuracy in %, mean and standard deviation over ten seeds, one run each, "
            "none of which failed, nothing tuned. `python -m studies.learned_sizes` "
            "runs it.",
            starts_table(starts),
        ]
    if prices:
        parts += [
            "### A price on size",
            "The learned density from its default start with a `KernelSize` "
            "regularizer, folded and trimmed by 1 % of the norm, beside standard "
            "networks of each size. Multiplications relative to the largest kernels.",
            prices_table(prices),
            f"At a price of {question.PRICE:g}, with learning rate and weight decay "
            "tuned, folded and trimmed, against standard networks whose sizes had as "
            "many tuning runs; the cost in multiplications, relative to these:",
            priced_table(studies),
            "![Accuracy against multiplications](images/price_of_size.svg)",
        ]
    large = large_kernels.report(large_kernels.read())
    parts.append(large.replace("# ", "### ", 1).replace("\n## ", "\n#### ").strip())
    return "\n\n".join(parts)


def readme_table(rows, studies):
    """Returns README's table: differences from the best standard size."""
    own = [row for row in rows if row["examples"] == LINEAR_EXAMPLES]
    large = [row for row in own if row["candidate"] == f"standard {linear_prior.SIZE}"]
    best = linear_prior.chosen(own, "standard")
    differences = (
        linear_prior.chosen(large, "standard") - best,
        linear_prior.chosen(own, "density") - best,
    )
    cells = [_signed(*linear_prior.interval(one), 2) for one in differences]
    dash = "\N{EN DASH}"
    lines = [
        [
            "Linear denoiser",
            f"{LINEAR_EXAMPLES} patches",
            f"{best.mean():.2f} dB",
            *cells,
            *(dash,) * 4,
        ]
    ]
    for (title, count), (label, examples) in README_ROWS.items():
        if title not in studies:
            continue
        for row in network_rows(title, *studies[title]):
            if row["examples"] != count:
                continue
            digits, unit = (2, "dB") if row["unit"] == "dB" else (1, "%")
            names = ("large", "width tuned", "learned")
            lines.append(
                [
                    label,
                    examples,
                    f"{row['baseline']:.{digits}f} {unit}, {row['size']}",
                    *(_interval(row, name, digits) for name in names),
                    _excluded(row, digits),
                    f"{_interval(row, 'hindsight', digits)}, {row['hindsight size']}",
                    f"{row['trimmed size']:.0f} of {row['largest']}",
                ]
            )
    columns = ("", "examples", "best standard, size", "largest kernel")
    kinds = ("density, width tuned", "learned", "excluded", "learned less hindsight")
    return markdown_table([*columns, *kinds, "trimmed"], lines)


def page_with(page, written, marks=MARKS):
    """Returns a page with something written between two marks."""
    begin, end = marks
    before, _, rest = page.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n\n{written}\n\n{end}{after}"


def main():
    rows = read_linear()
    write_atomically(linear_prior.FOLDER / "report.md", linear_prior.table(rows))
    figures.save(draw_linear(rows), FIGURE)
    studies = load_networks()
    starts, prices = load_sizes()
    answers = [load(folder) for folder in (*SMALL, *SCALED, "recipes")]
    for found in (
        *(found for found, _ in studies.values()),
        *(found for found in answers if found),
        *starts.values(),
        *prices.values(),
    ):
        found.save()
    if prices:
        figures.save(draw_prices(prices), PRICES)
    several = {name: one for name, one in studies.items() if len(one[1]) > 1}
    if several:
        figures.save(draw_examples(several), EXAMPLES)
    write_atomically(PAGE, page_with(PAGE.read_text(), text(rows, studies)))
    written = page_with(README.read_text(), readme_table(rows, studies), README_MARKS)
    write_atomically(README, written)


if __name__ == "__main__":
    main()
