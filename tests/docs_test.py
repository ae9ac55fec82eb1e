"""The site: every public name has a place, and guides become notebooks."""

import importlib
import importlib.util
import pkgutil
import re
from pathlib import Path

import keras
import pytest

import keras_wconv

ROOT = Path(__file__).parents[1]
GUIDES = sorted((ROOT / "guides").glob("*.py"))

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="One site serves every backend."
)


def load_converter():
    path = ROOT / "docs" / "notebooks.py"
    spec = importlib.util.spec_from_file_location("docs_notebooks", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", [keras_wconv, *["applications", "experiments"]])
def test_every_public_module_has_its_page(path):
    if isinstance(path, str):
        path = importlib.import_module(f"keras_wconv.{path}")
    pages = "".join(page.read_text() for page in (ROOT / "docs/api").glob("*.md"))
    documented = set(re.findall(r"automodule:: keras_wconv\.([\w.]+)", pages))
    if path is keras_wconv:
        public = {
            module.name
            for module in pkgutil.iter_modules(path.__path__)
            if not module.name.startswith("_")
        }
        # The first is documented as a command, the others where they are used.
        assert public - documented <= {"cli", "density_choice"}
    else:
        assert path.__name__.removeprefix("keras_wconv.") in documented


def test_every_layer_is_named_on_its_page():
    page = (ROOT / "docs/api/layers.md").read_text()
    for name in keras_wconv.layers.__all__:
        assert re.search(rf"\b{name}\b", page), name


def test_every_guide_is_in_the_table_of_contents():
    index = (ROOT / "docs" / "index.md").read_text()
    for guide in GUIDES:
        assert f"\nguides/{guide.stem}\n" in index


GUIDE = '''"""
Title: A guide
Description: What it shows.
"""

"""
## First

Text with `code`.
"""

x = """not
Markdown"""

"""
Last words.
"""
print(x)
'''


def test_a_guide_becomes_a_notebook():
    cells = load_converter().convert(GUIDE).cells
    assert [(cell.cell_type, cell.source) for cell in cells] == [
        ("markdown", "# A guide\n\nWhat it shows."),
        ("markdown", "## First\n\nText with `code`."),
        ("code", 'x = """not\nMarkdown"""'),
        ("markdown", "Last words."),
        ("code", "print(x)"),
    ]


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.stem)
def test_a_notebook_holds_the_code_of_its_guide(guide):
    notebook = load_converter().convert(guide.read_text(), install=True)
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    assert cells[0].startswith("%pip install")
    code = "\n".join(cells[1:])
    compile(code, guide.name, "exec")
    for line in code.splitlines():
        assert line in guide.read_text()
