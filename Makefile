# One command each, on a machine that has only Python 3.11 and make. `make help` lists them.
PYTHON ?= python3
ARGS   ?=
VENV   := .venv
BIN    := $(VENV)/bin
UV     := $(BIN)/uv --quiet
DATA   ?= demo-data
SEEDS  ?= 300

CONSOLE := edge_agent/console/index.html
NPM    := $(BIN)/python console/npm.py

.PHONY: help simulate demo solar run console test lint bench docs screenshots lock wheel clean

help:            ## this list
	@grep -E '^[a-z-]+: .*##' Makefile | sed 's/:.*##/\t/'

# The environment lives inside the project; every package is pinned with its hash.
$(BIN)/uv: requirements/bootstrap.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	  { echo "Python's venv module is missing: install it (Debian: apt-get install python3-venv)" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@touch $@

$(VENV)/.product: $(BIN)/uv requirements/product.txt requirements/build.txt pyproject.toml
	$(UV) pip install --python $(BIN)/python --require-hashes -r requirements/build.txt -r requirements/product.txt
	$(UV) pip install --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.product requirements/dev.txt
	$(UV) pip install --python $(BIN)/python --require-hashes -r requirements/dev.txt
	@touch $@

# The console: Node.js comes out of a Python wheel, its packages out of console/package-lock.json.
console/node_modules/.build: $(VENV)/.product console/package-lock.json
	$(NPM) ci --omit=dev
	@touch $@

console/node_modules/.dev: $(VENV)/.product console/package-lock.json
	$(NPM) ci
	@touch console/node_modules/.build $@

$(CONSOLE): console/node_modules/.build console/index.html console/vite.config.ts \
            $(shell find console/src console/public -type f)
	$(NPM) run build

demo: $(VENV)/.product $(CONSOLE)  ## the real agent inspects the sample images; ARGS=--once ends after the table
	@$(BIN)/edge-agent demo $(ARGS)

solar: $(VENV)/.product ## 2,624 photographs of solar cells: train, import, inspect; ARGS="--seeds 1 2 3"
	$(BIN)/python -m examples.solar_cells.run $(ARGS)

run: $(VENV)/.product $(CONSOLE)  ## the agent in the foreground; ARGS="--data-dir DIR"
	$(BIN)/edge-agent run $(ARGS)

console: $(VENV)/.product $(CONSOLE)  ## build the inspector's console into edge_agent/console

test: lint $(CONSOLE)   ## style, types and every test; ARGS="-k NAME" narrows
	$(NPM) test
	$(BIN)/pytest -n 2 $(ARGS)

simulate: $(VENV)/.dev  ## SEEDS=300 worlds of agents and a centre with faults drawn by a seed; ARGS="--seed S" replays one
	$(BIN)/python -m tests.simulation --seeds $(SEEDS) $(ARGS)

lint: $(VENV)/.dev console/node_modules/.dev  ## style, security and types of Python and TypeScript, strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(NPM) run check

bench: $(VENV)/.dev console/node_modules/.dev $(CONSOLE)  ## the measures, as ratios to a bare script; ARGS=NAME runs one
	$(BIN)/python -m benchmarks $(ARGS)

docs: $(VENV)/.dev console/node_modules/.dev  ## rewrite the pages of docs/ that are generated from the code
	$(BIN)/python -m tests.documentation
	$(NPM) run generate

screenshots: $(VENV)/.dev console/node_modules/.dev $(CONSOLE)  ## take the README's pictures of the console anew
	$(BIN)/python -m tests.e2e.screenshots

wheel: $(VENV)/.dev $(CONSOLE)  ## dist/*.whl
	$(UV) build --python $(BIN)/python --wheel --no-build-isolation --out-dir dist

# Resolves pyproject.toml again; the files hold names, versions and hashes, never an address.
LOCK = $(UV) pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
       --no-emit-index-url --no-emit-find-links --upgrade
lock: $(BIN)/uv         ## re-pin requirements/*.txt
	$(LOCK) --extra ocr --extra central --extra embedded pyproject.toml -o requirements/product.txt
	$(LOCK) --extra ocr --extra central --extra embedded --group dev -c requirements/product.txt pyproject.toml -o requirements/dev.txt
	printf 'hatchling\neditables\nnodejs-wheel-binaries\n' | $(LOCK) - -o requirements/build.txt
	printf 'uv\n' | $(LOCK) - -o requirements/bootstrap.txt

clean:           ## remove what make made
	rm -rf $(VENV) console/node_modules edge_agent/console dist build demo-data examples/solar_cells/.venv examples/solar_cells/build .pytest_cache .mypy_cache .ruff_cache
