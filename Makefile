# make demo    set up .venv, run the whole pipeline on videos that it makes itself, show the table
# make doctor  the same set-up, then check that a run has all it needs (PROFILE=slurm: on the cluster, CONFIG=FILE)
# make test    the same set-up, then the tests
# make test-slurm  the tests on a SLURM cluster, brought up for them on this machine (root, Debian or Ubuntu);
#                  SELECT=slurm with those that take long
# make lint    formatting and lint of the package, the tests and the workflow
# make clean   remove what the demo made (not .venv, and no data set but the demo's)

SHELL := /bin/bash
VENV := .venv
INSTALLED := $(VENV)/.installed
# The first interpreter that is recent enough; `make PYTHON=/path/to/python demo` chooses another.
# `true`, because make takes the exit status of a missing interpreter for a failure of its own.
PYTHON ?= $(firstword $(shell for python in python3 python3.12 python3.11 python3.13; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$python"; done; true))

# The rules' commands (`lvdm ...`) are found here too.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: demo doctor test test-slurm lint clean

demo: $(INSTALLED)
	$(VENV)/bin/snakemake --profile profiles/demo all
	@echo && cat results/tables/demo.md && echo && echo "The page: results/report/index.html"

doctor: $(INSTALLED)
	$(VENV)/bin/lvdm doctor $(if $(CONFIG),--config $(CONFIG)) $(if $(PROFILE),--profile $(PROFILE))

# Each process trains and runs workflows of its own; more than four want memory.
test: $(INSTALLED)
	$(VENV)/bin/python -m pytest -n auto --maxprocesses 4 --dist loadgroup

# After the demo, because one of the tests compares the cluster's tables with its. Exit code 77: no cluster here.
test-slurm: SELECT = slurm and not slow
test-slurm: demo
	folder=$$(mktemp -d /tmp/lvdm-slurm-XXXX) && \
	{ tests/slurm/cluster.sh $$folder/cluster $(VENV)/bin/python -m pytest -m "$(SELECT)" -n 4 --dist worksteal --durations 0 tests/slurm \
		|| [ $$? = 77 ]; } && rm -rf $$folder

lint: $(INSTALLED)
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/snakefmt --check workflow
	$(VENV)/bin/snakemake --lint

clean:
	rm -rf results/demo results/tables/demo.* results/report data/demo

$(INSTALLED): pyproject.toml requirements.lock
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: install it, or make PYTHON=/path/to/it" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --constraint requirements.lock --editable '.[dev]'
	touch $@
