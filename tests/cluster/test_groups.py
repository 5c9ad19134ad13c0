"""Many traits: the jobs of a trait grouped into one job of SLURM, as profiles/slurm/README.md says."""

import re

import pytest
import yaml
from histocarta.files import read_json
from slurm_kit import QUICK
from workflow_kit import ROOT, simulate_study, snakemake

GROUPS = re.search(r"--groups ((?:\w+=trait ?)+)", (ROOT / "profiles/slurm/README.md").read_text())[1].split()


@pytest.mark.slow
def test_the_jobs_of_a_trait_are_one_job_of_slurm(cluster, tmp_path):
    study = simulate_study(tmp_path, patients=12)
    study["tasks"]["extremes"]["training"]["require_gpu"] = False  # the cards are fake
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    code, text = snakemake(tmp_path, "results/tiny/grid/manifest.tsv", "results/tiny/splits/halves/round-1.tsv")
    assert code == 0, text[-5000:]
    targets = [f"results/tiny/traits/{trait}/extremes/consensus/metrics.json" for trait in "AB"]
    how = {"profile": "slurm", "environment": cluster.environment}
    code, text = snakemake(tmp_path, *targets, *QUICK, "--groups", *GROUPS, **how)
    assert code == 0, text[-10000:]
    assert len(re.findall(r"submitted with SLURM jobid", text)) == len(targets)
    assert all(read_json(tmp_path / target)["chosen"] for target in targets)
