"""The site: every public name has a place, and guides become notebooks."""

import contextlib
import importlib
import importlib.util
import io
import pkgutil
import re
from pathlib import Path

import keras
import nbformat
import pytest

import keras_wconv

ROOT = Path(__file__).parents[1]
GUIDES = sorted((ROOT / "guides").glob("*.py"))

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="One site serves every backend."
)


def load(name):
    """Imports a module of docs/, which is no package."""
    path = ROOT / "docs" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"docs_{name}", path)
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
SCRIPT = GUIDE.replace("print(x)", "print(__file__)")


def test_a_guide_becomes_a_notebook():
    cells = load("notebooks").convert(GUIDE).cells
    assert [(cell.cell_type, cell.source) for cell in cells] == [
        ("markdown", "# A guide\n\nWhat it shows."),
        ("markdown", "## First\n\nText with `code`."),
        ("code", 'x = """not\nMarkdown"""'),
        ("markdown", "Last words."),
        ("code", "print(x)"),
    ]


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.stem)
def test_a_notebook_holds_the_code_of_its_guide(guide):
    notebook = load("notebooks").convert(guide.read_text(), install=True)
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    assert cells[0].startswith("%pip install")
    code = "\n".join(cells[1:])
    compile(code, guide.name, "exec")
    for line in code.splitlines():
        assert line in guide.read_text()


@pytest.mark.parametrize("guide", [GUIDE, SCRIPT])
def test_a_notebook_for_readers_has_the_outputs_of_the_site(guide, tmp_path):
    notebooks = load("notebooks")
    (tmp_path / "guides").mkdir()
    (tmp_path / "guides" / "first.py").write_text(guide)
    notebooks.write_all(tmp_path / "guides", tmp_path / "site")
    ran = nbformat.read(tmp_path / "site" / "first.ipynb", as_version=4)
    output = nbformat.v4.new_output("stream", text="not\nMarkdown")
    log = nbformat.v4.new_output("stream", name="stderr", text="I0000 oneDNN")
    ran.cells[-1].update(outputs=[log, output], execution_count=2)
    nbformat.write(ran, tmp_path / "site" / "first.ipynb")
    folders = (tmp_path / "guides", tmp_path / "site", tmp_path / "readers")
    notebooks.write_executed(*folders)
    written = nbformat.read(tmp_path / "readers" / "first.ipynb", as_version=4)
    nbformat.validate(written)
    assert written.cells[1].source.startswith("%pip install")
    assert written.cells[-1].outputs == [output]
    assert "href" not in written.cells[0].source
    is_script = guide == SCRIPT
    assert ("__file__ = 'first.py'" in written.cells[1].source) == is_script
    assert (tmp_path / "readers" / "first.py").exists() == is_script


PAGE = """<link rel="stylesheet" href="a.css"><h1 id="top-of-it">x</h1>
<a href="second.html#there">x</a> <a href="#top-of-it">x</a> <img src="a.png">
<a href="https://example.org/paper">x</a> <img src="data:image/png;base64,AA==">
{}"""


@pytest.mark.parametrize(
    ("addition", "found"),
    [
        ("", None),
        ('<a href="absent.html">x</a>', "absent.html is not there"),
        ('<a href="second.html#away">x</a>', "second.html#away names no place"),
        ('<img src="../outside.png">', "outside.png is not there"),
        ('<img src="a.png" srcset="a.png 1x, b.png 2x">', "b.png is not there"),
        ('<script src="//example.org/x.js"></script>', "loads //example.org/x.js"),
        ('<link rel="preload" href="https://example.org/f">', "loads https://example"),
        ("<style>p {background: url(https://example.org/p)}</style>", "loads https:"),
    ],
)
def test_links_of_the_site_are_checked(addition, found, tmp_path):
    (tmp_path / "index.html").write_text(PAGE.format(addition))
    (tmp_path / "second.html").write_text('<p id="there">x</p>')
    (tmp_path / "a.css").write_text("p {background: url('a.png')}")
    (tmp_path / "a.png").touch()
    lines = load("check_site").check(tmp_path)
    assert len(lines) == (found is not None)
    assert found is None or found in lines[0]


def test_the_example_of_readme_prints_what_it_says():
    text = (ROOT / "README.md").read_text()
    code, printed = re.search(
        r"```python\n(.*?)```\n\n```\n(.*?)```", text, re.S
    ).groups()
    keras.utils.clear_session()  # Layers are numbered from the first.
    with contextlib.redirect_stdout(io.StringIO()) as output:
        exec(code, {})
    assert output.getvalue() == printed


def test_links_of_readme_lead_to_files():
    text = (ROOT / "README.md").read_text()
    links = re.findall(r"\]\(([^)]+)\)", text)
    files = [link for link in links if not re.match(r"https:|\.\./\.\./actions", link)]
    assert len(files) > 10
    assert [link for link in files if not (ROOT / link.split("#")[0]).exists()] == []
