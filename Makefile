# `make demo` runs the main job, `make test` passes the tests; both set themselves up.
.DEFAULT_GOAL := help
SHELL := /bin/bash
export UV_PYTHON_DOWNLOADS := never
# dozens of processes import TensorFlow, which takes 18 s where nothing compiled is kept, and then 6
unexport PYTHONDONTWRITEBYTECODE
UV := $(shell command -v uv || echo .uv/bin/uv)
BIN := .venv/bin
ROLES := edge edge-onnx edge-camera edge-audio edge-gpio collector training attacks export host

help: ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: .venv/.ready ## make .venv with everything in it (no root needed)

demo: setup ## the main job: train, deploy, watch, see the alert on a web page; Ctrl-C ends it
	@$(BIN)/vedette demo

test: setup ## all tests
	@$(BIN)/pytest -m "" -n 3 --dist loadscope

check: setup ## ruff, mypy, import rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

train: setup ## train machine_condition on the data in $$VEDETTE_DATA (default ./data)
	@$(BIN)/vedette train machine_condition

bundle: setup ## make bundles/machine_condition, the one that is shipped, anew
	@rm -rf runs/machine_condition/bundle
	@$(BIN)/vedette train machine_condition --all --out runs/machine_condition/bundle
	@$(BIN)/vedette export runs/machine_condition/bundle

bench: setup ## speed as ratios measured side by side, into benchmarks/results.md
	@$(BIN)/python benchmarks/run.py

chaos: setup ## real parts, killed, frozen, cut off, filled up: nothing lost? CHAOS="--seed 2" for options
	@PYTHONPATH=tests $(BIN)/python -m chaos $(CHAOS)

fuzz: setup ## coverage-guided, what others wrote into what reads it; FUZZ="--seconds 600 decode" for options
	@PYTHONPATH=tests $(BIN)/python -m fuzz $(FUZZ)

lock: $(UV) ## compile requirements/ again from pyproject.toml
	$(UV) pip compile -q --universal --generate-hashes --no-emit-index-url --no-header \
		pyproject.toml --extra host --extra edge-camera --extra edge-audio --extra edge-gpio --extra attacks --group dev -o requirements/dev.txt
	for role in $(ROLES); do $(UV) pip compile -q --universal --generate-hashes \
		--no-emit-index-url --no-header pyproject.toml --extra $$role \
		-c requirements/dev.txt -o requirements/$$role.txt || exit 1; done

clean: ## remove what the commands above have made, but not runs/ and bundles/
	rm -rf .venv .uv demo dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

.venv/.ready: pyproject.toml requirements/dev.txt | $(UV)
	@$(UV) venv -q --allow-existing --python '>=3.11,<3.14' .venv
	@$(UV) pip sync -q --python $(BIN)/python --require-hashes requirements/dev.txt
	@$(UV) pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

.uv/bin/uv:
	@python3 -m venv .uv || { echo "fix: install Python's venv (Debian: apt-get install python3-venv)"; exit 1; }
	@.uv/bin/pip install -q --disable-pip-version-check uv==0.13.9

.PHONY: help setup demo test check train bundle bench chaos fuzz lock clean
