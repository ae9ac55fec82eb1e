"""A report as Markdown, and as one HTML page that holds its figures."""

import base64
import html
import io
import numbers
import re
from pathlib import Path

import numpy as np

from .._files import whole_file, write_atomically
from .._optional import require

_STYLE = """
:root { color-scheme: light dark; --text: #222; --page: #fff; --soft: #f3f4f6;
        --line: #d5d8dd; --link: #0b57d0; }
* { box-sizing: border-box; }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto;
       padding: 0 1rem; color: var(--text); background: var(--page);
       overflow-wrap: break-word; }
h1, h2 { line-height: 1.25; }
h2 { margin-top: 2.5rem; }
a { color: var(--link); }
.verdict { font-size: 1.15rem; font-weight: 600; margin: 1.2rem 0; padding: 0.9rem 1rem;
           border-left: 6px solid #6b7280; background: var(--soft); }
.better { border-color: #15803d; background: #dcfce7; color: #14532d; }
.worse { border-color: #c2410c; background: #ffedd5; color: #7c2d12; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: 1rem 0; font-size: 0.9rem;
        font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--line); padding: 0.3rem 0.8rem;
         text-align: left; }
th { background: var(--soft); }
td:first-child { min-width: 8rem; }
.number { text-align: right; white-space: nowrap; }
figure { margin: 1.5rem 0; }
figcaption { font-size: 0.9rem; opacity: 0.8; margin-top: 0.4rem; }
.wide > img { width: 100%; min-width: 38rem; background: #fff; border-radius: 4px; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: var(--soft);
      padding: 0.7rem 1rem; border-radius: 4px; }
code { font-family: ui-monospace, monospace; font-size: 0.9em; }
:not(pre) > code { background: var(--soft); padding: 0.1rem 0.3rem;
                   border-radius: 3px; }
.toggle > label { display: inline-block; padding: 0.4rem 0.9rem; cursor: pointer;
                  margin: 0 0.3rem 0.6rem 0; border: 1px solid var(--line);
                  border-radius: 4px; }
.toggle > input { position: absolute; opacity: 0; }
.toggle > input:checked + label { background: #1d4ed8; border-color: #1d4ed8;
                                  color: #fff; }
.toggle > input:focus-visible + label { outline: 3px solid #60a5fa; }
.pictures { display: grid; gap: 1rem;
            grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr)); }
.pictures div > div { display: none; font-size: 0.9rem; }
.pictures img { display: block; width: 100%; image-rendering: pixelated; }
footer { margin-top: 3rem; padding-top: 1rem; border-top: 1px solid var(--line);
         font-size: 0.85rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.2rem 1rem; }
dt { font-weight: 600; }
dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 30rem) { dl { display: block; } h1 { font-size: 1.5rem; } }
@media screen and (prefers-color-scheme: dark) {
  :root { --text: #ddd; --page: #17181b; --soft: #24262b; --line: #43474f;
          --link: #8ab4f8; }
  .better { background: #12351f; color: #bbf7d0; }
  .worse { background: #43210d; color: #fed7aa; }
}
@media print {
  body { max-width: none; margin: 0; font-size: 10pt; }
  .wide { overflow: visible; }
  .wide > img { min-width: 0; }
  table { font-size: 8pt; }
  figure, tr, .verdict { break-inside: avoid; }
  h2 { break-after: avoid; }
  * { print-color-adjust: exact; }
}
"""


