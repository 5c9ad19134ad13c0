"""SLURM's own troubles: a controller that is away, a queue that does not answer, nodes that take no job."""

import os
import re
import shlex
import signal
import time

import pytest
from cluster_runs import LOG, TRAIN, Run, ids, weights
from histocarta.files import read_json
from histocarta.slurm_executor import NO_CONTROLLER
from histocarta.slurm_queue import Watch
from slurm_kit import QUICK, wait_until
from workflow_kit import LONGEST, ROOT, snakemake_command

AWAY = 60  # seconds
POLLS = 20  # in vain
# squeue that fails so many times before it answers.
FAILING = """#!/bin/sh
echo >>{count}
if [ $(wc -l <{count}) -le {polls} ]; then exit 1; fi
exec {squeue} "$@"
"""
# squeue that, once a file is there, says of running jobs that they have ended: their outputs are still to come.
HASTY = """#!/bin/sh
if [ -e {sign} ]; then {squeue} "$@" | sed 's/RUNNING/COMPLETED/'; else exec {squeue} "$@"; fi
"""


def with_squeue(cluster, folder, script, **values):
    """The cluster's environment with another squeue before its own."""
    folder.mkdir()
    (folder / "squeue").write_text(script.format(squeue=cluster.run("which", "squeue").strip(), **values))
    (folder / "squeue").chmod(0o755)
    return cluster.environment | {"PATH": f"{folder}{os.pathsep}{cluster.environment['PATH']}"}


@pytest.mark.slow
def test_a_minute_without_a_controller_and_twenty_failing_polls_lose_no_job(prepared, undisturbed, cluster, tmp_path):
    count = tmp_path / "count"
    environment = with_squeue(cluster, tmp_path / "bin", FAILING, count=count, polls=POLLS)
    runs = [Run(prepared, tmp_path / name, cluster) for name in ("training", "polls", "submission")]
    runs[0].start()
    runs[1].start(environment=environment)
    for run in runs[:2]:
        run.training()
    cluster.stop("slurmctld")
    runs[2].start()
    time.sleep(AWAY)
    assert NO_CONTROLLER in runs[2].words()
    cluster.start_controller()
    for run in runs:
        run.finish()
        assert weights(run.folder) == undisturbed
        assert "going on from validation" not in (run.folder / LOG).read_text()  # it was never begun a second time
    assert len(count.read_text().splitlines()) > POLLS


@pytest.fixture
def forgetful(cluster):
    """The cluster, as long as it forgets a job ten seconds after its end."""
    conf = cluster.folder / "slurm.conf"
    kept = conf.read_text()
    conf.write_text(kept.replace("MinJobAge=300", "MinJobAge=10"))
    cluster.run("scontrol", "reconfigure")
    yield cluster
    conf.write_text(kept)
    cluster.run("scontrol", "reconfigure")


@pytest.mark.slow
def test_jobs_that_end_and_are_forgotten_while_the_driver_is_stopped(prepared, undisturbed, forgetful, tmp_path):
    runs = [Run(prepared, tmp_path / name, forgetful) for name in ("done", "cancelled")]
    for run in runs:
        run.start()
    jobs = [run.training(validations=1) for run in runs]
    for run in runs:
        os.kill(run.driver.pid, signal.SIGSTOP)
    forgetful.run("scancel", "--signal=KILL", "--full", jobs[1])
    wait_until(lambda: ids(forgetful, "all").isdisjoint(jobs), seconds=300, what="no trace of them", why=runs[0].words)
    for run in runs:
        os.kill(run.driver.pid, signal.SIGCONT)
    for run, job, words in zip(runs, jobs, ("says that it was done", "does not say"), strict=True):
        run.finish()
        assert re.search(rf"SLURM knows no more of job {job}, .* {words}", (run.folder / "driver.log").read_text())
        assert weights(run.folder) == undisturbed
    assert "going on from validation" not in (runs[0].folder / LOG).read_text()
    assert "going on from validation" in (runs[1].folder / LOG).read_text()


@pytest.mark.slow
def test_a_driver_may_itself_be_a_job(prepared, undisturbed, cluster, tmp_path):
    run = Run(prepared, tmp_path / "study", cluster)
    words = shlex.join(snakemake_command(run.folder, TRAIN, *QUICK, profile="slurm"))
    how = ["--parsable", "--mem=1000", f"--chdir={ROOT}", f"--output={run.folder}/driver.log"]
    driver = cluster.run("sbatch", *how, f"--wrap={words}").strip()
    alive = "pending,running,completing"
    wait_until(lambda: driver not in ids(cluster, alive), seconds=LONGEST, what="its end", why=run.words)
    assert cluster.details(driver)["JobState"] == "COMPLETED", run.words()
    assert weights(run.folder) == undisturbed


@pytest.mark.slow
def test_outputs_that_appear_after_the_job_has_ended_are_waited_for(prepared, undisturbed, cluster, tmp_path):
    """As on a shared file system that is slow to show them."""
    run, sign = Run(prepared, tmp_path / "study", cluster), tmp_path / "sign"
    run.start(environment=with_squeue(cluster, tmp_path / "bin", HASTY, sign=sign))
    run.training()
    trainings = run.processes()
    for process in trainings:
        process.suspend()
    sign.touch()
    wait_until(lambda: "Waiting at most 60 seconds for missing files" in run.words(), seconds=90, what="it to wait")
    for process in trainings:
        process.resume()
    run.finish()
    assert weights(run.folder) == undisturbed


@pytest.mark.slow
def test_a_request_that_no_node_can_meet_is_said_and_holds_nothing_else_up(prepared, cluster, tmp_path):
    run = Run(prepared, tmp_path / "study", cluster)
    other = "results/tiny/traits/B/extremes/labels.parquet"
    run.start("--set-resources", "train_extremes:gpu=5", targets=(TRAIN, other))
    assert run.driver.wait(timeout=LONGEST) == 1
    assert "Requested node configuration is not available" in run.words()
    assert (run.folder / other).is_file() and not (run.folder / TRAIN).exists()
    record = read_json(run.folder / "results/tiny/run.json")
    assert [failure["rule"] for failure in record["failures"]] == ["train_extremes"]


@pytest.mark.slow
def test_jobs_that_wait_for_a_drained_node_are_told(prepared, undisturbed, cluster, tmp_path, monkeypatch):
    run = Run(prepared, tmp_path / "study", cluster)
    cluster.run("scontrol", "update", f"nodename={cluster.host}", "state=drain", "reason=repair")
    run.start()
    wait_until(lambda: ids(cluster, "pending"), seconds=120, what="a job that waits", why=run.words)
    monkeypatch.chdir(run.folder)
    monkeypatch.setenv("PATH", cluster.environment["PATH"])
    watch = Watch(patience=1)
    said = []
    wait_until(lambda: said.extend(watch.look()) or said, seconds=60, what="a word on it", why=run.words)
    print(said)
    assert "SLURM has not started 1 job" in said[0]
    cluster.run("scontrol", "update", f"nodename={cluster.host}", "state=resume")
    run.finish()
    assert weights(run.folder) == undisturbed
