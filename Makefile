# Everything runs in .venv, which is made once and again when requirements.lock changes. Needs: Python >= 3.11.
.POSIX:
PYTHON = python3
BIN = .venv/bin
STAMP = .venv/.stamp

help:
	@sed -n 's/^## //p' Makefile

## make venv       the virtual environment (every other target makes it when it is missing)
venv: $(STAMP)

$(STAMP): requirements.lock pyproject.toml hatch_build.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; try: make venv PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || { echo "making .venv"; $(PYTHON) -m venv .venv; }
	@echo "installing the locked packages (a minute or two the first time)"
	@if uv --version >/dev/null 2>&1; then \
	  uv pip install -q --python $(BIN)/python --require-hashes -r requirements.lock && \
	  uv pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e . ; \
	else \
	  $(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock && \
	  $(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e . ; \
	fi
	@touch $(STAMP)

## make lock       resolve requirements.lock anew (needs uv)
lock:
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --upgrade \
	  --extra demo --extra dev pyproject.toml -o requirements.lock
