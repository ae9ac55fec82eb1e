"""Imports point one way: cli, comparison and find, report, study, tasks."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# What may be imported lies to the left of what imports it, or beside it.
LAYERS = ("tasks", "study", "report", ("comparison", "find"), "__init__", "cli")
RANKS = {
    name: rank
    for rank, names in enumerate(LAYERS)
    for name in ([names] if isinstance(names, str) else names)
}


def imported(path):
    """Yields what a module imports, wherever in it: absolute names, as tuples.

    The packages install under keras_wconv, whichever folder they are developed in.
    """
    module = path.relative_to(ROOT).with_suffix("").parts
    module = module if module[0] == "keras_wconv" else ("keras_wconv", *module)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = module[: len(module) - node.level] if node.level else ()
            base += tuple((node.module or "").split(".")) if node.module else ()
            yield from ((*base, alias.name) for alias in node.names)


def own_imports(package):
    """Yields each module of a package with what it imports of keras_wconv."""
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    for path in files:
        for name in imported(path):
            if name[0] == "keras_wconv":
                yield path.relative_to(ROOT / package), name[1:]


def test_experiments_import_downwards_alone():
    seen = set()
    for path, name in own_imports("experiments"):
        if name[0] != "experiments" or len(name) == 1:
            continue
        above, below = path.with_suffix("").parts[0], name[1]
        below = below if below in RANKS else "__init__"  # A public name.
        assert RANKS[below] <= RANKS[above], f"{path} imports {'.'.join(name)}"
        seen.add((above, below))
    assert {("report", "study"), ("comparison", "report")} <= seen


@pytest.mark.parametrize(
    ("package", "others"),
    [
        ("tuning", {"applications", "experiments"}),
        ("applications", {"tuning", "experiments"}),
        ("keras_wconv", {"applications", "tuning", "experiments"}),
    ],
)
def test_no_package_imports_one_that_stands_on_it_or_beside_it(package, others):
    for path, name in own_imports(package):
        assert name[:1] and name[0] not in others, f"{path} imports {'.'.join(name)}"
