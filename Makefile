# Everything runs in .venv, which is made once, and again when requirements.lock changes. Needs: Python >= 3.11.
# Each target does its own set-up. `make` alone lists them.
.POSIX:
PYTHON ?= python3
VENV = .venv
BIN = $(VENV)/bin
PORT ?= 8080
ARGS ?=
SEED ?=
EXAMPLES ?= 1000
ACTIONS ?= 200000
REQUESTS ?= 20000
HEAVY = slow or browser or keycloak

help:
	@sed -n 's/^## //p' Makefile

## make demo       the gateway with its own identity provider, mailbox and apps, on http://localhost:8080 (PORT=… ARGS="…")
demo: $(VENV)/.stamp
	@exec env PORT="$(PORT)" $(BIN)/efcx-gateway demo $(ARGS)

## make check      style, types, imports, lock file
check: $(VENV)/.stamp
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python .ci/check_tree.py

## make test-fast  tests without browser, Keycloak and slow tests
test-fast: $(VENV)/.stamp
	$(BIN)/python -m pytest -n 2 -q -m "not ($(HEAVY))"

## make test-random  property tests and random logins with new examples (SEED=… EXAMPLES=… ACTIONS=… REQUESTS=… ARGS="…")
test-random: $(VENV)/.stamp
	@seed="$(SEED)"; seed=$${seed:-$$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}; \
	echo "seed $$seed; the same examples again: make test-random SEED=$$seed EXAMPLES=$(EXAMPLES)"; \
	HYPOTHESIS_PROFILE=random SEED=$$seed EXAMPLES=$(EXAMPLES) \
	  $(BIN)/python -m pytest -q -m property --hypothesis-seed=$$seed --timeout 600 $(ARGS) && \
	$(BIN)/python -m tests.login.random_machine $(ACTIONS) $$seed && \
	$(BIN)/python -m tests.login.random_logins $(REQUESTS) $$seed

## make test       all tests; missing real parts are named
test: $(VENV)/.stamp
	@$(BIN)/python -m tests.fixtures.keycloak_build
	$(BIN)/python -m pytest -n 2 --dist loadgroup $(ARGS)

## make rows       row of the feature list -> tests -> verdict of the last run
rows: $(VENV)/.stamp
	@$(BIN)/python -m tests.feature_coverage $(ARGS)

## make trace      calls, functions and files of single requests through the gateway (ARGS="--help")
trace: $(VENV)/.stamp
	@$(BIN)/python -m tools.trace_request $(ARGS)

## make keycloak   keeps a real Keycloak running, which test runs then use (Ctrl-C ends it)
keycloak: $(VENV)/.stamp
	@$(BIN)/python -m tests.fixtures.keycloak

## make venv       the virtual environment
venv: $(VENV)/.stamp

$(VENV)/.stamp: requirements.lock pyproject.toml hatch_build.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed; name one: make PYTHON=python3.12 …"; exit 1; }
	@test -x $(BIN)/python || { echo "making $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing the locked packages (a minute or two, once)"
	@if uv --version >/dev/null 2>&1; then \
	  uv pip install -q --python $(BIN)/python --require-hashes -r requirements.lock && \
	  uv pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e . ; \
	else \
	  $(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock && \
	  $(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e . ; \
	fi
	@touch $@

## make lock       resolves requirements.lock, and its parts for runtime and build, again (needs uv)
lock:
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --upgrade \
	  --extra demo --extra dev pyproject.toml -o requirements.lock
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --constraint requirements.lock pyproject.toml -o requirements.runtime.lock
	printf 'hatchling\nbabel\n' | uv pip compile -q --universal --python-version 3.11 --generate-hashes \
	  --no-annotate --no-emit-index-url --no-header --constraint requirements.lock - -o requirements.build.lock

.PHONY: help demo check test-fast test-random test rows trace keycloak venv lock
