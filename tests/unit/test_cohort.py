import pandas as pd
import pytest
from histocarta.cohort import prepare_cohort
from histocarta.errors import InputError
from histocarta.files import read_table
from histocarta.ledger import COLUMNS, mismatches
from histocarta.ledger_slides import sheet_rows

SETTINGS = {"orientation": "traits_by_samples", "scale": "log2", "duplicates": "error"}


@pytest.fixture
def cohort(tmp_path):
    """Writes a cohort's sheets and prepares it; gives the four tables back."""

    def prepare(*, slides, tables, clinical=None, more=(), **settings):
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
        prepare_cohort(**outputs, **(sheets | {"tables": specs or more} | settings))
        return {name: read_table(path) for name, path in outputs.items()}

    return prepare


def lost(made):
    return made["exclusions"][made["exclusions"]["outcome"] == "excluded"]


def noted(made):
    return made["exclusions"][made["exclusions"]["outcome"] == "noted"]


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
    assert lost(made).to_numpy().tolist() == [
        ["clinical", "patient", "p2", "B-NEGATIVE", "negative survival time", "1", "excluded"]
    ]


def test_the_tables_of_the_pancanatlas_and_cbioportal_are_read_as_published(cohort):
    """Their headers, delimiters, names and words, word for word, over a few values."""
    one, other = "TCGA-A2-A0T2-01A-11R-A084-07", "TCGA-A2-A04P-01A-31R-A034-07"
    web = "Study ID\tPatient ID\tSample ID\tOverall Survival (Months)\tOverall Survival Status\tER Status By IHC\n"
    made = cohort(
        slides=[("TCGA-A2-A0T2-01Z-00-DX1", "TCGA-A2-A0T2"), ("TCGA-A2-A04P-01Z-00-DX1", "TCGA-A2-A04P")],
        tables=[
            f"gene_id\t{one}\t{other}\n?|100130426\t0\t0\nESR1|2099\t12.5\tNA\nSLC35E2|9906\t1\t2\n",
            f"Genes,Correction,{one},{other}\nhsa-miR-17-5p,Corrected,8.25,0.5\nhsa-let-7a-2-3p,Uncorrected,3,4\n",
        ],
        clinical=f"{web}brca_tcga\tTCGA-A2-A0T2\tTCGA-A2-A0T2-01\t8.44\t1:DECEASED\tNegative\n"
        "brca_tcga\tTCGA-A2-A04P\tTCGA-A2-A04P-01\t17.97\t0:LIVING\tPositive\n",
    )
    assert list(made["expression"]) == ["ESR1|2099", "SLC35E2|9906", "hsa-miR-17-5p", "hsa-let-7a-2-3p"]
    assert made["expression"].loc["TCGA-A2-A0T2"].tolist() == [12.5, 1, 8.25, 3]
    assert made["clinical"][["time", "event"]].to_numpy().tolist() == [[8.44, 1], [17.97, 0]]
    assert {"B-NONAME", "B-STRANGER"} >= set(lost(made)["code"])


def test_a_cohort_without_clinical_data_has_an_empty_table(cohort):
    made = cohort(slides=PLAIN, tables=["gene\tp1\nA\t1\n"])
    assert made["clinical"].empty and list(made["clinical"]) == ["patient", "time", "event"]
    assert list(made["exclusions"]) == ["stage", "kind", "item", "code", "reason", "count", "outcome"]


def test_patients_with_clinical_data_only_keep_their_expression_and_strangers_do_not(cohort):
    clinical = "patient\ttime\tevent\np1\t7\t0\np3\t5\t1\n"
    made = cohort(slides=PLAIN, tables=["gene\tp1\tp3\tq1\tq2\nA\t1\t3\t4\t5\n"], clinical=clinical)
    assert made["expression"].index.tolist() == ["p1", "p3"]
    row = lost(made).iloc[0]
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
    left_out = lost(made).set_index("item")
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
    assert noted(made).to_numpy().tolist() == [row] and lost(made).empty
    assert "the sample types of 3 slides could not be checked" in capsys.readouterr().out
    loose = cohort(slides=TCGA_SLIDES, tables=[by_patient], match_sample_types=False)
    assert noted(loose).empty and lost(loose).empty


def test_slides_without_expression_or_without_a_type_are_not_noted(cohort):
    without = cohort(slides=[*PLAIN, TCGA_SLIDES[1]], tables=["gene\tp1\nA\t1\n"])
    assert noted(without).empty and lost(without).empty


def test_tables_must_agree_on_a_patients_sample_type(cohort):
    second = "miRNA\tTCGA-A2-A0T2-06A\tTCGA-E2-A15E-01A\nmiR\t1\t2\n"
    made = cohort(slides=TCGA_SLIDES, tables=[ALIQUOTS, second])
    assert made["expression"]["miR"].isna().to_dict() == {"TCGA-A2-A0T2": True, "TCGA-E2-A15E": False}
    row = lost(made).set_index("item").loc["TCGA-A2-A0T2"]
    assert row["code"] == "B-TYPE" and row["reason"].endswith("holds another sample type than the tables before it")


