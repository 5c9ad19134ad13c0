"""What all tests share: where the real data is, and that a run told to skip nothing fails where something was."""

import os
from pathlib import Path

import pytest


@pytest.fixture
def real_data() -> Path:
    """The folder with real slides and tables, named by REAL_DATA."""
    if not os.environ.get("REAL_DATA"):
        pytest.skip("REAL_DATA is not set: it names the folder with real slides and tables")
    return Path(os.environ["REAL_DATA"])


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """With SKIP_NOTHING set a skipped test fails the run: CI has all that tests may need."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("SKIP_NOTHING") and reporter.stats.get("skipped") and exitstatus == 0:
        reporter.write_line("Expected no test to be skipped (SKIP_NOTHING is set)", red=True)
        session.exitstatus = 1
