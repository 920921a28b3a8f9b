# Everything works from a bare checkout on a machine that has Python 3.11 (or newer) and make.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
# Compiled programs are kept here between runs; JAX checks that they fit.
export JAX_COMPILATION_CACHE_DIR ?= $(CURDIR)/.cache/jax
export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS ?= 0

SENSITIVE = $$(grep -v '^\#' .ci/versions.txt)

.PHONY: help demo test test-all test-oldest test-newest lint format docs bench clean

help:            ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## */\t/'

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "gamejax needs Python 3.11 or newer; try: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(STAMP)-%: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@

demo: $(STAMP)-cli,plot  ## solve the built-in games and thousands of random ones; draw pictures
	$(BIN)/python -m examples.demo

test: $(STAMP)-test      ## run the tests
	$(BIN)/python -m pytest -n auto --dist worksteal -m 'not slow'

test-all: $(STAMP)-test  ## run the tests, the long ones too
	$(BIN)/python -m pytest -n auto --dist worksteal

# Environments of their own for the oldest Python and dependencies, and for the newest.
$(VENV)-%/.installed: pyproject.toml .ci/python .ci/oldest.txt
	python=$$(.ci/python $*) && "$$python" -m venv --clear $(VENV)-$*
	$(VENV)-$*/bin/python -m pip install --quiet --disable-pip-version-check --no-compile \
	  $(if $(filter oldest,$*),--constraint .ci/oldest.txt) --editable '.[test,checkpoint]'
	@touch $@

test-oldest: $(VENV)-oldest/.installed  ## what depends on versions, with the lowest versions allowed
	$(VENV)-oldest/bin/python -m pytest -n auto -m 'not slow' $(SENSITIVE)

test-newest: $(VENV)-newest/.installed  ## the same with the newest Python here and newest versions
	$(VENV)-newest/bin/python -m pytest -n auto -m 'not slow' $(SENSITIVE)

lint: $(STAMP)-lint      ## ruff (lint, format, docstrings) and basedpyright (types, and that every public name has one)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/basedpyright --verifytypes gamejax --ignoreexternal

format: $(STAMP)-lint    ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(STAMP)-docs      ## build the documentation site in .cache/site; warnings are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

bench: $(STAMP)-bench    ## time against the peers; report in benchmarks/results
	$(BIN)/python -m benchmarks --profile full

clean:                   ## remove what the other targets made
	rm -rf $(VENV) $(VENV)-oldest $(VENV)-newest .cache .pytest_cache .ruff_cache .hypothesis demo_output
