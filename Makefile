# tieline's few commands. `make` alone lists them. GNU make 3.81 (what macOS ships) is enough.
#
# Everything is installed into $(VENV), from the locks, hashes checked. A stamp in it says what is there already, so
# only a changed lock or pyproject.toml installs again.

PYTHON ?= python3
VENV ?= .venv
PYTEST_ARGS ?= -n auto --dist loadgroup

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --quiet --disable-pip-version-check --no-input
LOCK_VENV := .venv-lock
UV := uv==0.13.9

.DEFAULT_GOAL := help
.PHONY: help demo test simulate fuzz lint format types check coverage bench lock clean
.SUFFIXES:
.DELETE_ON_ERROR:

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.run ## Set up, then show tieline at work
	@$(BIN)/tieline demo

test: $(VENV)/.dev ## Run the tests; PYTEST_ARGS='tests/one.py -x' for some of them
	@PYTHONHASHSEED=0 $(BIN)/python -m pytest $(PYTEST_ARGS)

simulate: $(VENV)/.dev ## Live through more seeds, one way and both ways; SEEDS=5000, or SEEDS=17-17 to replay one
	@TIELINE_SEEDS=$(or $(SEEDS),2000) $(BIN)/python -m pytest -q $(PYTEST_ARGS) -k "test_everything_arrives_once or test_both_sides_agree" tests/engine

fuzz: $(VENV)/.dev ## Search the properties with chance: other examples each time; ROUNDS=50 for longer
	@for round in $$(seq $(or $(ROUNDS),10)); do echo "round $$round of $(or $(ROUNDS),10)"; \
		TIELINE_HYPOTHESIS=fuzz $(BIN)/python -m pytest -q -m hypothesis $(PYTEST_ARGS) || exit 1; done

lint: $(VENV)/.dev ## Look for mistakes and formatting that differs
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/lint-imports --no-logo

format: $(VENV)/.dev ## Correct what lint can correct
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

types: $(VENV)/.dev ## Check the types
	@$(BIN)/mypy

check: lint types test ## All three

coverage: $(VENV)/.dev ## Run the tests and say which lines they leave out
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

bench: $(VENV)/.run ## Compare with hand-written clients; JOB='batch one' RUNS=5 PEERS=all to choose; JOB=looking for a large store
	@if [ "$(JOB)" = looking ]; then $(BIN)/python bench/large_store.py bench .bench/large; else $(BIN)/python bench/run.py; fi

lock: $(LOCK_VENV)/.made ## Resolve the dependencies again; UPGRADE=1 takes newer ones
	@echo "locking"
	@$(call compile,dev.txt,--group build --group dev)
	@$(call compile,run.txt,--group build --constraint requirements/dev.txt)
	@if grep -nE '://|file:|^-' requirements/*.txt; then echo "error: a lock names a place; see above" >&2; exit 1; fi

clean: ## Remove what was made
	@rm -rf .venv .venv-* $(VENV) .bench build dist htmlcov .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find bench src tests -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# One lock for every Python and platform we support. It names no index: an installation asks the one it is set up with.
compile = $(LOCK_VENV)/bin/uv pip compile pyproject.toml --quiet --universal --generate-hashes --no-header \
	--annotation-style line --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade) \
	$(2) --output-file requirements/$(1) >/dev/null

$(VENV)/.run: $(VENV)/.made requirements/run.txt pyproject.toml
	@$(call step,installing what tieline needs into $(VENV),$(PIP) install --require-hashes -r requirements/run.txt)
	@$(call step,installing tieline itself,$(PIP) install --no-deps --no-build-isolation --editable . && $(BIN)/python -m compileall -q src/tieline)
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements/dev.txt
	@$(call step,installing the tools for tests$(comma) lint and types,$(PIP) install --no-compile --require-hashes -r requirements/dev.txt)
	@touch $@

$(VENV)/.made:
	@$(call step,making a virtual environment in $(VENV),( $(call make-venv,$(VENV)) ))
	@touch $@

# A step of the set-up: what it does, and once it is done, how long it took.
step = printf '%s … ' "$(1)"; began=$$(date +%s); if $(2); then echo "$$(($$(date +%s) - began)) s"; else echo "failed"; exit 1; fi
comma := ,

$(LOCK_VENV)/.made: Makefile
	@$(call make-venv,$(LOCK_VENV))
	@$(LOCK_VENV)/bin/python -m pip --quiet --quiet --disable-pip-version-check install "$(UV)"
	@touch $@

make-venv = \
	command -v "$(PYTHON)" >/dev/null || \
		{ echo "error: there is no $(PYTHON) here; tieline needs Python 3.11 or newer: make PYTHON=/path/to/python3.12" >&2; exit 1; }; \
	"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: $(PYTHON) is $$("$(PYTHON)" -V 2>&1), tieline needs 3.11 or newer: make PYTHON=python3.12" >&2; exit 1; }; \
	"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "error: $(PYTHON) cannot make a virtual environment; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }; \
	"$(PYTHON)" -m venv --clear "$(1)"
