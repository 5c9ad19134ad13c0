"""Trainings that SLURM ends in all its ways: each goes on from its last validation and ends with the same weights."""

import hashlib
import os
import re
import shutil
import signal
import zipfile
from pathlib import Path

import pytest
import yaml
from slurm_kit import wait_until
from test_study import QUICK
from workflow_kit import LONGEST, simulate_study, snakemake, start_snakemake

TRAIN = "results/tiny/traits/A/extremes/round-1/model.keras"
LOG = Path("results/tiny/logs/train/A/extremes/rounds.log")
VALIDATIONS = 40


class Run:
    """The study in a folder of its own, at work on the cluster."""

    def __init__(self, prepared, folder, cluster):
        shutil.copytree(prepared, folder)
        self.folder, self.cluster, self.driver = folder, cluster, None

    def start(self, *arguments):
        how = {"profile": "slurm", "environment": self.cluster.environment}
        with (self.folder / "driver.log").open("a") as log:
            # The target stands before options that take several values.
            self.driver = start_snakemake(self.folder, TRAIN, *QUICK, *arguments, words=log, **how)

    def steps(self):
        """The steps at which the present attempt has validated."""
        log = self.folder / LOG
        return [int(step) for step in re.findall(r"round 1, step (\d+):", log.read_text())] if log.exists() else []

    def training(self):
        """The number of the SLURM job that trains, once it has validated three times."""
        wait_until(lambda: len(self.steps()) >= 3, seconds=300, what="three validations", why=self.words)
        (job,) = re.search(r"SLURM job (\d+)", (self.folder / LOG).read_text()).groups()
        return job

    def finish(self):
        code = self.driver.wait(timeout=LONGEST)
        assert code == 0, self.words()

    def words(self):
        return (self.folder / "driver.log").read_text()[-5000:]


def weights(folder):
    """SHA-256 of the weights of the trained model."""
    with zipfile.ZipFile(folder / TRAIN) as model:
        return hashlib.sha256(model.read("model.weights.h5")).hexdigest()


@pytest.fixture(scope="module")
def prepared(cluster, tmp_path_factory):
    """A study on the point of training, on the CPU: the cards are fake."""
    folder = tmp_path_factory.mktemp("prepared") / "study"
    folder.mkdir()
    study = simulate_study(folder, patients=12)
    training = {"gpus": 0, "min_steps": 10, "max_validations": VALIDATIONS, "stop": VALIDATIONS}
    study["tasks"]["extremes"]["training"] |= training
    study["splits"]["halves"]["rounds"] = 1
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    code, text = snakemake(folder, TRAIN, "--omit-from", "train_extremes")
    assert code == 0, text[-5000:]
    return folder


@pytest.fixture(scope="module")
def undisturbed(prepared, cluster, tmp_path_factory):
    """The weights of a training that nothing interrupts."""
    run = Run(prepared, tmp_path_factory.mktemp("undisturbed") / "study", cluster)
    run.start()
    run.finish()
    return weights(run.folder)


def cancel(run, job):
    run.cluster.run("scancel", job)


def requeue(run, job):
    run.cluster.run("scontrol", "requeue", job)


def preempt(run, job):
    run.cluster.run("sbatch", "--partition=urgent", "--exclusive", "--output=/dev/null", "--wrap=sleep 5")


def kill(run, job):
    run.cluster.run("scancel", "--signal=KILL", "--full", job)


@pytest.mark.slow
@pytest.mark.parametrize("interrupt", [cancel, kill, requeue, preempt])
def test_an_interrupted_training_goes_on_and_ends_with_the_same_weights(
    prepared, undisturbed, cluster, tmp_path, interrupt
):
    run = Run(prepared, tmp_path / "study", cluster)
    run.start()
    job = run.training()
    interrupt(run, job)
    before = run.steps()
    wait_until(lambda: (now := run.steps()) and now[0] > before[0], seconds=400, what="a second attempt", why=run.words)
    assert run.steps()[0] in (before[-1], before[-1] + 10, before[-1] + 20)  # the one under way, or one more was saved
    run.finish()
    assert weights(run.folder) == undisturbed


@pytest.mark.slow
def test_a_training_beyond_its_time_goes_on_with_more(prepared, undisturbed, cluster, tmp_path):
    run = Run(prepared, tmp_path / "study", cluster)
    run.start("--set-resources", "train_extremes:runtime=attempt")
    run.finish()
    assert weights(run.folder) == undisturbed


@pytest.mark.slow
def test_a_killed_driver_leaves_no_second_writer(prepared, undisturbed, cluster, tmp_path):
    run = Run(prepared, tmp_path / "study", cluster)
    run.start()
    job = run.training()
    os.kill(run.driver.pid, signal.SIGKILL)
    run.driver.wait()
    run.start()
    assert run.driver.wait(timeout=LONGEST) == 1
    assert re.search(
        rf"W-RUNNING Expected no job of the run that was killed, found at work: .*SLURM job {job}", run.words()
    )
    cluster.run("scancel", "--signal=KILL", "--full", job)
    wait_until(lambda: job not in {row["id"] for row in cluster.jobs("running")}, seconds=60, what="its end")
    run.start()
    run.finish()
    assert weights(run.folder) == undisturbed
