"""What a study will take: read from what Snakemake prints and from what jobs took."""

import math

import pytest
from histocarta import costs
from histocarta.costs import Job, Past, as_text, estimate, read_past, read_plan, spent, stage_of
from workflow_kit import write_benchmark

PLAN = """
[Tue Nov 24 17:09:40 2026]
rule train_extremes:
    input: results/c/grid/manifest.tsv, results/c/traits/A/extremes/labels.parquet
    output: results/c/traits/A/extremes/round-1/model.keras, results/c/traits/A/extremes/round-1/model.json
    log: results/c/logs/train/A/extremes/rounds.log
    jobid: 179
    benchmark: results/c/benchmarks/train/A/extremes/rounds.txt
    threads: 8
    resources: tmpdir=<TBD>, mem_mb=3800, gpu=2
localrule download_slide:
    output: data/u/slide.svs
    jobid: 4
    benchmark: results/benchmarks/download_slide/data/u/slide.svs.txt
    resources: tmpdir=/tmp, downloads=1

localrule all:
    input: results/c/report.html
    jobid: 0
"""


def test_a_plan_is_read_as_snakemake_prints_it():
    folder = "results/c/traits/A/extremes/round-1"
    assert read_plan(PLAN) == [
        Job("train_extremes", "train", 2, (f"{folder}/model.keras", f"{folder}/model.json")),
        Job("download_slide", "download_slide", 0, ("data/u/slide.svs",)),
        Job("all", "", 0, ()),
    ]


@pytest.mark.parametrize(
    ("path", "stage"),
    [
        ("results/c/benchmarks/train/A/extremes/rounds.txt", "train"),
        ("results/c/benchmarks/write_ledger.txt", "write_ledger"),
        ("benchmarks/tile_slide/benchmarks/x.txt", "tile_slide"),
        ("results/c/logs/x.log", ""),
    ],
)
def test_the_stage_of_a_job_is_the_folder_of_its_benchmark(path, stage):
    assert stage_of(path) == stage


def test_hours_and_bytes_are_those_of_past_jobs(tmp_path):
    write_benchmark(tmp_path / "a" / "benchmarks" / "train" / "A" / "r.txt", 3600, 7200)
    write_benchmark(tmp_path / "b" / "benchmarks" / "train" / "B" / "r.txt", 7200, "NA")
    for cohort, size in (("a", 10), ("b", 30)):
        (tmp_path / cohort / "round-1").mkdir()
        (tmp_path / cohort / "round-1" / "model.keras").write_bytes(bytes(size))
    past = read_past(tmp_path)
    assert (past.seconds, past.cpu) == ({"train": 5400.0}, {"train": 7200.0})
    assert past.bytes["model.keras"] == 20.0
    jobs = [Job("train_extremes", "train", 2, ("x/model.keras",))] * 3
    (row,) = estimate(jobs, past, known={}).reset_index().to_dict("records")
    assert row == pytest.approx({"jobs": 3, "GPU-hours": 9.0, "CPU-hours": 6.0, "GB": 60e-9} | {"rule": row["rule"]})


def test_what_was_never_seen_is_not_guessed():
    past = Past({"train": 3600.0}, {"train": 3600.0}, {"model.keras": 1e9})
    jobs = [Job("train_extremes", "train", 1, ("model.keras",)), Job("download_slide", "download_slide", 0, ("s.svs",))]
    table = estimate(jobs, past, known={"s.svs": 2 * 10**9})
    assert table.loc["download_slide", "GB"] == 2.0 and math.isnan(table.loc["download_slide", "CPU-hours"])
    assert table.loc["download_slide", "GPU-hours"] == 0.0
    lines = as_text(table).splitlines()
    assert lines[-1].split() == ["total", "2", "1.00", "?", "3.00"]


def test_what_was_spent_counts_cards_by_the_clock_and_cores_by_their_work(tmp_path):
    write_benchmark(tmp_path / "benchmarks" / "train" / "A" / "r.txt", 1800, 3600)
    write_benchmark(tmp_path / "benchmarks" / "tile_slide" / "s.txt", 36, 36)
    table = spent(tmp_path, gpus={"train": 2})
    assert table.loc["train"].tolist() == [1, 1.0, 1.0]
    assert table.loc["tile_slide"].tolist() == pytest.approx([1, 0.0, 0.01])


def test_a_study_that_cannot_be_planned_ends_with_snakemakes_words(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        costs.main(["--configfile", str(tmp_path / "none.yaml")])
    assert ended.value.code == 2
    assert "Expected a study's configuration, found no file" in capsys.readouterr().err
