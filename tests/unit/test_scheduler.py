"""Snakemake's scheduler chooses again where something can have changed, and not once a second per finished job."""

import inspect
import subprocess
import sys
import threading
import time

from histocarta.scheduler import rest_between_choices
from snakemake.scheduling.job_scheduler import JobRateLimiter, JobScheduler
from snakemake.settings.types import MaxJobsPerTimespan

STUDY = """
from histocarta.scheduler import rest_between_choices

onstart:
    if config["mended"] == "yes":
        rest_between_choices(workflow.scheduler)
    choose = workflow.scheduler.job_selector
    def counted(jobs):
        with open("choices", "a") as file:
            file.write("x")
        return choose(jobs)
    workflow.scheduler.job_selector = counted

rule all:
    input: "slow", "beside"

rule slow:
    input: [f"quick/{i}" for i in range(12)]
    output: "slow"
    priority: 10
    resources: one=1
    shell: "sleep 3; touch {output}"

rule quick:
    output: "quick/{i}"
    shell: "touch {output}"

rule beside:
    input: [f"quick/{i}" for i in range(12)]
    output: "beside"
    resources: one=1
    shell: "touch {output}"
"""


class Plain:
    """What the mended method needs of a scheduler."""

    def __init__(self, jobs):
        self.job_rate_limiter = JobRateLimiter(MaxJobsPerTimespan.parse_choice(f"{jobs}/1s"))
        self._open_jobs = threading.Semaphore(0)
        self.asked = []

    def _schedule_reevalutation(self, delay):
        self.asked.append(delay)


def test_snakemake_is_the_one_that_was_mended():
    """Where Snakemake changes what is mended here, this says so."""
    assert "_schedule_reevalutation(self.job_rate_limiter.timespan)" in inspect.getsource(JobScheduler.schedule)


def test_nothing_is_asked_for_where_the_limit_holds_nothing_back():
    scheduler = Plain(5)
    rest_between_choices(scheduler)
    scheduler._schedule_reevalutation(1)
    time.sleep(1.2)
    assert not scheduler._open_jobs.acquire(blocking=False) and scheduler.asked == []


def test_a_limit_that_is_reached_asks_once_when_its_time_is_over():
    scheduler = Plain(5)
    rest_between_choices(scheduler)
    scheduler.job_rate_limiter.register_jobs(5)
    for _ in range(20):
        scheduler._schedule_reevalutation(1)
    assert scheduler._open_jobs.acquire(timeout=5)
    assert not scheduler._open_jobs.acquire(timeout=0.3)
    scheduler.job_rate_limiter.register_jobs(5)
    scheduler._schedule_reevalutation(1)
    assert scheduler._open_jobs.acquire(timeout=5)  # and again


def test_other_waits_are_snakemakes_own():
    scheduler = Plain(5)
    rest_between_choices(scheduler)
    scheduler._schedule_reevalutation(10)
    assert scheduler.asked == [10]


def test_a_run_is_done_with_a_few_choices(tmp_path):
    """A slow job and one that must wait for it: unmended, every job before them adds a choice per second."""
    (tmp_path / "Snakefile").write_text(STUDY)
    counts = {}
    for mended in ("no", "yes"):
        command = [sys.executable, "-m", "snakemake", "--forceall", "--cores", "2"]
        command += ["--resources", "one=1", "--config", f"mended={mended}"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        counts[mended] = len((tmp_path / "choices").read_text())
        (tmp_path / "choices").unlink()
    assert counts["yes"] * 2 < counts["no"], counts
