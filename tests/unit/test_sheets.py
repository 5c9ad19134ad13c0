import gzip
import os
from pathlib import Path

import pytest
from histocarta.errors import InputError
from histocarta.sheet_columns import SLIDE_COLUMNS, ignored_columns
from histocarta.sheets import mpp_of_file, read_cohort_slides, read_slides, read_traits, slides_from_gdc_manifest

GDC = Path(os.environ.get("REAL_DATA", "")) / "gdc"
needs_real_data = pytest.mark.skipif("REAL_DATA" not in os.environ, reason="REAL_DATA is not set")
HEADER = "slide\tpatient\tfile"
MD5 = "361e57cec75dcf6c042d4ea207b3d1cc"
UUID = "3ab80b58-b3f7-4097-9d42-e22670650ad5"


@pytest.fixture
def sheet(tmp_path):
    def write(*lines, name="slides.tsv", encoding="utf-8", end="\n"):
        path = tmp_path / name
        path.write_bytes((end.join(lines) + end).encode(encoding))
        return path

    return write


def problem(path, read=read_slides):
    with pytest.raises(InputError) as caught:
        read(path)
    return str(caught.value)


def test_a_sheet_is_read_as_text_with_blanks(sheet):
    slides = read_slides(sheet(HEADER, "0012\tNA\timages/a b.svs", "1E5\tNA\tc.svs"))
    assert list(slides.columns) == list(SLIDE_COLUMNS)
    assert list(slides["slide"]) == ["0012", "1E5"] and list(slides["patient"]) == ["NA", "NA"]
    assert slides.loc[0, "file"] == "images/a b.svs" and slides.loc[0, "mpp"] == "" and slides.loc[0, "exclude"] == ""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_line_ends_order_marks_comments_and_blank_lines_do_not_matter(sheet, encoding, end):
    lines = HEADER, "s1\tp\tf.svs", "", "s2\tp\tg.svs", ""
    path = sheet(*lines, encoding=encoding, end=end)
    assert list(read_slides(path)["slide"]) == ["s1", "s2"]
    assert list(read_slides(sheet("# made by hand", *lines, end=end, encoding="utf-8"))["slide"]) == ["s1", "s2"]


def test_commas_quotes_and_gzip_are_read(tmp_path):
    path = tmp_path / "slides.csv.gz"
    path.write_bytes(gzip.compress(b'slide,patient,file\ns1,p1,"a,b.svs"\n'))
    assert read_slides(path).loc[0, "file"] == "a,b.svs"


def test_region_block_and_resolution_are_kept_as_text(sheet):
    path = sheet(HEADER + "\tmpp\tx\ty\twidth\theight\tblock", "s1\tp1\ta.tif\t0.686\t0\t10\t500\t600\tnorth")
    row = read_slides(path).loc[0]
    assert [row[name] for name in ("mpp", "x", "y", "width", "height", "block")] == [
        "0.686",
        "0",
        "10",
        "500",
        "600",
        "north",
    ]


@pytest.mark.parametrize(
    ("flag", "reason", "expected"),
    [("", "", ""), ("no", "pen", ""), ("0", "", ""), ("yes", "", "excluded in the slide sheet"), ("TRUE", "pen", "pen"),
     ("folded", "", "folded"), ("NA", "NA", ""), ("N/A", "", ""), ("n", "pen", ""), ("F", "", ""), ("0.0", "", ""),
     ("y", "pen", "pen"), ("T", "n/a", "excluded in the slide sheet")],
)  # fmt: skip
def test_exclusion_is_a_reason(sheet, flag, reason, expected):
    path = sheet(HEADER + "\texclude\treason", f"s1\tp1\ta.svs\t{flag}\t{reason}")
    assert read_slides(path).loc[0, "exclude"] == expected


def test_a_word_for_no_value_is_a_blank_in_every_optional_column(sheet):
    columns = ["mpp", "x", "y", "width", "height", "block", "sample_type", "dx", "exclude", "reason"]
    path = sheet("\t".join([HEADER, *columns]), "\t".join(["NA", "NA", "a.svs", *["NA", "n/a"] * 5]))
    row = read_slides(path).loc[0]
    assert (row["slide"], row["patient"]) == ("NA", "NA")  # there may be a slide of that name
    assert [row[name] for name in columns[:-1]] == [""] * 9


