"""Snakemake processes at work in a folder: a note of each, and what a killed one has left, its lock and live jobs.

Snakemake's lock says nothing of its holder, so that after a kill -9 every run ends with «directory cannot be locked»
until somebody says ``--unlock``: also where jobs of the killed run are still at work, which would then run twice.
"""

import socket
from collections.abc import Iterator
from pathlib import Path

import psutil

from histocarta.errors import InputError
from histocarta.files import read_json, write_json
from histocarta.slurm_queue import QueueError, queued_jobs

NOTES = Path("state/drivers")
HOME = Path(".snakemake")


def note_driver(*, executor: str) -> None:
    """Write down that this process works in the folder, and how (local, slurm); :func:`forget_driver` at its end."""
    own = psutil.Process()
    note = {"host": socket.gethostname(), "pid": own.pid, "created": own.create_time(), "executor": executor}
    write_json(note, _note())


def forget_driver() -> None:
    """Take the note of this process away."""
    _note().unlink(missing_ok=True)


def clear_dead_lock() -> str:
    """Remove Snakemake's lock where its holder was killed, and say so; an empty string where there is nothing to do.

    Raises InputError where jobs of the killed run are still at work, on this machine or on SLURM. Nothing is done while
    any noted process lives or is another machine's, or where a lock is younger than all notes: its holder has no note
    yet.
    """
    notes = sorted(NOTES.glob("*.json"))
    locks = [path for path in (HOME / "locks").glob("*") if path.is_file()]
    drivers = [read_json(note) for note in notes]
    if not drivers or any(map(_lives, drivers)):
        return ""
    if locks and max(path.stat().st_mtime for path in locks) > max(note.stat().st_mtime for note in notes):
        return ""
    at_work = list(_orphans())
    if any(driver["executor"] == "slurm" for driver in drivers):
        at_work += _still_queued()
    if at_work:
        raise InputError(
            f"W-RUNNING Expected no job of the run that was killed, found at work: {', '.join(at_work)}; wait for "
            "them, or end them (kill, scancel), and start again"
        )
    for path in (*locks, *notes):
        path.unlink()
    return "a run in this folder was killed: its lock is cleared, what was half done is done again" if locks else ""


def _note() -> Path:
    return NOTES / f"{socket.gethostname()}-{psutil.Process().pid}.json"


def _lives(note: dict) -> bool:
    """Whether the noted process is still there, as far as this machine can tell."""
    if note["host"] != socket.gethostname():
        return True
    try:
        process = psutil.Process(note["pid"])
        same = abs(process.create_time() - note["created"]) < 2  # seconds: else its number went to another process
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _orphans() -> Iterator[str]:
    """Processes of this machine that run a rule's script in this folder."""
    here, marks = str(Path.cwd()), str(HOME / "scripts")
    for process in psutil.process_iter(["cwd", "cmdline"]):
        if process.info["cwd"] == here and any(marks in word for word in process.info["cmdline"] or []):
            yield f"process {process.pid}"


def _still_queued() -> list[str]:
    """Jobs that were submitted from this folder and that SLURM has not ended."""
    try:
        return [f"SLURM job {job.number}" for job in queued_jobs()]
    except QueueError as error:
        raise InputError(
            "W-RUNNING Expected squeue to say whether jobs of the killed run are still at work, "
            f"found {str(error)!r}; start again when SLURM answers"
        ) from error
