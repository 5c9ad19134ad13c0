"""SLURM's own troubles: a controller that is away, a queue that does not answer, nodes that take no job."""

import os
import time

import pytest
from cluster_runs import LOG, TRAIN, Run, ids, weights
from histocarta.files import read_json
from histocarta.slurm_executor import NO_CONTROLLER
from histocarta.slurm_queue import Watch
from slurm_kit import wait_until
from workflow_kit import LONGEST

AWAY = 60  # seconds
POLLS = 20  # in vain
# squeue that fails so many times before it answers.
FAILING = """#!/bin/sh
echo >>{count}
if [ $(wc -l <{count}) -le {polls} ]; then exit 1; fi
exec {squeue} "$@"
"""


@pytest.mark.slow
def test_a_minute_without_a_controller_and_twenty_failing_polls_lose_no_job(prepared, undisturbed, cluster, tmp_path):
    count, shim = tmp_path / "count", tmp_path / "bin" / "squeue"
    shim.parent.mkdir()
    shim.write_text(FAILING.format(count=count, polls=POLLS, squeue=cluster.run("which", "squeue").strip()))
    shim.chmod(0o755)
    path = f"{shim.parent}{os.pathsep}{cluster.environment['PATH']}"
    runs = [Run(prepared, tmp_path / name, cluster) for name in ("training", "polls", "submission")]
    runs[0].start()
    runs[1].start(environment=cluster.environment | {"PATH": path})
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
