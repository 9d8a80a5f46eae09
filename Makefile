# Every target does its own set-up: all it needs is make, Python 3.11 or 3.12 and a package index.
.DEFAULT_GOAL := help
.PHONY: help setup demo up test test-fast test-nightly services servers browser faults bench bench-scale lint lint-types lint-sql format docs pictures requirements env clean

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
# Hundreds of processes import the same libraries: each would compile them again where no bytecode is written.
unexport PYTHONDONTWRITEBYTECODE
UV := .tools/bin/uv
RUN := .venv/bin

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1|/' | column -t -s '|'

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' \
		|| { echo "make: needs Python 3.11 or 3.12; name one with make PYTHON=/path/to/python3.11" >&2; exit 2; }
	$(PYTHON) -m venv .tools
	.tools/bin/pip install --quiet --disable-pip-version-check 'uv>=0.9,<1'

.venv/.complete: $(UV) pyproject.toml uv.lock
	@echo "installing what uv.lock names into .venv: 2 GB, one to three minutes the first time"
	$(UV) sync --quiet --locked --all-extras --all-groups --python $(PYTHON)
	@touch $@

setup: .venv/.complete ## create .venv with every extra and group, from the lock

demo: setup ## the main job on simulated cells and embedded parts, about a minute
	$(RUN)/battery demo

up: setup ## broker, worker, watched inbox (data/inbox) and dashboard on this machine, until Ctrl-C
	$(RUN)/battery up

# Each process takes whole files, the longest first (tests/durations.json). There are more of them than cores, as most
# tests wait now and then; unit tests do not.
SHARED_OUT := --dist loadfile --no-loadscope-reorder
PYTEST := $(RUN)/pytest -n auto $(SHARED_OUT)

test: setup servers browser ## the whole test suite, on all cores, on real servers and a browser where they can be had
	$(PYTEST)

test-fast: setup ## the unit tests alone, few examples of each property: no process, no server, under a minute
	$(RUN)/pytest -n logical $(SHARED_OUT) tests/unit --hypothesis-profile fast

NIGHTLY := --nightly --hypothesis-profile nightly --kills 200 --mutated-messages 5000 --mutated-files 200
test-nightly: setup servers browser ## the whole suite in its long form: 500 examples, 200 kills, and the tests marked nightly (hours)
	$(PYTEST) $(NIGHTLY)

services: setup servers ## the tests on a real Kafka, MinIO, Prometheus, PostgreSQL and Airflow alone
	$(PYTEST) tests/services

servers: setup ## make those servers: Kafka by Maven, MinIO by Go (some minutes, once), Prometheus by apt, outside this folder
	$(RUN)/python tests/support/servers.py

browser: ## install Debian's Chromium where there is none and this user may: the dashboard is tested in it
	@command -v chromium >/dev/null || [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null || { apt-get update -qq \
		&& DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; }

KILLS ?= 200
faults: setup ## the fault suite in its nightly form: 200 random kills (KILLS=…) on top of all named faults
	$(RUN)/pytest tests/faults --kills $(KILLS)

bench: setup ## measure what is claimed of speed (half an hour, 7 GB of disk, 12 GB of memory)
	@$(RUN)/python -m benchmarks

bench-scale: setup ## measure sizes and simulate 100,000 channels, for the page on scale (an hour, 10 GB of disk)
	@$(RUN)/python -m benchmarks.fleet

lint: setup ## ruff, mypy --strict, the floors of the imports, sqlfluff, the schemas of YAML files
	@$(MAKE) --no-print-directory -j 2 lint-types lint-sql

lint-types:
	$(RUN)/ruff format --check .
	$(RUN)/ruff check .
	$(RUN)/lint-imports
	$(RUN)/mypy

lint-sql:
	$(RUN)/sqlfluff lint --processes 0 dbt_project
	$(RUN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
	$(RUN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(RUN)/check-jsonschema --builtin-schema vendor.github-issue-forms \
		$(filter-out %/config.yml,$(wildcard .github/ISSUE_TEMPLATE/*.yml))
	$(RUN)/check-jsonschema --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	$(RUN)/check-jsonschema --builtin-schema vendor.citation-file-format CITATION.cff

format: setup ## bring code and SQL into the project's format
	$(RUN)/ruff format .
	$(RUN)/ruff check --fix .
	$(RUN)/sqlfluff fix dbt_project

docs: setup ## write the pages that are made, and build the documentation in site/; warnings are errors
	$(RUN)/python docs/make_dictionary.py
	$(RUN)/python docs/make_performance.py
	$(RUN)/python docs/make_scale.py
	$(RUN)/sphinx-build --fail-on-warning --keep-going --quiet docs site

pictures: setup browser ## take the README's pictures again, on the cells of the demo
	$(RUN)/python docs/make_pictures.py

REQUIREMENTS ?= requirements.txt
# Airflow itself is left out, as Astro's image has its own. What it shares with the pipeline comes as locked for both.
requirements: $(UV) ## write requirements.txt, which Astro's image installs, from the lock
	@echo '# What Astro installs beside its Airflow. Made from uv.lock by `make requirements`.' > $(REQUIREMENTS)
	@$(UV) export --quiet --locked --no-default-groups --extra airflow --prune apache-airflow \
		--no-emit-project --no-hashes --no-header --no-annotate >> $(REQUIREMENTS)

env: ## write a .env with fresh secrets for docker compose
	@$(PYTHON) docker/make_env.py .env

clean: ## remove the environment and caches; data stays
	rm -rf .venv .tools .mypy_cache .pytest_cache .ruff_cache .hypothesis site
