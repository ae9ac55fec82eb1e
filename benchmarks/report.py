"""Tables and a figure of the results, and from the same files README's short table.

python -m benchmarks.report
"""

import ast
import json
import statistics
from pathlib import Path

import numpy as np

from keras_wconv.experiments.report import figures
from keras_wconv.experiments.report.page import markdown_table

from . import RESULTS

README = Path(__file__).parents[1] / "README.md"
BEGIN = "<!-- Written by python -m benchmarks.report from benchmarks/results. -->"
END = "<!-- End of what python -m benchmarks.report wrote. -->"
BACKENDS = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}
TITLES = {
    "best_found": "The best that a search found",
    "build": "Building a model",
    "direct_l": "DIRECT-L against NLopt and SciPy",
    "engine": "The engine of a search",
    "optuna_samplers": "The best that samplers of Optuna found",
    "processes": "Import and peak memory",
    "pytorch_module": "The authors' PyTorch module",
    "search": "Trials of a search",
    "workers": "Searches of many workers",
}
NOTHING = "–"
VALUES = ("ratio", "speed_up", "milliseconds")  # what a row is about, the first it has

STEP = {"batch": 32, "policy": "float32", "jit_compile": None}
LAYERS = {"batch": (8, 32)}
NETWORKS, LATE_LAYERS = {"layer": None}, {"network": None}
FIXED, AGAIN = ("fixed", None), "standard again"
COSTS = (  # of the README: label, benchmark, which of its rows, the columns' variants
    ("Time of a training step", "networks", STEP, (FIXED, "learned", AGAIN)),
    (
        "Peak memory of a training step",
        "processes",
        {"measure": "peak memory"},
        (FIXED, "learned", None),
    ),
    ("Time of inference, folded", "inference", NETWORKS, ("folded", None, AGAIN)),
)
SUMMARY = (  # of the page, line by line: label, benchmark, which of its rows
    *(
        (f"Training step, batch 32: {name}", "networks", {"network": name, **STEP})
        for name in (
            "ResNet18, CIFAR-100",
            "VGG16-BN, CIFAR-100",
            "DnCNN-17, 40x40",
            "NAFNet-32, 9 blocks",
        )
    ),
    ("… of these four, density learned", "networks", {"variant": "learned", **STEP}),
    ("… standard again", "networks", {"variant": AGAIN, **STEP}),
    ("Training step of single layers, batch 8 and 32", "layers", LAYERS),
    ("… density learned", "layers", {"variant": "learned", **LAYERS}),
    ("… standard again", "layers", {"variant": AGAIN, **LAYERS}),
    ("Peak memory of a training step", "processes", {"measure": "peak memory"}),
    (
        "… density learned",
        "processes",
        {"measure": "peak memory", "variant": "learned"},
    ),
    ("Inference, batch 1 and 32", "inference", {"variant": "unfolded", **NETWORKS}),
    ("… folded", "inference", {"variant": "folded", **NETWORKS}),
    ("… standard again", "inference", {"variant": AGAIN, **NETWORKS}),
    (
        "Inference, batch 1: 512 channels, 7x7 pixels",
        "inference",
        {"variant": "unfolded", **LATE_LAYERS},
    ),
    ("… folded", "inference", {"variant": "folded", **LATE_LAYERS}),
    ("… standard again", "inference", {"variant": AGAIN, **LATE_LAYERS}),
    (
        "`import keras_wconv` after `import keras`, ms",
        "processes",
        {"measure": "import"},
    ),
    (
        "Trials of a search: how many times faster than `keras_tuner.Tuner`",
        "search",
        {},
    ),
)


def load(folder):
    """Returns the results in `folder`, by file name."""
    return {
        path.stem: json.loads(path.read_text())
        for path in sorted(folder.glob("*.json"))
    }


def select(result, **wanted):
    """Returns the rows whose fields are, or are among, the wanted values."""
    wanted = {"variant": FIXED, **wanted}
    return [
        row
        for row in (result or {"rows": []})["rows"]
        if all(
            row.get(field) in (value if isinstance(value, tuple) else (value,))
            for field, value in wanted.items()
        )
    ]


def costs(results):
    """Returns the README's table: what a user pays, on all backends together."""
    columns = ("fixed density", "learned density", AGAIN)
    lines = []
    for label, benchmark, wanted, variants in COSTS:
        cells = []
        for variant in variants:
            rows = [
                row
                for backend in BACKENDS
                for row in select(
                    results.get(f"{benchmark}-{backend}"), **wanted, variant=variant
                )
                if variant is not None
            ]
            cells.append(summarize(rows))
        lines.append([label, *cells])
    return markdown_table(["", *columns], lines)


def summary(results):
    """Returns a line for each claim that was measured, backend by backend."""
    lines = []
    for label, benchmark, wanted in SUMMARY:
        cells = [
            summarize(select(results.get(f"{benchmark}-{backend}"), **wanted))
            for backend in BACKENDS
        ]
        if set(cells) != {NOTHING}:
            lines.append([label, *cells])
    return markdown_table(["", *BACKENDS.values()], lines)


