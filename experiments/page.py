"""A report as Markdown, and as one HTML page that holds its figures."""

import base64
import html
import io
from pathlib import Path

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto;
       padding: 0 1rem; color: #222; background: #fff; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: 1rem 0; font-size: 0.9rem; }
th, td { border-bottom: 1px solid #8888; padding: 0.2rem 0.8rem; text-align: right; }
th:first-child, td:first-child { text-align: left; }
figure { margin: 1rem 0; }
img { max-width: 100%; background: #fff; }
pre { overflow-x: auto; }
code { background: #8882; padding: 0.1rem 0.3rem; }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #181818; } }
"""


class Page:
    """A report of paragraphs, tables and figures, in the order in which they come.

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
    |---|---|
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
        self._html.append(f"<p>{html.escape(text)}</p>")

    def code(self, text):
        self._markdown.append(f"    {text}")
        self._html.append(f"<pre><code>{html.escape(text)}</code></pre>")

    def table(self, columns, rows):
        """Add a table; floats are shown with three decimals."""
        rows = [
            [f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row]
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
        self._html.append(
            f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'
        )

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
            '<meta name="viewport" content="width=device-width">'
            f"<title>{self._title}</title><style>{_STYLE}</style></head>\n"
            f"<body>\n{body}\n</body></html>\n"
        )
