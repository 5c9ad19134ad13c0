"""Snakemake processes at work in a folder: a note of each, and what a killed one has left, its lock and live jobs.

Snakemake's lock says nothing of its holder, so that after a kill -9 every run ends with «directory cannot be locked»
until somebody says ``--unlock``: also where jobs of the killed run are still at work, which would then run twice.
"""

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil

from histocarta.errors import InputError
from histocarta.files import read_json, write_json

NOTES = Path("state/drivers")
HOME = Path(".snakemake")


def note_driver() -> None:
    """Write down that this process works in the folder; :func:`forget_driver` at its end."""
    own = psutil.Process()
    write_json({"host": socket.gethostname(), "pid": own.pid, "created": own.create_time()}, _note())


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
    if not notes or any(_lives(read_json(note)) for note in notes):
        return ""
    if locks and max(path.stat().st_mtime for path in locks) > max(note.stat().st_mtime for note in notes):
        return ""
    at_work = [*_orphans(), *_queued()]
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


def _queued() -> Iterator[str]:
    """SLURM's jobs that Snakemake has marked as begun and that wait or run."""
    marks = [path for path in (HOME / "incomplete").rglob("*") if path.is_file() and path.stat().st_size]
    jobs = {str(job) for path in marks if (job := json.loads(path.read_text()).get("external_jobid"))}
    if not jobs or not shutil.which("squeue"):
        return
    asked = subprocess.run(["squeue", "--me", "--noheader", "--format=%i"], capture_output=True, text=True, timeout=60)
    if asked.returncode:
        raise InputError(
            f"W-RUNNING Expected squeue to say whether jobs {', '.join(sorted(jobs))} of the killed run are still at "
            f"work, found {asked.stderr.strip()!r}; start again when SLURM answers"
        )
    yield from (f"SLURM job {job}" for job in asked.stdout.split() if job.split("_")[0] in jobs)
