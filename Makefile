# Everything a person or a build runs here. Python 3.11 and make are all a machine needs.
PYTHON ?= $(shell python3.11 -c "print('python3.11')" 2>/dev/null || echo python3)
VENV := .venv
BIN := $(VENV)/bin

# uv does not read pip's own find-links. Where pip names such a folder, torch comes from there;
# elsewhere uv picks the CPU or CUDA build that fits the machine (override: make TORCH_BACKEND=cpu).
PIP_FIND_LINKS_FOLDER := $(or $(PIP_FIND_LINKS),$(shell $(PYTHON) -m pip config get global.find-links 2>/dev/null))
TORCH_BACKEND ?= auto
ifneq ($(strip $(PIP_FIND_LINKS_FOLDER)),)
UV := UV_FIND_LINKS="$(PIP_FIND_LINKS_FOLDER)" $(BIN)/uv
UV_INSTALL := $(UV) pip install --quiet
else
UV := $(BIN)/uv
UV_INSTALL := $(UV) pip install --quiet --torch-backend=$(TORCH_BACKEND)
endif

.PHONY: help install develop demo test test-slow check audit docs format lock clean

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

install: $(VENV)/installed .env  ## Make .venv as the lock file says (does nothing when it is up to date)

develop: install $(VENV)/installed-for-development  ## Add what checks, tests, documentation and `dg` need

$(BIN)/uv:
	$(PYTHON) -c "import sys; sys.exit(sys.version_info[:2] != (3, 11) and 'Python 3.11 is needed, $(PYTHON) is ' + sys.version.split()[0] + ': make PYTHON=/path/to/python3.11')"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.9

# The lock holds every package of every extra; each install takes of it what it needs.
$(VENV)/installed: requirements.lock pyproject.toml | $(BIN)/uv
	VIRTUAL_ENV=$(VENV) $(UV_INSTALL) --constraint requirements.lock --editable ".[all]"
	touch $@

$(VENV)/installed-for-development: $(VENV)/installed
	VIRTUAL_ENV=$(VENV) $(UV_INSTALL) --constraint requirements.lock --editable ".[development]"
	touch $@

# Dagster's own commands read .env in the folder they are started in; without it they would keep their history
# in a folder that they delete when they end. What the shell sets goes first.
.env:
	echo 'DAGSTER_HOME=$${DAGSTER_HOME:-$(CURDIR)/storage}' >> $@

demo: install  ## Simulate a small screen, materialize every asset, print the top metabolites
	$(BIN)/tcell demo

check: develop  ## Format, lint, import contracts and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy

# One thread a worker: two workers with a thread pool each would fight over two cores.
test: check  ## The tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" --numprocesses 2 --dist loadfile --durations 15

test-slow: develop  ## The long suites: browser, kill storms, generated inputs
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow --numprocesses 2 --dist loadfile --durations 15

audit: install  ## Look every pinned dependency up in the OSV database of vulnerabilities (needs the internet)
	$(UV) tool run --quiet pip-audit==2.10.1 --requirement requirements.lock --no-deps --disable-pip --vulnerability-service osv

docs: develop  ## Build the documentation site into site/, with the assets generated from the code
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

format: develop  ## Format and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# CUDA libraries are left out of the lock: torch pins its own, and only a CUDA build asks for them.
lock: $(BIN)/uv  ## Resolve pyproject.toml into requirements.lock; pins stay, `make lock UPGRADE=--upgrade` renews them
	cp requirements.lock requirements.lock.new
	$(UV) pip compile --quiet --universal --python-version 3.11 --extra development --no-annotate --no-header \
		$(UPGRADE) --output-file requirements.lock.new pyproject.toml > /dev/null
	grep -vE '^(nvidia-|cuda-|triton)' requirements.lock.new > requirements.lock
	rm requirements.lock.new

clean:  ## Remove the virtual environment and caches (never data or storage)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info build
