# The commands of the README. `make run` and `make test` do everything from a fresh clone; the others are their parts.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help env run start stop restart status psql databases docs test astro-ports test-containers test-adoption test-remote lint bench lock clean

VENV := .venv
PYTHON := $(VENV)/bin/python
WAREHOUSE := $(VENV)/bin/warehouse
ENVIRONMENT := sh include/stack/local/environment.sh $(VENV)
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' Makefile

env: ## build the environment in .venv; skips what is done
	@$(ENVIRONMENT) include/stack/local/requirements.txt

run: env ## start the stack without Docker, run every pipeline once, say what came of it
	@$(WAREHOUSE) stack run

start: env ## start the stack without Docker and run nothing
	@$(WAREHOUSE) stack start

stop: ## end the stack and leave nothing running
	@[ ! -d "$${LOCAL_ROOT:-.local}" ] && [ ! -x $(PYTHON) ] || { $(MAKE) --no-print-directory env && \
		$(WAREHOUSE) stack stop; }

restart: stop start ## stop, then start

status: env ## say what runs, what has landed, what was transferred and what the marts hold
	@$(WAREHOUSE) status

psql: env ## open psql on target_db; `make psql DB=source` or DB=airflow on another
	@$(WAREHOUSE) stack psql $(or $(DB),target)

databases: env ## start the embedded source and target Postgres alone
	@$(WAREHOUSE) stack databases

docs: env ## make the dbt docs, serve them and say where: on DBT_DOCS_PORT
	@$(WAREHOUSE) docs

test: ## linters and every test, the end-to-end one included
	@$(ENVIRONMENT) tests/requirements.txt
	@$(MAKE) --no-print-directory lint
	@$(PYTHON) -m pytest --numprocesses 2 --dist loadfile

astro-ports: ## give the Astro CLI the ports of .env that it reads from .astro/config.yaml alone
	@python3 -c 'from include import settings; print(settings.UI_PORT, settings.AIRFLOW_DB.port)' | { read ui database && \
		astro config set api-server.port "$$ui" && astro config set postgres.port "$$database"; }

test-containers: ## start, restart and kill the stack in Docker; needs the Astro CLI and a Docker engine
	@$(ENVIRONMENT) tests/requirements.txt
	@$(PYTHON) -m pytest -m containers tests/stack/docker

test-adoption: ## the project without the demo: empty, on a source that may only be read, with datasets of one's own
	@sh include/stack/local/environment.sh $(VENV) tests/requirements.txt
	@$(PYTHON) -m pytest -m adoption tests/e2e

test-remote: ## landing from folders elsewhere: SFTP and S3, with a server of each on this machine
	@$(ENVIRONMENT) tests/requirements.txt
	@sh include/stack/local/uv.sh $(PYTHON) uv pip install --quiet --python $(PYTHON) --requirement tests/remote/requirements.txt \
		--constraint include/stack/local/constraints.txt
	@$(PYTHON) -m pytest -m remote tests/remote

bench: ## landing and transfer beside COPY, psql and what else is installed (dlt, ingestr, Sling); many minutes
	@$(ENVIRONMENT) tests/requirements.txt
	@$(PYTHON) -m tests.bench.transfer
	@$(PYTHON) -m tests.bench.landing
	@$(PYTHON) -m tests.bench.formats

lint: ## ruff, mypy, sqlfluff, and that imports keep to the layers and are declared
	@$(ENVIRONMENT) tests/requirements.txt
	@ruff check . && ruff format --check . && mypy && sqlfluff lint -q dbt/models && lint-imports --no-logo
	@deptry --config deptry.toml . && deptry --config deptry.toml --exclude .venv --ignore DEP002,DEP004 tests

lock: ## pin what is declared and not pinned yet; `make lock UPGRADE=--upgrade` pins everything anew
	@$(ENVIRONMENT) tests/requirements.txt
	@sh include/stack/local/uv.sh $(PYTHON) uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --no-annotate --no-header $(UPGRADE) \
		tests/requirements.txt --output-file include/stack/local/constraints.txt

clean: ## remove what was made: environment, databases, demo files, logs
	@[ ! -d "$${LOCAL_ROOT:-.local}" ] && [ ! -x $(PYTHON) ] || { $(MAKE) --no-print-directory env && \
		$(WAREHOUSE) stack clean; }
	@rm -rf $(VENV) dbt/target dbt/logs dbt/.user.yml .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
