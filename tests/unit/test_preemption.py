"""What SIGTERM does to a training job."""

import os
import signal
import subprocess
import sys

import pytest

JOB = """
import time
from histocarta.preemption import outlast_sigterm
outlast_sigterm()
print("at work", flush=True)
while True:
    time.sleep(0.05)
    print("step", flush=True)
"""


@pytest.fixture
def job():
    """Starts the job, with or without SLURM's variable, and kills it in the end."""
    started = []

    def start(**variables):
        environment = {name: value for name, value in os.environ.items() if name != "SLURM_JOB_ID"} | variables
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment}
        started.append(subprocess.Popen([sys.executable, "-c", JOB], **pipes))
        assert started[-1].stdout.readline() == "at work\n"
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_under_slurm_it_stops_and_waits_for_sigkill(job):
    process = job(SLURM_JOB_ID="7")
    process.send_signal(signal.SIGTERM)
    assert process.stderr.readline() == "SIGTERM: stopped; the next start goes on from the last validation\n"
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=1)
    process.kill()
    assert process.wait() == -signal.SIGKILL


def test_elsewhere_it_ends(job):
    process = job()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == -signal.SIGTERM
