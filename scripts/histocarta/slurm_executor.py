"""Three things that Snakemake's SLURM executor (2.8.0) does not outlast, mended here as long as it does not.

1. A look at the queue that fails as a whole makes it forget all running jobs, and Snakemake waits for them for ever
   (a controller that restarts; snakemake-executor-plugin-slurm#207). Who was neither kept nor seen to end is kept.
2. ``sacct`` says «CANCELLED by 1000» of a cancelled job, which it takes for a running one.
3. A submission that finds no controller fails at once, and so do its retries. It is tried again for ten minutes.
"""

import re
import threading
from collections import Counter
from typing import Any

import snakemake_executor_plugin_slurm as plugin

NO_CONTROLLER = "Unable to contact slurm controller"
WAIT, TRIES = 15.0, 40  # seconds between submissions, and how many


def mend(executor: type = plugin.Executor, *, wait: float = WAIT) -> None:
    """Change ``executor``'s methods in place, once per process; ``wait`` in seconds."""
    if hasattr(executor, "mended"):
        return
    executor.mended = True
    _keep_unseen_jobs(executor)
    _submit_again(executor, wait=wait)
    _read_cancelled()


def _keep_unseen_jobs(executor: type) -> None:
    look, succeed, fail = executor.check_active_jobs, executor.report_job_success, executor.report_job_error
    ended: set[str | None] = set()  # SLURM's numbers

    def report_job_success(self: Any, job_info: Any) -> None:
        ended.add(job_info.external_jobid)
        succeed(self, job_info)

    def report_job_error(self: Any, job_info: Any, *arguments: Any, **options: Any) -> None:
        ended.add(job_info.external_jobid)
        fail(self, job_info, *arguments, **options)

    async def check_active_jobs(self: Any, active_jobs: list) -> Any:
        kept = set()
        async for job in look(self, active_jobs):
            kept.add(job.external_jobid)
            yield job
        for job in active_jobs:
            if job.external_jobid not in kept | ended:
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


def _read_cancelled() -> None:
    ask = plugin.query_job_status

    async def query_job_status(command: str, logger: Any) -> tuple[dict[str, str] | None, float | None]:
        states, seconds = await ask(command, logger)
        return states and {job: re.sub(r" by \d+$", "", state) for job, state in states.items()}, seconds

    plugin.query_job_status = query_job_status
