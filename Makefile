# One vocabulary for people, pre-commit and CI. `make` alone lists it.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Bytecode must be kept: without it every process pays some twenty seconds of imports.
export PYTHONDONTWRITEBYTECODE :=
.DEFAULT_GOAL := help

.PHONY: help setup run demo new-model test test-all test-long check size docs bench bench-serving bench-alarms bench-decisions matrix lock up down clean

help: ## List the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(STAMP) ## Make the virtual environment with the pinned packages

$(STAMP): requirements.txt pyproject.toml
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet uv==0.13.8
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -r requirements.txt
	$(BIN)/uv pip install --quiet --no-deps --python $(BIN)/python --editable .
	$(BIN)/uv pip check --python $(BIN)/python
	touch $@

run: setup ## Start Airflow and MLflow, and let them take the demo through the loop; ONCE=1 ends by itself
	$(BIN)/evergreen run $(if $(ONCE),--once)

demo: setup ## The same loop in one process, without Airflow; POLICY=never takes another policy
	$(BIN)/evergreen demo $(if $(POLICY),--policy $(POLICY))

new-model: setup ## Propose a model folder from data: NAME=sales FROM="sales.csv"; asks for what they do not say
	$(BIN)/evergreen new-model $(NAME) --from $(FROM)

# A file is one process's; tests/conftest.py says which begin.
PYTEST := $(BIN)/python -m pytest --dist loadfile --no-loadscope-reorder

test: setup ## Run the tests that want no service and no whole stream: six minutes, for each change
	$(PYTEST) --numprocesses 2 -m "not long" tests/unit tests/dags tests/integration

# Three on two cores: half of the time tests of services wait.
test-all: setup ## Run all tests but the long ones: Airflow's services, browser, PostgreSQL, Redis, S3, kills, real data
	$(PYTEST) --numprocesses 3 -m "not long"

test-long: setup ## Run the tests that take minutes each: outages, nights with a fault each, Celery, two years of bookings
	$(BIN)/python -m pytest -m long

check: setup ## Lint, types, architecture
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

size: setup ## Count lines, modules, long functions, broad excepts, type ignores
	$(BIN)/python -m tests.bench.size

docs: setup ## Write the fields of config.yaml into docs/configuration.md, as the contract declares them
	$(BIN)/python -m tests.configuration_page

bench: setup ## Measure a year of daily batches of 1,000 rows and where the time goes, scoring 5,000,000 rows at once, the pages of 100 models, what asking 1,000 models takes, the content hash, validating and checking 1,000,000 rows, and parsing 1,000 models
	$(BIN)/python -m tests.bench.year 365
	$(BIN)/python -m tests.bench.year 365 html
	$(BIN)/python -m tests.bench.streaming 5000000
	$(BIN)/python -m tests.bench.pages
	$(BIN)/python -m tests.bench.models
	$(BIN)/python -m tests.bench.hashing
	$(BIN)/python -m tests.bench.checking
	$(BIN)/python -m tests.bench.parsing

bench-serving: setup ## Measure one prediction over HTTP beside raw predict and MLflow's own server
	$(BIN)/python -m tests.bench.serving

bench-alarms: setup ## Measure input alarms: false ones, changes found, Evidently's defaults beside; QUICK=1 a part
	$(BIN)/python -m tests.bench.alarms

bench-decisions: setup ## Measure what asking, judging and learning cost, for docs/judgement.md; QUICK=1 takes one stream
	$(BIN)/python -m tests.bench.decisions

matrix: setup ## Resolve, install and import the pinned set on 3.11, 3.12 and 3.13
	for version in 3.11 3.12 3.13; do \
	  $(BIN)/uv venv --quiet --clear --no-python-downloads --python $$version $(VENV)/matrix-$$version && \
	  $(BIN)/uv pip install --quiet --python $(VENV)/matrix-$$version -r requirements.txt && \
	  $(BIN)/uv pip check --python $(VENV)/matrix-$$version && \
	  PYTHONPATH=include $(VENV)/matrix-$$version/bin/python -c "import evergreen.cli, evergreen.replay.runner" || exit 1; \
	done

lock: setup ## Pin the packages anew
	$(BIN)/uv pip compile --quiet --universal --upgrade --no-emit-index-url --no-annotate --no-header \
	  --extra dev pyproject.toml --output-file requirements.txt

up: ## Start the services of docker-compose.yaml; .env.example says what they need
	docker compose up --build --detach --wait

down: ## End them; their volumes stay
	docker compose down

clean: ## Start over: forget what the demo has done
	rm -rf .evergreen
