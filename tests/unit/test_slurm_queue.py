"""What is said of jobs that SLURM does not start."""

import os
from pathlib import Path

import pytest
from histocarta.slurm_queue import QueuedJob, QueueError, Watch, queued_jobs

RUN = "3082a73e-1111-4222-8333-123456789abc"


@pytest.fixture
def squeue(tmp_path, monkeypatch):
    """Stands in for squeue: what it is told to answer."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")

    def answer(*lines, code=0):
        (tmp_path / "answer").write_text("".join(f"{line}\n" for line in lines))
        command = tmp_path / "bin" / "squeue"
        command.write_text(f"#!/bin/sh\ncat {tmp_path}/answer{' >&2' if code else ''}\nexit {code}\n")
        command.chmod(0o755)

    return answer


def line(number, reason, *, state="PENDING", folder=None, name=RUN):
    return f"{number}|{name}|{state}|{folder or Path.cwd()}|{reason}"


def test_only_this_folders_runs_are_asked_for(squeue):
    squeue(line(1, "None", state="RUNNING"), line(2, "Priority", folder="/elsewhere"), line(3, "None", name="mine"))
    assert queued_jobs() == [QueuedJob("1", "RUNNING", "None")]


def test_a_queue_that_does_not_answer_is_an_error_and_nothing_to_say(squeue):
    squeue("slurm_load_jobs error: Unable to contact slurm controller", code=1)
    with pytest.raises(QueueError, match="Unable to contact"):
        queued_jobs()
    assert Watch(patience=0).look() == []


def test_jobs_that_cannot_start_are_named_once_after_the_patience(squeue):
    times = iter([0.0, 599.0, 600.0, 700.0, 800.0])
    watch = Watch(clock=lambda: next(times))
    nodes = "ReqNodeNotAvail, UnavailableNodes:n[1-4]"
    squeue(line(7, nodes), line(8, nodes), line(9, "Resources"), line(10, "None", state="RUNNING"))
    assert watch.look() == watch.look() == []
    (said,) = watch.look()
    assert said.startswith(f"SLURM has not started 2 jobs in 10 minutes: {nodes} (job 7 and others).")
    assert watch.look() == watch.look() == []


def test_a_job_that_starts_in_time_is_not_named(squeue):
    times = iter([0.0, 300.0, 700.0, 1000.0])
    watch = Watch(clock=lambda: next(times))
    squeue(line(7, "PartitionDown"))
    assert watch.look() == []
    squeue(line(7, "None", state="RUNNING"))
    assert watch.look() == []
    squeue(line(7, "PartitionDown"))  # requeued: its waiting begins again
    assert watch.look() == watch.look() == []
