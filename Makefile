# make help lists the targets.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SANITIZERS := $(shell gcc -print-file-name=libasan.so 2>/dev/null)
CFLAGS_STRICT := -std=gnu11 -O2 -Wall -Wextra -Wshadow -Werror -fsyntax-only -Icsrc
CXXFLAGS_STRICT := -std=c++17 -Wall -Wextra -Wshadow -Werror -fsyntax-only
SOURCES := pyproject.toml setup.py $(wildcard csrc/*.[ch] zeekspy/_core.p* zeekspy/standin/*.cc zeekspy/standin/*.h)

.DEFAULT_GOAL := help
.PHONY: help venv build demo test soak bench bench-start bench-generate check-asan lint wheel clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

venv: $(VENV)/.installed ## a virtual environment in .venv with zeekspy, editable, and what its tests need

# On Debian and its like, root gets what is missing; anyone else is told.
$(VENV)/.installed: $(SOURCES)
	@need=; \
	command -v gcc >/dev/null || need="$$need gcc"; \
	command -v g++ >/dev/null || need="$$need g++"; \
	command -v $(PYTHON) >/dev/null || need="$$need python3"; \
	$(PYTHON) -c 'import ensurepip' 2>/dev/null || need="$$need python3-venv"; \
	$(PYTHON) -c 'import sysconfig as s; open(s.get_path("include") + "/Python.h")' 2>/dev/null || need="$$need python3-dev"; \
	if [ -n "$$need" ]; then \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $$need; \
		else \
			echo "missing:$$need (Debian package names). Install them first: sudo apt-get install$$need" >&2; \
			[ "$$need" = " g++" ] || exit 1; \
		fi; \
	fi
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "zeekspy needs Python 3.11 or later: make PYTHON=python3.11 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	@touch $@

build: ## rebuild the C core, the binding and the stand-in target in place
	@rm -f $(VENV)/.installed
	@$(MAKE) --no-print-directory venv

demo: venv ## record the bundled target and show where its time goes
	@$(BIN)/zeekspy demo

test: venv ## every test that can run here; the last line is pytest's
	@$(BIN)/python -m pytest -q

bench: venv ## what sampling costs and how true it is, into docs/benchmarks.md (QUICK=1: short, no file; ONLY="cost rate")
	@$(BIN)/python -m tests.bench $(if $(QUICK),--quick) $(ONLY)

bench-start: venv ## how long until the first sample of ZEEK=... (several: in quotes)
	@$(BIN)/python tests/bench/start.py $(ZEEK)

bench-generate: venv ## what a table from the debug info of ZEEK=... costs, beside gdb
	@$(BIN)/python tests/bench/generate.py $(ZEEK)

soak: venv ## the fault suite in full: every kind of fault 500 times, over all engines (about an hour)
	ZEEKSPY_SOAK=500 $(BIN)/python -m pytest -q --hypothesis-profile=fresh tests/faults

check-asan: venv ## the tests of the C core under AddressSanitizer and UBSan
	ZEEKSPY_SANITIZE=1 LD_PRELOAD=$(SANITIZERS) ASAN_OPTIONS=detect_leaks=0:abort_on_error=1 \
	UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 PYTHONMALLOC=malloc $(BIN)/python -m pytest -q -p no:cacheprovider tests/core

lint: venv ## ruff, mypy, cython-lint and the compilers' warnings
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[lint]'
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy zeekspy offsets
	PATH="$(BIN):$$PATH" cython-lint zeekspy
	for f in csrc/*.c; do gcc $(CFLAGS_STRICT) $$f || exit 1; done
	for f in zeekspy/standin/*.cc; do for era in 1 2; do g++ $(CXXFLAGS_STRICT) -DZEEK_ERA=$$era $$f || exit 1; done; done
	if command -v clang >/dev/null; then for f in csrc/*.c; do clang $(CFLAGS_STRICT) $$f || exit 1; done; fi

wheel: venv ## a wheel in dist/
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps -w dist .

clean: ## remove everything that was built
	rm -rf build dist $(VENV) zeekspy/standin/bin *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find zeekspy offsets tests -name '*.so' -delete -o -name __pycache__ -prune -exec rm -rf {} +
