"""What the mended SLURM executor outlasts."""

import asyncio
import logging
from types import SimpleNamespace

import pytest
import snakemake_executor_plugin_slurm as plugin
from histocarta import slurm_executor
from histocarta.slurm_executor import LOOKS, NO_CONTROLLER, TRIES, mend
from histocarta.slurm_queue import QueueError
from slurm_kit import wait_until


def submitted(number, log="none.log"):
    return SimpleNamespace(external_jobid=number, job=SimpleNamespace(jobid=7), aux={"slurm_logfile": log})


@pytest.fixture
def executor(monkeypatch):
    """An executor of the plugin's shape whose looks at the queue the test writes."""
    monkeypatch.setattr(plugin, "query_job_status", plugin.query_job_status)  # is put back

    class Executor:
        logger = logging.getLogger("executor")

        def __init__(self):
            self.looks, self.succeeded, self.failed, self.submissions = [], [], [], 0
            self.says = "false"  # a command that asks SLURM
            self.next_seconds_between_status_checks = 40

        async def check_active_jobs(self, active_jobs):
            await plugin.query_job_status(self.says, self.logger)
            self.next_seconds_between_status_checks = min(self.next_seconds_between_status_checks + 10, 180)
            for job, what in zip(active_jobs, self.looks.pop(0), strict=True):
                if what == "running":
                    yield job
                elif what == "done":
                    self.report_job_success(job)
                elif what == "failed":
                    self.report_job_error(job, msg="it failed", aux_logs=[])

        def report_job_success(self, job_info):
            self.succeeded.append(job_info.external_jobid)

        def report_job_error(self, job_info, msg=None, **options):
            self.failed.append((job_info.external_jobid, msg, options))

        def run_job(self, job):
            self.submissions += 1
            self.report_job_error(
                SimpleNamespace(external_jobid=None, job=job), f"SLURM sbatch failed. {NO_CONTROLLER}"
            )

    mend(Executor, wait=0.001)
    return Executor()


async def looked(executor, jobs):
    return [job.external_jobid async for job in executor.check_active_jobs(jobs)]


def test_a_look_that_fails_as_a_whole_loses_no_job(executor):
    jobs = [submitted("1"), submitted("2")]
    executor.looks = [["unseen", "unseen"], ["running", "unseen"]]
    assert asyncio.run(looked(executor, jobs)) == ["1", "2"]
    assert asyncio.run(looked(executor, jobs)) == ["1", "2"]
    assert executor.succeeded == executor.failed == []


@pytest.mark.parametrize(
    ("words", "done"),
    [
        ("1 of 1 steps (100%) done", True),
        ("12 of 12 steps (100%) done\nComplete log: x", True),
        ("1 of 12 steps (8%) done", False),
        ("", False),
        (None, False),  # no log
    ],
)
def test_a_job_that_slurm_forgot_ends_as_its_log_says(executor, tmp_path, monkeypatch, words, done):
    monkeypatch.setattr(slurm_executor, "own_numbers", lambda: {"9"})
    executor.says = "echo '9|RUNNING'"
    if words is not None:
        (tmp_path / "7.log").write_text(words)
    jobs = [submitted("7", tmp_path / "7.log"), submitted("9")]
    executor.looks = [["running", "running"]] * LOOKS
    looks = [asyncio.run(looked(executor, jobs)) for _ in range(LOOKS)]
    assert looks == [["7", "9"]] * (LOOKS - 1) + [["9"]]
    assert executor.succeeded == ["7"] * done
    assert [number for number, *_ in executor.failed] == ["7"] * (not done)


def test_a_job_is_forgotten_only_where_slurm_says_so(executor, monkeypatch):
    """Not where its queue holds the job or does not answer, and looks are counted in a row."""
    queue = [{"7"}, QueueError("away")]

    def own_numbers():
        answer = queue.pop(0)
        if isinstance(answer, QueueError):
            raise answer
        return answer

    monkeypatch.setattr(slurm_executor, "own_numbers", own_numbers)
    silent = ["true"] * (LOOKS - 1)
    for says in [*silent, "echo '7|RUNNING'", *silent, "false", "true", "true"]:
        executor.says, executor.looks = says, [["running"]]
        assert asyncio.run(looked(executor, [submitted("7")])) == ["7"]
    assert queue == executor.succeeded == executor.failed == []


def test_an_end_is_noticed_within_a_minute_and_a_half(executor):
    waits = []
    for _ in range(20):
        executor.looks = [["running"]]
        asyncio.run(looked(executor, [submitted("1")]))
        waits.append(executor.next_seconds_between_status_checks)
    assert waits[:3] == [50, 60, 70] and max(waits) == waits[-1] == 80


def test_jobs_that_ended_are_not_kept(executor):
    executor.looks = [["done", "failed", "running"]]
    assert asyncio.run(looked(executor, [submitted("1"), submitted("2"), submitted("3")])) == ["3"]
    assert executor.succeeded == ["1"]
    assert executor.failed == [("2", "it failed", {"aux_logs": []})]


def test_a_submission_without_a_controller_is_tried_again_and_fails_in_the_end(executor):
    executor.run_job(SimpleNamespace(jobid=7))
    wait_until(lambda: executor.failed, seconds=30, what="the end of the tries")
    assert executor.submissions == TRIES + 1
    assert NO_CONTROLLER in executor.failed[0][1]


def test_other_submission_errors_fail_at_once(executor):
    executor.report_job_error(SimpleNamespace(external_jobid=None, job=submitted(None).job), "Invalid account")
    assert [failure[1] for failure in executor.failed] == ["Invalid account"]


@pytest.mark.parametrize(("said", "state"), [("CANCELLED by 1000", "CANCELLED"), ("RUNNING", "RUNNING")])
def test_a_cancelled_job_is_known_by_sacct(executor, said, state):
    states, _ = asyncio.run(plugin.query_job_status(f"echo '7|{said}'", executor.logger))
    assert states == {"7": state}
    assert asyncio.run(plugin.query_job_status("false", executor.logger)) == (None, None)


def test_the_plugin_has_what_is_mended():
    """Its names are looked up here, so that an update that moves them is noticed."""
    names = ("check_active_jobs", "report_job_success", "report_job_error", "run_job")
    assert isinstance(plugin.Executor.next_seconds_between_status_checks, property)
    assert all(callable(getattr(plugin.Executor, name)) for name in names)
    assert plugin.Executor.check_active_jobs.__globals__["query_job_status"] is plugin.query_job_status
    assert slurm_executor.plugin is plugin
