# Two commands do everything: `make run` (the demonstration) and `make test`. Each sets itself up.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= out
ARGS ?=

.PHONY: run test setup dev check-sandbox lean clean

run: setup
	$(BIN)/cotmill demo --out $(OUT) $(ARGS)

test: dev
	$(BIN)/python -m pytest tests -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

setup: $(VENV)/.installed check-sandbox

dev: $(VENV)/.installed-dev check-sandbox lean

# pip goes by requirements alone: `torch>=2.6,<2.14` takes a CPU build where the registry offers one.
$(VENV)/.installed: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e '.[train,notebooks]'
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet -e '.[dev]'
	touch $@

# The sandbox cannot come from pip: install it where that is allowed, else say how.
check-sandbox:
	@command -v bwrap >/dev/null 2>&1 || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 \
		&& apt-get update -qq >/dev/null 2>&1 && apt-get install -y -qq bubblewrap >/dev/null 2>&1; } \
		|| echo 'bubblewrap is missing, so programs are not run and code rows are rejected; to install it: sudo apt-get install bubblewrap'

# Without it the tests that need Lean are skipped, and say so.
lean: $(VENV)/.installed-dev
	@$(BIN)/cotmill lean setup || echo 'the embedded Lean is not installed, so Lean proofs are not verified; to try again: cotmill lean setup'

clean:
	rm -rf $(VENV) $(OUT) build dist *.egg-info
