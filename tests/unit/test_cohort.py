import pandas as pd
import pytest
from histocarta.cohort import prepare_cohort
from histocarta.errors import InputError
from histocarta.files import read_table

SETTINGS = {"orientation": "traits_by_samples", "scale": "log2", "duplicates": "error"}


@pytest.fixture
def cohort(tmp_path):
    """Writes a cohort's sheets and prepares it; gives the four tables back."""

    def prepare(*, slides, tables, clinical=None, **settings):
        (tmp_path / "slides.tsv").write_text(
            "slide\tpatient\tfile\n" + "".join(f"{s}\t{p}\t{s}.svs\n" for s, p in slides)
        )
        sheets = {"slides_sheet": str(tmp_path / "slides.tsv"), "time_unit": "months", "sample_types": ["01", "06"]}
        if clinical:
            (tmp_path / "clinical.tsv").write_text(clinical)
            sheets["clinical_sheet"] = str(tmp_path / "clinical.tsv")
        specs = []
        for number, text in enumerate(tables):
            path = tmp_path / f"expression-{number}.tsv"
            path.write_text(text)
            specs.append(SETTINGS | {"path": str(path)})
        names = {"slides": "s.tsv", "expression": "e.parquet", "clinical": "c.parquet", "exclusions": "x.tsv"}
        outputs = {name: str(tmp_path / "out" / file) for name, file in names.items()}
        prepare_cohort(**outputs, **(sheets | {"tables": specs} | settings))
        return {name: read_table(path) for name, path in outputs.items()}

    return prepare


PLAIN = [("s1", "p1"), ("s2", "p2")]


def test_tables_meet_by_patient(cohort):
    made = cohort(
        slides=PLAIN,
        tables=["gene\tp2\tp1\nA\t2\t1\n", "miRNA\tp1\nmiR\t7\n"],
        clinical="patient\ttime\tevent\tstage\np1\t5\t1\tII\np2\t-1\t0\tI\n",
    )
    assert made["slides"]["slide"].tolist() == ["s1", "s2"] and (made["slides"]["exclude"] == "").all()
    assert made["expression"].index.tolist() == ["p1", "p2"] and made["expression"].index.name == "sample"
    assert made["expression"]["A"].tolist() == [1, 2] and made["expression"]["miR"].isna().tolist() == [False, True]
    assert made["clinical"].to_dict("records") == [{"patient": "p1", "time": 5.0, "event": 1, "stage": "II"}]
    assert made["exclusions"].to_numpy().tolist() == [
        ["clinical", "patient", "p2", "B-NEGATIVE", "negative survival time", "1", "excluded"]
    ]


def test_a_cohort_without_clinical_data_has_an_empty_table(cohort):
    made = cohort(slides=PLAIN, tables=["gene\tp1\nA\t1\n"])
    assert made["clinical"].empty and list(made["clinical"]) == ["patient", "time", "event"]
    assert list(made["exclusions"]) == ["stage", "kind", "item", "code", "reason", "count", "outcome"]


def test_patients_with_clinical_data_only_keep_their_expression_and_strangers_do_not(cohort):
    clinical = "patient\ttime\tevent\np3\t5\t1\n"
    made = cohort(slides=PLAIN, tables=["gene\tp1\tp3\tq1\tq2\nA\t1\t3\t4\t5\n"], clinical=clinical)
    assert made["expression"].index.tolist() == ["p1", "p3"]
    row = made["exclusions"].iloc[0]
    assert (row["kind"], row["code"], row["count"]) == ("sample", "B-STRANGER", "2")
    assert row["reason"] == "2 samples of patients with neither slide nor clinical data"


TCGA_SLIDES = [
    ("TCGA-A2-A0T2-01Z-00-DX1", "TCGA-A2-A0T2"),
    ("TCGA-E2-A15E-06Z-00-DX1", "TCGA-E2-A15E"),
    ("TCGA-E2-A15E-01Z-00-DX1", "TCGA-E2-A15E"),
]
ALIQUOTS = (
    "gene\tTCGA-A2-A0T2-01A-11R-A084-07\tTCGA-A2-A0T2-01A-11R-A277-07\tTCGA-A2-A0T2-11A-11R-A084-07\t"
    "TCGA-E2-A15E-06A-11R-A12D-07\tTCGA-E2-A15E-01A-11R-A12D-07\tTCGA-E2-A15\n"
    "A\t1\t2\t3\t4\t5\t6\n"
)


