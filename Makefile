# Every target starts from a bare clone: Python 3.11 or newer, pip and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: demo test test-all docs bench studies dist lint venv clean
.DELETE_ON_ERROR:

venv: $(VENV)/.installed

# The install links each file: a folder that has gained one is installed again.
ROOMS := keras_wconv keras_wconv/layers applications tuning $(addprefix experiments/,. tasks study report)

$(VENV)/.installed: pyproject.toml constraints.txt $(ROOMS)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt \
	    --config-settings editable_mode=strict \
	    --editable ".[all,tensorflow,jax,torch,dev]"
	touch $@

# What the package is for, on shipped photographs: 60 short runs, and a page to look at.
# It installs what it needs alone. JAX is a small backend that compiles these runs fast.
demo: $(VENV)/.demo
	KERAS_BACKEND=$${KERAS_BACKEND:-jax} $(BIN)/python -m studies.demo

$(VENV)/.demo: pyproject.toml constraints.txt
	test -e $(VENV)/.installed || { $(PYTHON) -m venv $(VENV) && \
	    $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt \
	    --config-settings editable_mode=strict --editable ".[cli,jax]"; }
	touch $@

# The suite under each backend, and ruff; one summary. CONTRIBUTING.md says what it leaves
# to `make test-all`.
test: venv
	$(BIN)/python tests/matrix.py

# Everything, under each backend; each night.
test-all: venv
	TEST_ALL=1 $(BIN)/python tests/matrix.py

# Every benchmark, interleaved; rewrites benchmarks/results and the README's table.
bench: venv
	$(BIN)/python -m benchmarks

# The reports, tables and figures of the studies, from their logs alone.
studies: venv
	$(BIN)/python -m studies

# The site, with every guide executed; the guides as notebooks to run elsewhere; and
# whether a link of all that leads nowhere. -E: the source pages of an earlier build would
# stay, with links to what is documented elsewhere now. Guides are not run again.
docs: venv
	KERAS_BACKEND=$${KERAS_BACKEND:-tensorflow} COLUMNS=80 PATH="$(CURDIR)/$(BIN):$$PATH" \
	    $(BIN)/python -m sphinx -E --fail-on-warning --keep-going -b html docs docs/_build/html
	$(BIN)/python docs/notebooks.py docs/_build/jupyter_execute/guides \
	    docs/_build/html/notebooks
	$(BIN)/python docs/check_site.py docs/_build/html

# The source archive, and the wheel that is built from it.
dist: venv
	rm -rf dist *.egg-info # an old list of files would go into the new archive
	$(BIN)/python -m build --no-isolation
	$(BIN)/twine check --strict dist/*
	$(BIN)/check-wheel-contents dist/*.whl

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean:
	rm -rf $(VENV) build dist *.egg-info runs docs/_build docs/guides
