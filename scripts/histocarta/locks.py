"""Who may write: one process at a time, and how a second one learns who the first is."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


@contextmanager
def only_writer(lock: str | Path, *, busy: str) -> Iterator[None]:
    """Hold the lock file ``lock`` while the block runs; RuntimeError that names the holder where another has it.

    The kernel frees the lock when its process dies, however it dies. Needed because a job can outlive its driver: a
    rerun would then start a second writer beside the first. ``busy`` says what the other one does.
    """
    lock = Path(lock)
    lock.parent.mkdir(parents=True, exist_ok=True)
    with _locked(lock, busy=busy) as stream:
        stream.truncate(0)
        job = f", SLURM job {os.environ['SLURM_JOB_ID']}" if "SLURM_JOB_ID" in os.environ else ""
        stream.write(f"process {os.getpid()} on {socket.gethostname()}{job}\n")
        stream.flush()
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def _locked(lock: Path, *, busy: str) -> TextIO:
    """The lock file, opened and locked. One that its last holder has just deleted is no lock: the next is tried."""
    while True:
        stream = lock.open("a+", encoding="utf-8")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with stream:
                stream.seek(0)
                raise RuntimeError(
                    f"M-LOCK {lock.parent} is held by {stream.read().strip()}: {busy}. "
                    "Wait for it to end, or end it, and start again."
                ) from None
        if lock.exists() and lock.stat().st_ino == os.fstat(stream.fileno()).st_ino:
            return stream
        stream.close()
