# Needs Python 3.11+ and make. Everything else is installed into .uv/ and .venv/ from the lock file.
PYTHON ?= python3
UV := .uv/bin/uv
# A machine behind a proxy trusts the certificates its owner trusts.
export UV_SYSTEM_CERTS := 1

.PHONY: demo run test lint bench clean

demo: .venv/.ready          ## the whole service with synthetic people and a fast clock
	@.venv/bin/challenge demo

run: .venv/.ready           ## the whole service at normal speed, nobody in it yet
	@.venv/bin/challenge up

test: .venv/.ready lint     ## every check: lint, types, unit, integration, story
	.venv/bin/python -m pytest -n 3 --dist worksteal

lint: .venv/.ready
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

bench: .venv/.ready         ## speed, memory, crashes, against others: bench/README.md (needs Postfix's smtp-source)
	.venv/bin/python -m bench

clean:                      ## removes what this Makefile made
	rm -rf .venv .uv .mypy_cache .ruff_cache .pytest_cache

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; try: make PYTHON=python3.12")'
	@echo "Installing uv, which installs the rest ..."
	@$(PYTHON) -m venv .uv && .uv/bin/python -m pip install --quiet --disable-pip-version-check uv

# worker.py is copied when the project is installed, so a change of it installs anew.
.venv/.ready: $(UV) uv.lock pyproject.toml worker.py
	@echo "Installing the dependencies in uv.lock ..."
	@$(UV) sync --frozen --reinstall-package challenge --python $(PYTHON) && touch .venv/.ready
