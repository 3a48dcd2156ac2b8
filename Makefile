# The set-up is one virtual environment made from pyproject.toml with the versions of constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.complete
MEDIA ?=
COUNT ?= 2000
SEED ?= 0
export DO_NOT_TRACK := 1
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export MLFLOW_DISABLE_TELEMETRY := true

.PHONY: setup demo docs picture test test-slow test-postgres fuzz lint audit format bench up down clean

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

# HTML under build/docs; a broken link or an unknown page is an error.
docs: setup
	$(BIN)/python -m sphinx --builder html --fail-on-warning --keep-going --quiet docs build/docs

# The README's picture anew, from the report on the demo's first clip (after `make demo`); needs chromium.
picture: setup
	mkdir -p build
	chromium --headless --no-sandbox --hide-scrollbars --disable-gpu --virtual-time-budget=5000 \
		--window-size=1160,1345 --screenshot=build/report.png \
		file://$$(ls -d $(abspath .iamsb)/reports/demo/*/report.html | head -n 1)
	$(BIN)/python -c 'from PIL import Image; Image.open("build/report.png").convert("RGB").quantize(96, dither=0).save("docs/images/report.png", optimize=True)'

test: setup
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m 'not slow'

test-slow: setup
	$(BIN)/python -m pytest -m slow

# Mutants of clips through the decoder: make fuzz COUNT=2000 SEED=0 MEDIA=FOLDER; the report is build/fuzz/fuzz.json.
fuzz: setup
	$(BIN)/python tests/fuzz/fuzz.py --count $(COUNT) --seed $(SEED) $(if $(MEDIA),--media $(MEDIA))

# Prefect and MLflow on a real PostgreSQL; skips where Debian's package `postgresql` (or another's initdb) is not found.
test-postgres: setup
	$(BIN)/python -m pytest -m postgres

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(BIN)/python tests/architecture/dependency_audit.py

# Fails where a pinned version has a known hole; `make lint` only tells.
audit: setup
	$(BIN)/python tests/architecture/dependency_audit.py --strict

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
