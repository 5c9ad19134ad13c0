"""One SLURM for all tests of this folder. It is started as root only: fake devices need mknod."""

import os
import tempfile
from pathlib import Path

import pytest
import yaml
from cluster_runs import STEPS, TRAIN, VALIDATIONS, Run, weights
from slurm_kit import STANDARD, cluster_in, missing
from workflow_kit import simulate_study, snakemake


@pytest.fixture(scope="session")
def cluster():
    """A cluster of one node with two fake GPUs."""
    if lacking := missing():
        pytest.skip(f"not installed: {', '.join(lacking)} (Debian: slurm-wlm munge)")
    if os.geteuid() != 0:
        pytest.skip("only root can make the fake GPUs")
    if STANDARD.exists():
        pytest.skip(f"this machine has a cluster of its own: {STANDARD}")
    STANDARD.unlink(missing_ok=True)  # a link that a killed test left
    # A short path: munge's socket has at most 107 letters.
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder, cluster_in(Path(folder)) as running:
        yield running


@pytest.fixture(scope="session")
def prepared(cluster, tmp_path_factory):
    """A study on the point of training, on the CPU: the cards are fake."""
    folder = tmp_path_factory.mktemp("prepared") / "study"
    folder.mkdir()
    study = simulate_study(folder, patients=12)
    training = {"gpus": 0, "min_steps": STEPS, "max_validations": VALIDATIONS, "stop": VALIDATIONS}
    study["tasks"]["extremes"]["training"] |= training
    study["splits"]["halves"]["rounds"] = 1
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    code, text = snakemake(folder, TRAIN, "--omit-from", "train_extremes")
    assert code == 0, text[-5000:]
    return folder


@pytest.fixture(scope="session")
def undisturbed(prepared, cluster, tmp_path_factory):
    """The weights of a training that nothing interrupts."""
    run = Run(prepared, tmp_path_factory.mktemp("undisturbed") / "study", cluster)
    run.start()
    run.finish()
    return weights(run.folder)
