# Two commands do everything on a fresh machine (python3 >= 3.11, pip, make): `make demo` and `make
# test`.
PYTHON ?= python3
VENV ?= .venv
# what `make bench` scans
TREE ?= $(shell $(PYTHON) -c "import sysconfig; print(sysconfig.get_paths()['stdlib'])")
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# The tests start hundreds of processes; some images have each of them compile every module anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test without-hyperscan check lint spelling types layers nightly sim sim-bugs fuzz \
	redis-versions store-history gpu sanitize bench bench-gpu clean

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
		"vyre-dist needs Python 3.11 or newer, this is " + sys.version)'
	@# Debian ships venv in a package of its own; virtualenv from PyPI does as well
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
		{ rm -rf $(VENV); $(PYTHON) -m pip install --quiet virtualenv && \
		$(PYTHON) -m virtualenv --quiet $(VENV); }
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/python examples/demo.py

# Three processes for two processors: the tests wait for other processes a third of the time.
WORKERS = $(shell $(PYTHON) -c \
	'import os; n = len(os.sched_getaffinity(0)); print(min(8, n + n // 2))')
PARALLEL = --numprocesses $(WORKERS) --dist worksteal

# `make test TESTS=tests/cli` runs a part of it
test: $(STAMP)
	$(BIN)/pytest $(PARALLEL) --durations 10 $(TESTS)

# the tests of what scans, in an environment as Python 3.14 has it: without Hyperscan
without-hyperscan: $(STAMP)
	test -x $(VENV)-plain/bin/python || $(PYTHON) -m venv $(VENV)-plain
	$(VENV)-plain/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	$(VENV)-plain/bin/python -m pip uninstall --quiet --yes hyperscan
	$(VENV)-plain/bin/pytest $(PARALLEL) tests/kernels tests/engine tests/stream tests/rows \
		tests/extract tests/rules tests/regex tests/driver tests/library tests/cli

# what CI runs besides the tests
check: lint spelling types layers

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

spelling: $(STAMP)
	$(BIN)/codespell

types: $(STAMP)
	$(BIN)/mypy

layers: $(STAMP)
	$(BIN)/lint-imports --no-cache

# the long property tests, all examples of the others, and the fuzz targets; hours of two cores, so
# never part of `make test`
nightly: $(STAMP)
	$(BIN)/pytest -m nightly
	VYRE_TEST_ALL_EXAMPLES=1 $(BIN)/pytest $(PARALLEL) \
		$$(grep -rl --include='test_*.py' 'max_examples=examples(' tests)
	$(MAKE) fuzz

# the autotune store on servers of other versions: `make redis-versions SERVERS="/path/one /path/two"`
SERVERS := redis-server
redis-versions: $(STAMP)
	for server in $(SERVERS); do \
		REDIS_SERVER=$$server $(BIN)/pytest $(PARALLEL) tests/autotune || exit 1; \
	done

# eight writers, killed with their server again and again: no acknowledged record is lost or worse
store-history: $(STAMP)
	$(BIN)/pytest -m nightly tests/autotune/test_store_history.py

# runs in made-up worlds: `make sim SEED=7` tells all that happens in one, `make sim SEEDS=0:20000`
# tries many
SEEDS := 0:200
sim: $(STAMP)
	PYTHONPATH=tests/simulation $(BIN)/python -m simulator \
		$(if $(SEED),--seed $(SEED),--seeds $(SEEDS))

# how soon the simulator finds bugs that are planted
sim-bugs: $(STAMP)
	PYTHONPATH=tests/simulation $(BIN)/python -m simulator --bugs

# a minute of each fuzz target; `make fuzz TARGETS=task_codec BUDGET=600 SEED=7` for more of one
BUDGET := 60
fuzz: $(STAMP)
	$(BIN)/python fuzz/run.py --seconds $(BUDGET) $(if $(SEED),--seed $(SEED)) $(TARGETS)

gpu: $(STAMP)
	$(BIN)/pytest -m gpu

# NVIDIA's checkers on the kernels; racecheck takes several times as long as memcheck. Each ends
# with its summary, or has not ended
SANITIZED := tests/gpu/test_spans.py tests/gpu/test_programs.py tests/gpu/test_service.py
sanitize: $(STAMP)
	for tool in memcheck racecheck; do \
		compute-sanitizer --tool $$tool --error-exitcode 1 --target-processes all \
			$(BIN)/python -P -m pytest -m gpu -k "not four_gib" $(SANITIZED) || exit 1; \
	done

# SAMPLE: made by `benchmarks/gpu_scan.py --write-sample TREE SAMPLE`; RULES: a pack, the built-in
# one if empty
bench-gpu: $(STAMP)
	$(BIN)/python benchmarks/gpu_scan.py --sample $(SAMPLE) $(if $(RULES),--rules $(RULES)) --record

bench: $(STAMP)
	$(BIN)/python benchmarks/scan_cpu.py $(TREE)

clean:
	rm -rf $(VENV) $(VENV)-plain build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