def test_one_aliquot_per_patient_of_the_preferred_sample_type(cohort):
    made = cohort(slides=TCGA_SLIDES, tables=[ALIQUOTS])
    assert made["expression"]["A"].to_dict() == {"TCGA-A2-A0T2": 2.0, "TCGA-E2-A15E": 5.0}
    left_out = made["exclusions"].set_index("item")
    assert left_out["code"].to_dict() == {
        "TCGA-A2-A0T2-01A-11R-A084-07": "B-ALIQUOT",
        "TCGA-E2-A15E-06A-11R-A12D-07": "B-ALIQUOT",
        "TCGA-E2-A15": "B-BARCODE",
        "TCGA-A2-A0T2-11A-11R-A084-07": "B-TYPE",
    }
    reasons = left_out["reason"]
    assert reasons["TCGA-A2-A0T2-01A-11R-A084-07"] == "TCGA-A2-A0T2-01A-11R-A277-07 chosen by: highest plate"
    assert reasons["TCGA-E2-A15E-06A-11R-A12D-07"].endswith("chosen by: preferred sample type")
    assert reasons["TCGA-A2-A0T2-11A-11R-A084-07"] == "sample type 11: the cohort uses 01, 06"


def test_a_slide_of_another_sample_type_than_the_expression_is_excluded(cohort):
    made = cohort(slides=TCGA_SLIDES, tables=[ALIQUOTS])
    assert made["slides"].set_index("slide")["exclude"].to_dict() == {
        "TCGA-A2-A0T2-01Z-00-DX1": "",
        "TCGA-E2-A15E-06Z-00-DX1": "sample type 06: the patient's expression is of type 01",
        "TCGA-E2-A15E-01Z-00-DX1": "",
    }
    loose = cohort(slides=TCGA_SLIDES, tables=[ALIQUOTS], match_sample_types=False)
    assert (loose["slides"]["exclude"] == "").all()


def test_a_sample_type_that_expression_by_patient_cannot_confirm_is_noted(cohort, capsys):
    """The metastasis stays, and is named; of primary tumours the log alone says that nothing was checked."""
    by_patient = "gene\tTCGA-A2-A0T2\tTCGA-E2-A15E\nA\t1\t2\n"
    made = cohort(slides=TCGA_SLIDES, tables=[by_patient])
    assert (made["slides"]["exclude"] == "").all()
    why = "sample type 06 could not be checked: expression is named by patient"
    row = ["sheet", "slide", "TCGA-E2-A15E-06Z-00-DX1", "B-NOTYPE", why, "1", "noted"]
    assert made["exclusions"].to_numpy().tolist() == [row]
    assert "the sample types of 3 slides could not be checked" in capsys.readouterr().out
    loose = cohort(slides=TCGA_SLIDES, tables=[by_patient], match_sample_types=False)
    assert loose["exclusions"].empty


def test_slides_without_expression_or_without_a_type_are_not_noted(cohort):
    without = cohort(slides=[*PLAIN, TCGA_SLIDES[1]], tables=["gene\tp1\nA\t1\n"])
    assert without["exclusions"].empty


def test_tables_must_agree_on_a_patients_sample_type(cohort):
    second = "miRNA\tTCGA-A2-A0T2-06A\tTCGA-E2-A15E-01A\nmiR\t1\t2\n"
    made = cohort(slides=TCGA_SLIDES, tables=[ALIQUOTS, second])
    assert made["expression"]["miR"].isna().to_dict() == {"TCGA-A2-A0T2": True, "TCGA-E2-A15E": False}
    row = made["exclusions"].set_index("item").loc["TCGA-A2-A0T2"]
    assert row["code"] == "B-TYPE" and row["reason"].endswith("holds another sample type than the tables before it")


def test_no_overlap_shows_one_id_of_each_kind(cohort):
    with pytest.raises(InputError, match=r"slides are of patients such as 'p1', samples are named like 'P-1'"):
        cohort(slides=PLAIN, tables=["gene\tP-1\tP-2\nA\t1\t2\n"])


def test_a_trait_in_two_tables_is_an_error(cohort):
    with pytest.raises(InputError, match="Expected every trait in one expression table, found in several: A"):
        cohort(slides=PLAIN, tables=["gene\tp1\nA\t1\n", "gene\tp1\nA\t1\n"])


def test_row_order_does_not_change_the_tables(cohort):
    first = cohort(slides=PLAIN, tables=["gene\tp2\tp1\nA\t2\t1\n"])["expression"]
    pd.testing.assert_frame_equal(first, cohort(slides=PLAIN, tables=["gene\tp1\tp2\nA\t1\t2\n"])["expression"])


def test_a_gdc_manifest_makes_a_cohort(cohort, tmp_path):
    manifest = tmp_path / "manifest.txt"
    uuid, md5 = "3ab80b58-b3f7-4097-9d42-e22670650ad5", "361e57cec75dcf6c042d4ea207b3d1cc"
    manifest.write_text(f"id\tfilename\tmd5\n{uuid}\tTCGA-A2-A0T2-01Z-00-DX1.A.svs\t{md5}\n")
    made = cohort(slides=PLAIN, tables=[ALIQUOTS], gdc_manifest=str(manifest), slides_folder="data/gdc")
    assert made["slides"].loc[0, "md5"] == md5 and made["expression"].index.tolist() == ["TCGA-A2-A0T2"]
