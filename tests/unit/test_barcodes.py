import csv
import os
from pathlib import Path

import pytest
from histocarta import barcodes
from histocarta.barcodes import Barcode, choose_aliquot, parse, slide_stem, survival_slide
from hypothesis import given
from hypothesis import strategies as st

GDC = Path(os.environ.get("REAL_DATA", "")) / "gdc"
needs_real_data = pytest.mark.skipif("REAL_DATA" not in os.environ, reason="REAL_DATA is not set")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("TCGA-49-4488", Barcode("TCGA-49-4488")),
        ("TCGA-49-4488-01", Barcode("TCGA-49-4488", "01")),
        ("TCGA-49-4488-01A", Barcode("TCGA-49-4488", "01", "A")),
        ("TCGA-02-0001-01C-01D-0182-01", Barcode("TCGA-02-0001", "01", "C", "01", analyte="D", plate="0182")),
        ("TCGA-49-4488-01Z-00-DX10", Barcode("TCGA-49-4488", "01", "Z", "00", "DX", 10)),
        ("TCGA-A2-A0T2-01A-02-TSB", Barcode("TCGA-A2-A0T2", "01", "A", "02", "TS")),
        ("TCGA-A2-A0T2-01A-02-BS2", Barcode("TCGA-A2-A0T2", "01", "A", "02", "BS", 2)),
        ("tcga-49-4488-01z-00-dx1", Barcode("TCGA-49-4488", "01", "Z", "00", "DX", 1)),
        ("TCGA.49.4488.01A.11R", Barcode("TCGA-49-4488", "01", "A", "11", analyte="R")),
        ("a/b/TCGA-E2-A15E-06Z-00-DX1.D394A007.svs", Barcode("TCGA-E2-A15E", "06", "Z", "00", "DX", 1)),
    ],
)
def test_every_part_is_read_by_its_place_in_the_barcode(text, expected):
    # Parts as in docs.gdc.cancer.gov/Encyclopedia/pages/TCGA_Barcode.
    assert parse(text) == expected


@pytest.mark.parametrize(
    "text", ["", "TCGA", "TCGA-49", "TCGA-49-448", "TCGA-49-4488-1A", "TCGA-49-4488-01Z-00-DX1x!", "B4"]
)
def test_what_is_no_barcode_is_none(text):
    assert parse(text) is None


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused_without_an_error(text):
    assert parse(text) is None or parse(text).patient.startswith("TCGA-")


def test_stem_ends_at_the_first_dot_however_long_the_number():
    assert slide_stem("x/TCGA-49-4488-01Z-00-DX10.5EFB9C1B.svs") == "TCGA-49-4488-01Z-00-DX10"


@pytest.mark.parametrize(
    ("chosen", "other", "rule"),
    [
        # Broad GDAC: H over R over T, then the highest plate; the later vial is the FFPE one of this patient.
        ("01A-11R-A277-07", "01C-02R-A277-07", "first vial"),
        ("01A-11H-A00Z-07", "01A-11R-A277-07", "analyte H over R over T"),
        ("01A-11R-A277-07", "01A-11R-A00Z-07", "highest plate"),
        ("01A-21R-A277-07", "01A-11R-A277-07", "highest portion"),
        ("01A-11R-A277-07", "01A-11R-A277-13", "alphabetical order"),
    ],
)
def test_the_aliquot_and_the_rule_that_chose_it(chosen, other, rule):
    chosen, other = f"TCGA-A7-A0DB-{chosen}", f"TCGA-A7-A0DB-{other}"
    assert choose_aliquot([chosen, other]) == choose_aliquot([other, chosen]) == (chosen, rule)


def test_a_single_aliquot_needs_no_choice():
    assert choose_aliquot(["TCGA-A7-A0DB-01"]) == ("TCGA-A7-A0DB-01", "only aliquot")


@pytest.mark.parametrize(("numbers", "expected"), [([10, 1, 2], 1), ([3, None, 2], 2), ([None], None), ([], None)])
def test_the_lowest_diagnostic_slide_represents_a_patient(numbers, expected):
    assert survival_slide(numbers) == expected


@needs_real_data
@pytest.mark.real
@pytest.mark.parametrize(("cohort", "slides", "patients", "numbers", "without_dx1"), [
    ("brca", 761, 703, {1: 689, 2: 67, 3: 4, 4: 1}, 14),
    ("luad", 469, 410, None, None),
])  # fmt: skip
def test_the_published_manifests_are_read_whole(cohort, slides, patients, numbers, without_dx1):
    """Counts of slides, patients and DX numbers as in the manifests that Levy-Jurgenson et al. 2020 published."""
    with (GDC / f"gdc_manifest_{cohort}.txt").open() as stream:
        names = [row["filename"] for row in csv.DictReader(stream, delimiter="\t")]
    found = [parse(name) for name in names]
    assert len(found) == slides and None not in found
    assert len({slide_stem(name) for name in names}) == slides
    by_patient: dict[str, list[int]] = {}
    for barcode in found:
        assert barcode.kind == "DX"
        by_patient.setdefault(barcode.patient, []).append(barcode.number)
    assert len(by_patient) == patients
    if numbers:
        drawn = [barcode.number for barcode in found]
        assert {number: drawn.count(number) for number in set(drawn)} == numbers
        assert sum(survival_slide(owned) > 1 for owned in by_patient.values()) == without_dx1


@needs_real_data
@pytest.mark.real
def test_dx10_is_not_dx1():
    """TCGA-49-4488 has ten slides; cut at 23 characters, as the released code does, DX10 becomes DX1."""
    with (GDC / "gdc_manifest_luad.txt").open() as stream:
        names = [row["filename"] for row in csv.DictReader(stream, delimiter="\t") if "TCGA-49-4488" in row["filename"]]
    assert len(names) == 10 and len({name[:23] for name in names}) == 9
    assert len({slide_stem(name) for name in names}) == 10
    assert sorted(parse(name).number for name in names) == list(range(1, 11))
    assert survival_slide(parse(name).number for name in names) == 1


def test_tcga_names_are_told_from_others_even_when_malformed():
    assert barcodes.looks_like_tcga(" tcga-49") and barcodes.looks_like_tcga("TCGA.A7.A0DB")
    assert not barcodes.looks_like_tcga("patient-TCGA")
