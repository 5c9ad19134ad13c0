"""A run killed at random points, whole or its driver alone, and started again: same bytes, and nothing done twice."""

import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import time
import zipfile
from collections import Counter

import pytest
import yaml
from workflow_kit import finished_jobs, simulate_study, snakemake, start_snakemake

# `make soak` asks for 100. Each study is killed so often in a row before it may end.
KILLS = int(os.environ.get("KILLS", "8"))
IN_A_ROW = 4
DRIVERS = max(5, KILLS // 5)  # so often the driver alone is killed, once in a study: its jobs work on
# From start to kill: seconds that Snakemake needs to plan; a share of what the study takes in one go. So many kills at
# the latest leave half of the work for the last start. On a machine that has become faster meanwhile a study may end
# before its last kill.
SOONEST, SHARE = 3, 0.5
PATIENTS = 12
# Of a model the settings and the weights count: the zip itself carries the time of its making.
MEMBERS = ("config.json", "model.weights.h5")
NOT_RESULTS = {"logs", "benchmarks", "tensorboard"}  # folders full of times
WITH_TIMES = ("run.json", "report.html")


def fingerprint(results):
    """SHA-256 of every result file by its path: tables, shards, maps, pictures, models."""
    found = {}
    for path in sorted(results.rglob("*")):
        name = path.relative_to(results)
        if not path.is_file() or NOT_RESULTS & {*name.parts} or name.name in WITH_TIMES:
            continue
        if path.suffix == ".keras":
            with zipfile.ZipFile(path) as model:
                for member in sorted({*MEMBERS} & {*model.namelist()}):  # no model: an excluded trait
                    found[f"{name}/{member}"] = hashlib.sha256(model.read(member)).hexdigest()
        else:
            found[str(name)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def killed(folder, *, after, kill=os.killpg):
    """Run the workflow and kill every process of it, or with ``os.kill`` the first, ``after`` so many seconds; its
    words, and whether it ended before."""
    with (folder / "killed.log").open("w+") as log:
        run = start_snakemake(folder, words=log)
        try:
            run.wait(timeout=after)
            ended = True
        except subprocess.TimeoutExpired:
            ended = False
            kill(run.pid, signal.SIGKILL)
            run.wait()
        log.seek(0)
        words = log.read()
    assert not ended or run.returncode == 0, words[-5000:]
    return words, ended


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    """A study, its data copied before it ran, the fingerprint of what it made in one go, and the seconds it took."""
    folder = tmp_path_factory.mktemp("untouched")
    (folder / "study.yaml").write_text(yaml.safe_dump(simulate_study(folder, patients=PATIENTS)))
    fresh = tmp_path_factory.mktemp("fresh") / "study"
    shutil.copytree(folder, fresh)
    start = time.monotonic()
    code, text = snakemake(folder)
    assert code == 0, text[-5000:]
    return fresh, fingerprint(folder / "results" / "tiny"), time.monotonic() - start


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(-(-KILLS // IN_A_ROW)))
def test_a_killed_study_started_again_ends_with_the_same_bytes(untouched, tmp_path, seed):
    fresh, expected, seconds = untouched
    folder, dice, done = tmp_path / "study", random.Random(seed), Counter()
    shutil.copytree(fresh, folder)
    for number in range(IN_A_ROW):
        words, ended = killed(folder, after=dice.uniform(SOONEST, SHARE / IN_A_ROW * seconds))
        assert "Traceback" not in words, words[-3000:]
        if ended:
            assert number > 0, "it ended before it could be killed"
            break
        done.update(finished_jobs(words))
    check_end(folder, (0, words) if ended else snakemake(folder), done, expected)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(DRIVERS))
def test_jobs_that_outlive_their_driver_are_waited_for(untouched, tmp_path, seed):
    fresh, expected, seconds = untouched
    folder = tmp_path / "study"
    shutil.copytree(fresh, folder)
    words, ended = killed(folder, after=random.Random(seed).uniform(SOONEST, SHARE * seconds), kill=os.kill)
    assert not ended, "it ended before it could be killed"
    code, text = snakemake(folder)
    while "W-RUNNING" in text:
        assert code == 1 and re.search("found at work: process [0-9]+", text), text[-3000:]
        time.sleep(1)
        code, text = snakemake(folder)
    check_end(folder, (code, text), Counter(finished_jobs(words)), expected)


def check_end(folder, last, done, expected):
    """The ``last`` run, its status and words, has ended the study: nothing was done twice, and its bytes are right."""
    code, text = last
    assert code == 0, text[-5000:]
    done.update(finished_jobs(text))
    assert fingerprint(folder / "results" / "tiny") == expected
    assert [job for job, times in done.items() if times > 1] == []
    assert "its lock is cleared" in text
    code, text = snakemake(folder, "-n")
    assert "Nothing to be done" in text
