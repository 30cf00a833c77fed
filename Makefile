# Everything a person or CI does with this checkout. Needs git, make and Python 3.11 or newer with venv; no root.
# Written for GNU make 3.81 and any POSIX shell, so that it runs on macOS as it is.

# The Python to build .venv with: `make up PYTHON=/path/to/python`; without it the first that fits.
PYTHON ?=
# Test files that run at once: `make test TOGETHER=0` runs one after the other. One more than there
# are cores, for most of them wait for servers.
TOGETHER ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
# More words for the command that a target runs: `make test ARGS="-k embedded"`.
ARGS ?=

CANDIDATES := $(or $(PYTHON),python3.14 python3.13 python3.12 python3.11 python3)
VENV := .venv
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check --no-input

.PHONY: help up test simulate chaos fuzz bench bench-lock lint types floors check lock clean FORCE
.DEFAULT_GOAL := help

help:
	@echo "make up      start everything on this machine: Redis, database, door, workers (and a pretended Amili)"
	@echo "make test    run the tests                          make test ARGS=\"-k door\""
	@echo "make simulate  play 5,000 seeds on a virtual clock    make simulate SEEDS=40:60 (or SEEDS=123)"
	@echo "make chaos   kill, freeze and cut off everything for long   make chaos ARGS=\"-k sqlite\""
	@echo "make fuzz    give 100,000 odd inputs to door and API    make fuzz ARGS=\"--only api --seed 7\""
	@echo "make bench   measure against others, for 35 minutes   make bench ARGS=\"--only door --seconds 3\""
	@echo "make lint    ruff: rules and format"
	@echo "make types   mypy --strict"
	@echo "make floors  import-linter: who may import whom"
	@echo "make check   all of these"
	@echo "make lock    write both lock files anew             make lock ARGS=--upgrade"
	@echo "make clean   remove what these made, but no data"

up: $(VENV)/runtime.stamp
	@exec $(VENV)/bin/amili-events up $(ARGS)

# In the order of their folders: those that start many processes come first, not last and alone.
test: $(VENV)/test.stamp
	@$(VENV)/bin/python -m pytest --numprocesses $(TOGETHER) --dist loadfile --no-loadscope-reorder $(ARGS)

# On every core. SEEDS=40:60 plays those, SEEDS=123 that one: the same seed gives the same course of events.
SEEDS ?= 0:5000
simulate: $(VENV)/test.stamp
	@AMILI_TEST_LONG=1 AMILI_TEST_SEEDS="$(SEEDS)" $(VENV)/bin/python -m pytest tests/simulation/test_simulation.py $(ARGS)

# One after the other: what is measured is how soon we recover, not how busy the machine is.
chaos: $(VENV)/test.stamp
	@AMILI_CHAOS_LONG=1 $(VENV)/bin/python -m pytest tests/chaos --capture no $(ARGS)

# atheris has wheels for Linux on x86-64 only: without it, that part says that it was left out.
fuzz: $(VENV)/test.stamp
	@$(VENV)/bin/python -c 'import atheris' 2>/dev/null || $(PIP) install --quiet 'atheris>=3.0' || \
		echo "make fuzz: atheris could not be installed here; the rest runs without it." >&2
	@$(VENV)/bin/python -m tests.fuzz $(ARGS)

# What it needs more than this it installs by itself, into .venv-bench: contestants never enter $(VENV).
bench: $(VENV)/test.stamp
	@exec $(VENV)/bin/python -m tests.bench $(ARGS)

lint: $(VENV)/test.stamp
	@$(VENV)/bin/python -m ruff check .
	@$(VENV)/bin/python -m ruff format --check .

types: $(VENV)/test.stamp
	@$(VENV)/bin/python -m mypy

floors: $(VENV)/test.stamp
	@$(VENV)/bin/lint-imports

check: lint types floors test

# uv writes lock files for every platform, which pip cannot; nothing else needs it.
UV_COMPILE := $(VENV)/bin/python -m uv pip compile --universal --python-version 3.11 \
	--generate-hashes --no-header --no-annotate --quiet pyproject.toml --group build

