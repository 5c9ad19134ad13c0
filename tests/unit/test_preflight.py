"""What is asked before a run submits its first job. (Bad tables: test_bad_tables.py.)"""

import os

import pandas as pd
import pytest
from histocarta.errors import InputError
from histocarta.files import write_json
from histocarta.preflight import check_slides, check_tables, is_absent
from histocarta.settings import Cohort


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder, which is the working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def sheet_of(count):
    files = [f"s{n}.svs" for n in range(count)]
    return pd.DataFrame({"file": files, "exclude": ""}, index=[f"S{n}" for n in range(count)])


@pytest.mark.parametrize(("code", "absent"), [(None, True), ("S-ABSENT", True), ("", False), ("S-OPEN", False)])
def test_a_file_that_went_away_after_its_survey_is_not_absent(here, code, absent):
    if code is not None:
        write_json({"code": code}, "results/c/slides/S0/slide.json")
    assert is_absent("s0.svs", slide="S0", cohort="c") is absent
    (here / "s0.svs").touch()
    assert not is_absent("s0.svs", slide="S0", cohort="c")


def test_few_absent_slides_are_left_out_and_many_stop_the_run(here):
    sheet = sheet_of(10)
    for file in sheet["file"][2:]:
        (here / file).touch()
    check_slides(sheet, cohort="c", max_excluded=0.2)
    with pytest.raises(InputError) as caught:
        check_slides(sheet, cohort="c", max_excluded=0.1)
    assert str(caught.value) == (
        "Expected the slide files of c, found those of 2 of 10 slides not there (such as s0.svs); correct the paths in "
        "the slide sheet, or raise max_excluded (10%)"
    )
    sheet.loc["S0", "exclude"] = "not wanted"
    check_slides(sheet, cohort="c", max_excluded=0)  # one always may


def test_tables_that_were_read_before_are_not_read_again(here):
    tables = {"slides": "slides.tsv", "expression": [{"path": "expression.tsv"}]}
    study = type("", (), {"cohorts": {"c": Cohort(**tables)}})
    (here / "slides.tsv").write_text("slide\tpatient\tfile\nS1\tP1\ta.svs\n")
    (here / "expression.tsv").write_text("gene\tP1\nA\tx\n")
    with pytest.raises(InputError, match="found 'x'"):
        check_tables(study)
    cleaned = here / "results" / "c" / "sheets" / "exclusions.tsv"
    cleaned.parent.mkdir(parents=True)
    cleaned.touch()
    check_tables(study)
    sooner, later = ((cleaned.stat().st_mtime + seconds,) * 2 for seconds in (-5, 5))
    (here / "study.yaml").touch()
    os.utime(here / "study.yaml", sooner)
    check_tables(study, configs=[here / "study.yaml"])
    os.utime(here / "study.yaml", later)  # another time_unit, say
    with pytest.raises(InputError, match="found 'x'"):
        check_tables(study, configs=[here / "study.yaml"])
    os.utime(here / "expression.tsv", later)
    with pytest.raises(InputError, match="found 'x'"):
        check_tables(study)
