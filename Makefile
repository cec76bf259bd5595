# `make demo` and `make test` need only Python 3.11 to 3.13; the first call installs into .venv, later ones start at once.
PYTHON ?= python3
EVENTS ?=
INSTALL = .venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable

.PHONY: demo heavy_higgs zgamma monojet hnl_tau agc_ttbar heavy_higgs_study zgamma_study monojet_study hnl_tau_study \
	dilepton_met_study test test-cluster bench check clean

demo: .venv/.demo
	.venv/bin/colonnade samples $(if $(EVENTS),--events $(EVENTS)) --workflow workflows/dilepton_met.yaml
	.venv/bin/colonnade run workflows/dilepton_met.yaml --output results/dilepton_met

# the other analyses: samples, then events to report
heavy_higgs zgamma monojet hnl_tau: .venv/.train
agc_ttbar: .venv/.demo
heavy_higgs zgamma monojet hnl_tau agc_ttbar:
	.venv/bin/colonnade samples $(if $(EVENTS),--events $(EVENTS)) --workflow workflows/$@.yaml
	.venv/bin/colonnade run workflows/$@.yaml

# what one document asks for beyond a run of its search
heavy_higgs_study zgamma_study monojet_study hnl_tau_study: %_study: %
	.venv/bin/python -m studies.$*

dilepton_met_study: .venv/.train demo
	.venv/bin/python -m studies.dilepton_met
	.venv/bin/python -m studies.dilepton_met --grids

test: .venv/.dev
	.venv/bin/python -m pytest -n 2 --dist worksteal

# faults and real clusters; writes the table of faults. What the machine lacks (see .ci/run) is skipped, and said so.
# These tests wait most of the time, for faults to be noticed and servers to start, so more of them run than there are cores.
test-cluster: .venv/.cluster
	.venv/bin/python -m pytest tests/cluster tests/workflow tests/test_damaged_files.py -m cluster -n 4 --dist worksteal --fault-table docs/faults.md

# all speed benchmarks, or some: make bench ROWS="dilepton filling"; writes the table of docs/performance.md
bench: .venv/.dev
	.venv/bin/python benchmarks/run.py $(ROWS)

check: .venv/.dev
	.venv/bin/pre-commit run --all-files

clean:
	rm -rf .venv

.venv/.demo: pyproject.toml constraints.txt | .venv/bin/python
	@echo "Installing what the demo needs into .venv ..."
	$(INSTALL) '.[samples]'
	@touch $@

.venv/.train: pyproject.toml constraints.txt | .venv/bin/python
	@echo "Installing what training needs into .venv ..."
	$(INSTALL) '.[samples,train]'
	@touch $@ .venv/.demo

.venv/.dev: pyproject.toml constraints.txt | .venv/bin/python
	@echo "Installing what development needs into .venv ..."
	$(INSTALL) '.[samples,train,dev]'
	@touch $@ .venv/.demo .venv/.train

.venv/.cluster: .venv/.dev
	@echo "Installing what clusters need into .venv ..."
	$(INSTALL) '.[cluster]'
	@touch $@

.venv/bin/python:
	$(PYTHON) -m venv .venv
