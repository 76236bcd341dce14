# make install | demo | tables | test | test-slow | test-faults | test-core-alone | test-sampler-312 | test-loggers |
#      test-neo4j | test-deploy | lint | clean
# make neo4j | neo4j-stop | neo4j-import BUNDLE=folder    (NEO4J_DIR=.neo4j HEAP=1g)
VENV := .venv
BIN  := $(VENV)/bin
PIP   = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

# The first of these interpreters that runs, by its real path: a name on the PATH may be a shim of nothing.
runs  = $(shell for p in $(1); do "$$p" -c 'import os, sys; print(os.path.realpath(sys.executable))' 2>/dev/null && break; done)
# The interpreter that made $(VENV); it stays the default there.
MADE := $(shell sed -n 's/^executable = //p' '$(VENV)/pyvenv.cfg' 2>/dev/null)
ifeq ($(origin PYTHON),undefined)
PYTHON := $(or $(call runs,"$(MADE)" python3.11 python3.12),python3)
endif
# The other Python's, for test-sampler-312 and tests/core_alone.
PYTHON312 ?= $(or $(call runs,python3.12 "$(HOME)"/.pyenv/versions/3.12*/bin/python3.12),python3.12)
VENV312   := .venv-3.12

# A Neo4j server of one's own and its folder: docs/neo4j.md.
NEO4J_DIR ?= $(or $(NEO4J_HOME_DIR),.neo4j)
HEAP      ?= 1g
NEO4J     := $(PYTHON) deploy/neo4j/server.py

.PHONY: install demo tables test test-slow test-faults test-core-alone test-sampler test-sampler-312 test-loggers test-neo4j
.PHONY: test-deploy lint clean
.PHONY: neo4j neo4j-stop neo4j-import another-interpreter
.DELETE_ON_ERROR:

install: $(VENV)/.installed

# Made anew where it is another interpreter's: packages of one Python are of no use to another.
ifneq ($(MADE),$(call runs,"$(PYTHON)"))
$(VENV)/pyvenv.cfg: another-interpreter
endif
$(VENV)/pyvenv.cfg:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null || { \
	  echo "make: got $$("$(PYTHON)" --version 2>&1), expected Python 3.11 or 3.12; install one or set PYTHON=/path/to/python3.12" >&2; exit 1; }
	@"$(PYTHON)" -m venv $(if $(MADE),--clear) $(VENV)

$(VENV)/.installed: $(VENV)/pyvenv.cfg pyproject.toml constraints.txt
	@echo "installing into $(VENV) (about two minutes the first time)"
	@$(PIP) -e '.[full]'
	@touch $@

$(VENV)/.test-installed: $(VENV)/.installed
	@$(PIP) -e '.[full,test]'
	@touch $@

demo: install
	@$(BIN)/csrms run examples/digits.yaml --out runs/digits
	@echo "(source $(VENV)/bin/activate puts csrms on the PATH)"

# The rows of the paper's Tables 2 to 6 on the digits, into runs/: shows that every row runs, and nothing else.
tables: install
	@for n in 2 3 4 5 6; do $(BIN)/csrms experiment examples/experiments/table$$n.yaml || exit $$?; done

# In two processes: commands that need both cores one after the other in one, everything else in the other.
test: $(VENV)/.test-installed
	@$(BIN)/python -m pytest -n 2 --no-loadscope-reorder

test-slow: $(VENV)/.test-installed
	@PYTHON312='$(PYTHON312)' $(BIN)/python -m pytest -m slow

# Stops every stage in every way, loaders of both graph stores and the Neo4j server: 140 kills, about an hour.
test-faults: $(VENV)/.test-installed
	@$(BIN)/python -m pytest -m slow tests/faults

# Builds an environment with Python 3.12; PYTHON312=/path/to/python3.12 where it is not found.
test-core-alone: $(VENV)/.test-installed
	@PYTHON312='$(PYTHON312)' $(BIN)/python -m pytest -m slow tests/core_alone

# The sampler's contract, where DGL is another version than on Python 3.11; some of the packages will do.
# (neo4j: the conftest beside the test imports it.)
test-sampler-312:
	@$(MAKE) --no-print-directory test-sampler VENV=$(VENV312) PYTHON='$(PYTHON312)'

test-sampler: $(VENV)/.sampler-installed
	@$(BIN)/python -m pytest tests/contract/test_samplers.py tests/contract/test_class_aware.py

$(VENV)/.sampler-installed: $(VENV)/pyvenv.cfg pyproject.toml constraints.txt Makefile
	@$(PIP) torch pyarrow scipy numba dgl packaging pandas neo4j pytest pytest-timeout hypothesis
	@touch $@

# Every logger with its real package. They lie in an environment of their own, on top of the other: trackio wants an older
# Pillow than ours.
test-loggers: $(VENV)-loggers/.installed
	@$(VENV)-loggers/bin/python -m pytest -m loggers tests/loggers

$(VENV)-loggers/.installed: $(VENV)/.test-installed
	@$(BIN)/python -m venv --clear $(VENV)-loggers
	@$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
	  > "$$($(VENV)-loggers/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/beneath.pth"
	@$(VENV)-loggers/bin/python -m pip install --quiet --disable-pip-version-check -e '.[mlflow,wandb,trackio]'
	@touch $@

# Starts Neo4j servers in folders of their own: needs a JDK and Maven.
test-neo4j: $(VENV)/.test-installed
	@$(BIN)/python -m pytest -m 'neo4j and not slow'

# What deploy/ holds, judged by the code that will read it: KubeRay's CRDs, kustomize, compose, BuildKit.
test-deploy:
	@command -v go >/dev/null || { echo "test-deploy: SKIPPED, there is no go on the PATH (1.26 or later)"; exit 0; }; \
	  cd deploy/checks && go test -count=1 ./...

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
	rm -rf $(VENV) $(VENV)-loggers $(VENV312) runs build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
