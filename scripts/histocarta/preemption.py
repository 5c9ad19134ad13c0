"""What a training job does when SLURM tells it to go: it waits, for one that ends by itself is not queued again."""

import os
import signal
import sys
import threading
from types import FrameType


def outlast_sigterm() -> None:
    """From now on SIGTERM stops the work of a SLURM job, and the process waits for SIGKILL; elsewhere nothing changes.

    SLURM sends SIGTERM first (preemption with a grace time, time limit, scancel) and SIGKILL later. A job that ends in
    between is FAILED; one that is killed is PREEMPTED and requeued. Nothing need be saved: every validation was.
    """
    if "SLURM_JOB_ID" in os.environ and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _wait)


def _wait(number: int, frame: FrameType | None) -> None:
    print("SIGTERM: stopped; the next start goes on from the last validation", file=sys.stderr, flush=True)
    while True:
        signal.pause()
