# Each target is a thin call: the work is done in tools/, which needs nothing but Python.
PORT ?= 8000
# PYTHON= names the Python to use. exec replaces the shell, so that stopping make reaches Python.
export PYTHON
PYTHON_RUN = exec tools/python.sh

.DEFAULT_GOAL := help
.PHONY: help run test test-mysql test-next lint format bench stack-test mutants screenshot sbom requirements

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## the site with sample data on http://127.0.0.1:8000 (PORT= to change)
	@$(PYTHON_RUN) -m tools.run --port "$(PORT)"

test: ## the whole suite: embedded, on servers, in Chromium (ARGS="-k s15", PARTS="browser")
	@$(PYTHON_RUN) -m tools.suite --parts "$(PARTS)" -- $(ARGS)

test-mysql: ## the server part on MySQL itself instead of MariaDB; root on Debian 12 (ARGS as for test)
	@$(PYTHON_RUN) -m tools.mysql -- $(ARGS)

test-next: ## reports how the suite does on the newest Django and Python 3.13; never fails
	@$(PYTHON_RUN) -m tools.suite_next -- $(ARGS)

lint: ## style, types, import contract, migrations, deployment checks
	@$(PYTHON_RUN) -m tools.lint

format: ## rewrites the Python files in the project's style
	@$(PYTHON_RUN) -m tools.lint --fix

bench: ## the benchmarks, written to bench/results/ (ARGS="pages" for one)
	@$(PYTHON_RUN) -m tools.benchmarks -- $(ARGS)

mutants: ## changes the rules of access bit by bit and looks whether a test notices
	@$(PYTHON_RUN) -m tools.mutants

stack-test: ## the real stack on three Swarm nodes, broken under load; root on Debian 12 (ARGS="--only ...")
	@$(PYTHON_RUN) -m tools.stack_test -- $(ARGS)

screenshot: ## the README's picture, taken anew
	@$(PYTHON_RUN) -m tools.screenshot

sbom: ## what the images are made of, as a CycloneDX list in var/sbom.cdx.json
	@$(PYTHON_RUN) -m tools.sbom

requirements: ## pins requirements*.txt anew from requirements/*.in
	@$(PYTHON_RUN) -m tools.pins
