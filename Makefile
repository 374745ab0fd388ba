# Needs make and Python 3.11 or newer, nothing else: each target makes the
# environment it needs in $(VENV). Variables: PYTHON=python3.12, VENV=.venv-3.12,
# ARGS="-k cookie" (for the tests), CHECK=1 and PORT=8001 (for the demo).

PYTHON ?= $(shell sh tools/find-python)
VENV ?= .venv

PY := $(VENV)/bin/python
SHELL := /bin/sh
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help
help: ## list the targets
	@echo "make TARGET, where TARGET is one of"
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  \1|\2/p' $(firstword $(MAKEFILE_LIST)) | awk -F'|' '{printf "%-18s %s\n", $$1, $$2}'

.PHONY: demo
demo: $(VENV)/.with-demo ## six apps on one session: a table, then a page (CHECK=1: the table only)
	@$(PY) -m examples.demo $(if $(filter-out 0 no false,$(CHECK)),--check) $(if $(PORT),--port $(PORT))

.PHONY: test
test: $(VENV)/.with-tests ## all tests (ARGS="..." goes to pytest)
	@sh tools/system-packages browser
	@sh tools/system-packages servers
	@$(PY) -m pytest $(ARGS)

.PHONY: test-starlette-0
test-starlette-0: ## the framework tests on Starlette's line before 1.0
	@$(MAKE) --no-print-directory VENV=$(VENV)-starlette-0 .test-starlette-0

.PHONY: .test-starlette-0
.test-starlette-0: $(VENV)/.with-tests+starlette-0
	@$(PY) -m pytest tests/frameworks $(ARGS)

.PHONY: check
check: lint types test ## lint, types and tests

.PHONY: lint
lint: $(VENV)/.with-lint ## ruff: rules and format
	@$(PY) -m ruff check --quiet .
	@$(PY) -m ruff format --quiet --diff .
	@echo "ruff: clean"

.PHONY: format
format: $(VENV)/.with-lint ## let ruff mend what it can
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

.PHONY: types
types: $(VENV)/.with-typing ## mypy and pyright
	@$(PY) -m mypy
	@$(PY) -m pyright --pythonpath $(PY)

.PHONY: coverage
coverage: $(VENV)/.with-tests ## all tests, and the lines they never ran
	@sh tools/system-packages browser
	@sh tools/system-packages servers
	@$(PY) -m pytest --cov $(ARGS)

.PHONY: bench
bench: $(VENV)/.with-bench ## every script in benchmarks/
	@set -e; for script in benchmarks/[!_]*.py; do echo "== $$script"; $(PY) "$$script"; done

.PHONY: fuzz
fuzz: $(VENV)/.with-tests+fuzz ## look for inputs that break a rule (TARGET=cookie, header or payload; SECONDS=60)
	@cd tests && $(abspath $(PY)) -m fuzz $(or $(TARGET),payload) --seconds $(or $(SECONDS),60)

.PHONY: mutants
mutants: $(VENV)/.with-tests+mutants ## change the code in small ways, and see that a test notices each (ARGS="FILE...")
	@$(PY) tools/mutants.py $(ARGS)

.PHONY: old-faults
old-faults: $(VENV)/.with-tests ## the tests of old advisories, on the releases that they were about
	@$(PY) tools/old_faults.py

.PHONY: matrix
matrix: $(VENV)/.with-tests ## which releases of five frameworks share a session (ARGS="--only quart")
	@$(PY) tools/matrix.py $(ARGS)

.PHONY: soak
soak: $(VENV)/.with-tests ## clients for ten minutes on a Redis that is restarted (ARGS="--lose": and loses its data)
	@sh tools/system-packages servers
	@$(PY) tools/soak.py --seconds 600 --clients 8 $(ARGS)

.PHONY: docs
docs: $(VENV)/.with-docs ## the documentation, in site/; every link is checked
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --quiet
	@echo "docs: site/index.html"

.PHONY: dist
dist: $(VENV)/.with-dist ## the wheel and the sdist, in dist/
	@rm -rf dist
	@$(PY) -m build >$(VENV)/build.log 2>&1 || { cat $(VENV)/build.log; exit 1; }
	@$(PY) -m twine --no-color check --strict dist/*

.PHONY: dev
dev: $(VENV)/.with-dev ## an environment with everything, for an editor

.PHONY: clean
clean: ## remove all that these targets made
	@rm -rf .venv .venv-* dist build site htmlcov .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment, and the groups of pyproject.toml that are in it: each is a
# stamp, so pip runs again only when pyproject.toml changed. Groups that must be
# resolved together are joined by a plus.

$(VENV)/.made:
	@python="$(PYTHON)"; \
	if [ -z "$$python" ]; then echo "Python 3.11 or newer is needed, and none was found" >&2; exit 1; fi; \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$$python: does not run, or is older than Python 3.11" >&2; exit 1; }; \
	sh tools/system-packages venv "$$python" && \
	echo "$(VENV): $$("$$python" -V)" && \
	"$$python" -m venv $(VENV)
	@$(PY) -m pip install -qq --upgrade "pip>=25.1" # the first that knows --group
	@touch $@

$(VENV)/.with-%: pyproject.toml $(VENV)/.made
	@echo "$(VENV): installing $(subst +, and ,$*)"
	@$(PY) -m pip install -qq $(addprefix --group ,$(subst +, ,$*)) --editable .
	@touch $@
