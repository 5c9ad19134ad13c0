"""One SLURM for all tests of this folder. It is started as root only: fake devices need mknod."""

import os
import tempfile
from pathlib import Path

import pytest
from slurm_kit import STANDARD, cluster_in, missing


@pytest.fixture(scope="session")
def cluster():
    """A cluster of one node with two fake GPUs."""
    if lacking := missing():
        pytest.skip(f"not installed: {', '.join(lacking)} (Debian: slurm-wlm munge)")
    if os.geteuid() != 0:
        pytest.skip("only root can make the fake GPUs")
    if STANDARD.exists():
        pytest.skip(f"this machine has a cluster of its own: {STANDARD}")
    STANDARD.unlink(missing_ok=True)  # a link that a killed test left
    # A short path: munge's socket has at most 107 letters.
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder, cluster_in(Path(folder)) as running:
        yield running