def test_a_reason_needs_an_answer_to_exclude(sheet):
    alone = problem(sheet(HEADER + "\treason", "s1\tp1\ta.svs\tpen"))
    assert "the column exclude (yes or no) beside the column reason in" in alone and "found reason alone" in alone
    blank = problem(sheet(HEADER + "\texclude\treason", "s1\tp1\ta.svs\t\tpen"))
    assert "line 2, column exclude: expected yes or no beside the reason 'pen', found a blank" in blank
    assert read_slides(sheet(HEADER + "\treason", "s1\tp1\ta.svs\t")).loc[0, "exclude"] == ""


def test_a_region_may_stand_in_one_column(sheet):
    cells = "s1\tp1\ta.tif\t0,10,500,600", "s2\tp1\ta.tif\t500, 10, 500, 600", "s3\tp2\tb.tif\t", "s4\tp2\tc.tif\tNA"
    slides = read_slides(sheet(HEADER + "\tregion", *cells))
    assert slides[["x", "y", "width", "height"]].to_numpy().tolist() == [
        ["0", "10", "500", "600"], ["500", "10", "500", "600"], [""] * 4, [""] * 4,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("columns", "cells", "expected"),
    [
        ("region", "1,2,3", "column region: expected x,y,width,height in level-0 px, found '1,2,3'"),
        ("region", "0,0,0,9", "column width: expected a whole number of level-0 px above 0, found '0'"),
        ("region\tx", "0,0,9,9\t0", "column region: expected a region once, found it in x, y, width, height too"),
    ],
)
def test_a_region_that_is_none_is_named(sheet, columns, cells, expected):
    assert expected in problem(sheet(f"{HEADER}\t{columns}", f"s1\tp1\ta.tif\t{cells}"))


@pytest.mark.parametrize(
    ("column", "known"),
    [("mmp", "mpp"), ("MPP", "mpp"), ("exlude", "exclude"), ("excluded", "exclude"), ("widht", "width"),
     ("hight", "height"), ("Block ", "block"), ("sample-type", "sample_type"), ("regions", "region"), ("X", "x")],
)  # fmt: skip
def test_a_column_that_nearly_has_a_known_name_is_refused(sheet, column, known):
    message = problem(sheet(f"{HEADER}\t{column}", "s1\tp1\ta.svs\t0.5"))
    assert f"found {column.strip()!r}, which is not one of them; nearest: {known}" in message
    assert "rename it" in message


def test_other_columns_may_stay_and_are_named(sheet):
    path = sheet(HEADER + "\tsite\tn_spots\tstage\tweight\tdate\tmpp", "s1\tp1\ta.svs\tx\t1\tII\t70\t2020\t0.5")
    assert list(read_slides(path).columns) == list(SLIDE_COLUMNS)
    assert ignored_columns(path) == ["site", "n_spots", "stage", "weight", "date"]


def test_a_picture_of_many_slides_has_the_first_resolution_that_is_stated(sheet):
    rows = "s1\tp1\ta.jpg\t", "s2\tp2\tb.jpg\t", "s3\tp1\ta.jpg\t0.5", "s4\tp1\ta.jpg\t0.6"
    slides = read_slides(sheet(HEADER + "\tmpp", *rows))
    assert [mpp_of_file(file, slides=slides) for file in ("a.jpg", "b.jpg")] == ["0.5", ""]


def test_sample_type_and_number_come_from_the_name(sheet):
    row = read_slides(sheet(HEADER, "TCGA-49-4488-01Z-00-DX10\tTCGA-49-4488\ta.svs")).loc[0]
    assert (row["sample_type"], row["dx"]) == ("01", "10")


