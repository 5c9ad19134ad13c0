"""Whether a killed run's lock is told from a living one's."""

import os
import subprocess
import sys
import time

import pytest
from histocarta.drivers import HOME, NOTES, clear_dead_lock, forget_driver, note_driver
from histocarta.errors import InputError
from histocarta.files import read_json, write_json


@pytest.fixture
def lock(tmp_path, monkeypatch):
    """A lock file of Snakemake's in the working folder."""
    monkeypatch.chdir(tmp_path)
    file = HOME / "locks" / "0.input.lock"
    file.parent.mkdir(parents=True)
    file.write_text("results/a\n")
    return file


@pytest.fixture
def killed(lock):
    """The note of a run that is no more."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    note_driver(executor="local")
    (own,) = NOTES.iterdir()
    note = NOTES / "killed.json"
    write_json(read_json(own) | {"pid": ended.pid}, note)
    own.unlink()
    return note


def test_a_killed_runs_lock_is_cleared_and_said(lock, killed):
    assert clear_dead_lock() == "a run in this folder was killed: its lock is cleared, what was half done is done again"
    assert not lock.exists() and not killed.exists()
    assert clear_dead_lock() == ""


def test_a_living_runs_lock_stays(lock, killed):
    note_driver(executor="local")
    assert clear_dead_lock() == "" and lock.exists()
    forget_driver()
    assert clear_dead_lock() != "" and not lock.exists()


def test_a_number_that_went_to_another_process_is_not_the_run(lock, killed):
    write_json(read_json(killed) | {"pid": os.getpid(), "created": 1.0}, killed)
    assert clear_dead_lock() != ""


def test_another_machines_run_is_left_to_the_user(lock, killed):
    write_json(read_json(killed) | {"host": "login-2"}, killed)
    assert clear_dead_lock() == "" and lock.exists()


def test_a_lock_younger_than_all_notes_belongs_to_a_run_that_is_just_beginning(lock, killed):
    os.utime(lock, (time.time() + 9,) * 2)
    assert clear_dead_lock() == "" and lock.exists()


def test_a_process_of_the_killed_run_stops_the_next(lock, killed):
    script = (HOME / "scripts" / "tmp1.train.py").absolute()
    script.parent.mkdir()
    script.write_text("import time; print(flush=True); time.sleep(60)")
    orphan = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE)
    orphan.stdout.readline()
    with pytest.raises(
        InputError, match=f"^W-RUNNING .* found at work: process {orphan.pid}; wait for them, or end them"
    ):
        clear_dead_lock()
    assert lock.exists() and killed.exists()
    orphan.kill()
    orphan.wait()
    assert clear_dead_lock() != ""


@pytest.mark.parametrize(
    ("squeue", "said"),
    [
        (
            'echo "12|$RUN|RUNNING|$PWD|None"; echo "77|$RUN|RUNNING|/else|None"; echo "78|mine|PENDING|$PWD|None"',
            "found at work: SLURM job 12; wait",
        ),
        ("echo no controller >&2; exit 1", "found 'no controller'; start again when SLURM answers"),
        ('echo "77|$RUN|RUNNING|/elsewhere|None"', None),
    ],
)
def test_slurm_jobs_of_the_killed_run_stop_the_next(lock, killed, monkeypatch, tmp_path, squeue, said):
    write_json(read_json(killed) | {"executor": "slurm"}, killed)
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "squeue"
    command.write_text(f"#!/bin/sh\n{squeue}\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("RUN", "3082a73e-1111-4222-8333-123456789abc")
    if said:
        with pytest.raises(InputError, match=said):
            clear_dead_lock()
        assert lock.exists()
    else:
        assert clear_dead_lock() != ""
