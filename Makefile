# make demo   set up, then the main job: which encoder helps a shop most?
# make test   set up, then the whole test suite
# make check  style and types
# make audit  dangerous calls, licences, known weaknesses
# make lock   resolve the development environment anew

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# The CPU build: the CUDA one pulls gigabytes that a laptop cannot use. Where pip's own index has no
# CPU build, set TORCH_INDEX to the CPU index that https://pytorch.org/get-started names.
TORCH  ?= 2.13.0
TORCH_INDEX ?=
RESULTS ?= results

.PHONY: demo setup test check audit format lock clean

demo: setup
	$(BIN)/tastebench quickstart --out $(RESULTS)

setup: $(VENV)/.ready

# --no-deps with a complete lock: what is not written there cannot come in, CUDA packages least of all.
$(VENV)/.ready: requirements-dev.lock pyproject.toml Makefile
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Tastebench needs Python 3.11 or newer; set it with: make PYTHON=/path/to/python3.11"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q 'torch==$(TORCH)$(if $(filter Linux,$(shell uname -s)),+cpu)' \
	  $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) \
	  || { echo "No CPU build of torch in pip's index: make $(MAKECMDGOALS) TORCH_INDEX=<the CPU index that pytorch.org/get-started names>"; exit 4; }
	grep -v '^torch==' requirements-dev.lock > $(VENV)/requirements.txt
	$(BIN)/python -m pip install -q --no-deps -r $(VENV)/requirements.txt
	$(BIN)/python -m pip install -q --no-deps --no-build-isolation -e .
	touch $@

# One thread a process: the tests run side by side, one process a core.
test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadgroup $(ARGS)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

audit: setup
	$(BIN)/python tools/audit.py

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: setup
	$(BIN)/pip-compile --quiet --upgrade --strip-extras --no-header --no-annotate --allow-unsafe \
	  --no-emit-index-url --no-emit-find-links --extra minilm --extra energy --extra report \
	  --extra serve --extra tracking --extra ray --extra spark \
	  --output-file requirements-dev.lock pyproject.toml requirements-dev.in

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .hypothesis