@pytest.mark.parametrize(
    ("columns", "cells", "expected"),
    [
        ("", "s 1\tp1\ta.svs", "line 2, column slide: expected letters, digits, . _ - only, found 's 1'"),
        ("", "$(touch_x)\tp1\ta.svs", "column slide: expected letters, digits"),
        ("", "..\tp1\ta.svs", "column slide: expected letters, digits"),
        ("", "s1\tp;1\ta.svs", "column patient: expected letters, digits"),
        ("", "s1\tp1\t", "column file: expected a path, found ''"),
        ("", "s1\tp1\tx {y}.svs", "column file: expected a path without { and }, found 'x {y}.svs'; rename the file"),
        ("\tmpp", "s1\tp1\ta.svs\t0,5", "column mpp: expected 0.1-2 um/px, found '0,5'; write decimals with a point"),
        ("\tmpp", "s1\tp1\ta.svs\t250", "column mpp: expected 0.1-2 um/px, found '250'"),
        ("\tmpp", "s1\tp1\ta.svs\t5", "column mpp: expected 0.1-2 um/px, found '5'"),
        ("\tmpp", "s1\tp1\ta.svs\tinf", "column mpp: expected 0.1-2 um/px"),
        ("\tx\ty", "s1\tp1\ta.svs\t1\t1", "expected all four or none, found only x, y"),
        (
            "\tx\ty\twidth\theight",
            "s1\tp1\ta.svs\t0\t0\t0\t9",
            "column width: expected a whole number of level-0 px above 0",
        ),
        (
            "\tx\ty\twidth\theight",
            "s1\tp1\ta.svs\t-1\t0\t9\t9",
            "column x: expected a whole number of level-0 px, found '-1'",
        ),
        ("\tsample_type", "s1\tp1\ta.svs\t1", "column sample_type: expected two digits such as 01, found '1'"),
        (
            "",
            "TCGA-49-4488-01Z-00-DX1\tTCGA-49-4489\ta.svs",
            "column patient: expected TCGA-49-4488 as in the slide's name",
        ),
    ],
)
def test_each_fault_is_named_by_line_and_column(sheet, columns, cells, expected):
    assert expected in problem(sheet(HEADER + columns, cells))


def test_all_faults_come_in_one_message(sheet):
    message = problem(sheet(HEADER, "s1\tp1\ta.svs", "s1\tp/1\tb.svs", "s1\tp2\t"))
    assert "3 problem(s)" in message
    assert "lines 2, 3, 4, column slide: 's1' stands more than once" in message
    assert "line 3, column patient" in message and "line 4, column file" in message


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["slide\tpatient", "s1\tp1"], "Expected the column(s) file in"),
        ([HEADER, "s1\tp1\ta.svs\textra"], "Expected 3 cells as in the header, found 4 in"),
        ([HEADER, "s1\tp1\ta.svs", "s2\tp1"], "line 3"),
        ([HEADER], "Expected rows below the header"),
        ([HEADER + "\tfile", "s1\tp1\ta\tb"], "found twice: file"),
        (["slide;patient;file", "s1;p1;a"], "found semicolons"),
        ([""], "found an empty file"),
    ],
)
def test_a_table_that_is_none_is_refused(sheet, lines, expected):
    assert expected in problem(sheet(*lines))


