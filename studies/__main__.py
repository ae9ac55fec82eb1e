"""Writes the reports, the tables and the figures of all studies from their logs alone.

    python -m studies

No data, task or model is needed: what was measured is in `runs.jsonl`.
"""

import io
import json
from pathlib import Path

import numpy as np

from keras_wconv._files import write_atomically
from keras_wconv.experiments import Results
from keras_wconv.experiments.report import figures
from keras_wconv.experiments.report.page import markdown_table

from . import linear_prior, series

HERE = Path(__file__).parent
ROOT = HERE.parent
PAGE = ROOT / "docs" / "does_it_help.md"
FIGURE = ROOT / "docs" / "images" / "few_examples.svg"
MARKS = ("<!-- studies -->", "<!-- end of studies -->")
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
        axes.set(xlabel="training examples", ylabel="PSNR, dB")
        axes.legend(fontsize="small", loc="lower right")
    return figure


def series_table(results):
    """Returns the table of the time series: differences from the best standard size.

    Args:
        results: dict of `Results` by the name of a set.
    """
    rows = []
    for name, found in results.items():
        baseline = found.choice("baseline")
        size = found.values(baseline)["kernel_size"]
        test = 100 * found.metrics()[baseline].mean()
        cells = []
        for answer in found.effects().values():
            one = answer.effect
            cells.append(one.format(100).replace("-", "\N{MINUS SIGN}"))
        kept = found.metrics(metric="accuracy_trimmed")[found.choice("proposal")]
        sizes = found.metrics(metric="kernel_size")[found.choice("proposal")]
        cells += [f"{100 * kept.mean():.1f}", f"{sizes.mean():.1f}"]
        rows.append([name, f"{size}", f"{test:.1f}", *cells])
    columns = [
        "set",
        "best size",
        "its accuracy, %",
        "learned",
        *(found_name(e) for e in list(next(iter(results.values())).effects())[1:]),
        "learned and trimmed, %",
        "its mean size",
    ]
    return markdown_table(columns, rows)


def found_name(effect):
    """Returns the control of an effect, such as `"width tuned - baseline"`."""
    return effect.removesuffix(" - baseline")


def load_series():
    """Returns the results of the sets that are complete, by name."""
    results = {}
    for name in series.SETS:
        folder = HERE / "series" / name
        if (folder / "settings.json").exists():
            try:
                results[name] = Results.load(folder)
            except ValueError:  # Not complete yet.
                continue
    return results


def text(rows, results):
    """Returns what the page says of the studies, as Markdown."""
    _, _, tables = linear_prior.table(rows).partition("\n\n")
    parts = ["### One linear kernel", tables.strip()]
    if results:
        seeds = len(next(iter(results.values())).seeds)
        parts += [
            "### Time series with few examples",
            "Accuracy on the published test series, points of difference from the "
            f"standard network of the best size: mean and 95 % interval of {seeds} "
            "seeds. Size, width, learning rate and weight decay are tuned on a fifth "
            "of the training series with 14 runs for each candidate. `python -m "
            "studies.series` runs it.",
            series_table(results),
            *(f"**{name}.** {found.verdict()}" for name, found in results.items()),
        ]
    return "\n\n".join(parts)


def readme_table(rows):
    """Returns README's table: the linear study in three differences."""
    lines = []
    for examples in sorted({row["examples"] for row in rows}):
        own = [row for row in rows if row["examples"] == examples]
        large = [
            row for row in own if row["candidate"] == f"standard {linear_prior.SIZE}"
        ]
        found = linear_prior.chosen(own, "density")
        cells = []
        for rival in (large, own):
            other = linear_prior.chosen(rival, "standard")
            mean, half = linear_prior.interval(found - other)
            cells.append(f"{mean:+.2f} ± {half:.2f} dB".replace("-", "\N{MINUS SIGN}"))
        lines.append([f"{examples:,}", f"{found.mean():.2f} dB", *cells])
    columns = (
        "examples",
        "kernel of 15, density",
        "less the same kernel without",
        "less the best of five sizes",
    )
    return markdown_table(columns, lines)


def page_with(page, written, marks=MARKS):
    """Returns a page with something written between two marks."""
    begin, end = marks
    before, _, rest = page.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n\n{written}\n\n{end}{after}"


def main():
    rows = read_linear()
    write_atomically(linear_prior.FOLDER / "report.md", linear_prior.table(rows))
    buffer = io.StringIO()
    figure = draw_linear(rows)
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "keras_wconv"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    write_atomically(FIGURE, buffer.getvalue())
    results = load_series()
    for found in results.values():
        found.save()
    write_atomically(PAGE, page_with(PAGE.read_text(), text(rows, results)))
    written = page_with(README.read_text(), readme_table(rows), README_MARKS)
    write_atomically(README, written)


if __name__ == "__main__":
    main()
