"""A page of a report: Markdown, and the HTML that markdown-it makes of it."""

from __future__ import annotations

import base64
import html
import io
import numbers
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from markdown_it import MarkdownIt

from ..._files import whole_file, write_atomically
from ..._optional import require
from . import figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..._types import PathLike

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
blockquote { font-size: 1.15rem; font-weight: 600; margin: 1.2rem 0;
             padding: 0.1rem 1rem; border-left: 6px solid #6b7280;
             background: var(--soft); }
table { border-collapse: collapse; margin: 1rem 0; font-size: 0.9rem;
        font-variant-numeric: tabular-nums; display: block; overflow-x: auto; }
th, td { border-bottom: 1px solid var(--line); padding: 0.3rem 0.8rem;
         text-align: left; }
th { background: var(--soft); }
td:first-child { min-width: 8rem; }
[style*="right"] { white-space: nowrap; }
figure { margin: 1.5rem 0; }
figcaption { font-size: 0.9rem; opacity: 0.8; margin-top: 0.4rem; }
figure { overflow-x: auto; }
figure > img { width: 100%; min-width: 38rem; }
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
hr { margin-top: 3rem; border: 0; border-top: 1px solid var(--line); }
hr ~ ul { font-size: 0.85rem; overflow-wrap: anywhere; }
@media (max-width: 30rem) { h1 { font-size: 1.5rem; } }
@media screen and (prefers-color-scheme: dark) {
  :root { --text: #ddd; --page: #17181b; --soft: #24262b; --line: #43474f;
          --link: #8ab4f8; }
}
@media print {
  body { max-width: none; margin: 0; font-size: 10pt; }
  figure, table { overflow: visible; }
  figure > img { min-width: 0; }
  table { font-size: 8pt; }
  figure, tr, blockquote { break-inside: avoid; }
  h2 { break-after: avoid; }
  * { print-color-adjust: exact; }
}
"""


class Page:
    """A report of paragraphs, tables and figures. All text is Markdown.

    Args:
        title: str.

    Example:

    >>> from keras_wconv.experiments import Page
    >>> page = Page("Results")
    >>> page.text("Two runs.")
    >>> page.table(["run", "PSNR"], [["first", 27.5], ["second", 27.25]])
    >>> print(page.to_markdown())
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

    def __init__(self, title: str) -> None:
        self.title = title
        self._blocks = [f"# {title}"]
        self._html = {}  # By the place of a block, instead of its Markdown.
        self._files = {}

    def heading(self, text: str) -> None:
        """Adds a heading."""
        self._blocks.append(f"## {text}")

    def text(self, text: str) -> None:
        """Adds a paragraph."""
        self._blocks.append(text)

    def verdict(self, text: str) -> None:
        """Adds the main sentence of the page, as a quotation."""
        self._blocks.append(f"> {text}")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Adds a table, see `markdown_table`."""
        self._blocks.append(markdown_table(columns, rows))

    def figure(self, name: str, figure: Figure, caption: str) -> None:
        """Adds a Matplotlib figure, which also becomes the file `<name>.svg`."""
        file = io.BytesIO()
        figures.save(figure, file, bbox_inches="tight", transparent=True)
        self._add_image(f"{name}.svg", file.getvalue(), caption)

    def pictures(
        self,
        name: str,
        rows: Sequence[Mapping[str, tuple[np.ndarray, str]]],
        caption: str,
    ) -> None:
        """Adds pictures in several versions, one of which is shown at a time.

        In Markdown, and in the file `<name>.png`, the versions are side by side.

        Args:
            name: str.
            rows: list of dicts, one for each picture, of `(array, text)` by version.
                Arrays are `(height, width)` or `(height, width, 3)` in [0, 1]; the text
                is written below. All dicts have the same versions; the last one is
                shown first.
            caption: str.
        """
        self._add_image(f"{name}.png", _side_by_side(rows), caption)
        self._html[len(self._blocks) - 1] = _toggle(name, rows, caption)

    def footer(self, facts: Mapping[str, object]) -> None:
        """Adds a list of facts about the page, a dict."""
        self._blocks += ["---", "\n".join(f"- {k}: {v}" for k, v in facts.items())]

    def to_markdown(self) -> str:
        """Returns the page as Markdown; its figures are other files."""
        return "\n\n".join(self._blocks) + "\n"

    def to_html(self, whole: bool = True) -> str:
        """Returns the page as HTML that needs no other file.

        Args:
            whole: bool, whether to return a document, or only its body for a notebook.
        """
        convert = MarkdownIt("commonmark", {"html": False}).enable("table").render
        body = "\n".join(
            self._html.get(i) or convert(block) for i, block in enumerate(self._blocks)
        )
        if not whole:
            return body
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{html.escape(self.title)}</title><style>{_STYLE}</style></head>\n"
            f"<body>\n{body}\n</body></html>\n"
        )

    def write(self, folder: PathLike) -> None:
        """Writes `report.md` with its figures, and `report.html`."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in self._files.items():
            with whole_file(folder / name) as temporary:
                temporary.write_bytes(data)
        write_atomically(folder / "report.md", self.to_markdown())
        write_atomically(folder / "report.html", self.to_html())

    def _add_image(self, name, data, caption):
        self._files[name] = data
        self._blocks.append(f"![{caption}]({name})\n\n{caption}")
        kind = "svg+xml" if name.endswith("svg") else "png"
        caption = html.escape(caption)
        self._html[len(self._blocks) - 1] = (
            f'<figure><img alt="{caption}" src="{_source(data, kind)}">'
            f"<figcaption>{caption}</figcaption></figure>"
        )


def _source(data, kind="png"):
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Returns a table as Markdown.

    Columns of numbers are aligned right; floats have three decimals.

    Example:

    >>> from keras_wconv.experiments.report.page import markdown_table
    >>> print(markdown_table(["run", "PSNR"], [["first", 27.5]]))
    | run | PSNR |
    | --- | ---: |
    | first | 27.500 |
    """
    rules = [
        "---:" if any(isinstance(row[i], numbers.Number) for row in rows) else "---"
        for i in range(len(columns))
    ]
    cells = [[_cell(cell) for cell in row] for row in (columns, rules, *rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def _cell(value):
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")


def _toggle(name, rows, caption):
    """Returns pictures in several versions as HTML, with a button for each version."""
    style, buttons = [], []
    for i, version in enumerate(rows[0]):
        chosen = f"{name}-{i}"
        checked = " checked" if i == len(rows[0]) - 1 else ""
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
            text = html.escape(text)
            shown.append(
                f'<div class="{name}-{i}"><img alt="{html.escape(version)}, {text}"'
                f' src="{_source(_png(picture))}">{text}</div>'
            )
        shown.append("</div>")
    return (
        f"<style>{' '.join(style)}</style>"
        f'<figure><div class="toggle">{"".join(buttons)}'
        f'<div class="pictures">{"".join(shown)}</div></div>'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def _png(picture):
    image = require("PIL.Image", extra="plot")
    buffer = io.BytesIO()
    pixels = np.round(255 * np.clip(np.squeeze(picture), 0, 1)).astype("uint8")
    image.fromarray(pixels).save(buffer, format="png", optimize=True)
    return buffer.getvalue()


def _side_by_side(rows):
    buffer = io.BytesIO()
    size = 2.6 * len(rows[0]), 2.9 * len(rows)
    with figures.new(len(rows), len(rows[0]), size) as (figure, axes):
        shown = (one for row in rows for one in row.items())
        for ax, (version, (picture, text)) in zip(np.ravel(axes), shown, strict=True):
            picture = np.clip(np.squeeze(picture), 0, 1)
            ax.imshow(picture, cmap="gray", vmin=0, vmax=1)
            ax.set_title(f"{version}\n{text}", fontsize=9)
            ax.set_axis_off()
        # Tight: a title may be wider than a single picture.
        figure.savefig(buffer, format="png", dpi=160, bbox_inches="tight")
    return buffer.getvalue()
