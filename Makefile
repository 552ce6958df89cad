# evenkeel: one machine, Python >= 3.11 and make; nothing else needs to be installed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help install demo test check format bench clean

help: ## show what there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(VENV)/.demo ## make .venv with everything evenkeel needs, pinned

demo: $(VENV)/.demo ## simulated people, live: collector, store, jobs and dashboard; Ctrl-C stops it
	@$(BIN)/evenkeel demo

test: $(VENV)/.test ## install what tests need (as root with apt: Debian packages too) and run them all
	@tools/test

check: $(VENV)/.check ## format, lint, types and import contracts
	@tools/check

format: $(VENV)/.check ## let ruff format and fix
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

bench: $(VENV)/.test ## the benchmark tables
	@$(BIN)/python -m benchmarks spine

clean: ## remove .venv and caches
	rm -rf $(VENV) .pytest_cache .ruff_cache .import_linter_cache .hypothesis

$(VENV)/bin/python:
	@tools/make-venv "$(PYTHON)" "$(VENV)"

$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/bin/python
	@tools/pip-install "$(VENV)" virtual
	@$(BIN)/python tools/warm-kernels
	@touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(VENV)/bin/python
	@tools/pip-install "$(VENV)" virtual,test
	@$(BIN)/python tools/warm-kernels
	@touch $@ $(VENV)/.demo

$(VENV)/.check: pyproject.toml constraints.txt | $(VENV)/bin/python
	@tools/pip-install "$(VENV)" virtual,test,check
	@$(BIN)/python tools/warm-kernels
	@touch $@ $(VENV)/.demo $(VENV)/.test
