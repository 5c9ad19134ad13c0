"""Sheets from the TCGA-LUAD table of MCAT."""

import os
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from histocarta import luad_table
from histocarta.clinical import read_clinical
from histocarta.errors import InputError
from histocarta.sheets import read_slides, read_traits

needs_real_data = pytest.mark.skipif("REAL_DATA" not in os.environ, reason="REAL_DATA is not set")

HEADER = "case_id,slide_id,age,is_female,survival_months,censorship,KRAS_rnaseq,EGFR_rnaseq,CD274_rnaseq,KRAS_mut"
SLIDE = "01Z-00-DX1.00000000-0000-4000-8000-00000000000{}.svs"
ROWS = [
    f"TCGA-05-0001,TCGA-05-0001-{SLIDE.format(1)},67.0,0.0,50.03,1.0,-0.5,1.25,3.0,0.0",
    f"TCGA-05-0002,TCGA-05-0002-{SLIDE.format(2)},,1.0,3.98,0.0,0.5,-1.0,-0.25,1.0",
    f"TCGA-05-0002,TCGA-05-0002-{SLIDE.format(3)},,1.0,3.98,0.0,0.5,-1.0,-0.25,1.0",
]


def write_data(folder: Path, rows: list[str], header: str = HEADER) -> Path:
    (folder / "tcga_luad").mkdir()
    with zipfile.ZipFile(folder / "tcga_luad" / "tcga_luad_all_clean.csv.zip", "w") as archive:
        archive.writestr("tcga_luad_all_clean.csv", "\n".join([header, *rows]) + "\n")
    return folder


def test_sheets_have_one_row_per_slide_and_one_per_patient(tmp_path):
    luad_table.prepare_study(data=write_data(tmp_path, ROWS), output=tmp_path / "study", slides_folder="slides")
    sheet = read_slides(tmp_path / "study" / "slides.tsv")
    assert list(sheet["patient"]) == ["TCGA-05-0001", "TCGA-05-0002", "TCGA-05-0002"]
    assert sheet["file"][0] == "slides/TCGA-05-0001-" + SLIDE.format(1)
    assert set(sheet["sample_type"]) == {"01"}
    expression = pd.read_csv(tmp_path / "study" / "expression.tsv", sep="\t", index_col="trait")
    assert expression.to_dict() == {
        "TCGA-05-0001": {"KRAS": -0.5, "EGFR": 1.25, "CD274": 3.0},
        "TCGA-05-0002": {"KRAS": 0.5, "EGFR": -1.0, "CD274": -0.25},
    }
    assert read_traits(tmp_path / "study" / "traits.tsv") == ["KRAS", "EGFR", "CD274"]


def test_censorship_1_is_no_event(tmp_path):
    luad_table.prepare_study(data=write_data(tmp_path, ROWS), output=tmp_path / "study")
    clinical, _ = read_clinical(tmp_path / "study" / "clinical.tsv", time_unit="months")
    assert dict(zip(clinical["patient"], clinical["event"], strict=True)) == {"TCGA-05-0001": 0, "TCGA-05-0002": 1}
    assert list(clinical["time"]) == [50.03, 3.98]


def test_rows_of_a_patient_that_differ_are_an_error(tmp_path):
    rows = [*ROWS[:2], ROWS[2].replace("-0.25", "9.75")]
    with pytest.raises(InputError, match=r"same values on all rows .* found TCGA-05-0002 with different CD274_rnaseq"):
        luad_table.prepare_study(data=write_data(tmp_path, rows), output=tmp_path / "study")


def test_a_missing_column_is_named(tmp_path):
    write_data(tmp_path, ROWS, header=HEADER.replace("censorship", "status"))
    with pytest.raises(InputError, match=r"Expected the column\(s\) censorship in .*zip, found case_id, slide_id"):
        luad_table.prepare_study(data=tmp_path, output=tmp_path / "study")


def test_a_missing_gene_is_named(tmp_path):
    write_data(tmp_path, ROWS, header=HEADER.replace("EGFR", "EGFL7"))
    with pytest.raises(InputError, match=r"Expected the column\(s\) EGFR_rnaseq in .*zip, found 3 others with _rnaseq"):
        luad_table.prepare_study(data=tmp_path, output=tmp_path / "study")


def test_a_missing_table_is_named_with_what_to_do(tmp_path):
    with pytest.raises(InputError, match=r"Expected .*csv.zip, found no such file; give the folder that holds"):
        luad_table.main(["--data", str(tmp_path), "--output", str(tmp_path / "study")])


@needs_real_data
def test_the_real_table(tmp_path):
    luad_table.main(["--data", os.environ["REAL_DATA"], "--output", str(tmp_path)])
    sheet = read_slides(tmp_path / "slides.tsv")
    assert (len(sheet), sheet["patient"].nunique()) == (516, 453)
    # TCGA-50-5066 has a slide of a recurrence (02Z); without it the 515 slides of primary tumours remain.
    assert list(sheet["patient"][sheet["sample_type"] == "02"]) == ["TCGA-50-5066"]
    clinical, left_out = read_clinical(tmp_path / "clinical.tsv", time_unit="months")
    assert (len(clinical), left_out["outcome"].tolist()) == (453, ["in", "used"])  # nobody left out
    raw = pd.read_csv(Path(os.environ["REAL_DATA"]) / luad_table.TABLE, usecols=["case_id", "censorship"])
    deaths = raw.drop_duplicates()["censorship"].eq(0).sum()
    assert clinical["event"].sum() == deaths
