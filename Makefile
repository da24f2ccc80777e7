# The only commands a newcomer needs; each sets itself up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test test-all check bench-frame bench-image bench-text bench-rl bench-rl-long bench-speech bench-faults bench-default bench-rare bench-generate bench-autogluon bench-deploy bench-serve clean

demo: $(STAMP)
	$(BIN)/pervade demo

# A process for each core; one that is done takes over what another has not begun.
# What is compiled is kept, wherever the variable forbids it: hundreds of processes would compile all of it anew.
PYTEST := env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest -n logical --maxprocesses 8 --dist worksteal

test: $(STAMP)
	$(PYTEST)

test-all: $(STAMP)
	$(PYTEST) -m "slow or not slow"

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench-frame bench-image bench-text bench-rl bench-rl-long bench-speech bench-faults bench-default bench-rare bench-generate bench-autogluon bench-deploy bench-serve: bench-%: $(STAMP)
	$(BIN)/python benchmarks/group.py $*

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Pervade needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.11")'
	@echo "installing into $(VENV), once; PyTorch is large, so this takes minutes"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) .bench .pytest_cache .mypy_cache .ruff_cache
