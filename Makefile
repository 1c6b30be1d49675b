# Every target does its own complete set-up: a fresh machine needs python3 (3.11 or newer, with venv) and make.
PYTHON ?= python3
VENV ?= .venv
PEERS ?= .venv-peers
ARGS ?=
# Test processes. A choice of tests runs in one: then collecting takes longer than the tests.
WORKERS ?= $(if $(strip $(ARGS)),0,logical)
SUITE ?= quick
MINUTES ?= 10
LOGS ?= logs

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt
STAMP := $(VENV)/.prudent

.DEFAULT_GOAL := help
.PHONY: help demo test lint format bench returns faults suite logs trust practice fuzz docs site dist clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## */make \1\t/' | expand -t 14

demo: $(STAMP)-demo  ## train CQL and BC on a small built-in dataset (minutes); writes demo/cql/report.html
	@rm -rf demo
	$(BIN)/prudent demo --out demo $(ARGS)

test: $(STAMP)-dev  ## run the tests on all cores (4 at most); ARGS="-k cql" picks some, in one process; WORKERS=2
	$(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 4 --dist worksteal $(ARGS)

lint: $(STAMP)-dev  ## ruff (rules and format), pyright, import-linter; shows the findings of all of them
	@status=0; found=$$(mktemp); \
	$(BIN)/pyright >$$found 2>&1 & pyright=$$!; \
	for check in "ruff check ." "ruff format --check ." "lint-imports"; do \
	  echo "== $$check"; $(BIN)/$$check || status=1; \
	done; \
	echo "== pyright"; wait $$pyright || status=1; \
	cat $$found; rm $$found; exit $$status

format: $(STAMP)-dev  ## let ruff rewrite what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP)-dev $(PEERS)/.d3rlpy  ## time the library against others (minutes); ARGS=--check compares with stored ratios
	$(BIN)/python -m benchmarks --peers $(PEERS)/bin/python $(ARGS)

returns: $(STAMP)-dev $(PEERS)/.d3rlpy  ## return over minutes on the logs in LOGS=logs, as far as that is left to do (hours); ARGS="--minutes 5"
	$(BIN)/python -m benchmarks.returns $(LOGS) --peers $(PEERS)/bin/python $(ARGS)
	$(BIN)/python docs/tables.py

faults: $(STAMP)-dev  ## kill, break and damage tiny runs and see that nothing is lost; ARGS="--kills 20" for fewer
	PYTHONPATH=tests $(BIN)/python -m faults --out docs/bench/faults.json $(ARGS)
	$(BIN)/python docs/tables.py

suite: $(STAMP)-dev  ## train every algorithm of SUITE=quick, as far as that is left to do; renews its table in the docs
	$(BIN)/prudent bench $(SUITE) --out bench/$(SUITE) $(ARGS)
	@mkdir -p docs/bench
	cp bench/$(SUITE)/results.json docs/bench/$(SUITE).json
	cp bench/$(SUITE)/comparison.png docs/images/$(SUITE).png
	$(BIN)/python docs/tables.py

logs: $(STAMP)-dev  ## make nine MuJoCo logs with SAC, as far as that is left to do (hours), in LOGS=logs; ARGS="--jobs 1"
	$(BIN)/python -m benchmarks.logs --out $(LOGS) $(ARGS)
	$(BIN)/python docs/tables.py

trust: $(STAMP)-dev  ## hold the off-policy estimators against exact values, as far as that is left to do; ARGS="--minutes 5"
	$(BIN)/python benchmarks/ope_proof.py $(ARGS)
	$(BIN)/python docs/tables.py

practice: $(STAMP)-dev  ## tune on logs of problems with a known truth, as far as that is left to do; ARGS="--problem queue --jobs 2"
	$(BIN)/python -m benchmarks.practice $(ARGS)
	$(BIN)/python docs/tables.py

fuzz: $(STAMP)-dev  ## damaged files for every reader, MINUTES=10 in all; what they find lies in fuzz-findings/
	PYTHONPATH=tests/hostile OMP_NUM_THREADS=1 $(BIN)/python tests/hostile/fuzz.py --minutes $(MINUTES) $(ARGS)

docs: $(STAMP)-dev  ## renew the tables and excerpts in README.md and docs/ that come from the code
	$(BIN)/python docs/tables.py

site: $(STAMP)-docs  ## build the documentation site, running its tutorials (minutes); open build/site/index.html
	$(BIN)/python -m docs.website $(ARGS)

dist: $(STAMP)-dev  ## build wheel and sdist into dist/, try the wheel in an empty environment; ARGS="--python python3.12"
	$(BIN)/python -m release $(ARGS)

clean:  ## remove the virtual environment, the caches, what was built and the demo's folder
	rm -rf $(VENV) $(PEERS) demo build dist .pytest_cache .ruff_cache .import_linter_cache
	find src tests benchmarks docs release -name __pycache__ -type d -prune -exec rm -rf {} +

# --- set-up -----------------------------------------------------------------------------------------------------------
# A stamp says that an extra is installed; it is renewed when the dependencies or the pinned versions change.

$(STAMP)-venv:
	@$(PYTHON) -c 'import sys; sys.exit("prudent needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.11 ..." if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(STAMP)-demo: pyproject.toml constraints.txt | $(STAMP)-venv
	$(PIP) -e ".[demo]"
	@touch $@

$(STAMP)-docs: pyproject.toml constraints.txt | $(STAMP)-venv
	$(PIP) -e ".[docs]"
	@touch $@ $(STAMP)-demo

# The dev extra contains the demo and docs extras, so all three are then installed.
$(STAMP)-dev: pyproject.toml constraints.txt | $(STAMP)-venv
	$(PIP) -e ".[dev]"
	@touch $@ $(STAMP)-demo $(STAMP)-docs

# d3rlpy wants an older Gymnasium, so it has an environment of its own.
PEER_PIP := $(PEERS)/bin/python -m pip --disable-pip-version-check install --quiet -c benchmarks/peers/constraints.txt

$(PEERS)/.d3rlpy: benchmarks/peers/constraints.txt | $(STAMP)-venv
	$(PYTHON) -m venv $(PEERS)
	$(PEER_PIP) torch
	$(PEER_PIP) d3rlpy
	@touch $@
