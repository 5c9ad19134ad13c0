import numpy as np
import pandas as pd
import pytest
from histocarta import labels, leaks, splits
from histocarta.files import read_json, read_table, write_json, write_table


@pytest.fixture
def study(tmp_path):
    """Forty patients with two slides each, in ten blocks; a real split and real labels of one trait."""
    rng = np.random.default_rng(1)
    patients = [f"p{k:02d}" for k in range(40)]
    rows = [(f"{patient}-{k}", patient, f"b{int(patient[1:]) % 10}") for patient in patients for k in range(2)]
    manifest = pd.DataFrame(rows, columns=["slide", "patient", "block"]).assign(n_tiles=2)
    manifest = manifest.assign(file="data/" + manifest["slide"] + ".svs", x="", y="", width="", height="")
    write_table(manifest, tmp_path / "manifest.tsv")
    expression = pd.DataFrame({"MYC": rng.normal(size=40)}, index=pd.Index(patients, name="sample"))
    write_table(expression, tmp_path / "expression.parquet", index=True)
    draw(tmp_path)
    label(tmp_path)
    return tmp_path


def paths(folder, rounds=3):
    return [str(folder / f"round-{k}.tsv") for k in range(1, rounds + 1)]


def draw(folder, *, unit="patient", rounds=3, **options):
    options = {"test": 0.2, "validation": 0.2, "scheme": "s", "seed": 1, **options}
    splits.split_cohort(manifest=str(folder / "manifest.tsv"), rounds=paths(folder, rounds), unit=unit, **options)


def label(folder, *, fitted_on="non_test", **options):
    files = {"expression": "expression.parquet", "manifest": "manifest.tsv", "split": "round-1.tsv"}
    files |= {"labels": "labels.parquet", "summary": "labels.json"}
    rule = {"low": 20, "high": 80, "near": 10, "centre": None, "min_per_class": 2, **options}
    given = {key: str(folder / name) for key, name in files.items()}
    labels.label_extremes(**given, trait="MYC", fitted_on=fitted_on, **rule)


def audit(folder, *, unit="patient", rounds=3, **options):
    names = {"manifest": "manifest.tsv", "labels": "labels.parquet", "summary": "labels.json"}
    files = {key: str(folder / name) for key, name in names.items()}
    leaks.audit_leaks(**files, splits=paths(folder, rounds), audit=str(folder / "leaks.json"), unit=unit, **options)
    return read_json(folder / "leaks.json")


def change(path, **columns):
    """Rewrite one table with ``columns`` replaced (functions of the table)."""
    table = read_table(path)
    write_table(table.assign(**{name: value(table) for name, value in columns.items()}), path)


def test_clean_study_passes_and_is_described(study):
    record = audit(study, fitted_on="non_test")
    assert record["independent"] and record["one_test_part"] and not record["thresholds_saw_test"]
    assert record["note"] == ""
    sizes = [record["rounds"][0][part] for part in ("train", "validation", "test")]
    assert [size["units"] for size in sizes] == [24, 8, 8]
    assert [size["slides"] for size in sizes] == [48, 16, 16]
    table = read_table(study / "labels.parquet")
    assert sum(size["high"] for size in sizes) == (table["label"] == 1).sum()


def test_patient_in_two_parts_is_caught(study):
    path = study / "round-2.tsv"
    slide = read_table(path).query("part == 'test'")["slide"].iloc[0]
    change(path, part=lambda t: t["part"].mask(t["slide"] == slide, "train"))
    with pytest.raises(
        leaks.LeakError, match=rf"each patient in one part of .*round-2.tsv, found '{slide[:3]}' in test and train"
    ):
        audit(study)
    assert not (study / "leaks.json").exists()


def test_slide_level_unit_in_the_file_is_not_taken_for_the_patient(study):
    # A split drawn by section under the same file name: no "unit" is divided, but patients are.
    draw(study, unit="section")
    with pytest.raises(leaks.LeakError, match=r"Expected the patient as unit of every slide"):
        audit(study)
    label(study)
    record = audit(study, unit="section")
    assert not record["independent"]
    assert record["note"].startswith("not independent: ") and "have sections in the test part" in record["note"]


def test_another_unit_in_the_file_than_the_manifests_is_caught(study):
    draw(study, unit="block")
    label(study)
    change(study / "manifest.tsv", block=lambda t: t["block"].mask(t["slide"] == "p03-1", "b4"))
    with pytest.raises(leaks.LeakError, match=r"Expected the block as unit of every slide .* another for 'p03-1'"):
        audit(study, unit="block")


def in_one_file(study, *, step):
    """All slides become regions of one file, 100 px wide and ``step`` px apart; blocks are single regions."""
    places = {"x": lambda t: [step * k for k in range(len(t))], "y": lambda t: 0}
    sides = {"width": lambda t: 100, "height": lambda t: 100}
    change(study / "manifest.tsv", file=lambda t: "data/a.svs", block=lambda t: t["slide"], **places, **sides)
    draw(study, unit="block")
    label(study)


def test_regions_that_overlap_in_two_parts_are_caught(study):
    in_one_file(study, step=100)  # side by side: no pixel in common
    assert audit(study, unit="block")["status"] == "ok"
    in_one_file(study, step=99)
    expected = (
        r"Expected regions that overlap in one part of .*round-1.tsv, found p\d\d-\d in \w+ and p\d\d-\d in \w+, "
    )
    with pytest.raises(leaks.LeakError, match=expected + r"both of data/a.svs; give them one block or patient"):
        audit(study, unit="block")


