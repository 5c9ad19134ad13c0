"""Trainings that SLURM ends in all its ways: each goes on from its last validation and ends with the same weights."""

import os
import re
import signal

import pytest
from cluster_runs import LOG, STEPS, Run, ids, weights
from slurm_kit import wait_until
from workflow_kit import LONGEST

# After how many validations the driver is killed; all of them with make soak.
DRIVER_KILLS = [1, 2, 4, 6, 8, 10, 12, 14, 17, 20] if "KILLS" in os.environ else [1, 10, 20]


def cancel(run, job):
    run.cluster.run("scancel", job)


def kill(run, job):
    run.cluster.run("scancel", "--signal=KILL", "--full", job)


def requeue(run, job):
    run.cluster.run("scontrol", "requeue", job)


def preempt(run, job):
    run.cluster.run("sbatch", "--partition=urgent", "--exclusive", "--output=/dev/null", "--wrap=sleep 5")


def lose_node(run, job):
    node = f"nodename={run.cluster.host}"
    run.cluster.run("scontrol", "update", node, "state=down", "reason=lost")
    run.cluster.run("scontrol", "update", node, "state=resume")


@pytest.mark.slow
# SLURM begins a requeued job after two minutes only: those three wait together.
@pytest.mark.parametrize("interruptions", [[cancel], [kill], [requeue, preempt, lose_node]])
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
    for process in run.processes():
        process.suspend()  # it would be done within its minute
    wait_until(lambda: job not in ids(cluster, "running"), seconds=150, what="its end", why=run.words)
    assert cluster.details(job)["JobState"] in ("COMPLETING", "TIMEOUT")
    run.finish()
    log = (run.folder / LOG).read_text()
    assert "going on from validation" in log
    assert weights(run.folder) == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize("validations", DRIVER_KILLS)
def test_a_killed_driver_leaves_no_second_writer(prepared, undisturbed, cluster, tmp_path, validations):
    run = Run(prepared, tmp_path / "study", cluster)
    run.start()
    job = run.training(validations=validations)
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
