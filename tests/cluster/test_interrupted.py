"""Trainings that SLURM ends in all its ways: each goes on from its last validation and ends with the same weights."""

import hashlib
import os
import re
import shutil
import signal
import zipfile
from pathlib import Path

import psutil
import pytest
import yaml
from slurm_kit import wait_until
from test_study import QUICK
from workflow_kit import LONGEST, simulate_study, snakemake, start_snakemake

TRAIN = "results/tiny/traits/A/extremes/round-1/model.keras"
LOG = Path("results/tiny/logs/train/A/extremes/rounds.log")
VALIDATIONS, STEPS = 40, 10


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


def ids(cluster, states):
    return {job["id"] for job in cluster.jobs(states)}


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
    training = {"gpus": 0, "min_steps": STEPS, "max_validations": VALIDATIONS, "stop": VALIDATIONS}
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


def kill(run, job):
    run.cluster.run("scancel", "--signal=KILL", "--full", job)


def requeue(run, job):
    run.cluster.run("scontrol", "requeue", job)


def preempt(run, job):
    run.cluster.run("sbatch", "--partition=urgent", "--exclusive", "--output=/dev/null", "--wrap=sleep 5")


@pytest.mark.slow
# SLURM begins a requeued job after two minutes only: those two wait together.
@pytest.mark.parametrize("interruptions", [[cancel], [kill], [requeue, preempt]])
def test_an_interrupted_training_goes_on_and_ends_with_the_same_weights(
    prepared, undisturbed, cluster, tmp_path, interruptions
):
    runs = [Run(prepared, tmp_path / interrupt.__name__, cluster) for interrupt in interruptions]
    for run in runs:
        run.start()
    jobs = [run.training() for run in runs]
    before = []
    for run, job, interrupt in zip(runs, jobs, interruptions, strict=True):
        interrupt(run, job)
        wait_until(lambda job=job: job not in ids(cluster, "running"), seconds=60, what="its end", why=run.words)
        before.append(run.steps()[-1])
    for run, last in zip(runs, before, strict=True):
        run.finish()
        log = (run.folder / LOG).read_text()
        begun = int(re.search(r"going on from validation (\d+) ", log)[1])
        assert begun * STEPS in (last - STEPS, last, last + STEPS), log[-3000:]  # at most one validation is lost
        assert weights(run.folder) == undisturbed


@pytest.mark.slow
def test_a_training_beyond_its_time_goes_on_with_more(prepared, undisturbed, cluster, tmp_path):
    run = Run(prepared, tmp_path / "study", cluster)
    run.start("--set-resources", "train_extremes:runtime=attempt")
    job = run.training()
    for process in psutil.process_iter(["cwd", "cmdline"]):
        if process.info["cwd"] == str(run.folder) and any("train_rounds" in word for word in process.info["cmdline"]):
            process.suspend()  # it would be done within its minute
    wait_until(lambda: job not in ids(cluster, "running"), seconds=150, what="its end", why=run.words)
    assert cluster.details(job)["JobState"] in ("COMPLETING", "TIMEOUT")
    run.finish()
    log = (run.folder / LOG).read_text()
    assert "going on from validation" in log
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
    wait_until(lambda: job not in ids(cluster, "running,completing"), seconds=60, what="its end", why=run.words)
    run.start()
    run.finish()
    assert weights(run.folder) == undisturbed
