# The commands of the project. Each creates or updates .venv first, if necessary.
# ARGS are the arguments of the command: make run ARGS="--listen 5001", make test ARGS=tests.game.test_session

ARGS =

# A broken link in a docstring is an error. Names of other packages have no link: write C{} for them.
PYDOCTOR = --quiet --warnings-as-errors --docformat=epytext --project-base-dir=. --html-output=build/apidocs echoserver

.PHONY: help run play test lint coverage bench chaos mutants sdks conformance-reactor docs-api axe

help:
	@echo "make run       start a game server with a local FleetIQ: twistd -n fleetiq-echo"
	@echo "make play      claim the game server and play: fleetiq play"
	@echo "make test      run the tests: trial tests"
	@echo "make lint      run ruff, mypy, import-linter and pydoctor"
	@echo "make coverage  run the tests, and report the branches that they miss"
	@echo "make bench     measure the performance, compared with other servers; ARGS=--full takes an hour"
	@echo "make chaos     run 10,000 sessions while calls fail and processes are killed, and check each byte"
	@echo "make mutants   check that a test fails for each small change of the central modules"
	@echo "make sdks      run AWS's SDKs against the local FleetIQ; installs them into .sdks"
	@echo "make axe       install axe-core into build/axe, for the tests of the page in Chromium"
	@echo "make docs-api  build the API documentation into build/apidocs: pydoctor"
	@echo "make conformance-reactor  run Twisted's tests of reactors on --reactor=uvloop"

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
	.venv/bin/pydoctor $(PYDOCTOR)

docs-api: .venv/made
	.venv/bin/pydoctor $(PYDOCTOR)

conformance-reactor: .venv/made
	.venv/bin/trial tests.twistedreactor

coverage: .venv/made
	.venv/bin/coverage erase
	.venv/bin/coverage run -m twisted.trial $(ARGS)
	.venv/bin/coverage combine --quiet
	.venv/bin/coverage report

sdks: .venv/made
	.venv/bin/python -m tests.sdks.run $(ARGS)

axe: build/axe/node_modules/axe-core/axe.min.js

build/axe/node_modules/axe-core/axe.min.js:
	npm install --silent --no-audit --no-fund --ignore-scripts --prefix build/axe axe-core@4.14.1

bench: .venv/made build/benchmarks/loadgenerator build/benchmarks/epollecho build/benchmarks/splice
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

# A .venv is kept if its Python works, its scripts have the path of this clone (a moved clone has other paths), and its
# installation was complete.
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
	        || fail "$$python could not make .venv, for the reason above: $(call install,$$python-venv)"; \
	fi; \
	echo "Installing into .venv the packages of setup.cfg, which takes about a minute ..."; \
	touch .venv/unfinished; \
	.venv/bin/python -m pip install --quiet --editable '.[dev]' >.venv/pip.log 2>&1 || { \
	    rm .venv/unfinished; \
	    fail "pip could not install into .venv (it needs a network); the reason is in .venv/pip.log."; \
	}; \
	mv .venv/unfinished .venv/made

install = type 'sudo apt install $(1)' (Debian 12, Ubuntu 24.04 or newer), \
'sudo dnf install python3.11' (Amazon Linux 2023) or 'brew install python@3.13' (macOS), then make again.
