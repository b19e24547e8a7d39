# vitstudy: one command from clone to table. `make` prints this help.
PYTHON ?= python3
SCALE  ?= nano
JOBS   ?=
SEEDS  ?=
WANDB  ?= offline
VENV   := .venv
BIN    := $(VENV)/bin
RUN    := $(BIN)/vitstudy run --scale $(SCALE) --wandb $(WANDB) $(if $(JOBS),--jobs $(JOBS)) $(if $(SEEDS),--seeds $(SEEDS))

.DEFAULT_GOAL := help
.PHONY: help setup ablation-posemb data-scale resolution compute ablation-shape timing figures test lint bench lock clean

help:  ## print this help
	@echo "vitstudy: re-run the studies of the ViT paper at the size your machine allows"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  SCALE=nano|smoke|mini|imagenet|paper  JOBS=N  SEEDS=N  WANDB=off|offline|online"
	@echo "  now: SCALE=$(SCALE) JOBS=$(or $(JOBS),auto) SEEDS=$(or $(SEEDS),as declared) WANDB=$(WANDB)"

setup: $(VENV)/.installed  ## make .venv from requirements.lock (done by itself on first use)

$(VENV)/.installed: requirements.lock pyproject.toml
	@echo "setting up $(VENV) from requirements.lock (about 6 GB, once)"
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else f"Python {v[0]}.{v[1]} found; vitstudy needs 3.11, 3.12 or 3.13: make PYTHON=python3.12")'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

ablation-posemb: setup  ## position-embedding ablation: Table 8, Figures 7 and 10
	@$(RUN) posemb

data-scale: setup  ## pre-training data: Figures 3 and 4, Table 5
	@$(RUN) data_scale

resolution: setup  ## fine-tuning resolution and position embeddings (section 3.2)
	@$(RUN) resolution

compute: setup  ## accuracy for compute: Figure 5, Table 6
	@$(RUN) compute

ablation-shape: setup  ## depth, width, MLP width, patch size: Figure 8
	@$(RUN) shape

timing: setup  ## inference speed and largest batch: Figure 12 (let nothing else run)
	@$(RUN) timing

figures: setup  ## redraw all figures and tables of SCALE from the store, offline
	@$(BIN)/vitstudy figures --scale $(SCALE)

test: setup lint  ## lint, types, tests
	@$(BIN)/python -m pytest -n auto --dist loadfile

lint: setup  ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet . || (echo "run: $(BIN)/ruff format ." && false)
	@$(BIN)/mypy

bench: setup  ## measure: harness against a bare loop, start-up, table loading, memory
	@$(BIN)/python -m tests.bench

lock: setup  ## pin all versions with hashes, without any index address
	@$(BIN)/uv pip compile pyproject.toml --extra dev --extra wandb --universal --python-version 3.11 \
	  --generate-hashes --no-header --no-annotate --no-emit-index-url --quiet --upgrade -o requirements.lock

clean:  ## remove .venv and caches; runs are kept
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache build *.egg-info
