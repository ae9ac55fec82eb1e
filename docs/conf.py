"""The site: `make docs`.

Sphinx, because it reads the docstrings, and needs neither a network nor Node.
"""

import argparse
import os
import re
import sys
from importlib import metadata
from pathlib import Path

import docutils.nodes
import latex2mathml.converter
from sphinx.domains.python import PyObject

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path.insert(0, str(HERE))

import notebooks  # noqa: E402

import keras_wconv_cli  # noqa: E402

project = "keras_wconv"
author = copyright = "The keras_wconv authors"
version = release = metadata.version("keras_wconv")

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "myst_nb",
]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
# MathML needs no script from another host, and every browser shows it.
html_math_renderer = "mathml"
# The guides write their results beside them.
exclude_patterns = ["_build", "_static", "guides/*/**"]

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_title = f"keras_wconv {version}"
pygments_dark_style = "github-dark"
html_show_sphinx = False
html_show_sourcelink = False

autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_inherit_docstrings = False
# As they are written: `optimizer=SGD`, not the `functools.partial` that it stands for.
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

# The guides are run by `make docs`, and read again while they have not changed.
os.environ["MATPLOTLIBRC"] = str(HERE / "matplotlibrc")
nb_execution_mode = "cache"
nb_execution_timeout = 1200
nb_execution_raise_on_error = True
nb_merge_streams = True
nb_output_stderr = "remove"  # TensorFlow logs there while it is imported.


def setup(app):
    notebooks.write_all(ROOT / "guides", HERE / "guides")
    (HERE / "command.txt").write_text(_help_of_the_command())
    for field in PyObject.doc_field_types:  # Keras's words for them.
        words = {"parameter": "Args", "variable": "Attributes"}
        field.label = words.get(field.name, field.label)
    # In the repository a link to a guide leads to its source, here to its page.
    app.connect("source-read", _link_pages_of_guides)
    app.add_html_math_renderer("mathml", (_inline_math, None), (_block_math, None))
    # Before napoleon, which reads the sections.
    app.connect("autodoc-process-docstring", _prepare, priority=400)


def _link_pages_of_guides(app, name, content):
    content[0] = re.sub(
        r"\]\(\.\./guides/(\w+)\.py\)", r"](guides/\1.ipynb)", content[0]
    )


def _inline_math(translator, node):
    translator.body.append(latex2mathml.converter.convert(node.astext()))
    raise docutils.nodes.SkipNode


def _block_math(translator, node):
    formula = latex2mathml.converter.convert(node.astext(), display="block")
    translator.body.append(f'<div class="math">{formula}</div>')
    raise docutils.nodes.SkipNode


def _help_of_the_command():
    parser = keras_wconv_cli._parser()
    [commands] = (
        a for a in parser._actions if isinstance(a, argparse._SubParsersAction)
    )
    texts = [
        parser.format_help(),
        *(c.format_help() for c in commands.choices.values()),
    ]
    return f"\n{'-' * 80}\n\n".join(texts)


def _prepare(app, what, name, obj, options, lines):
    """Makes reStructuredText of docstrings, whose code and links are Markdown's.

    Joins the names of arguments that stand on two lines; drops doctest's flags.
    """
    text = "\n".join(lines).replace("  # doctest: +SKIP", "")
    names = re.compile(r"^( +(?:\w+, )*\w+,)\n +(?=(?:\w+, )*\w+[,:])", re.MULTILINE)
    while names.search(text):
        text = names.sub(r"\1 ", text)
    text = re.sub(r"\[([^][]+)\]\(\s*(https?://[^()\s]+)\)", r"`\1 <\2>`__", text)
    done = r"``.+?``|:\w+:`[^`]+`|`[^`]+ <[^`]+>`__"
    code = re.compile(rf"({done})|(?<=(\w))?`([^`]+)`(?=([\w(]))?", re.DOTALL)

    def literal(found):
        if found[1]:
            return found[1]
        # A literal must not touch a word.
        before, after = ("\\ " if neighbor else "" for neighbor in found.group(2, 4))
        return f"{before}``{found[3]}``{after}"

    text = code.sub(literal, text)
    lines[:] = text.split("\n")
