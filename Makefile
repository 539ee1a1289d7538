.DEFAULT_GOAL := help
.PHONY: help setup run test quick lint types fmt bench drill renew client lock clean

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Make .venv from the development lock, with the project in it
	@scripts/setup

run: ## Start API, worker, console and mail sink with demo data, on this machine only
	@scripts/run

test: ## Everything that continuous integration checks
	@scripts/test

quick: ## What can be checked in a minute: lint, types, contracts, tests on SQLite
	@scripts/test --quick

lint: setup ## ruff, import contracts and the repository's own lint rules
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/lint-imports --no-logo
	@.venv/bin/python -m scripts.lint.rules
	@.venv/bin/python -m scripts.lint.rooms

types: setup ## mypy, strict
	@.venv/bin/mypy

fmt: setup ## Format the code and fix what ruff can fix
	@.venv/bin/ruff check --fix-only --quiet .
	@.venv/bin/ruff format .

bench: ## Measure against a reference in one run and print ratios
	@scripts/bench

drill: ## Break things on purpose and show that nothing is lost
	@scripts/drill

renew: ## Write anew all that is made of the code: document, client, snapshots
	@scripts/renew

client: ## Write the console's client anew from the API's document
	@scripts/generate-client

lock: ## Renew the three lock files (scripts/lock --upgrade takes newer versions)
	@scripts/lock

clean: ## Remove .venv, caches and build results; keeps data
	rm -rf .venv .coverage .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .schemathesis
	rm -rf n8n-nodes/node_modules n8n-nodes/dist dist build
	find backend dashboard scripts tests -name __pycache__ -type d -prune -exec rm -rf {} +
