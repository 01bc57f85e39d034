# Everything runs in .venv, made from pyproject.toml at the versions of constraints.txt.
# Needed beforehand: Linux, Python >= 3.11, make, and a package index that pip can reach.

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin
INSTALLED := .venv/.installed
CONSOLE := build/.console

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: .venv help console demo test verify lint audit bench chaos docs constraints secrets clean

help: ## List the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(INSTALLED): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed; name it with PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

# Without Node the product has no console, and says so; ORCHESTRATOR_CONSOLE=required makes that
# an error.
$(CONSOLE): $(INSTALLED) $(shell find console -path console/node_modules -prune -o -type f -print)
	@$(BIN)/python console/build_pages.py
	@mkdir -p $(@D) && touch $@

.venv: $(INSTALLED) $(CONSOLE) ## Make the virtual environment and the console's pages

console: $(INSTALLED) ## Build the console's pages, and show why if they can't be built
	@$(BIN)/python console/build_pages.py -v

demo: $(INSTALLED) $(CONSOLE) ## Run the order saga, everything embedded (KEEP=1 stays up)
	$(BIN)/orchestrator demo $(if $(KEEP),--keep)

test: $(INSTALLED) ## Run the tests of every change, in at most 5 minutes (ARGS= goes to pytest)
	$(BIN)/pytest -m 'not slow and not rabbitmq' -n 2 --dist loadfile $(ARGS)

verify: $(INSTALLED) ## Run what `make test` leaves out: long tests, all examples, RabbitMQ
	$(BIN)/pytest -m 'slow or rabbitmq or examples' -n 2 --dist loadfile $(ARGS)

lint: $(INSTALLED) ## Check style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@if [ -x console/node_modules/.bin/biome ]; then \
		cd console && npm run --silent lint && npm run --silent check && npm test --silent; \
	else echo "console: not checked, its packages are not installed (make console)"; fi

audit: $(INSTALLED) ## List the dependencies (CycloneDX) and ask for known vulnerabilities
	$(BIN)/python -m tests.support.supply_chain dist/sbom.json

bench: $(INSTALLED) ## Measure beside raw Celery (ONLY=peers,idle, RUNS=11, OUT=file.json)
	OUT=$(OUT) ONLY=$(ONLY) RUNS=$(or $(RUNS),11) $(BIN)/python -m tests.benchmarks

chaos: $(INSTALLED) ## Put the product under fire (MINUTES=45, FULL=1 a short run's soak too, OUT=file.json)
	$(BIN)/python -m tests.faults --minutes $(or $(MINUTES),45) $(if $(FULL),--full) \
		$(if $(OUT),--out $(OUT)) --docs docs/reliability.md $(ARGS)
	ORCHESTRATOR_TEST_CASES=$(or $(CASES),20000) $(BIN)/pytest -q tests/integration/test_api_generated.py

docs: $(INSTALLED) ## Build the documentation's site in site/; a dead link is an error
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet docs site

constraints: ## Take up newer releases within the ranges of pyproject.toml
	$(PYTHON) -m venv --clear build/constraints
	build/constraints/bin/pip install --quiet --disable-pip-version-check '.[dev,bench]'
	build/constraints/bin/pip freeze --exclude celery-orchestrator > constraints.txt

secrets: ## Make the secrets of docker-compose.yml (those that are there stay)
	@deploy/make-secrets secrets

clean: ## Remove what can be made again (data under .orchestrator stays)
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis dist build site
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
