# Two commands are enough: `make up` (everything, to the dashboard) and `make test` (everything, tested).
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TORCH := torch==2.13.0
# pip's own chatter is noise in a first run; its errors are not.
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: help up down setup test check bench benchmark-models lock browser clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

up: setup  ## environment, services, starter data, screen; then the dashboard on 127.0.0.1:8050
	@$(BIN)/stackscreen up

down:  ## stop the dashboard's services (the data stay)
	@$(BIN)/stackscreen services stop

setup: $(VENV)/.runtime  ## the environment alone (.venv, with .venv/bin/stackscreen)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 13) else "Stackscreen needs Python 3.11 or 3.12, and $(PYTHON) is %d.%d: try `make PYTHON=python3.11 ...`." % v)'
	@echo "creating $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)

# torch comes first and by exact version: whether it is the CPU or the CUDA build is the machine's choice,
# so its hash cannot be in the lock. Everything else is locked with hashes.
$(VENV)/.runtime: requirements.lock pyproject.toml | $(BIN)/python
	@echo "installing $(TORCH) ..."
	@$(PIP) install $(TORCH)
	@echo "installing the locked dependencies (about two minutes the first time) ..."
	@$(PIP) install --require-hashes --no-deps -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements-dev.lock | $(VENV)/.runtime
	@echo "installing the locked test dependencies ..."
	@$(PIP) install --require-hashes --no-deps -r requirements-dev.lock
	@touch $@

browser:  ## a headless Chromium for the dashboard's test, if the machine has none
	@command -v chromium >/dev/null 2>&1 && command -v chromedriver >/dev/null 2>&1 || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "installing chromium and chromium-driver ..."; \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium chromium-driver >/dev/null; \
	  else echo "The browser test needs chromium and chromedriver on the PATH: sudo apt-get install chromium chromium-driver"; exit 1; fi; }

test: $(VENV)/.dev browser  ## everything the tests need, and the tests
	@$(MAKE) --no-print-directory check
	@$(BIN)/python -m pytest

check: $(VENV)/.dev  ## format, lint, types, import arrows: seconds
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(VENV)/.dev  ## what we claim, measured (see benchmarks/README.md)
	@$(BIN)/python -m benchmarks

benchmark-models: $(VENV)/.dev  ## the models' figures from the published files: make benchmark-models DATA=folder
	@$(BIN)/python -m benchmarks models --data "$(DATA)"

lock:  ## resolve the dependencies again (needs uv)
	uv pip compile pyproject.toml --generate-hashes --no-emit-package torch --python-version 3.11 -q -o requirements.lock
	uv pip compile pyproject.toml --extra dev --generate-hashes --no-emit-package torch --python-version 3.11 -q -o requirements-dev.lock

clean:  ## remove the environment and caches (not your data: see `stackscreen services destroy`)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
