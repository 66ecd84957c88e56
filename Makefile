# One command each. CI calls what the README names: `make test` and `make check`.
PYTHON ?= python3.11
# Test files that run at once; each may hold a PyTorch of its own.
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
INSTALLED_DEV := $(VENV)/.installed-dev
GATES := .venv-gates
INSTALLED_GATES := $(GATES)/.installed

.PHONY: demo test check bench nightly clean help

help:            ## Say what there is.
	@grep -E '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed 's/:.*##/:/'

demo: $(INSTALLED)  ## Run the whole job on the embedded AWS, from a trained model to a report.
	$(BIN)/amazonei run --emulate examples/minilm.toml
	$(BIN)/amazonei audit --emulate --name minilm
	$(BIN)/amazonei emulator stop

test: $(INSTALLED_DEV)  ## Run the test suite.
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not nightly and not gates"

check: $(INSTALLED_DEV) $(INSTALLED_GATES)  ## Format, lint and types, code and tests; the rule packs over every template.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -m gates tests/gates

bench: $(INSTALLED_DEV)  ## Measure what we promise about speed, against the named peer in the same run.
	$(BIN)/python -m tests.bench.startup
	$(BIN)/python -m tests.bench.synth
	$(BIN)/python -m tests.bench.compile
	$(BIN)/python -m tests.bench.upload
	$(BIN)/python -m tests.bench.serving
	$(BIN)/python -m tests.bench.fleet

nightly: $(INSTALLED_DEV)  ## Run the long campaigns.
	$(BIN)/python -m pytest -m nightly

clean:           ## Remove everything that was made here.
	rm -rf $(VENV) $(GATES) build cdk.out *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(INSTALLED): $(VENV)/bin/python requirements.txt constraints.txt pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt -c constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

$(INSTALLED_DEV): $(INSTALLED) requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt -c constraints.txt
	touch $@

# The rule packs have an environment of their own: checkov pins an old boto3.
$(INSTALLED_GATES): requirements-gates.txt
	$(PYTHON) -m venv $(GATES)
	$(GATES)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-gates.txt
	touch $@
