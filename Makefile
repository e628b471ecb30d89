# Each target creates what it needs: a virtual environment, the dependencies, the native kernel
# where a C compiler is found. Only Python 3.11 or newer and make must be there beforehand.
PYTHON ?= python3
VENV ?= .venv
JUDGE ?= .venv-judge
AUDIT ?= .venv-audit
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
SOURCES := pyproject.toml $(wildcard src/oneprice/kernel/*.pyx)

.PHONY: run test check judge bench saturate sim soak drills audit clean

run: $(VENV)/.run  ## trade between twins on this machine: make run ARGS="--for 60s --json"
	@$(BIN)/oneprice run $(ARGS)

test: $(VENV)/.test  ## the whole suite, strangers included
	$(BIN)/python -m pytest -n auto $(ARGS)

check: $(VENV)/.test  ## formatting, lint, types, arrows
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports

judge: $(JUDGE)/.ready  ## the strictest clients, 1 GB in an environment of their own
	$(JUDGE)/bin/python -m pytest tests/strangers/nautilus $(ARGS)

bench: $(VENV)/.test  ## every number that the documents quote
	$(BIN)/python -m benchmarks $(ARGS)

MINUTES ?= 10

saturate: $(VENV)/.test  ## ask every twin for all it allows: none may refuse, little may lie idle
	$(BIN)/python -m benchmarks.saturate --minutes $(MINUTES) $(ARGS)

SEEDS ?= 300

sim: $(VENV)/.test  ## the whole system in virtual time under seeded misfortune, judged by invariants
	$(BIN)/oneprice sim --seeds $(SEEDS) $(ARGS)

soak: $(VENV)/.test  ## the simulation for so many minutes, beside a trader on unreliable twins
	$(BIN)/oneprice sim --minutes $(MINUTES) --jobs 1 $(ARGS) & simulation=$$!; \
	$(BIN)/python -m benchmarks.soak --minutes $(MINUTES); traded=$$?; \
	wait $$simulation && exit $$traded

drills: $(VENV)/.run  ## every rehearsed misfortune, on real sockets
	$(BIN)/oneprice drill all $(ARGS)

audit: $(VENV)/.test $(AUDIT)/.ready  ## bill of materials, then every package against the advisories
	$(AUDIT)/bin/cyclonedx-py environment $(BIN)/python --pyproject pyproject.toml --of JSON -o sbom.json
	$(BIN)/python -m pip freeze --exclude-editable > $(AUDIT)/installed.txt
	$(AUDIT)/bin/pip-audit --strict --disable-pip --no-deps -r $(AUDIT)/installed.txt

$(AUDIT)/.ready: | $(VENV)/bin/python
	@$(PYTHON) -m venv $(AUDIT) >&2
	@$(AUDIT)/bin/python -m pip --quiet --disable-pip-version-check install pip-audit cyclonedx-bom >&2
	@touch $@

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

$(JUDGE)/.ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("the judge needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv $(JUDGE) >&2
	@echo "setting up (once): the judge and this package ..." >&2
	@$(JUDGE)/bin/python -m pip --quiet --disable-pip-version-check install \
		--editable . nautilus_trader==1.221.0 'pytest>=8.4' 'pytest-asyncio>=1.1' >&2
	@touch $@

clean:
	rm -rf $(VENV) $(JUDGE) $(AUDIT) sbom.json build src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find src -name '*.so' -delete