def test_the_demos_sheets_are_made_by_make(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "found no such file; make data/demo/slides.tsv writes it" in problem("data/demo/slides.tsv")
    assert "found no such file; check the path in the config" in problem("data/mine/slides.tsv")


def test_other_files_are_told_by_what_they_are(sheet, tmp_path):
    assert "found no such file" in problem(tmp_path / "none.tsv")
    assert "found the spreadsheet" in problem(sheet(HEADER, name="slides.xlsx"))
    assert "found UTF-16" in problem(sheet(HEADER, encoding="utf-16"))
    assert "found other bytes" in problem(sheet(HEADER, "s1\tp1\tMüller.svs", encoding="latin-1"))


MANIFEST = "id\tfilename\tmd5\tsize"


def gdc(path, sample_types=("01",)):
    return slides_from_gdc_manifest(path, folder="data/gdc", sample_types=sample_types)


def test_a_manifest_becomes_a_sheet(sheet):
    name = "TCGA-49-4488-01Z-00-DX10.5EFB.svs"
    slides = gdc(sheet("id\tfilename\tmd5\tsize\tstate", f"{UUID.upper()}\t{name}\t{MD5.upper()}\t1\treleased"))
    assert slides.loc[0].to_dict() == dict.fromkeys(SLIDE_COLUMNS, "") | {
        "slide": "TCGA-49-4488-01Z-00-DX10", "patient": "TCGA-49-4488", "file": f"data/gdc/{UUID}/{name}",
        "sample_type": "01", "dx": "10", "md5": MD5, "size": "1",
    }  # fmt: skip


def test_other_sample_types_and_frozen_sections_are_excluded_with_the_reason(sheet):
    names = "TCGA-E2-A15E-06Z-00-DX1.A.svs", "TCGA-A2-A0T2-01A-02-TSB.B.svs", "TCGA-A2-A0T2-01Z-00-DX1.C.svs"
    path = sheet(MANIFEST, *(f"{UUID}\t{name}\t{MD5}\t1" for name in names))
    assert list(gdc(path)["exclude"]) == [
        "sample type 06: the cohort uses 01", "slide kind TS: only diagnostic slides (DX) are used", "",
    ]  # fmt: skip
    assert gdc(path, ["01", "06"]).loc[0, "exclude"] == ""


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (f"../x\tTCGA-A2-A0T2-01Z-00-DX1.svs\t{MD5}\t1", "line 2, column id: expected a UUID, found '../x'"),
        (f"{UUID}\t../../TCGA-A2-A0T2-01Z-00-DX1.svs\t{MD5}\t1", "column filename: expected a plain file name"),
        (f"{UUID}\tTCGA-A2-A0T2-01Z-00-DX1..svs\t{MD5}\t1", "column filename: expected a plain file name"),
        (f"{UUID}\tslide1.svs\t{MD5}\t1", "column filename: expected a TCGA slide, found 'slide1.svs'; use slides.tsv"),
        (f"{UUID}\tTCGA-A2-A0T2-01Z-00-DX1.svs\tabc\t1", "column md5: expected 32 hexadecimal digits, found 'abc'"),
        (f"{UUID}\tTCGA-A2-A0T2-01Z-00-DX1.svs\t{MD5}\t1 GB", "column size: expected a number of bytes, found '1 GB'"),
        (f"{UUID}\tTCGA-A2-A0T2-01Z-00-DX1.svs\t{MD5}\t0", "column size: expected a number of bytes, found '0'"),
    ],
)
def test_a_manifest_cannot_lead_elsewhere(sheet, row, expected):
    assert expected in problem(sheet(MANIFEST, row), read=gdc)


def test_a_slide_twice_in_a_manifest_is_refused(sheet):
    rows = [f"{UUID}\tTCGA-A2-A0T2-01Z-00-DX1.{end}.svs\t{MD5}\t1" for end in "AB"]
    assert "slide 'TCGA-A2-A0T2-01Z-00-DX1' stands on line 2 already" in problem(sheet(MANIFEST, *rows), read=gdc)


@needs_real_data
@pytest.mark.real
@pytest.mark.parametrize(
    ("cohort", "slides", "patients", "other"), [("brca", 761, 703, "06"), ("luad", 469, 410, "02")]
)
def test_the_published_manifests(cohort, slides, patients, other):
    path = GDC / f"gdc_manifest_{cohort}.txt"
    sheet = read_cohort_slides({"gdc_manifest": path, "slides_folder": "data/gdc", "sample_types": ["01", other]})
    assert (len(sheet), sheet["patient"].nunique(), sheet["slide"].nunique()) == (slides, patients, slides)
    assert (sheet["exclude"] == "").all()
    primary = gdc(path)
    assert list(primary.loc[primary["exclude"] != "", "exclude"]) == [f"sample type {other}: the cohort uses 01"]


def test_traits_from_a_list_a_column_or_a_plain_file(sheet):
    assert read_traits(["MKI67", "hsa-miR-17-5p"]) == ["MKI67", "hsa-miR-17-5p"]
    assert read_traits(sheet("note\ttrait", "x\tMKI67|4288", "y\tEGFR")) == ["MKI67|4288", "EGFR"]
    assert read_traits(sheet("MKI67", "EGFR")) == ["MKI67", "EGFR"]
    assert read_traits(sheet("trait", "EGFR")) == ["EGFR"]


@pytest.mark.parametrize(
    ("traits", "expected"),
    [
        (["A+B"], "'A+B' (expected letters, digits, . _ | @ -)"),
        (["A", "A"], "'A' stands already"),
        ([], "found none"),
        (["a/../b"], "'a/../b'"),
    ],
)
def test_trait_names_that_cannot_be_folders_are_refused(traits, expected):
    with pytest.raises(InputError) as caught:
        read_traits(traits)
    assert expected in str(caught.value)
