# The commands people type. Each makes .venv first, when it is missing or stale.
# ARGS goes to the command: make run ARGS="--listen tcp:5001", make test ARGS=tests.game.test_session

ARGS =

.PHONY: help run play test lint coverage bench chaos mutants sdks conformance-reactor

help:
	@echo "make run       a game server, with a FleetIQ of its own: twistd -n fleetiq-echo"
	@echo "make play      claim it and play: fleetiq play"
	@echo "make test      the tests: trial tests"
	@echo "make lint      ruff, mypy, import-linter"
	@echo "make conformance-reactor  Twisted's own tests of reactors, on --reactor=uvloop"
	@echo "make coverage  the tests, and which branches they miss"
	@echo "make bench     how fast it is, beside its peers; ARGS=--full takes an hour"
	@echo "make chaos     10,000 sessions while calls fail and processes die: what was lost"
	@echo "make mutants   whether a test fails for each small change of the central modules"
	@echo "make sdks      whether AWS's SDKs drive the local FleetIQ; installs them into .sdks"

run: .venv/made
	@.venv/bin/twistd -n fleetiq-echo $(ARGS)

play: .venv/made
	@.venv/bin/fleetiq play $(ARGS)

test coverage: ARGS = tests

test: .venv/made
	.venv/bin/trial $(ARGS)

lint: .venv/made
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/lint-imports --no-logo

conformance-reactor: .venv/made
	.venv/bin/trial tests.twistedreactor

coverage: .venv/made
	.venv/bin/coverage erase
	.venv/bin/coverage run -m twisted.trial $(ARGS)
	.venv/bin/coverage combine --quiet
	.venv/bin/coverage report

sdks: .venv/made
	.venv/bin/python -m tests.sdks.run $(ARGS)

bench: .venv/made build/benchmarks/loadgenerator build/benchmarks/epollecho
	.venv/bin/python -m benchmarks $(ARGS)

chaos: .venv/made
	.venv/bin/python -m benchmarks.chaos $(ARGS)

mutants: .venv/made build/cosmic-ray/bin/cosmic-ray
	.venv/bin/python -m benchmarks.mutants $(ARGS)

build/cosmic-ray/bin/cosmic-ray:
	.venv/bin/python -m venv build/cosmic-ray
	build/cosmic-ray/bin/pip install --quiet cosmic-ray==8.7.0

build/benchmarks/%: benchmarks/%.c
	@mkdir -p $(@D)
	$(CC) -std=c11 -O2 -Wall -Wextra -o $@ $<

# A .venv is kept if its Python works, its scripts point here (they name their Python by its full path: a clone that
# was moved has none) and nobody was killed while making it.
kept := $(shell { .venv/bin/python -c 'import sys; assert sys.version_info >= (3, 11)' && \
    grep -qF "$$(pwd -P)/.venv/bin/" .venv/bin/pip && [ ! -e .venv/unfinished ] && echo yes; } 2>/dev/null)
ifndef kept
.PHONY: .venv/made
endif

.venv/made: setup.cfg pyproject.toml
	@bare=; fail() { echo "$$1" >&2; exit 1; }; \
	if [ -z "$(kept)" ]; then \
	    rm -rf .venv; \
	    for python in python3.14 python3.13 python3.12 python3.11; do \
	        $$python -c 'import venv, ensurepip' && break; \
	        $$python -c '' && bare=$${bare:-$$python}; \
	        python=; \
	    done 2>/dev/null; \
	    [ "$$python$$bare" ] || fail "No python3.11 to python3.14 on PATH works: $(call install,python3-venv)"; \
	    [ "$$python" ] || fail "$$bare has no venv: $(call install,$$bare-venv)"; \
	    echo "Making .venv with $$python ..."; \
	    mkdir .venv && touch .venv/unfinished && $$python -m venv .venv \
	        || fail "$$python could not make .venv, and says why above: $(call install,$$python-venv)"; \
	fi; \
	echo "Installing into .venv what setup.cfg asks for ..."; \
	touch .venv/unfinished; \
	.venv/bin/python -m pip install --quiet --editable '.[dev]' >.venv/pip.log 2>&1 || { \
	    rm .venv/unfinished; \
	    fail "pip could not install into .venv (it needs a network); .venv/pip.log says why."; \
	}; \
	mv .venv/unfinished .venv/made

install = type 'sudo apt install $(1)' (Debian 12, Ubuntu 24.04 or newer), \
'sudo dnf install python3.11' (Amazon Linux 2023) or 'brew install python@3.13' (macOS), then make again.
