# make up      start a local cluster of three hosts (playground) with an example service
# make test    run all tests that need no virtual machine
# make help    list all targets

SHELL := /bin/sh
PYTHON ?= /usr/bin/python3
VENV := .venv
BIN := $(VENV)/bin
HOSTS ?= 3
MANAGERS ?= 1
SECONDS ?= 3600
SEED ?=
MINUTES ?= 60
WORKERS ?= 0
DEPLOYED := deploy/examples/hello.yaml
SOURCES := shoal manager agent cli engine console tests deploy

# Programs start in half the time where Python may keep their bytecode.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: console check-console screenshots help up down test test-plain-runtime test-debian13 test-faults test-random test-vm chaos fuzz unit check bench fmt protos check-protos images install clean

help:
	@sed -n 's/^# make/make/p' Makefile
	@echo "make down    stop the playground and remove everything it created"
	@echo "make test-vm run the tests that need their own kernel in a virtual machine: cgroup v2, encryption, systemd"
	@echo "make test-plain-runtime  run the runtime's tests with --runtime-optimizations off"
	@echo "make test-debian13  run make check test in a Debian 13 environment"
	@echo "make test-faults  kill agents and managers at every fault point, and break hosts; twenty minutes"
	@echo "make test-random  run the property tests with other examples each time, for an hour"
	@echo "make chaos   inject faults into a cluster of three managers for an hour and check it (MINUTES=60, SEED=1)"
	@echo "make fuzz    fuzz all parsers of untrusted input for an hour (SECONDS=3600)"
	@echo "make check   check format, lint, types, layers, generated code and vocabulary"
	@echo "make bench   run the benchmarks (takes minutes; the machine should be idle)"
	@echo "make fmt     format the code and apply automatic fixes"
	@echo "make console  build the web console's pages (needs Node 20.19 or newer)"
	@echo "make screenshots  take pictures of the web console's pages"
	@echo "make protos  generate the typed stubs of proto/"

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml deploy/packages.txt deploy/packages.sh
	sh deploy/packages.sh deploy/packages.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . --group dev
	touch $@

images: build/images/hello-1.tar build/images/hello-2.tar

build/images/hello-%.tar: $(VENV)/.installed deploy/images/hello/* cli/images/*.py
	mkdir -p build/images
	$(BIN)/python -m cli.images.examples --output build/images

up: install images
	$(BIN)/shoal playground up --hosts $(HOSTS) --managers $(MANAGERS)
	$(BIN)/shoal image push --quiet build/images/hello-1.tar registry:5000/hello:1
	$(BIN)/shoal image push --quiet build/images/hello-2.tar registry:5000/hello:2
	$(BIN)/shoal network create front
	$(BIN)/shoal stack deploy -c $(DEPLOYED) hello
	@$(BIN)/shoal playground hints

down:
	@if test -x $(BIN)/shoal; then $(BIN)/shoal playground down; else echo "not installed; nothing to stop"; fi

# Unit tests share nothing with each other. All others make namespaces, cgroups and directories of their own; WORKERS=2 runs
# them on two workers by whole modules, those of the shared clusters together (tests/work_units.py): faster, but some of
# them wait for less than two workers on two processors take at times.
test: install images
	sh tests/upgrade/previous_release.sh
	sh tests/upgrade/etcd_releases.sh
	$(BIN)/python -m pytest tests/unit -n 2
	$(BIN)/python -m pytest tests/contract tests/integration tests/hostile -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# The switch that turns off what depends on the internals of crun and the kernel: everything works without it.
test-plain-runtime: install images
	SHOAL_AGENT_RUNTIME_OPTIMIZATIONS=off $(BIN)/python -m pytest tests/contract/runtime tests/integration/runtime \
	  tests/hostile/containers tests/hostile/syscalls tests/integration/cluster/services/test_service_lifecycle.py::test_create_scale_update_remove

# Every fault point of agents and managers; `make test` takes some of them.
test-faults: install images
	$(BIN)/python -m pytest tests/integration/faults tests/unit/fault_points --all-faults

# Property tests alone, without the bounds of time that a test has: the models of the planner take an hour.
test-random: install
	HYPOTHESIS_PROFILE=random $(BIN)/python -m pytest tests/unit tests/integration/images tests/hostile/layers -m hypothesis -n 2 \
	  -o timeout=0 -o faulthandler_timeout=0

test-vm: install images
	sh deploy/packages.sh tests/vm/packages.txt
	sh tests/vm/build.sh
	$(BIN)/python -m tests.vm.run

test-debian13:
	sh deploy/packages.sh tests/debian13/packages.txt
	sh tests/debian13/run.sh 'make check test'

chaos: install images
	sh deploy/packages.sh tests/chaos/packages.txt
	$(BIN)/python -m tests.chaos --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

fuzz: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group fuzz
	$(BIN)/python -m tests.fuzz.run --seconds $(SECONDS)

unit: install
	$(BIN)/python -m pytest tests/unit

check: install check-protos
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python deploy/check_words.py
	$(BIN)/python deploy/check_console.py

protos: install
	PYTHON=$(CURDIR)/$(BIN)/python sh deploy/protos.sh

check-protos: install
	@rm -rf build/protos && mkdir -p build/protos
	@PYTHON=$(CURDIR)/$(BIN)/python sh deploy/protos.sh build/protos 2>build/protos.log || { cat build/protos.log; exit 1; }
	@cd build/protos && for file in */*/v[0-9]/*; do \
	  cmp -s "$$file" "$(CURDIR)/$$file" || { echo "$$file is out of date: run make protos"; exit 1; }; done

# Its result is committed, so that users' machines need no Node.
console: install
	cd console/web && npm ci --no-audit --no-fund --silent && npm run --silent build
	$(BIN)/python deploy/check_console.py --record

# `make check` compares recorded digests, which needs no Node; this builds again and compares what is built.
check-console: console
	git diff --exit-code --stat -- console/built console/web/built.json

# Looked at before a release; needs Chromium.
screenshots: install
	$(BIN)/python -m tests.screenshots build/screenshots

fmt: install
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

bench: install images
	$(BIN)/python -m tests.bench

clean: down
	rm -rf build .mypy_cache .ruff_cache .pytest_cache .hypothesis