def summarize(rows):
    """Returns the value of one row, or the median and the largest of many."""
    values = [next(row[field] for field in VALUES if field in row) for row in rows]
    if not values:
        return NOTHING
    if len(values) == 1:
        return format_value(values[0])
    medians = [value["median"] for value in values]
    return f"{statistics.median(medians):.2f}, at most {max(medians):.2f}"


def format_value(value):
    if isinstance(value, dict) and value.keys() == {"lower", "median", "upper"}:
        digits = 2 if value["median"] < 10 else 0
        lower, median, upper = (
            f"{value[key]:.{digits}f}" for key in ("lower", "median", "upper")
        )
        return f"{median} ({lower}–{upper})"
    if isinstance(value, float):
        return f"{value:.4g}"
    return NOTHING if value is None else str(value)


def tables(results):
    """Returns a page with every row of every result."""
    page = [
        "# Results",
        "Written by `python -m benchmarks`; not to be edited. Each ratio compares a "
        "weighted layer or network with the standard one: the median over the rounds, "
        "with the quartiles in parentheses. *Standard again* is the standard one timed "
        "twice: it shows the noise.",
    ]
    if has_ratios(results):
        page.append("![Ratios of training steps and of inference](ratios.svg)")
    page += [
        "## In short",
        "Over the measured networks and the backends: the median, and the largest.",
        costs(results),
        "## Every row",
        "A line opens what was measured, backend by backend.",
        "<details>\n<summary>Summary by backend</summary>",
        "The median with its quartiles. Where a line sums up several rows: their "
        "median and the largest.",
        summary(results),
        "</details>",
    ]
    explained = None
    for result in results.values():
        if result["benchmark"] != explained:
            if explained is not None:
                page.append("</details>")
            explained = result["benchmark"]
            title = TITLES.get(explained, explained.replace("_", " ").capitalize())
            page += [f"<details>\n<summary>{title}</summary>", explanation(explained)]
        machine = result["machine"]
        versions = ", ".join(f"{k} {v}" for k, v in machine["versions"].items())
        page += [
            f"**{BACKENDS[result['backend']]}.** `{result['command']}`, "
            f"{result['date']}, {machine['processor']}, "
            f"{machine['cores']} cores, device {machine['device']}; {versions}",
        ]
        fields = list(dict.fromkeys(name for row in result["rows"] for name in row))
        columns = [field.replace("_", " ") for field in fields]
        lines = [
            [format_value(row.get(field)) for field in fields] for row in result["rows"]
        ]
        page.append(markdown_table(columns, lines))
    if explained is not None:
        page.append("</details>")
    return "\n\n".join(page) + "\n"


def explanation(benchmark):
    """Returns what the benchmark's module says of itself."""
    module = ast.parse(Path(__file__).with_name(f"{benchmark}.py").read_text())
    return ast.get_docstring(module)


def with_summary(readme, results):
    """Returns the text of the README with its table written anew."""
    before, rest = readme.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{costs(results)}\n\n{END}{after}"


def has_ratios(results):
    return any(name.startswith(("networks-", "inference-")) for name in results)


def draw(results, path):
    """Draws the ratios of whole networks, with their quartiles."""
    panels = (
        ("Training step, batch 32", "networks", ("fixed", "learned"), STEP),
        (
            "Inference, batch 1",
            "inference",
            ("unfolded", "folded"),
            {**NETWORKS, "batch": 1},
        ),
    )
    with figures.new(1, 2, (12, 5)) as (figure, axes):
        for axis, (title, benchmark, variants, wanted) in zip(
            axes, panels, strict=True
        ):
            places = {}
            for column, (backend, label) in enumerate(BACKENDS.items()):
                result = results.get(f"{benchmark}-{backend}")
                rows = select(result, **wanted, variant=variants)
                names = [f"{row['network']}, {row['variant']}" for row in rows]
                y = [places.setdefault(name, len(places)) for name in names]
                lower, median, upper = (
                    np.array([row["ratio"][key] for row in rows])
                    for key in ("lower", "median", "upper")
                )
                spread = [median - lower, upper - median]
                y = np.add(y, (column - 1) / 5)
                axis.errorbar(median, y, xerr=spread, fmt="o", label=label)
            axis.axvline(1, color="gray", linewidth=0.8)
            axis.set_yticks(range(len(places)), places)
            axis.invert_yaxis()
            axis.set(title=title, xlabel="time, relative to the standard one")
        axes[0].legend()
    figures.save(figure, path)


def write(folder=RESULTS):
    """Writes the tables and the figure, and if they are the kept ones, the README."""
    results = load(folder)
    (folder / "README.md").write_text(tables(results))
    if has_ratios(results):
        draw(results, folder / "ratios.svg")
    if folder.resolve() == RESULTS:
        README.write_text(with_summary(README.read_text(), results))


if __name__ == "__main__":
    write()
