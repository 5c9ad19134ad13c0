"""What a run says at its end: which jobs failed and why, how many slides were used, what was spent."""

from pathlib import Path

import pandas as pd
from histocarta.files import read_json, write_table
from histocarta.runs import close_run, read_failures
from workflow_kit import write_benchmark

LOG = """
Error in rule train_extremes:
    message: None
    jobid: 3
    output: results/c/traits/A/extremes/round-1/model.keras
    log: {train} (check log file(s) for error details)
Trying to restart job 3.
Error in rule train_extremes:
    jobid: 3
    log: {train} (check log file(s) for error details)
Error in rule tile_slide:
    jobid: 5
    log: {tile} (check log file(s) for error details)
"""
ON_SLURM = """
[Sat Nov 28 08:05:30 2026]
Error in rule score_extremes:
    message: SLURM sbatch failed. The error message was 'sbatch: error: Batch job submission failed: Invalid account'.
    sbatch call:
        sbatch --parsable --job-name a5797b32
For further error details see the cluster/cloud log and the log files of the involved rule(s).
    jobid: 0
    log: none.log (check log file(s) for error details)
Logfile none.log: empty file
[Sat Nov 28 08:05:46 2026]
Error in rule train_extremes:
    message: SLURM-job '7' failed, SLURM status is: 'TIMEOUT'. Reason: Unknown.
    log: {train} (check log file(s) for error details)
"""


def ledger(path):
    rows = [("sheet", "slide", "in", 10), ("sheet", "slide", "used", 9), ("tiles", "slide", "in", 9),
            ("tiles", "slide", "used", 8), ("tiles", "tile", "used", 4000)]  # fmt: skip
    write_table(pd.DataFrame(rows, columns=["stage", "kind", "outcome", "count"]), path)


def logs(tmp_path):
    train, tile = tmp_path / "train.log", tmp_path / "none.log"
    train.write_text("2026-11-24 on host\nError: M-LOCK x is held by process 7\n\n")
    (tmp_path / "snakemake.log").write_text(LOG.format(train=train, tile=tile))
    return str(tmp_path / "snakemake.log"), str(train), str(tile)


def test_each_failed_job_is_named_once_with_its_last_words(tmp_path):
    log, train, tile = logs(tmp_path)
    first, second = read_failures(log)
    assert (first.rule, first.log, first.message) == ("train_extremes", train, "M-LOCK x is held by process 7")
    assert (second.rule, second.log, second.message) == ("tile_slide", tile, "no log was written")


def test_what_slurm_says_of_a_failed_job_stands_with_it(tmp_path):
    log, train, _ = logs(tmp_path)
    Path(log).write_text(ON_SLURM.format(train=train))
    refused, late = read_failures(log)
    assert refused.message == "SLURM refused it: Batch job submission failed: Invalid account"
    assert (late.rule, late.message) == ("train_extremes", "M-LOCK x is held by process 7 (SLURM: TIMEOUT)")


def test_a_run_that_is_done(tmp_path):
    ledger(tmp_path / "ledger.tsv")
    write_benchmark(tmp_path / "benchmarks" / "train" / "A.txt", 3600, 1800)
    said = close_run(tmp_path, failed=False, logs=[], gpus={"train": 1})
    record = read_json(tmp_path / "run.json")
    assert (record["code"], record["status"], record["failures"]) == (0, "done", [])
    assert (record["slides_in"], record["slides_used"]) == (10, 8)
    assert record["spent"] == [{"stage": "train", "jobs": 1, "GPU-hours": 1.0, "CPU-hours": 0.5}]
    assert "8 of 10 slides used; the others: ledger.tsv" in said
    assert "1.00 GPU-hours and 0.50 CPU-hours in 1 jobs so far" in said


def test_a_run_of_which_some_failed(tmp_path):
    log, train, _ = logs(tmp_path)
    said = close_run(tmp_path, failed=True, logs=[log], gpus={})
    record = read_json(tmp_path / "run.json")
    assert record["code"] == 3 and [one["rule"] for one in record["failures"]] == ["train_extremes", "tile_slide"]
    assert f"failed: train_extremes: M-LOCK x is held by process 7 ({train})" in said
    assert "slides_in" not in record  # there is no ledger yet


def test_a_run_that_lost_too_many_slides(tmp_path):
    ledger(tmp_path / "ledger-refused.tsv")
    said = close_run(tmp_path, failed=True, logs=[], gpus={})
    assert read_json(tmp_path / "run.json")["code"] == 4
    assert "more slides were left out than max_excluded allows; see ledger-refused.tsv" in said
