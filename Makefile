# `make demo` and `make test` need only Python 3.11 to 3.13; the first call installs into .venv, later ones start at once.
PYTHON ?= python3
EVENTS ?=
INSTALL = .venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable

.PHONY: demo test check bench clean

demo: .venv/.demo
	.venv/bin/colonnade samples $(if $(EVENTS),--events $(EVENTS)) --workflow workflows/dilepton_met.yaml
	.venv/bin/colonnade run workflows/dilepton_met.yaml --output results/dilepton_met

test: .venv/.dev
	.venv/bin/python -m pytest -n 2 --dist worksteal

check: .venv/.dev
	.venv/bin/pre-commit run --all-files

bench: .venv/.dev
	.venv/bin/python benchmarks/run.py

clean:
	rm -rf .venv

.venv/.demo: pyproject.toml constraints.txt | .venv/bin/python
	@echo "Installing what the demo needs into .venv ..."
	$(INSTALL) '.[samples]'
	@touch $@

.venv/.dev: pyproject.toml constraints.txt | .venv/bin/python
	@echo "Installing what development needs into .venv ..."
	$(INSTALL) '.[samples,train,dev]'
	@touch $@ .venv/.demo

.venv/bin/python:
	$(PYTHON) -m venv .venv
