# Each target creates what it needs: a virtual environment, the dependencies, the native kernel
# where a C compiler is found. Only Python 3.11 or newer and make must be there beforehand.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
SOURCES := pyproject.toml $(wildcard src/oneprice/kernel/*.pyx)

.PHONY: run test check bench clean

run: $(VENV)/.run  ## trade between twins on this machine: make run ARGS="--for 60s --json"
	@$(BIN)/oneprice run $(ARGS)

test: $(VENV)/.test  ## the whole suite, strangers included
	$(BIN)/python -m pytest -n auto --dist loadgroup $(ARGS)

check: $(VENV)/.test  ## formatting, lint, types, arrows
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.test  ## every number that the documents quote
	$(BIN)/python -m benchmarks $(ARGS)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("oneprice needs Python 3.11 or newer, found " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv $(VENV) >&2

$(VENV)/.run: $(SOURCES) | $(VENV)/bin/python
	@echo "setting up (once): dependencies and the native kernel ..." >&2
	@$(PIP) install --editable . >&2
	@touch $@

$(VENV)/.test: $(SOURCES) | $(VENV)/bin/python
	@echo "setting up (once): dependencies, tests' tools and the native kernel ..." >&2
	@$(PIP) install --editable '.[test,check,bench]' >&2
	@touch $@ $(VENV)/.run

clean:
	rm -rf $(VENV) build src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find src -name '*.so' -delete