class Page:
    """A report of paragraphs, tables and figures, in the order in which they come.

    Text may have `code` between backticks and **words** between two asterisks.

    Args:
        title: str.

    Example:

    >>> from keras_wconv.experiments import Page
    >>> page = Page("Results")
    >>> page.text("Two runs.")
    >>> page.table(["run", "PSNR"], [["first", 27.5], ["second", 27.25]])
    >>> page.write("folder")
    >>> print(open("folder/report.md").read())
    # Results
    <BLANKLINE>
    Two runs.
    <BLANKLINE>
    | run | PSNR |
    | --- | ---: |
    | first | 27.500 |
    | second | 27.250 |
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
        self._html.append(f"<p>{_inline(text)}</p>")

    def verdict(self, text, tone=""):
        """Adds the sentence that the page is about, on a ground of its own.

        Args:
            text: str.
            tone: `"better"`, `"worse"`, or `""` for neither.
        """
        self._markdown.append(f"**{text}**")
        self._html.append(f'<p class="verdict {tone}">{_inline(text)}</p>')

    def code(self, text):
        self._markdown.append(f"    {text}")
        self._html.append(f"<pre><code>{html.escape(text)}</code></pre>")

    def table(self, columns, rows):
        """Adds a table; floats are shown with three decimals."""
        is_number = [
            any(isinstance(row[i], numbers.Number) for row in rows)
            for i in range(len(columns))
        ]
        rows = [
            [f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row]
            for row in rows
        ]
        rule = ["---:" if right else "---" for right in is_number]
        self._markdown.append(
            "\n".join(f"| {' | '.join(row)} |" for row in (columns, rule, *rows))
        )

        def line(tag, row):
            cells = (
                f'<{tag} class="number">{_inline(cell)}</{tag}>'
                if right
                else f"<{tag}>{_inline(cell)}</{tag}>"
                for cell, right in zip(row, is_number, strict=True)
            )
            return f"<tr>{''.join(cells)}</tr>"

        body = "".join(line("td", row) for row in rows)
        self._html.append(
            f'<div class="wide"><table>{line("th", columns)}{body}</table></div>'
        )

    def figure(self, name, figure, caption):
        """Adds a Matplotlib figure, which also becomes the file `<name>.svg`."""
        data = _svg(figure)
        self._figures[f"{name}.svg"] = data
        self._markdown.append(f"![{caption}]({name}.svg)\n\n{caption}")
        source = base64.b64encode(data).decode()
        caption = html.escape(caption)
        self._html.append(
            f'<figure><div class="wide"><img alt="{caption}" '
            f'src="data:image/svg+xml;base64,{source}"></div>'
            f"<figcaption>{caption}</figcaption></figure>"
        )

    def pictures(self, name, rows, caption):
        """Adds pictures in several versions, one of which is shown at a time.

        In Markdown, and as the file `<name>.png`, the versions lie side by side.

        Args:
            name: str.
            rows: list of dicts by version of `(array, text)`, one for each picture:
                `(height, width)` or `(height, width, 3)` in [0, 1], and what to write
                below it. All have the same versions; the last one is shown first.
            caption: str.
        """
        self._figures[f"{name}.png"] = _side_by_side(rows)
        self._markdown.append(f"![{caption}]({name}.png)\n\n{caption}")
        versions = list(rows[0])
        style, buttons = [], []
        for i, version in enumerate(versions):
            chosen = f"{name}-{i}"
            checked = " checked" if version == versions[-1] else ""
            style.append(
                f"#{chosen}:checked ~ .pictures div > .{chosen} {{ display: block; }}"
            )
            buttons.append(
                f'<input type="radio" name="{name}" id="{chosen}"{checked}>'
                f'<label for="{chosen}">{html.escape(version)}</label>'
            )
        shown = []
        for row in rows:
            shown.append("<div>")
            for i, (version, (picture, text)) in enumerate(row.items()):
                source = base64.b64encode(_png(picture)).decode()
                text = html.escape(text)
                shown.append(
                    f'<div class="{name}-{i}"><img alt="{html.escape(version)}, {text}"'
                    f' src="data:image/png;base64,{source}">{text}</div>'
                )
            shown.append("</div>")
        self._html.append(
            f"<style>{' '.join(style)}</style>"
            f'<figure><div class="toggle">{"".join(buttons)}'
            f'<div class="pictures">{"".join(shown)}</div></div>'
            f"<figcaption>{html.escape(caption)}</figcaption></figure>"
        )

    def footer(self, facts):
        """Adds how the page came about, a dict of str."""
        self._markdown.append(
            "---\n\n" + "\n".join(f"- {name}: {fact}" for name, fact in facts.items())
        )
        lines = "".join(
            f"<dt>{html.escape(name)}</dt><dd>{_inline(fact)}</dd>"
            for name, fact in facts.items()
        )
        self._html.append(f"<footer><dl>{lines}</dl></footer>")

    def write(self, folder):
        """Writes `report.md`, its figures, and `report.html`, which needs no other."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in self._figures.items():
            with whole_file(folder / name) as temporary:
                temporary.write_bytes(data)
        markdown = "\n\n".join(self._markdown) + "\n"
        write_atomically(folder / "report.md", markdown)
        body = "\n".join(self._html)
        write_atomically(
            folder / "report.html",
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{self._title}</title><style>{_STYLE}</style></head>\n"
            f"<body>\n{body}\n</body></html>\n",
        )


def _inline(text):
    """Returns text as HTML, with code, bold words and links."""
    text = html.escape(text)
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", text)
    text = re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", text)
    return re.sub(r"\[([^\]]+)\]\(([\w./-]+)\)", r'<a href="\2">\1</a>', text)


def _svg(figure):
    """Returns a figure as SVG, the same bytes for the same figure."""
    matplotlib = require("matplotlib", extra="plot")
    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "keras_wconv"}):
        figure.savefig(
            buffer, format="svg", bbox_inches="tight", metadata={"Date": None}
        )
    return buffer.getvalue()


def _png(picture):
    image = require("PIL.Image", extra="plot")
    buffer = io.BytesIO()
    pixels = np.round(255 * np.clip(np.squeeze(picture), 0, 1)).astype("uint8")
    image.fromarray(pixels).save(buffer, format="png", optimize=True)
    return buffer.getvalue()


def _side_by_side(rows):
    plt = require("matplotlib.pyplot", extra="plot")
    figure, axes = plt.subplots(
        len(rows),
        len(rows[0]),
        figsize=(2.6 * len(rows[0]), 2.9 * len(rows)),
        squeeze=False,
        layout="constrained",
    )
    for line, row in zip(axes, rows, strict=True):
        for ax, (version, (picture, text)) in zip(line, row.items(), strict=True):
            picture = np.clip(np.squeeze(picture), 0, 1)
            ax.imshow(picture, cmap="gray", vmin=0, vmax=1)
            ax.set_title(f"{version}\n{text}", fontsize=9)
            ax.set_axis_off()
    plt.close(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=160)
    return buffer.getvalue()