lock:
	@sh -c "$$ENSURE_VENV"
	@$(PIP) install --quiet uv
	@$(UV_COMPILE) $(ARGS) --output-file requirements.lock
	@$(UV_COMPILE) $(ARGS) --group test --constraints requirements.lock --output-file requirements-test.lock

# arq's redis-py is older than ours: no constraints there.
UV_BENCH := $(VENV)/bin/python -m uv pip compile --universal --python-version 3.11 \
	--generate-hashes --no-header --no-annotate --quiet

bench-lock:
	@sh -c "$$ENSURE_VENV"
	@$(PIP) install --quiet uv
	@cd tests/bench && ../../$(UV_BENCH) $(ARGS) requirements.in --constraints ../../requirements.lock --output-file requirements.lock
	@cd tests/bench && ../../$(UV_BENCH) $(ARGS) requirements-arq.in --output-file requirements-arq.lock

clean:
	rm -rf $(VENV) .venv-bench .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find service workers tests -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the virtual environment ------------------------------------------------

# Its scripts hold absolute paths and its Python may be gone after an upgrade:
# a checkout that was moved or copied, or a dead Python, builds it anew.
VENV_LIVES := $(shell [ "$$(cat $(VENV)/place 2>/dev/null)" = "$(CURDIR)" ] && $(VENV)/bin/python -c '' 2>/dev/null && echo yes)
ifneq ($(VENV_LIVES),yes)
$(VENV)/runtime.stamp $(VENV)/test.stamp: FORCE
endif

$(VENV)/runtime.stamp: requirements.lock pyproject.toml
	@sh -c "$$ENSURE_VENV"
	@LOCK=requirements.lock sh -c "$$INSTALL"
	@touch $@

# The test lock pins all that the runtime lock pins, and the same versions: one stamp serves both.
$(VENV)/test.stamp: requirements-test.lock pyproject.toml
	@sh -c "$$ENSURE_VENV"
	@LOCK=requirements-test.lock sh -c "$$INSTALL"
	@touch $(VENV)/runtime.stamp $@

define PROBE
import sys
if sys.version_info < (3, 11):
    print("old: Python %d.%d.%d" % tuple(sys.version_info[:3]))
    sys.exit()
try:
    import ensurepip, venv
    print("fits")
except ImportError:
    print("bare: Python %d.%d.%d" % tuple(sys.version_info[:3]))
endef
export PROBE

define ENSURE_VENV
if [ "$$(cat $(VENV)/place 2>/dev/null)" = "$(CURDIR)" ] && $(VENV)/bin/python -c 'import pip' 2>/dev/null; then
    exit 0
fi
seen=""
for python in $(CANDIDATES); do
    verdict=$$("$$python" -c "$$PROBE" 2>/dev/null) || continue
    if [ "$$verdict" = fits ]; then
        echo "Building $(VENV) with $$python; this happens once."
        "$$python" -m venv --clear $(VENV) || exit 1
        echo "$(CURDIR)" > $(VENV)/place
        exit 0
    fi
    case "$$seen" in bare*) ;; *) seen=$$verdict ;; esac
done
case "$$seen" in
    bare*) echo "amili-events: $${seen#bare: } is here but without venv; install it (Debian: apt install python3-venv) and run make again." ;;
    old*) echo "amili-events: needs Python 3.11 or newer with venv, and found only $${seen#old: }; install one (Debian: apt install python3-venv, macOS: brew install python) and run make again, with PYTHON=/path/to/python if it is not on PATH." ;;
    *) echo "amili-events: needs Python 3.11 or newer with venv, and found none; install it (Debian: apt install python3-venv, macOS: brew install python) and run make again." ;;
esac >&2
exit 1
endef
export ENSURE_VENV

define INSTALL
echo "Installing what $$LOCK names into $(VENV)."
if ! $(PIP) install --require-hashes -r "$$LOCK"; then
    echo "amili-events: the packages could not be installed; without network or behind a proxy, give pip a way to a package index (pip config) and run make again." >&2
    exit 1
fi
$(PIP) install --quiet --no-deps --no-build-isolation -e .
endef
export INSTALL
