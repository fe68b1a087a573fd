# Everything a person or a build runs here. Python >= 3.10 and make are all a machine needs.
PYTHON ?= python3
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

.PHONY: help install demo test test-slow check audit docs format lock clean

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

install: $(VENV)/installed  ## Make .venv from the lock file (does nothing when it is up to date)

$(VENV)/installed: requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	VIRTUAL_ENV=$(VENV) $(UV_INSTALL) -r requirements.lock
	VIRTUAL_ENV=$(VENV) $(UV) pip install --quiet --no-deps --editable .
	touch $@

demo: install  ## Simulate a small screen, materialize every asset, print the top metabolites
	$(BIN)/tcell demo

check: install  ## Format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# One thread a worker: two workers with a thread pool each would fight over two cores.
test: check  ## The tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" --numprocesses 2 --dist loadfile --durations 15

test-slow: install  ## The long suites: browser, kill storms, generated inputs
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow --numprocesses 2 --dist loadfile --durations 15

audit: install  ## Look every pinned dependency up in the OSV database of vulnerabilities (needs the internet)
	$(UV) tool run --quiet pip-audit==2.10.1 --requirement requirements.lock --no-deps --disable-pip --vulnerability-service osv

docs: install  ## Build the documentation site into site/, with the assets generated from the code
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

format: install  ## Format and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# CUDA libraries are left out of the lock: torch pins its own, and only a CUDA build asks for them.
lock:  ## Resolve pyproject.toml into requirements.lock for every supported Python
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	$(UV) pip compile --quiet --universal --python-version 3.10 --extra development --no-annotate --no-header \
		pyproject.toml | grep -vE '^(nvidia-|cuda-|triton)' > requirements.lock.new
	mv requirements.lock.new requirements.lock

clean:  ## Remove the virtual environment and caches (never data or storage)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info build
