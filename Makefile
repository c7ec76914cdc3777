# Every target works on a fresh clone: .venv is made when it is missing or older than pyproject.toml.

PYTHON ?= python3
BIN := .venv/bin
VENV := .venv/.installed

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help venv demo test check format kafka kafka-stop prove chaos bench bench-quick clean

help: ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/  \1|\2/p' $(MAKEFILE_LIST) | \
		while IFS='|' read -r target text; do printf '%-14s%s\n' "$$target" "$$text"; done

venv: $(VENV) ## make .venv with everything that development needs

$(VENV): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --editable '.[dev,testing]'
	@touch $@

demo: $(VENV) ## run the example: flights, no Kafka needed
	$(BIN)/python -m examples.flights

test: check ## check, then all tests; those on a real Kafka need Java 17 and Maven
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile # most of the time is waiting

check: $(VENV) ## style, types, import contracts, dependencies
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry src

format: $(VENV) ## format the code and mend what ruff can mend
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

kafka: ## start a real Kafka on 127.0.0.1:9092 in the background, data in .kafka/
	$(PYTHON) -m tests.support.kafka_server start --port 9092 --directory .kafka

kafka-stop: ## stop it; its data stays
	$(PYTHON) -m tests.support.kafka_server stop --directory .kafka

STREAMJOBS_SEEDS ?= 10000
prove: $(VENV) ## property tests, STREAMJOBS_SEEDS (10000) examples each
	STREAMJOBS_SEEDS=$(STREAMJOBS_SEEDS) $(BIN)/python -m pytest property_tests --timeout 0

chaos: $(VENV) ## processes and brokers that die, on a real Kafka
	$(BIN)/python -m tests.chaos

bench: $(VENV) ## compare with peers on a real Kafka, <= 90 minutes, goes on where it was; W=noop: one
	$(BIN)/python -m benchmarks compare $(if $(W),--only $(W))

bench-quick: $(VENV) ## the same with peers that need no installing, <= 5 minutes
	$(BIN)/python -m benchmarks compare --quick

clean: ## remove all that was built or cached, and the data of a stopped `make kafka`
	@! test -e .kafka/kafka.pid || { echo 'Kafka may be running: make kafka-stop first'; exit 1; }
	rm -rf .venv .kafka .bench .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache build dist
	find . -name __pycache__ -prune -exec rm -rf {} +
