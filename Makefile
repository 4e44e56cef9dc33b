# make run and make test do everything from a fresh clone with nothing but Python and make; either may be run twice.
# make test takes some five minutes on two cores; make test-all runs the tests marked slow as well.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
SOURCES := pyproject.toml constraints.txt

.PHONY: run test test-slow test-all lint bench clean

run: $(VENV)/.core
	$(BIN)/splitee run

test: $(VENV)/.dev lint
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-slow: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 --dist worksteal -m slow

test-all: test test-slow

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.bench
	$(BIN)/python benchmarks/engine.py
	$(BIN)/python benchmarks/two_cores.py
	$(BIN)/python benchmarks/start.py
	$(BIN)/python benchmarks/paper_grid.py
	$(BIN)/python benchmarks/precompute.py
	$(BIN)/python benchmarks/early_exit.py

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.core: $(SOURCES) | $(BIN)/python
	$(PIP) --editable .
	touch $@

$(VENV)/.bench: $(VENV)/.dev
	$(PIP) --editable '.[models,dev,bench]'
	touch $@

$(VENV)/.dev: $(SOURCES) | $(BIN)/python
	$(PIP) --editable '.[models,dev]'
	touch $@ $(VENV)/.core
