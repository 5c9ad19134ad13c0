"""One writer at a time, and whoever comes second learns who the first is."""

import os
import subprocess
import sys

import pytest
from histocarta.locks import only_writer

HOLD = """
import sys
from histocarta.locks import only_writer
with only_writer(sys.argv[1], busy="it waits"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_writer_is_told_who_holds_the_lock(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    lock = tmp_path / "state" / "lock"
    held = rf"M-LOCK .*state is held by process {os.getpid()} on .*, SLURM job 7: it trains\. Wait for it to end"
    with only_writer(lock, busy="it trains"):
        with pytest.raises(RuntimeError, match=held), only_writer(lock, busy="it trains"):
            pytest.fail("the lock was given twice")
        assert lock.exists()
    assert not lock.exists()
    with only_writer(lock, busy="it trains"):
        pass


def test_a_killed_holder_leaves_no_lock(tmp_path):
    lock = tmp_path / "lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(RuntimeError, match=f"held by process {holder.pid} "), only_writer(lock, busy="it waits"):
        pytest.fail("the lock was given twice")
    holder.kill()
    holder.wait()
    assert lock.exists()  # the file, which nobody holds
    with only_writer(lock, busy="it waits"):
        pass


def test_an_error_frees_the_lock(tmp_path):
    with pytest.raises(KeyError), only_writer(tmp_path / "lock", busy=""):
        raise KeyError
    with only_writer(tmp_path / "lock", busy=""):
        pass
