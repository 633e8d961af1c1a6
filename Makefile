# Every target does its own set-up; all are idempotent. `make test` and `make quickstart` work on a bare machine.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN ?= runs/quickstart
BENCHMARKS := measures dedup tokens loader classifiers swarm build
export CORPUSMILL_DATA ?= $(if $(wildcard ../shared/data),$(abspath ../shared/data))
export OMP_NUM_THREADS ?= 1

.PHONY: install quickstart check test test-real bench scale

install: $(VENV)/.installed

# torch is asked for with its pinned version, so that a plain CPU build that lies at hand is taken
$(VENV)/.installed: pyproject.toml constraints.txt
	@echo "installing into $(VENV): some minutes the first time"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --constraint constraints.txt "torch==2.13.0"
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[proxy,dev]"
	$(BIN)/corpusmill warmup
	touch $@

quickstart: install
	$(BIN)/corpusmill quickstart --run $(RUN)

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test: install
	$(BIN)/pytest

test-real: install
	tests/real/environments.sh
	$(BIN)/pytest -m real

bench: install
	for name in $(BENCHMARKS); do $(BIN)/python benchmarks/$$name.py --quick --json || exit 1; done

scale: install
	$(BIN)/pytest -m scale -s