def test_a_slide_without_a_region_overlaps_every_region_of_its_file(study):
    in_one_file(study, step=100)
    whole = {name: lambda t, name=name: t[name].mask(t["slide"] == "p20-0", "") for name in leaks.REGION}
    change(study / "manifest.tsv", **whole)
    with pytest.raises(leaks.LeakError, match=r"found p20-0 in|and p20-0 in"):
        audit(study, unit="block")


def test_blocks_of_one_patient_are_not_independent_and_it_is_said(study):
    change(study / "manifest.tsv", patient=lambda t: np.where(t["block"] < "b5", "A", "B"), block=lambda t: t["slide"])
    expression = read_table(study / "expression.parquet").loc[lambda t: t.index.repeat(2)]
    expression.index = pd.Index(read_table(study / "manifest.tsv")["slide"], name="sample")
    write_table(expression, study / "expression.parquet", index=True)
    draw(study, unit="block")
    label(study)
    record = audit(study, unit="block")
    assert record["note"] == "not independent: 2 patients have blocks in the test part and in another"
    one = "not independent: 1 patient has blocks in the test part and in another"
    assert leaks._note(1, unit="block") == one
    # Leaving a whole patient out is independent again, though blocks are the unit of validation.
    draw(study, unit="block", rounds=2, leave_out="patient")
    label(study, fitted_on="all")
    record = audit(study, unit="block", rounds=2, fitted_on="all")
    assert record["independent"] and not record["one_test_part"] and record["thresholds_saw_test"]


def test_thresholds_that_saw_the_test_part_are_caught_whatever_the_summary_claims(study):
    label(study, fitted_on="all")
    assert audit(study, fitted_on="all")["thresholds_saw_test"]
    with pytest.raises(leaks.LeakError, match="fitted on 'non_test', found 'all'"):
        audit(study, fitted_on="non_test")
    write_json(read_json(study / "labels.json") | {"fitted_on": "non_test"}, study / "labels.json")
    with pytest.raises(leaks.LeakError, match=r"fitted outside the test parts of all rounds .* test samples took part"):
        audit(study, fitted_on="non_test")


def test_leave_one_out_cannot_fit_outside_the_test(study):
    draw(study, rounds=40, leave_out="patient")
    label(study)
    with pytest.raises(leaks.LeakError, match="leave-one-out schemes must fit on 'all'"):
        audit(study, rounds=40)


def test_patient_level_centring_passes(study):
    change(study / "manifest.tsv", patient=lambda t: t["block"])
    expression = read_table(study / "expression.parquet").loc[lambda t: t.index.repeat(2)]
    expression.index = pd.Index(read_table(study / "manifest.tsv")["slide"], name="sample")
    write_table(expression, study / "expression.parquet", index=True)
    draw(study, unit="section")
    label(study, centre="patient", low=50, high=50, near=0)
    assert audit(study, unit="section")["status"] == "ok"


def test_stale_files_are_caught(study):
    draw(study, rounds=2)
    draw_old = read_table(study / "round-2.tsv")
    write_table(draw_old, study / "round-1.tsv")
    with pytest.raises(leaks.LeakError, match=r"Expected round 1 in .*round-1.tsv, found round 2"):
        audit(study)
    draw(study)
    old = read_table(study / "round-2.tsv")
    draw(study, seed=2)
    write_table(old, study / "round-2.tsv")
    with pytest.raises(leaks.LeakError, match=r"Expected one test part for all rounds.* found 'p\d\d-0' in several"):
        audit(study)
    draw(study)
    change(study / "round-3.tsv", scheme=lambda t: "other")
    with pytest.raises(leaks.LeakError, match="slides, units and scheme of round 1 in round 3"):
        audit(study)


def test_slide_twice_or_under_another_patient_is_caught(study):
    table = read_table(study / "labels.parquet")
    write_table(table.assign(patient=table["patient"].replace("p07", "p08")), study / "labels.parquet")
    with pytest.raises(leaks.LeakError, match=r"slide 'p07-0' of .* under its patient, found 'p07'"):
        audit(study)
    write_table(pd.concat([table, table.iloc[:1]]), study / "labels.parquet")
    with pytest.raises(leaks.LeakError, match=r"every slide once in .*labels.parquet, found 'p00-0' twice"):
        audit(study)
    split = read_table(study / "round-1.tsv")
    write_table(pd.concat([split, split.iloc[:1]]), study / "round-1.tsv")
    with pytest.raises(leaks.LeakError, match=r"every slide once in .*round-1.tsv, found 'p00-0' twice"):
        audit(study)


def test_unknown_part_is_caught(study):
    change(study / "round-1.tsv", part=lambda t: t["part"].replace("validation", "dev"))
    with pytest.raises(leaks.LeakError, match=r"parts train, tuning, validation, test in .* found 'dev'"):
        audit(study)


def test_excluded_trait_passes_with_its_reason(study):
    write_table(read_table(study / "expression.parquet") * 0, study / "expression.parquet", index=True)
    label(study)
    record = audit(study)
    assert (record["status"], record["code"]) == ("excluded", "B-TIES")
    assert record["rounds"][0]["test"]["slides"] == 16
