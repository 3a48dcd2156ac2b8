# The set-up is one virtual environment made from pyproject.toml with the versions of constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.complete
MEDIA ?=
export DO_NOT_TRACK := 1
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export MLFLOW_DISABLE_TELEMETRY := true

.PHONY: setup demo test test-slow lint format bench up down clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "IaMSB needs Python 3.11 or newer; name one with: make setup PYTHON=python3.12" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@# The published evaluator, for parity tests: its metadata asks for NumPy 1, its compiled part does not need it.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps 'avdeepfake1m==0.0.4' || \
		echo "no wheel of the published evaluator for this platform: its parity tests will skip"
	touch $(STAMP)

demo: setup
	$(BIN)/iamsb demo $(if $(MEDIA),--media $(MEDIA))

test: setup
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m 'not slow'

test-slow: setup
	$(BIN)/python -m pytest -m slow

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup
	@for script in tests/benchmarks/bench_*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

up: setup
	$(BIN)/iamsb up

down: setup
	$(BIN)/iamsb down

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
