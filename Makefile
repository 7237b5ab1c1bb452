# The two commands: `make matrix` and `make test`. Pass options on with ARGS='…', another Python with PYTHON=….
.DEFAULT_GOAL := help
.PHONY: help matrix matrix-full plan doctor test lint bench clean clean-all

VENV := .venv
BIN := $(VENV)/bin
# two processes: tests that use the machine as a whole share one of them (tests/conftest.py)
WORKERS := 2
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
# 3.11 first: nearly every backend is locked for it, so `--isolation venv` can use the same interpreter
PYTHONS := $(PYTHON) python3.11 python3 python3.12 python3.13 python3.10 /usr/bin/python3

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/make \1|\2/p' Makefile | awk -F'|' '{printf "%-16s %s\n", $$1, $$2}'

matrix: $(VENV)/.installed ## measure the default matrix.yaml (ARGS='--only backend=onnxruntime')
	@$(BIN)/infermatrix run $(ARGS)

matrix-full: $(VENV)/.installed ## every backend on every model; the same command again goes on where it stopped
	@$(BIN)/infermatrix run -c matrices/full.yaml $(ARGS)

plan: $(VENV)/.installed ## what `make matrix` would do, and how long it would take
	@$(BIN)/infermatrix plan $(ARGS)

doctor: $(VENV)/.installed ## what this machine can and cannot measure
	@$(BIN)/infermatrix doctor $(ARGS)

test: $(VENV)/.dev ## all tests; those that need an engine or a browser are skipped, with the reason, where there is none
	@$(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

lint: $(VENV)/.dev ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/mypy

bench: $(VENV)/.installed ## one experiment on the tool itself (NAME=cost ARGS='…'; without NAME, the list)
	@if [ -n "$(NAME)" ]; then $(BIN)/python -m benchmarks.$(NAME) $(ARGS); else \
	  for file in benchmarks/*.py; do grep -l '^def main' $$file; done | sed 's|benchmarks/\(.*\).py|make bench NAME=\1|'; fi

clean: $(VENV)/.installed ## what earlier runs left on the engine (ARGS=--help says what else)
	@$(BIN)/infermatrix clean $(ARGS)

clean-all: ## the virtual environment and the tools' caches; results stay
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info

$(VENV)/.installed: pyproject.toml | $(VENV)/.made
	@echo "Installing Infermatrix into $(VENV) …"
	@$(PIP) install -e .
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/.made
	@echo "Installing Infermatrix and its tools into $(VENV) …"
	@$(PIP) install -e '.[dev]'
	@touch $@ $(VENV)/.installed

# A pyenv shim may be there and not start, and Debian's python3 may lack ensurepip: each candidate is tried.
# Without ensurepip, a pip that is installed for the interpreter, or virtualenv, can still fill the environment.
$(VENV)/.made:
	@suits() { "$$1" -c 'import sys, venv; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; }; \
	if suits $(BIN)/python && $(BIN)/python -m pip --version >/dev/null 2>&1; then touch $@; exit 0; fi; \
	bare=; \
	for python in $(PYTHONS); do \
	  suits $$python || continue; \
	  if $$python -c 'import ensurepip' 2>/dev/null; then \
	    $$python -m venv --clear $(VENV) && touch $@ && exit 0; \
	  fi; \
	  bare=$${bare:-$$python}; \
	done; \
	if [ -z "$$bare" ]; then \
	  echo "Infermatrix needs Python 3.10 or newer, and found none (Debian, Ubuntu: apt install python3 python3-venv);" >&2; \
	  echo "name another with: make PYTHON=/path/to/python3" >&2; exit 2; \
	fi; \
	if $$bare -m virtualenv --clear --quiet $(VENV) 2>/dev/null; then touch $@; exit 0; fi; \
	if $$bare -m pip --version >/dev/null 2>&1 && $$bare -m venv --clear --without-pip $(VENV) \
	   && $$bare -m pip --quiet --disable-pip-version-check --python $(BIN)/python install pip; then touch $@; exit 0; fi; \
	rm -rf $(VENV); \
	version=$$($$bare -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	echo "$$bare cannot make virtual environments: apt install python$$version-venv, then the same command again" >&2; exit 2
