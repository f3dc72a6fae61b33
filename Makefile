# LinkScope's workbench. It needs Python 3.11 or later (with venv), make and a C compiler; everything else is
# fetched into .venv the first time.
#
#   make demo    set up, build the fixtures, and see what LinkScope says of files and processes
#   make test    set up, build the fixtures, and run the tests
#   make help    all the others

PYTHON ?= python3
VENV   ?= .venv
JOBS   ?= 2
# More for pytest: make test ARGS="tests/loader -k runpath"
ARGS   ?=

BIN       := $(VENV)/bin
READY     := $(VENV)/.ready
LINKSCOPE := $(BIN)/linkscope
# One large program of the machine, the first of these that there is.
LARGE     := $(firstword $(wildcard /usr/bin/gdb /usr/bin/git /usr/bin/python3 /usr/bin/bash /bin/bash /bin/sh))
# A sample that runs for the time of a command, whose last argument is its process number.
BESIDE    := $(PYTHON) fixtures/python/beside.py
HELLO     := $(addprefix fixtures/build/hello/,hello-static hello-dynamic-pie)

.PHONY: help setup fixtures demo compare-demo test lint format bench conformance docs pack clean
.DEFAULT_GOAL := help

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' $(firstword $(MAKEFILE_LIST)) | while IFS='|' read -r name what; do \
	    printf '  make %-13s %s\n' "$$name" "$$what"; done

# The environment is made once, and again when pyproject.toml changes. The project itself is installed in place.
$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "LinkScope needs Python 3.11 or later, and this is " + sys.version)'
	@test -x $(BIN)/python || $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	    { echo 'This Python cannot make a .venv; on Debian and Ubuntu: apt install python3-venv' >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

# An installed package has its byte code; one used in place gets it here, also where PYTHONDONTWRITEBYTECODE is set,
# so that every start is as fast as an installed one's.
setup: $(READY) ## make .venv and install into it
	@$(BIN)/python -m compileall -q linkscope

fixtures: ## build the sample programs that this machine's compilers can
	@$(MAKE) --no-print-directory -C fixtures -j$(JOBS)

demo: setup fixtures ## see what LinkScope says of real files and processes
	@echo; echo '$$ linkscope inspect $(HELLO)'
	@$(LINKSCOPE) inspect $(HELLO)
	@echo; echo '$$ linkscope inspect $(LARGE)'
	@$(LINKSCOPE) inspect $(LARGE)
	@echo; echo '$$ linkscope pid PID        # a process whose library was replaced under it'
	@$(BESIDE) stale $(LINKSCOPE) pid || test $$? -eq 1
	@echo; echo '$$ linkscope pid --tree PID # a server with two workers'
	@$(BESIDE) prefork $(LINKSCOPE) pid --tree

# The same source linked in five ways, of those that this machine could build: $(call linked,BEGIN OF THE NAMES,HOW)
linked     = $(wildcard $(foreach how,$(2),fixtures/build/$(1)-$(how)))
FIVE_WAYS := dynamic-pie dynamic-nonpie static static-pie musl-static
CLIENTS   := dynamic-pie dynamic-nonpie openssl-inside static static-pie

compare-demo: setup fixtures ## measure what static and dynamic linking cost: a small program, a server, a TLS client
	@echo; echo '$$ linkscope compare --run --runs 100 hello-*'
	@$(LINKSCOPE) compare --run --runs 100 $(call linked,hello/hello,$(FIVE_WAYS))
	@echo; echo '$$ linkscope compare --run --serve auto server-* -- -p {port} -t 60'
	@$(LINKSCOPE) compare --run --serve auto $(call linked,compare/server,$(FIVE_WAYS)) -- -p '{port}' -t 60
	@echo; echo '$$ linkscope compare --run --runs 40 client-*'
	@$(LINKSCOPE) compare --run --runs 40 $(call linked,compare/client,$(CLIENTS))

test: setup fixtures ## run the tests
	$(BIN)/python -m pytest -n $(JOBS) $(ARGS)

lint: setup ## ruff, mypy strict, and the order of the rooms
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup ## lay the Python code out as ruff does
	$(BIN)/ruff check --select I --fix
	$(BIN)/ruff format

bench: setup fixtures ## measure speed and memory beside other tools
	$(BIN)/python -m benchmarks.run $(ARGS)

conformance: setup fixtures ## the scoreboard against the real loader, ldd, libtree and lddtree
	$(BIN)/python -m tests.conformance

pack: setup ## make the shipped pack of signatures anew, from the packages of Debian
	$(BIN)/python -m packs.make $(ARGS)

docs: setup ## renew the page about the rules, which is made from them
	$(LINKSCOPE) explain --format markdown > docs/rules.md

clean: ## remove what was built (.venv stays)
	@$(MAKE) --no-print-directory -C fixtures clean
	rm -rf dist .cache .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find linkscope tests benchmarks packs -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
