# make install | demo | test | test-slow | test-faults | test-core-alone | test-neo4j | lint | clean
# make neo4j | neo4j-stop | neo4j-import BUNDLE=folder    (NEO4J_DIR=.neo4j HEAP=1g)
VENV   := .venv
BIN    := $(VENV)/bin
# DGL's newest usable wheels end at Python 3.11.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

# A Neo4j server of one's own and its folder: docs/neo4j.md.
NEO4J_DIR ?= $(or $(NEO4J_HOME_DIR),.neo4j)
HEAP      ?= 1g
NEO4J     := $(PYTHON) deploy/neo4j/server.py

.PHONY: install demo test test-slow test-faults test-core-alone test-neo4j lint clean neo4j neo4j-stop neo4j-import
.DELETE_ON_ERROR:

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { \
	  echo "make: got $$($(PYTHON) --version 2>&1), expected Python 3.11; install it or set PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "installing into $(VENV) (about two minutes the first time)"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) -e '.[full]'
	@touch $@

$(VENV)/.test-installed: $(VENV)/.installed
	@$(PIP) -e '.[full,test]'
	@touch $@

demo: install
	@$(BIN)/csrms run examples/digits.yaml --out runs/digits
	@echo "(source $(VENV)/bin/activate puts csrms on the PATH)"

test: $(VENV)/.test-installed
	@$(BIN)/python -m pytest

test-slow: $(VENV)/.test-installed
	@$(BIN)/python -m pytest -m slow

# Stops every stage in every way, loaders of both graph stores and the Neo4j server: 140 kills, about an hour.
test-faults: $(VENV)/.test-installed
	@$(BIN)/python -m pytest -m slow tests/faults

# Builds an environment with Python 3.12 (PYTHON312=/path/to/python3.12 where it is not on the PATH).
test-core-alone: $(VENV)/.test-installed
	@$(BIN)/python -m pytest -m slow tests/core_alone

# Starts Neo4j servers in folders of their own: needs a JDK and Maven.
test-neo4j: $(VENV)/.test-installed
	@$(BIN)/python -m pytest -m 'neo4j and not slow'

neo4j:
	@$(NEO4J) start --home '$(NEO4J_DIR)' --heap $(HEAP)

neo4j-stop:
	@$(NEO4J) stop --home '$(NEO4J_DIR)'

neo4j-import:
	@$(if $(BUNDLE),,echo "make: got no BUNDLE, expected make neo4j-import BUNDLE=folder" >&2; exit 2)
	@$(NEO4J) import '$(BUNDLE)' --home '$(NEO4J_DIR)' --heap $(HEAP) $(if $(OVERWRITE),--overwrite)

lint: $(VENV)/.test-installed
	@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy && $(BIN)/lint-imports

clean:
	rm -rf $(VENV) runs build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
