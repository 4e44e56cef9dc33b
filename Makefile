# make run and make test do everything from a fresh clone with nothing but Python and make; either may be run twice.
# make test takes some five minutes on two cores; make test-all runs the tests marked slow as well.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
SOURCES := pyproject.toml constraints.txt

.PHONY: run test test-slow test-all lint lowest package docs bench clean

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

# the core with the lowest dependencies that pyproject.toml admits
lowest: $(SOURCES) constraints-lowest.txt
	$(PYTHON) -m venv --clear $(VENV)-lowest
	$(VENV)-lowest/bin/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints-lowest.txt --editable . pytest pytest-xdist hypothesis
	$(VENV)-lowest/bin/python -m pytest tests/test_costs.py tests/trace tests/policies

# sdist and wheel in dist/; the wheel is installed into a fresh environment and used from an empty folder
package: | $(BIN)/python
	rm -rf dist build $(VENV)-package
	$(PIP) build
	$(BIN)/python -m build
	$(PYTHON) -m venv $(VENV)-package
	$(VENV)-package/bin/python -m pip install --quiet --disable-pip-version-check dist/*.whl
	mkdir $(VENV)-package/empty
	cd $(VENV)-package/empty && ../bin/splitee --help && \
		../bin/splitee run rte_validation --repeats 2 --out results && ../bin/splitee report results
	$(BIN)/python -m zipfile -l dist/*.whl | grep py.typed

# the documentation in site/; a broken link fails
docs: $(VENV)/.docs
	$(BIN)/mkdocs build --strict

bench: $(VENV)/.bench
	$(BIN)/python benchmarks/engine.py
	$(BIN)/python benchmarks/start.py
	$(BIN)/python benchmarks/paper_grid.py
	$(BIN)/python benchmarks/precompute.py
	$(BIN)/python benchmarks/early_exit.py
	$(BIN)/python benchmarks/system.py

clean:
	rm -rf $(VENV) $(VENV)-lowest $(VENV)-package build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.core: $(SOURCES) | $(BIN)/python
	$(PIP) --editable .
	touch $@

$(VENV)/.bench: $(VENV)/.dev
	$(PIP) --editable '.[models,serve,device,export,dev,bench]'
	touch $@

$(VENV)/.docs: $(SOURCES) | $(BIN)/python
	$(PIP) --editable '.[docs]'
	touch $@ $(VENV)/.core

$(VENV)/.dev: $(SOURCES) | $(BIN)/python
	$(PIP) --editable '.[models,serve,device,export,dev]'
	touch $@ $(VENV)/.core
