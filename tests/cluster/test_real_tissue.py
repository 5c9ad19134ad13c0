"""The small real study through the cluster: the driver and all its jobs killed on the way, and started again."""

import os
import signal
import subprocess
import sys
from collections import Counter

import pytest
import yaml
from histocarta.files import read_json
from slurm_kit import QUICK, wait_until
from workflow_kit import ROOT, finished_jobs, snakemake, start_snakemake


@pytest.mark.slow
def test_the_small_real_study_is_killed_and_goes_on_to_its_report(cluster, real_data, tmp_path):
    command = [sys.executable, "-m", "histocarta.her2st", "--data", real_data.absolute(), "--small"]
    subprocess.run([*map(str, command), "--output", "data/her2st-small"], cwd=tmp_path, check=True)
    study = yaml.safe_load((ROOT / "config" / "her2st-small.yaml").read_text())
    for task in study["tasks"].values():
        task.setdefault("training", {})["require_gpu"] = False  # the cards are fake
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    results, how = tmp_path / "results" / "her2st-small", {"profile": "slurm", "environment": cluster.environment}

    def validated():
        return any("round 2, step" in log.read_text() for log in (results / "logs" / "train").rglob("*.log"))

    with (tmp_path / "killed.log").open("w+") as words:
        driver = start_snakemake(tmp_path, *QUICK, words=words, **how)
        wait_until(
            lambda: validated() or driver.poll() is not None, seconds=900, what="a second round", why=cluster.why
        )
        os.killpg(driver.pid, signal.SIGKILL)
        driver.wait()
        cluster.run("scancel", "--user", "root", "--signal=KILL", "--full")
        wait_until(lambda: not cluster.jobs("pending,running,completing"), seconds=60, what="an empty queue")
        words.seek(0)
        before = finished_jobs(words.read())
    code, text = snakemake(tmp_path, *QUICK, **how)
    assert code == 0, text[-10000:]
    assert "its lock is cleared" in text
    assert [job for job, times in Counter(before + finished_jobs(text)).items() if times > 1] == []
    assert read_json(results / "run.json")["code"] == 0 and (results / "report.html").stat().st_size > 1e6
    trained = [log.read_text() for log in (results / "logs" / "train").rglob("*.log")]
    assert any("going on from validation" in log for log in trained)
