"""What the doctor says of a study and of the machine, and that it says it where Snakemake could not even start."""

import copy
import hashlib
import os
import shutil
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import yaml
from histocarta import doctor
from histocarta.simulate_sections import PRESETS, simulate_sections
from workflow_kit import FLAT, simulate_study


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with the slides and sheets of a study of eight patients, and the study."""
    folder = tmp_path_factory.mktemp("study")
    return folder, simulate_study(folder, patients=8)


@pytest.fixture
def study(made, monkeypatch):
    """The study, to be changed; the doctor works in its folder, without SLURM, and does not load TensorFlow."""
    folder, settings = made
    monkeypatch.chdir(folder)
    alone(monkeypatch)
    return copy.deepcopy(settings)


def alone(monkeypatch):
    """A machine without cards and SLURM."""
    monkeypatch.setattr(doctor, "COUNT_GPUS", "print(0)")
    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "sbatch" else which(name))


def findings(study, level=None):
    """What the doctor says of ``study``, all or of one level."""
    Path("study.yaml").write_text(yaml.safe_dump(study))
    return [found.what for found in doctor.examine("study.yaml") if level in (None, found.level)]


def test_a_study_that_can_run(study, capsys):
    assert findings(study, "FAULT") == []
    assert doctor.main(["--configfile", "study.yaml"]) == 0
    said = capsys.readouterr().out
    assert "Nothing stands in the way." in said
    for text in (
        "ok     tiny: 11 of 11 slides have expression (4 traits)",
        "ok     extremes: every trait is in the tables of tiny",
        "ok     tiny: 11 of 11 slide files are there",
        "note   tiny: S-MPP ",
        "ok     extremes: starts from random weights",
        "ok     no SLURM here: run with --profile profiles/local",
    ):
        assert text in said, said


def test_nothing_is_written(study):
    findings(study)
    before = sorted(Path().rglob("*"))
    findings(study)
    assert sorted(Path().rglob("*")) == before


def test_faults_are_named_with_what_is_nearest(study):
    study["tasks"]["extremes"]["traits"] = ["A", "flatt"]
    shutil.move("data/slides/P001-1.svs", "data/slides/elsewhere.svs")
    try:
        faults = findings(study, "FAULT")
    finally:
        shutil.move("data/slides/elsewhere.svs", "data/slides/P001-1.svs")
    unknown = f"extremes: Expected trait 'flatt' among the 4 traits of tiny, found none; nearest: {FLAT}; correct"
    assert any(text.startswith(unknown) for text in faults), faults
    assert "tiny: 10 of 11 slide files are there; missing: P001-1" in faults
    assert len(faults) == 2


def test_weights_are_named_with_what_they_are(study):
    Path("start.weights.h5").write_bytes(b"weights")
    study["tasks"]["extremes"]["model"]["weights"] = "start.weights.h5"
    digest = hashlib.sha256(b"weights").hexdigest()
    assert f"extremes: starts from start.weights.h5, SHA-256 {digest}" in findings(study, "ok")
    study["tasks"]["extremes"]["model"]["weights"] = "none.weights.h5"
    (fault,) = findings(study, "FAULT")
    assert "found nothing at none.weights.h5" in fault


def test_a_sheet_that_stops_snakemake_is_only_a_finding(study):
    Path("data/bad.tsv").write_text("slide\tpatient\nS1\tP1\n")
    study["cohorts"]["tiny"]["slides"] = "data/bad.tsv"
    (fault,) = findings(study, "FAULT")
    assert fault.startswith("tiny: Expected ") and "data/bad.tsv" in fault and "file" in fault.split("data/bad.tsv")[0]


def test_a_study_that_cannot_be_read_is_the_last_finding(study):
    study["layouts"]["grid"]["stian"] = "none"
    said = findings(study)
    assert "stian" in said[-1] and said[-1] in findings(study, "FAULT")


def test_a_disk_that_is_too_small(study, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10, 10, 10))
    (fault,) = findings(study, "FAULT")
    assert fault.endswith("GB; 0 GB are free here")


@pytest.mark.parametrize(
    ("sacct", "age", "level", "said"),
    [
        (0, 300, "ok", "SLURM with accounting: the profile can stay as it is"),
        (1, 300, "note", "SLURM without accounting: set slurm-status-command: squeue in profiles/slurm"),
        (
            1,
            30,
            "FAULT",
            "SLURM has no accounting and remembers jobs for only 30 s; ask for MinJobAge of 120 s or more",
        ),
    ],
)
def test_slurm_with_and_without_accounting(tmp_path, monkeypatch, sacct, age, level, said):
    for name, text in {"sbatch": "", "sacct": f"exit {sacct}", "scontrol": f"echo 'MinJobAge = {age} sec'"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (found,) = doctor._slurm()
    assert found.level == level and found.what.startswith(said)


def test_sections_are_looked_for_and_no_table_is_asked_for_their_genes(tmp_path, monkeypatch):
    simulate_sections(output=tmp_path / "data", recipe=replace(PRESETS["small"], patients=3), seed=1, processes=1)
    sheet = pd.read_csv(tmp_path / "data/sections.tsv", sep="\t")
    sheet.iloc[1:].to_csv(tmp_path / "data/sections.tsv", sep="\t", index=False)
    cohort = {"slides": str(tmp_path / "data/slides.tsv"), "sections": str(tmp_path / "data/sections.tsv")}
    study = {
        "study": "spots", "cohorts": {"spots": cohort}, "layouts": {"windows": {"sites": "spots", "size": 75}},
        "tasks": {"spots": {"layout": "windows", "scheme": "patients", "traits": ["top-9"]}},
        "splits": {"patients": {"leave_out": "patient", "inner": 2}},
    }  # fmt: skip
    monkeypatch.chdir(tmp_path)
    alone(monkeypatch)
    assert findings(study, "FAULT") == []
    (said,) = [text for text in findings(study, "note") if "section" in text]
    assert said == "spots: 3 of 4 slides have a section with spots; without: S001-1"
    Path(sheet["counts"].iloc[1]).unlink()
    (fault,) = findings(study, "FAULT")
    assert "found nothing at" in fault and "line 2" in fault
