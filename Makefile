# Everything runs in .venv, which is made once, and again when requirements.lock changes. Needs: Python >= 3.11.
# Each target does its own set-up. `make` alone lists them.
.POSIX:
PYTHON ?= python3
VENV = .venv
BIN = $(VENV)/bin
PORT ?= 8080
ARGS ?=
WORKERS ?= auto
UPGRADE ?=
SEED ?=
MUTATIONS ?= 200
EXAMPLES ?= 1000
ACTIONS ?= 200000
REQUESTS ?= 20000
IN_MEMORY ?= 1000000
PYTHON2 ?= python2.7
CASES ?= *
HEAVY = slow or browser or keycloak

help:
	@sed -n 's/^## //p' Makefile

## make demo       the gateway with its own identity provider, mailbox and apps, on http://localhost:8080 (PORT=… ARGS="…")
demo: $(VENV)/.stamp
	@exec env PORT="$(PORT)" $(BIN)/efcx-gateway demo $(ARGS)

## make check      style, types, imports, dependencies, lock files
check: $(VENV)/.stamp
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/deptry --no-ansi gateway bench
	$(BIN)/python .ci/check_tree.py

## make test-fast  tests without browser, Keycloak and slow tests
test-fast: $(VENV)/.stamp
	$(BIN)/python -m pytest -n $(WORKERS) -q -m "not ($(HEAVY))" $(ARGS)

## make coverage   statements that the tests of test-fast run
coverage: $(VENV)/.stamp
	@rm -f build/coverage*
	$(BIN)/coverage run -m pytest -p tools.executed_lines -n $(WORKERS) -q -m "not ($(HEAVY))" $(ARGS)
	@$(BIN)/coverage combine -q
	$(BIN)/coverage report --skip-covered

## make mutations  random changes of the code that no test notices (SEED=… MUTATIONS=… ARGS="--help")
mutations: $(VENV)/.stamp
	@test -f build/coverage || $(MAKE) coverage
	@nice -n 10 $(BIN)/python -m tools.mutations --seed $${SEED:-1} --count $(MUTATIONS) $(ARGS)

## make test-random  property tests and random logins with new examples (SEED=… EXAMPLES=… ACTIONS=… REQUESTS=… ARGS="…")
test-random: $(VENV)/.stamp
	@seed="$(SEED)"; seed=$${seed:-$$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}; \
	echo "seed $$seed; the same examples again: make test-random SEED=$$seed EXAMPLES=$(EXAMPLES)"; \
	HYPOTHESIS_PROFILE=random SEED=$$seed EXAMPLES=$(EXAMPLES) \
	  $(BIN)/python -m pytest -q -m property --hypothesis-seed=$$seed --timeout 600 $(ARGS) && \
	$(BIN)/python -m tests.login.random_machine $(ACTIONS) $$seed && \
	$(BIN)/python -m tests.login.random_logins $(REQUESTS) $$seed

## make attacks    hostile tests, then REQUESTS=… changed requests to a process, IN_MEMORY=… in memory (SEED=…)
attacks: $(VENV)/.stamp
	$(BIN)/python -m pytest -n $(WORKERS) -q -m attacks
	@nice -n 10 $(BIN)/python -m tests.attacks.random_requests $(REQUESTS) $(SEED)
	@nice -n 10 $(BIN)/python -m tests.attacks.mutated_requests $(IN_MEMORY) $(SEED)

## make autobahn   the Autobahn|Testsuite with and without the gateway (PYTHON2=… with pip; CASES="1.*,5.*"; half an hour)
autobahn: $(VENV)/.stamp
	@$(BIN)/python -m tests.proxy.autobahn "$(PYTHON2)" "$(CASES)"

## make test       all tests; missing real parts are named
test: $(VENV)/.stamp
	@$(BIN)/python -m tests.fixtures.keycloak_build
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup $(ARGS)

## make rows       row of the feature list -> tests -> verdict of the last run
rows: $(VENV)/.stamp
	@$(BIN)/python -m tests.feature_coverage $(ARGS)

## make bench      CPU and memory beside nginx and peers, into docs/performance.md (25 minutes; ARGS="--help": single works)
bench: $(VENV)/.stamp
	@args="$(ARGS)"; exec $(BIN)/python -m bench.compare $${args:---write}

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

## make lock       adds what pyproject.toml names to the lock files, or takes new versions (UPGRADE=--upgrade; needs uv)
COMPILE = uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header
lock:
	$(COMPILE) $(UPGRADE) --extra demo --extra dev pyproject.toml -o requirements.lock
	$(COMPILE) --constraint requirements.lock pyproject.toml -o requirements.runtime.lock
	printf 'hatchling\nbabel\n' | $(COMPILE) --no-annotate --constraint requirements.lock - -o requirements.build.lock

.PHONY: help demo check test-fast coverage mutations attacks test-random autobahn test rows bench trace keycloak venv lock
