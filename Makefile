# The two commands of the README are `make demo` and `make test`. Each sets up what it needs.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Without a cache: nothing is left outside the clone.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-cache-dir
# Some machines forbid it: then each process of the tests would compile all that it imports anew.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help demo test check types arrows units torture mutants docs golden format fuzz bench dist \
  packages bounds pythons record release clean

help: ## say what there is
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile

# pyproject.toml names what is needed; the environment is made again when it changes.
$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "torcd needs Python 3.11 or newer; try: make PYTHON=python3.11 …" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "Python's venv module is missing; install it with: sudo apt-get install python3-venv" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) --upgrade 'pip>=25.1'
	@$(PIP) --editable . --group dev
	@touch $(READY)

demo: $(READY) ## run a workflow whose jobs pass data, and clean up after it
	@BIN=$(CURDIR)/$(BIN) configs/examples/demo.sh

test: $(READY) ## all tests
	@$(BIN)/python -m pytest -n 2 --dist loadgroup

check: $(READY) ## what to run before a commit: under a minute
	@$(BIN)/ruff format --check --quiet . && $(BIN)/ruff check --quiet .
	@$(MAKE) --silent -j 3 types arrows units

types: $(READY)
	@$(BIN)/mypy

arrows: $(READY)
	@$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports

# Whole files go to a process: the tests of a group are all in one here, and to hand out three thousand
# tests one by one takes seconds. The simulation takes longest, and comes first.
units: $(READY)
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not large" \
	  --hypothesis-profile=brief tests/sim tests/unit

torture: $(READY) ## campaigns of faults at full length: for the night
	@$(BIN)/python -m pytest -s --torture tests/crash

mutants: $(READY) ## plant bugs in the core, and see whether the tests see them
	@$(BIN)/python -m tests.mutants

docs: $(READY) ## renew what the pages take from the code
	@$(BIN)/python -m docs.generate

golden: $(READY) ## renew what is said of wrong specs, after a change that was meant
	@$(BIN)/python -m tests.unit.spec.messages

format: $(READY) ## lay the code out
	@$(BIN)/ruff check --quiet --fix . ; $(BIN)/ruff format --quiet .

# Guided where atheris has a wheel for this Python, at random elsewhere. A thousand examples may take
# longer than a test has otherwise.
FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?= splitter calls answers values reports orders journals outputs methods
fuzz: $(READY) ## look for bytes that hurt, for FUZZ_SECONDS on each of FUZZ_TARGETS
	@$(PIP) --group fuzz --only-binary=:all: || echo "atheris is not to be had: at random, then" >&2
	@$(BIN)/python -m pytest -n 2 --timeout 300 --hypothesis-profile=random -m hypothesis
	@for target in $(FUZZ_TARGETS); do \
	  $(BIN)/python -m tests.wire.fuzz $$target --seconds $(FUZZ_SECONDS) || exit 1; done

# BENCH="flat chain --rounds 3": only these; python -m bench --help says what else there is.
BENCH ?=
bench: $(READY) ## measure against the limit of the machine, peers and Redis: an hour or more
	@$(BIN)/python -m bench.peers.environment
	@$(BIN)/python -m bench $(BENCH)

# uv, pipx and what else it takes to make and try packages; apart from what torcd is tested with.
TOOLS := .tools/.ready
# uv trusts whom the machine trusts, as pip does.
export UV_SYSTEM_CERTS := 1
UV := .tools/bin/uv
# Compiled: a warning at the first import of a package would fail a test.
UV_INSTALL := $(UV) pip install --quiet --compile-bytecode
$(TOOLS): pyproject.toml
	@test -x .tools/bin/python || $(PYTHON) -m venv .tools
	@.tools/bin/python -m pip install --quiet --disable-pip-version-check --no-cache-dir --upgrade 'pip>=25.1'
	@.tools/bin/python -m pip install --quiet --disable-pip-version-check --no-cache-dir --group release
	@touch $(TOOLS)

dist: $(TOOLS) ## build the sdist, and the wheel from it
	@.tools/bin/python -m build --outdir dist

packages: $(READY) $(TOOLS) ## install the wheel with pip, pipx and uv, and upgrade it
	@PATH=$(CURDIR)/.tools/bin:$$PATH $(BIN)/python -m pytest --packages --timeout 300 tests/packaging

# The newest ones are those of `make test`.
BOUNDS_TESTS ?= tests/unit tests/integration
bounds: $(TOOLS) ## test with the oldest dependencies that are admitted
	@$(UV) pip compile --quiet --resolution lowest-direct --python-version 3.11 --no-header \
	  --no-annotate pyproject.toml --output-file .tools/lowest.txt
	@$(UV) venv --quiet --clear --python $(PYTHON) .tools/lowest
	@$(UV_INSTALL) --python .tools/lowest/bin/python --editable . --group dev \
	  --constraints .tools/lowest.txt
	@.tools/lowest/bin/python -m pytest -n 2 --dist loadgroup -p no:cacheprovider $(BOUNDS_TESTS)

PYTHONS ?= 3.11 3.12 3.13 3.14
PYTHONS_TESTS ?= tests/unit tests/wire
pythons: $(TOOLS) ## tests of parts and of the protocol with each of PYTHONS that there is
	@for version in $(PYTHONS); do \
	  python=$$($(UV) python find --no-python-downloads $$version 2>/dev/null || \
	    ls $${PYENV_ROOT:-$$HOME/.pyenv}/versions/$$version.*/bin/python 2>/dev/null | tail -n 1 | grep .) || \
	    { echo "there is no Python $$version here: skipped" >&2; continue; }; \
	  echo "Python $$version: $$python"; made=.tools/python-$$(basename $$version); \
	  $(UV) venv --quiet --clear --python $$python $$made && \
	  $(UV_INSTALL) --python $$made/bin/python --editable . --group dev && \
	  $$made/bin/python -m pytest -n 2 --dist loadgroup -p no:cacheprovider $(PYTHONS_TESTS) || exit 1; done

record: $(READY) ## keep a database and messages of this version, before its release
	@$(BIN)/python -m tests.releases.record

release: $(READY) $(TOOLS) ## put into dist/ what a release consists of
	@.ci/release

clean: ## remove what the other commands made
	@find torcd torcctl tests bench configs docs -name __pycache__ -prune -exec rm -rf {} +
	@rm -rf $(VENV) .tools .demo .fuzz bench/.build bench/.peers dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
