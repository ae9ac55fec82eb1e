"""Reports of comparisons: Markdown, and one HTML page that holds its pictures."""

import base64
import html
import io
from pathlib import Path

import numpy as np

from .._optional import require
from .denoising import Denoising

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto;
       padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: 1rem 0; font-size: 0.9rem; }
th, td { border-bottom: 1px solid #ccc; padding: 0.2rem 0.8rem; text-align: right; }
th:first-child, td:first-child { text-align: left; }
img { max-width: 100%; }
code { background: #f3f3f3; padding: 0.1rem 0.3rem; }
"""


class Page:
    """A report of paragraphs, tables and figures, in the order in which they come.

    Args:
        title: str.

    Example:

    >>> from keras_wconv.experiments import report
    >>> page = report.Page("Results")
    >>> page.text("Two runs.")
    >>> page.table(["run", "PSNR"], [["first", 27.5], ["second", 27.25]])
    >>> page.write("folder")
    >>> print(open("folder/report.md").read())
    # Results
    <BLANKLINE>
    Two runs.
    <BLANKLINE>
    | run | PSNR |
    |---|---|
    | first | 27.5 |
    | second | 27.25 |
    <BLANKLINE>
    """

    def __init__(self, title):
        self._title = html.escape(title)
        self._markdown = [f"# {title}"]
        self._html = [f"<h1>{self._title}</h1>"]
        self._figures = {}

    def heading(self, text):
        self._markdown.append(f"## {text}")
        self._html.append(f"<h2>{html.escape(text)}</h2>")

    def text(self, text):
        self._markdown.append(text)
        self._html.append(f"<p>{html.escape(text)}</p>")

    def code(self, text):
        self._markdown.append(f"    {text}")
        self._html.append(f"<pre><code>{html.escape(text)}</code></pre>")

    def table(self, columns, rows):
        """Add a table; numbers are shown with at most five significant digits."""
        rows = [
            [f"{cell:.5g}" if isinstance(cell, float) else str(cell) for cell in row]
            for row in rows
        ]
        self._markdown.append(
            "\n".join(
                f"| {' | '.join(row)} |" if row else f"|{'---|' * len(columns)}"
                for row in (columns, [], *rows)
            )
        )
        head = "".join(f"<th>{html.escape(cell)}</th>" for cell in columns)
        body = "".join(
            f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>"
            for row in rows
        )
        self._html.append(f"<table><tr>{head}</tr>{body}</table>")

    def figure(self, name, figure, caption):
        """Add a Matplotlib figure, which also becomes the file `<name>.png`."""
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=80, bbox_inches="tight")
        self._figures[f"{name}.png"] = buffer.getvalue()
        encoded = base64.b64encode(buffer.getvalue()).decode()
        self._markdown.append(f"![{caption}]({name}.png)\n\n{caption}")
        caption = html.escape(caption)
        self._html.append(
            f'<figure><img alt="{caption}" src="data:image/png;base64,{encoded}">'
            f"<figcaption>{caption}</figcaption></figure>"
        )

    def write(self, folder):
        """Write `report.md`, its figures, and `report.html`, which needs no other."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in self._figures.items():
            (folder / name).write_bytes(data)
        (folder / "report.md").write_text("\n\n".join(self._markdown) + "\n")
        body = "\n".join(self._html)
        (folder / "report.html").write_text(
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            f"<title>{self._title}</title><style>{_STYLE}</style></head>\n"
            f"<body>\n{body}\n</body></html>\n"
        )


def write_comparison(results, command=None):
    """Write the report of a comparison into its folder.

    Args:
        results: `comparison.Results`.
        command: str, that which gave the results, to be shown.
    """
    task, metric = results.task, results.task.monitor
    scale, unit = results.scale
    page = Page(f"Does a density help? {task.data.name}")
    page.text(results.conclusion())
    if command:
        page.code(command)

    page.heading("Effects")
    page.text(
        f"Differences of the test {metric}, paired by seed: mean and "
        f"{results.confidence:.0%} t interval, in {unit or 'its own unit'}."
    )
    effects = results.effects()
    page.table(
        ["effect", "mean", "from", "to", "the interval"],
        [
            [
                name,
                scale * effect.mean,
                scale * effect.low,
                scale * effect.high,
                "leaves out 0" if effect.sign else "contains 0",
            ]
            for name, effect in effects.items()
        ],
    )
    page.figure(
        "effects",
        effects_figure(results),
        "Left: mean differences with their intervals. Right: the test results of every "
        "seed.",
    )

    page.heading("Runs")
    first = next(iter(results.runs["A"]))
    for name, value in first["test"].items():
        by_arm = results.metrics("test", name)
        if np.ptp(list(by_arm.values())) == 0:  # The noisy input's.
            page.text(f"Test {name} of every run: {value:.4f}.")
            continue
        page.text(f"Test {name} by seed.")
        page.table(
            ["arm", *(str(seed) for seed in results.seeds), "mean", "deviation"],
            [
                [
                    f"{arm} {results.label(arm)}",
                    *(float(value) for value in values),
                    float(values.mean()),
                    float(values.std(ddof=1)),
                ]
                for arm, values in by_arm.items()
            ],
        )

    models = results.models() if isinstance(task, Denoising) else {}
    if models:
        page.heading("Pictures")
        page.text(f"The networks of seed {results.seeds[0]}.")
        add_pictures(page, task, models)

    page.heading("How it was done")
    for line in results.protocol():
        page.text(line)
    page.write(results.folder)


def write_pictures(folder, task, models, command=None):
    """Write the report of two denoisers that were trained alike.

    Args:
        folder: str or `pathlib.Path`.
        task: `Denoising`.
        models: dict of trained models by name.
        command: str, that which gave the results, to be shown.

    Returns:
        A list of dicts, one a test picture and noise level.
    """
    page = Page("What the density did: denoising with and without")
    page.text(
        f"{' and '.join(models).capitalize()}: trained from the same initial kernels "
        f"on the same batches, {task.epochs} epochs. One pair of trainings shows no "
        "more than itself: `keras-wconv compare --controls` gives intervals."
    )
    if command:
        page.code(command)
    rows = add_pictures(page, task, models)
    page.write(folder)
    return rows


def add_pictures(page, task, models):
    """Add a table of PSNR and SSIM by picture, its mean, and a figure; return rows."""
    figure, rows = pictures_figure(task, models)
    names = {"psnr": "PSNR", "ssim": "SSIM"}
    columns = [[names.get(word, word) for word in key.split("_")] for key in rows[0]]
    means = [float(np.mean([row[key] for row in rows])) for key in list(rows[0])[2:]]
    page.table(
        [" ".join(words) for words in columns],
        [
            *(
                [name, f"{sigma:g}", *rest]
                for name, sigma, *rest in map(dict.values, rows)
            ),
            ["mean", "", *means],
        ],
    )
    side = task.evaluation_size
    of = f"central {side} x {side} pixels" if side else "whole picture"
    page.figure(
        "pictures",
        figure,
        f"Held-out pictures, with the PSNR of the {of}; the density.",
    )
    return rows


def pictures_figure(task, models, count=4, side=128):
    """Draw clean, noisy and denoised pictures, and the density maps.

    Args:
        task: `Denoising`.
        models: dict of trained models by name.
        count: int, pictures to draw.
        side: int, pixels of the centre that is drawn.

    Returns:
        The figure, and a list of dicts, one a test picture and noise level, of PSNR and
        SSIM before and after.
    """
    plt = require("matplotlib.pyplot", extra="plot")
    rows, drawn = [], []
    for name, model in models.items():
        for i, (clean, noisy, output, metrics) in enumerate(task.denoise(model)):
            if i == len(rows):
                before = ("picture", "sigma", "noisy_psnr", "noisy_ssim")
                rows.append({key: metrics[key] for key in before})
                if i < count:
                    drawn.append(
                        {
                            "clean": _centre(clean, side),
                            "noisy": _centre(noisy, side),
                        }
                    )
            rows[i][f"{name}_psnr"] = metrics["psnr"]
            rows[i][f"{name}_ssim"] = metrics["ssim"]
            if i < count:
                drawn[i][name] = _centre(output, side)
    distinct = {}
    for layer in (layer for model in models.values() for layer in model.layers):
        if getattr(layer, "density", None) is not None:
            phi = layer.density_map
            distinct.setdefault(phi.tobytes(), (layer.name, phi))
    figure, axes = plt.subplots(
        len(drawn),
        len(drawn[0]) + 1,
        figsize=(2.6 * (len(drawn[0]) + 1), 2.8 * len(drawn)),
        squeeze=False,
        layout="constrained",
    )
    for ax in axes.flat:
        ax.set_axis_off()
    for i, (row, pictures) in enumerate(zip(rows, drawn, strict=False)):
        for ax, (name, picture) in zip(axes[i], pictures.items(), strict=False):
            ax.imshow(np.clip(picture, 0, 1), cmap="gray", vmin=0, vmax=1)
            of = row["picture"] if name == "clean" else f"{row[f'{name}_psnr']:.2f} dB"
            ax.set_title(f"{name}\n{of}", fontsize=9)
    for ax, (name, phi) in zip(axes[:, -1], distinct.values(), strict=False):
        ax.imshow(phi, cmap="viridis", vmin=0)
        for (y, x), value in np.ndenumerate(phi):
            ax.text(x, y, f"{value:.2g}", ha="center", va="center", fontsize=6)
        ax.set_title(f"density\n{name}" if len(distinct) > 1 else "density", fontsize=9)
    plt.close(figure)
    return figure, rows


def effects_figure(results):
    """Draw the intervals of a comparison's effects, and the results of every seed."""
    plt = require("matplotlib.pyplot", extra="plot")
    scale, unit = results.scale
    effects = results.effects()
    values = results.metrics("test", results.task.monitor)
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(11, 1 + 0.4 * max(len(effects), len(values))), layout="tight"
    )
    means = scale * np.array([effect.mean for effect in effects.values()])
    ends = scale * np.array([(e.low, e.high) for e in effects.values()]).T
    order = np.arange(len(effects))[::-1]
    left.errorbar(means, order, xerr=np.abs(ends - means), fmt="o", capsize=3)
    left.axvline(0, color="grey", linewidth=0.8)
    left.set_yticks(order, list(effects))
    left.set_xlabel(f"difference, {unit or results.task.monitor}")
    order = np.arange(len(values))[::-1]
    for y, runs in zip(order, values.values(), strict=True):
        right.plot(scale * runs, np.full(len(runs), y), "o", alpha=0.5)
    right.set_yticks(order, [f"{arm} {results.label(arm)}" for arm in values])
    right.set_xlabel(f"test {results.task.monitor}, {unit}".rstrip(", "))
    plt.close(figure)
    return figure


def _centre(picture, side):
    top, left = (max(0, (size - side) // 2) for size in picture.shape[:2])
    return picture[top : top + side, left : left + side]
