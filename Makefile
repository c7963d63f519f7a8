# `make demo`, `make test` and `make check` each set up all they need in .venv by themselves.

# The first of these that is installed and can make virtual environments; slicer-core has wheels for 3.11 and 3.12.
PYTHON ?= $(shell for name in python3.11 python3.12 python3; do \
	"$$name" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo "$$name" && break; done)
VENV := .venv
BIN := $(VENV)/bin
OUT ?= demo-output
DETECTOR ?= auto
DEVICE ?= auto
COUNT ?= 20000
SEED ?= 2

.PHONY: demo test test-fast fuzz test-in-slicer check benchmark clean

# STUDY=folder DETECTOR=hemorrhage runs the main job on your own study.
demo: $(VENV)/.demo
ifdef STUDY
	$(BIN)/acutefindings run "$(STUDY)" --detector $(DETECTOR) --device $(DEVICE) --out "$(OUT)"
else
	$(BIN)/acutefindings demo --device $(DEVICE) --out "$(OUT)"
endif

# One thread a worker: workers that each take every core slow each other down. Fails below the coverage of pyproject.toml.
test: $(VENV)/.test $(VENV)/.providers
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile --cov --cov-report= $(PYTEST_ARGS)

# What a change most often breaks, in under two minutes.
test-fast: $(VENV)/.test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile -m "not slow" $(PYTEST_ARGS)

# More of the damaged and changed inputs that `make test` tries 1,600 of; a seed gives the same ones anywhere.
fuzz: $(VENV)/.test
	cd Testing/Python && OMP_NUM_THREADS=1 ../../$(BIN)/python -m fuzz --count $(COUNT) --seed $(SEED)

# SLICER is the start script of a 3D Slicer, or its folder, whose Python has this environment's packages. NAMES chooses.
test-in-slicer: $(VENV)/.test
	@test -n "$(SLICER)" || { echo "Name a 3D Slicer: make test-in-slicer SLICER=/path/to/Slicer" >&2; exit 1; }
	$(BIN)/python Testing/Slicer/test_in_slicer.py "$(SLICER)" $(NAMES)

check: $(VENV)/.check
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python Testing/Python/contract/import_circles.py

benchmark: $(VENV)/.test
	$(BIN)/python -m pytest Testing/Benchmarks -o faulthandler_timeout=0 $(PYTEST_ARGS)
	$(BIN)/python Testing/Benchmarks/runtimes.py $(BENCHMARK_ARGS)

clean:
	rm -rf $(VENV) "$(OUT)" dist build

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or 3.12 that can make virtual environments was found." \
		"On Debian: apt-get install python3-venv; or name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -m venv $(VENV)

$(VENV)/.demo: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable ".[scene]"
	@touch $@

$(VENV)/.test: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable ".[scene,test]"
	$(BIN)/python Testing/Keras/make_environment.py
	@touch $@

# A public model whose own dependencies are older than ours; its tests skip, saying so, where it cannot be had.
$(VENV)/.providers: $(VENV)/.test Testing/Providers/make_environment.sh
	Testing/Providers/make_environment.sh $(BIN)/python $(VENV)/providers && touch $@ || \
		echo "TotalSegmentator could not be installed; the tests that run it are skipped." >&2

$(VENV)/.check: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable ".[scene,test,check]"
	@touch $@
