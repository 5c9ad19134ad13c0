"""What SLURM's queue says of the jobs that Snakemake submitted from this folder.

Snakemake waits without a word for a job that cannot start (a drained node, a partition that is down, a limit reached);
:class:`Watch` says so.
"""

import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

_RUN = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")  # a run's UUID, the name of its jobs
_USUAL = {"None", "Priority", "Resources", "Dependency", "BeginTime"}  # a busy cluster, and a job begun again
PATIENCE, EVERY = 600, 60  # seconds


class QueuedJob(NamedTuple):
    """A job's number, its state (``PENDING``, ``RUNNING`` …) and why it is in that state."""

    number: str
    state: str
    reason: str


class QueueError(Exception):
    """squeue did not answer; its words."""


def queued_jobs() -> list[QueuedJob]:
    """Jobs of Snakemake's, submitted from the working folder, that SLURM has not ended. Raises QueueError.

    By their folder and their name: what Snakemake notes of a job's number is overwritten by the job.
    """
    fields = [line.rsplit("|", 4) for line in _asked("%i|%j|%T|%Z|%r")]
    here = str(Path.cwd())
    return [
        QueuedJob(number, state, reason)
        for number, name, state, folder, reason in fields
        if _RUN.fullmatch(name) and folder == here
    ]


def own_numbers() -> set[str]:
    """Numbers of all jobs of this user that SLURM has not ended, wherever they were submitted. Raises QueueError."""
    return set(_asked("%i"))


def _asked(form: str) -> list[str]:
    command = ["squeue", "--me", "--noheader", f"--format={form}"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise QueueError(str(error)) from error
    if asked.returncode:
        raise QueueError(asked.stderr.strip())
    return asked.stdout.splitlines()


class Watch:
    """Looks at the queue now and then and says, once per reason, that jobs wait for more than the cluster's turn."""

    def __init__(self, *, patience: float = PATIENCE, clock: Callable[[], float] = time.monotonic) -> None:
        self.patience, self.clock = patience, clock
        self.since: dict[tuple[str, str], float] = {}  # (job, reason) → when it was first seen to wait for it
        self.said: set[str] = set()

    def look(self) -> list[str]:
        """What there is to say now. A queue that does not answer says nothing: Snakemake asks it again as well."""
        try:
            waiting = {
                (job.number, job.reason)
                for job in queued_jobs()
                if job.state == "PENDING" and _kind(job.reason) not in _USUAL
            }
        except QueueError:
            return []
        now = self.clock()
        self.since = {job: self.since.get(job, now) for job in waiting}
        late = [job for job, since in self.since.items() if now - since >= self.patience]
        return [
            self._tell(kind, [job for job in late if _kind(job[1]) == kind])
            for kind in sorted({_kind(reason) for _, reason in late} - self.said)
        ]

    def start(self) -> None:
        """Look every minute and say it on stderr, beside the work of this process and no longer than that."""
        threading.Thread(target=self._keep_looking, daemon=True, name="queue watch").start()

    def _keep_looking(self) -> None:
        while True:
            time.sleep(EVERY)
            for line in self.look():
                print(line, file=sys.stderr, flush=True)

    def _tell(self, kind: str, jobs: list[tuple[str, str]]) -> str:
        self.said.add(kind)
        numbers = sorted(number for number, _ in jobs)
        return (
            f"SLURM has not started {len(jobs)} job{'s' * (len(jobs) > 1)} in {self.patience / 60:.0f} minutes: "
            f"{jobs[0][1]} (job {numbers[0]}{' and others' if len(jobs) > 1 else ''}). They wait on; "
            f"`scontrol show job {numbers[0]}` and `sinfo --list-reasons` say more"
        )


def _kind(reason: str) -> str:
    """The first word of a reason: what follows names nodes."""
    return re.split(r"[\s,(:]", reason, maxsplit=1)[0]
