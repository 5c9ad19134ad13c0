"""Five things that Snakemake's SLURM executor (2.8.0) does not outlast, mended here as long as it does not.

1. A look at the queue that fails as a whole makes it forget all running jobs, and Snakemake waits for them for ever
   (a controller that restarts; snakemake-executor-plugin-slurm#207). Who was neither kept nor seen to end is kept.
2. ``sacct`` says «CANCELLED by 1000» of a cancelled job, which it takes for a running one.
3. A submission that finds no controller fails at once, and so do its retries. It is tried again for ten minutes.
4. A job that SLURM has forgotten (MinJobAge after its end, where the driver was stopped meanwhile and there is no
   accounting) is waited for without end. Its own log says whether it was done; else it has failed and is run again.
5. It looks ever more seldom, at last every 180 s. A job's end is noticed within a minute and a half here.
"""

import re
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import snakemake_executor_plugin_slurm as plugin

from .slurm_queue import QueueError, own_numbers

NO_CONTROLLER = "Unable to contact slurm controller"
WAIT, TRIES = 15.0, 40  # seconds between submissions, and how many
APART = 80.0  # seconds between two looks at the queue, at most
LOOKS = 2  # that SLURM answers without a word of a job before it counts as forgotten
DONE = re.compile(r"(\d+) of \1 steps \(100%\) done")  # a job's last words


def mend(executor: type = plugin.Executor, *, wait: float = WAIT) -> None:
    """Change ``executor``'s methods in place, once per process; ``wait`` in seconds."""
    if hasattr(executor, "mended"):
        return
    executor.mended = True
    answer = _Answer()
    _keep_unseen_jobs(executor, answer)
    _submit_again(executor, wait=wait)
    _read_states(answer)


class _Answer:
    """What SLURM last said of the jobs."""

    def __init__(self) -> None:
        self.states: dict[str, str] | None = None  # by a job's number; None where it did not answer
        self.silent: Counter[str] = Counter()  # looks in a row that knew nothing of a job, by its number

    def forgotten(self, number: str) -> bool:
        """Whether SLURM knows this job no more: it answered LOOKS times without it, and it is not in the queue."""
        if self.states is None:
            return False
        if not self.states.keys().isdisjoint(plugin._status_lookup_ids(number)):
            self.silent[number] = 0
            return False
        self.silent[number] += 1
        if self.silent[number] < LOOKS:
            return False
        try:
            return number not in own_numbers()
        except QueueError:
            return False


def _keep_unseen_jobs(executor: type, answer: _Answer) -> None:
    look, succeed, fail = executor.check_active_jobs, executor.report_job_success, executor.report_job_error
    ended: set[str | None] = set()  # SLURM's numbers

    def report_job_success(self: Any, job_info: Any) -> None:
        ended.add(job_info.external_jobid)
        succeed(self, job_info)

    def report_job_error(self: Any, job_info: Any, *arguments: Any, **options: Any) -> None:
        ended.add(job_info.external_jobid)
        fail(self, job_info, *arguments, **options)

    async def check_active_jobs(self: Any, active_jobs: list) -> Any:
        async for _ in look(self, active_jobs):
            pass
        self.next_seconds_between_status_checks = min(APART, self.next_seconds_between_status_checks)
        for job in active_jobs:
            if job.external_jobid not in ended:
                if answer.forgotten(job.external_jobid):
                    _end_forgotten(self, job)
                else:
                    yield job

    executor.report_job_success, executor.report_job_error = report_job_success, report_job_error
    executor.check_active_jobs = check_active_jobs


def _submit_again(executor: type, *, wait: float) -> None:
    fail = executor.report_job_error
    refused: Counter[int] = Counter()

    def report_job_error(self: Any, job_info: Any, msg: str | None = None, **options: Any) -> None:
        job = job_info.job
        if job_info.external_jobid is None and NO_CONTROLLER in (msg or "") and refused[id(job)] < TRIES:
            refused[id(job)] += 1
            self.logger.warning(f"SLURM's controller does not answer; job {job.jobid} is submitted again in {wait:g} s")
            again = threading.Timer(wait, self.run_job, [job])
            again.daemon = True
            again.start()
            return
        fail(self, job_info, msg, **options)

    executor.report_job_error = report_job_error


def _end_forgotten(executor: Any, job_info: Any) -> None:
    number, log = job_info.external_jobid, Path(job_info.aux["slurm_logfile"])
    said = f"SLURM knows no more of job {number}, whose end was not seen"
    if log.is_file() and DONE.search(log.read_text(errors="replace")):
        executor.logger.warning(f"{said}; its log says that it was done")
        executor.report_job_success(job_info)
    else:
        executor.report_job_error(job_info, msg=f"{said}; its log does not say that it was done", aux_logs=[str(log)])


def _read_states(answer: _Answer) -> None:
    ask = plugin.query_job_status

    async def query_job_status(command: str, logger: Any) -> tuple[dict[str, str] | None, float | None]:
        states, seconds = await ask(command, logger)
        answer.states = states and {job: re.sub(r" by \d+$", "", state) for job, state in states.items()}
        return answer.states, seconds

    plugin.query_job_status = query_job_status
