# make demo   the whole workflow on a synthetic cohort     make test    unit, DAG and small end-to-end tests
# make doctor CONFIG=config/mine.yaml   whether a study can run here; make costs CONFIG=… what it will take
# Everything runs in .venv, made from requirements.lock with any Python 3.11, 3.12 or 3.13.
PYTHON ?= python3.11
BIN := .venv/bin
SNAKEMAKE := $(BIN)/snakemake --profile profiles/local

# Python writes its compiled modules: without them every TensorFlow process takes 8 s longer to start.
unexport PYTHONDONTWRITEBYTECODE
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: help demo test lint doctor costs her2st her2st-small her2st-transcriptome her2st-regions her2st-spots her2st-maps tcga-luad-table recovery soak bench lock generated clean

help:
	@sed -n '1,3s/^# //p' Makefile

.venv/ready: requirements.lock pyproject.toml
	$(PYTHON) -m venv --clear .venv
	awk '/^[^ ]/ {keep = /^uv==/} keep' requirements.lock >.venv/uv.lock
	$(BIN)/python -m pip install --quiet --require-hashes --requirement .venv/uv.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

data/demo/slides.tsv: | .venv/ready
	$(BIN)/python -m histocarta.simulate --output data/demo --preset demo --seed 1

data/demo-external/slides.tsv: | .venv/ready
	$(BIN)/python -m histocarta.simulate --output data/demo-external --preset external --seed 2

data/demo-spots/slides.tsv: | .venv/ready
	$(BIN)/python -m histocarta.simulate_sections --output data/demo-spots --preset demo --seed 1

demo: .venv/ready data/demo/slides.tsv data/demo-external/slides.tsv data/demo-spots/slides.tsv
	$(SNAKEMAKE) --configfile config/demo.yaml
	$(SNAKEMAKE) --configfile config/demo-spots.yaml
	$(BIN)/python -m histocarta.recovery --demo results/demo --truth data/demo
	@echo "Report: $(CURDIR)/results/demo/report.html"
	@echo "Genes in spots: $(CURDIR)/results/demo-spots/report.html"

test: .venv/ready
	$(BIN)/python -m pytest -m "not slow"

lint: .venv/ready data/demo/slides.tsv data/demo-external/slides.tsv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check --compact-diff Snakefile rules
	$(SNAKEMAKE) --lint

# Whether a study can run here, and what it will take: make doctor CONFIG=config/mine.yaml
CONFIG ?= config/demo.yaml
doctor costs: .venv/ready
	$(BIN)/python -m histocarta.$@ --configfile $(CONFIG)

# REAL_DATA is the folder with the real sections (her2st/), slides and tables.
need_real_data = @test -n "$(REAL_DATA)" || { echo "Say where the real data is: make $@ REAL_DATA=<folder>"; exit 2; }

her2st her2st-small: .venv/ready
	$(call need_real_data)
	$(BIN)/python -m histocarta.her2st --data $(REAL_DATA) --output data/$@ $(if $(filter %-small,$@),--small)
	$(SNAKEMAKE) --configfile config/$@.yaml
	$(if $(filter %-small,$@),,$(SNAKEMAKE) --configfile config/her2st-leave-one-patient-out.yaml)
	$(if $(filter %-small,$@),,$(SNAKEMAKE) --configfile config/her2st-spots.yaml)
	@echo "Report: $(CURDIR)/results/$@/report.html"
	$(if $(filter %-small,$@),,@echo "Each patient by the other's model: $(CURDIR)/results/her2st-leave-one-patient-out/report.html")

# The same five sections: all genes by the three ways of the task regression; on tiles of carcinoma only; in spots; and
# maps of genes by models of bulk and of spots beside each other.
her2st-transcriptome her2st-regions her2st-spots her2st-maps: .venv/ready
	$(call need_real_data)
	$(BIN)/python -m histocarta.her2st --data $(REAL_DATA) --output data/her2st
	$(SNAKEMAKE) --configfile config/$@.yaml
	@echo "Report: $(CURDIR)/results/$@/report.html"

# Hours: five synthetic cohorts, and whether what was planted in them is found again; some of them: SEEDS="1 2".
COHORTS := 1 2 3 4 5
SEEDS ?= $(COHORTS)
data/recovery-%/slides.tsv: | .venv/ready
	$(BIN)/python -m histocarta.simulate --output data/recovery-$* --preset recovery --seed $*

recovery: .venv/ready $(COHORTS:%=data/recovery-%/slides.tsv)
	$(SNAKEMAKE) $(SEEDS:%=results/recovery-%/report.html) --configfile config/recovery.yaml
	$(BIN)/python -m histocarta.recovery --study $(SEEDS:%=results/recovery-%) --truth $(SEEDS:%=data/recovery-%) \
		--table benchmarks/recovery.tsv

# Two hours: a small study killed at a hundred points and started again, against the same study in one go; and on SLURM
# (Debian's slurm-wlm and munge, as root) its driver alone at ten.
soak: .venv/ready
	KILLS=100 $(BIN)/python -m pytest -m slow tests/workflow/test_killed.py
	KILLS=100 $(BIN)/python -m pytest -m slow tests/cluster/test_interrupted.py -k killed_driver

# The bulk-expression side alone, on the real table of 515 lung adenocarcinoma slides: sheets, survival baselines,
# differential expression and gene sets.
tcga-luad-table: .venv/ready
	$(call need_real_data)
	$(BIN)/python -m histocarta.luad_table --data $(REAL_DATA) --output data/tcga-luad-table
	$(SNAKEMAKE) results/tcga-luad-table/survival/KRAS+EGFR+CD274/bulk.json \
		$(foreach name,sex CD274,results/tcga-luad-table/contrasts/$(name)/enrichment-hallmark.tsv) \
		$(foreach name,sex CD274,results/tcga-luad-table/contrasts/$(name)/enrichment-kegg.tsv) \
		results/tcga-luad-table/clusters/pam50/measured.json \
		--configfile config/tcga-luad-table.yaml

# Ratios, each measured in one run, and at the end whether they meet their targets; quote them with date and machine.
bench: export REAL_DATA := $(REAL_DATA)
bench: .venv/ready
	$(call need_real_data)
	$(BIN)/python benchmarks/run.py

# Rewrites what is generated: locks, environments, the config's schema and its key list. Tests fail where they drift.
lock: .venv/ready
	$(BIN)/uv pip compile pyproject.toml --extra dev $(UV_FLAGS) --output-file requirements.lock
	$(BIN)/uv pip compile pyproject.toml --extra dev --extra gpu $(UV_FLAGS) --output-file requirements-gpu.lock
	$(MAKE) generated
UV_FLAGS := --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header

generated: .venv/ready
	$(BIN)/python envs/generate.py
	$(BIN)/python -m histocarta.config

clean:
	rm -rf results data/demo data/demo-external data/demo-spots data/her2st data/her2st-small state .snakemake
