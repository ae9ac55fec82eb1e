"""Guides, in the form of keras.io, as notebooks.

A guide is a Python file. Its module-level strings are Markdown, the first of them the
header; what lies between them is code.

python docs/notebooks.py EXECUTED FOLDER writes them for readers, with the outputs of
the notebooks in the folder EXECUTED, which are those that the site was made of.
"""

import ast
import os
import shutil
import sys
from pathlib import Path

import nbformat
from nbformat import v4

# The workflow of the docs pushes the notebooks to a branch that Colab can open.
COLAB = "https://colab.research.google.com/github/{}/blob/notebooks/{}.ipynb"

INSTALL = '%pip install -q "keras_wconv[all,tensorflow]"'

HIDDEN = "file"  # the cell that stands for the file that a guide is


def convert(source, install=False):
    """Returns a guide as a notebook.

    Args:
        source: str, the text of the guide.
        install: bool, whether the first cell installs the package, as Colab needs it.
    """
    tree = ast.parse(source)
    lines = source.splitlines()
    header = dict(
        line.split(": ", 1)
        for line in ast.literal_eval(tree.body[0].value).strip().splitlines()
    )
    cells = [v4.new_markdown_cell(f"# {header['Title']}\n\n{header['Description']}")]
    if install:
        cells.append(v4.new_code_cell(INSTALL))
    code = tree.body[0].end_lineno
    ends = [(node.lineno - 1, node) for node in tree.body[1:] if _is_text(node)]
    for line, node in [*ends, (len(lines), None)]:
        block = "\n".join(lines[code:line]).strip()
        if block:
            cells.append(v4.new_code_cell(block))
        if node is not None:
            cells.append(v4.new_markdown_cell(node.value.value.strip()))
            code = node.end_lineno
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"  # Not at random: the same guide, the same file.
    return v4.new_notebook(
        cells=cells,
        metadata={
            "kernelspec": {
                "name": "python3",
                "display_name": "Python 3",
                "language": "python",
            }
        },
    )


def _is_text(node):
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def write_all(guides, folder):
    """Writes every guide of a folder as a page of the site, if it has changed."""
    folder.mkdir(parents=True, exist_ok=True)
    for guide in sorted(guides.glob("*.py")):
        notebook = convert(guide.read_text())
        # In HTML, for the site's other files are not known to Sphinx.
        notebook.cells[0].source += (
            f'\n\n<a href="../notebooks/{guide.stem}.ipynb" download>'
            "Download as a notebook</a>"
        )
        repository = os.environ.get("GITHUB_REPOSITORY")
        if repository:
            link = COLAB.format(repository, guide.stem)
            notebook.cells[0].source += f' · <a href="{link}">Open in Colab</a>'
        if "__file__" in guide.read_text():  # It starts itself; a notebook has no file.
            name = os.path.relpath(guide, folder)
            cell = v4.new_code_cell(f"__file__ = {name!r}", id=HIDDEN)
            cell.metadata.tags = ["remove-cell"]
            notebook.cells.insert(1, cell)
        text = nbformat.writes(notebook) + "\n"
        path = folder / f"{guide.stem}.ipynb"
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def write_executed(guides, executed, folder):
    """Writes every guide of a folder as a notebook to run elsewhere, with outputs."""
    folder.mkdir(parents=True, exist_ok=True)
    for guide in sorted(guides.glob("*.py")):
        notebook = convert(guide.read_text(), install=True)
        ran = nbformat.read(executed / f"{guide.stem}.ipynb", as_version=4)
        cells, ran_cells = (
            [cell for cell in cells if cell.cell_type == "code" and cell.id != HIDDEN]
            for cells in (notebook.cells, ran.cells)
        )
        for cell, ran_cell in zip(cells[1:], ran_cells, strict=True):
            cell.execution_count = ran_cell.execution_count
            # Not what TensorFlow logs while it is imported.
            cell.outputs = [
                output for output in ran_cell.outputs if output.get("name") != "stderr"
            ]
        if "__file__" in guide.read_text():
            cells[0].source += f"\n__file__ = {guide.name!r}  # beside this notebook"
            shutil.copy(guide, folder)
        nbformat.write(notebook, folder / f"{guide.stem}.ipynb")


if __name__ == "__main__":
    write_executed(Path(__file__).parents[1] / "guides", *map(Path, sys.argv[1:]))