@pytest.mark.parametrize("named_first", [True, False])
def test_a_table_named_by_patient_differs_from_no_sample_type(cohort, named_first):
    named = "miRNA\tTCGA-A2-A0T2\tTCGA-E2-A15E\nmiR\t1\t2\n"
    made = cohort(slides=TCGA_SLIDES, tables=[named, ALIQUOTS] if named_first else [ALIQUOTS, named])
    assert made["expression"]["miR"].to_dict() == {"TCGA-A2-A0T2": 1.0, "TCGA-E2-A15E": 2.0}
    assert made["expression"]["A"].to_dict() == {"TCGA-A2-A0T2": 2.0, "TCGA-E2-A15E": 5.0}
    assert "B-TYPE" not in set(lost(made).loc[~lost(made)["reason"].str.contains("11"), "code"])
    # The type that one table states is the patient's, whichever table comes first.
    assert made["slides"].set_index("slide").loc["TCGA-E2-A15E-06Z-00-DX1", "exclude"].startswith("sample type 06")


def test_what_came_in_was_used_or_left_out_and_the_ledger_adds_it_up(cohort):
    second = "miRNA\tTCGA-A2-A0T2-06A\tTCGA-E2-A15E-01A\tq\nmiR\t1\t2\t3\n?\t1\t2\t3\n"
    clinical = "patient\ttime\tevent\tstage\nTCGA-A2-A0T2\t5\t1\tII\nTCGA-A2-A0T2\t5\t1\tIII\np2\t-1\t0\tI\n"
    made = cohort(slides=TCGA_SLIDES, tables=[ALIQUOTS, second], clinical=clinical)
    counts = made["exclusions"].astype({"count": int}).groupby(["stage", "kind", "outcome"])["count"].sum()
    assert counts["expression", "sample"].to_dict() == {"in": 9, "used": 3, "excluded": 6}
    assert counts["expression", "trait"].to_dict() == {"in": 3, "used": 2, "excluded": 1}
    assert counts["clinical", "patient"].to_dict() == {"in": 2, "used": 1, "excluded": 1, "noted": 1}
    sheet = made["slides"]
    rows = pd.DataFrame(sheet_rows(sheet, made["exclusions"]), columns=COLUMNS)
    assert mismatches(rows) == [] and set(rows["outcome"]) == {"in", "used", "excluded", "noted"}
    one_less = made["exclusions"].drop(lost(made).index[0])
    assert "in, but" in mismatches(pd.DataFrame(sheet_rows(sheet, one_less), columns=COLUMNS))[0]


def test_columns_that_are_not_used_are_noted(cohort, tmp_path):
    (tmp_path / "more.tsv").write_text("slide\tpatient\tfile\tsite\ns1\tp1\ta.svs\tnorth\n")
    made = cohort(slides=PLAIN, tables=["gene\tp1\nA\t1\n"], slides_sheet=str(tmp_path / "more.tsv"))
    noted = made["exclusions"][made["exclusions"]["outcome"] == "noted"]
    assert noted[["stage", "kind", "item", "code"]].to_numpy().tolist() == [["sheet", "column", "site", "B-COLUMN"]]


def test_a_sample_twice_is_named_with_its_table(cohort, tmp_path):
    path = tmp_path / "rows.tsv"
    path.write_text("sample\tA\np1\t1\np1\t2\n")
    with pytest.raises(InputError, match=rf"Expected every sample once in {path}, found 'p1' 2 times"):
        cohort(slides=PLAIN, tables=[], more=[SETTINGS | {"path": str(path), "orientation": "samples_by_traits"}])


def test_no_overlap_shows_one_id_of_each_kind(cohort):
    with pytest.raises(InputError, match=r"slides are of patients such as 'p1', samples are named like 'P-1'"):
        cohort(slides=PLAIN, tables=["gene\tP-1\tP-2\nA\t1\t2\n"])


def test_a_trait_in_two_tables_is_an_error(cohort):
    with pytest.raises(InputError, match="Expected every trait in one expression table, found 'A' in "):
        cohort(slides=PLAIN, tables=["gene\tp1\nA\t1\n", "gene\tp1\nA\t1\n"])


def test_row_order_does_not_change_the_tables(cohort):
    first = cohort(slides=PLAIN, tables=["gene\tp2\tp1\nA\t2\t1\n"])["expression"]
    pd.testing.assert_frame_equal(first, cohort(slides=PLAIN, tables=["gene\tp1\tp2\nA\t1\t2\n"])["expression"])


def test_a_gdc_manifest_makes_a_cohort(cohort, tmp_path):
    manifest = tmp_path / "manifest.txt"
    uuid, md5 = "3ab80b58-b3f7-4097-9d42-e22670650ad5", "361e57cec75dcf6c042d4ea207b3d1cc"
    manifest.write_text(f"id\tfilename\tmd5\tsize\n{uuid}\tTCGA-A2-A0T2-01Z-00-DX1.A.svs\t{md5}\t9\n")
    made = cohort(slides=PLAIN, tables=[ALIQUOTS], gdc_manifest=str(manifest), slides_folder="data/gdc")
    assert made["slides"].loc[0, "md5"] == md5 and made["expression"].index.tolist() == ["TCGA-A2-A0T2"]
