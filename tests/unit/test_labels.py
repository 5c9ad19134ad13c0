import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from histocarta import labels
from histocarta.errors import InputError
from histocarta.files import read_json, read_table, write_table
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

PAPER = {"low": 20, "high": 80, "near": 10}
VALUES = st.lists(st.floats(-100, 100).map(lambda v: round(v, 3)), min_size=12, max_size=60)


def study(folder, values, *, tested=(), slides_each=1, blocks=1):
    """One patient per value ("p000", …), its slides, and a split that tests the patients in ``tested``."""
    folder.mkdir(exist_ok=True)
    patients = [f"p{k:03d}" for k in range(len(values))]
    expression = pd.DataFrame({"MKI67|4288": values, "ESR1|2099": 0.0}, index=pd.Index(patients, name="sample"))
    write_table(expression, folder / "expression.parquet", index=True)
    rows = [(f"{patient}-{k}", patient) for patient in patients for k in range(slides_each)]
    slides = pd.DataFrame(rows, columns=["slide", "patient"])
    write_table(slides.assign(block="", n_tiles=3), folder / "manifest.tsv")
    part = np.where(slides["patient"].isin(tested), "test", "train")
    write_table(slides.assign(unit=slides["patient"], part=part, scheme="s", round=1), folder / "round-1.tsv")
    return folder


def run(folder, **options):
    options = {"trait": "MKI67", **PAPER, "centre": None, "fitted_on": "non_test", "min_per_class": 2, **options}
    options.setdefault("split", str(folder / "round-1.tsv"))
    files = {"expression": folder / "expression.parquet", "manifest": folder / "manifest.tsv"}
    files |= {"labels": folder / "labels.parquet", "summary": folder / "labels.json"}
    labels.label_extremes(**{key: str(path) for key, path in files.items()}, **options)
    return read_table(files["labels"]).set_index("slide"), read_json(files["summary"])


def test_levy_jurgenson_rule_on_a_hand_made_cohort(tmp_path):
    # 0 … 100: the k-th percentile is k, so thresholds, deciles and OOD sets can be read off.
    table, summary = run(study(tmp_path, np.arange(101.0)))
    assert summary["thresholds"] == {"low": 20, "high": 80, "median": 50}
    assert table["value"][table["label"] == 0].tolist() == list(range(21))  # inclusive
    assert table["value"][table["label"] == 1].tolist() == list(range(80, 101))
    assert table["value"][table["ood"] == "near"].tolist() == [*range(21, 31), *range(71, 80)]
    assert table["value"][table["ood"] == "far"].tolist() == list(range(31, 71))
    assert (table["above_median"] == (table["value"] > 50)).all()
    np.testing.assert_allclose(table["percentile"], table["value"])
    # Released: smallest d with v <= P(100 d), and OOD-near is deciles 3 and 8 without a label (checklist A1.9, A1.10).
    assert table["decile"].tolist() == [1] * 11 + [d for d in range(2, 11) for _ in range(10)]
    near = table["decile"].isin([3, 8]) & table["label"].isna()
    assert (near == (table["ood"] == "near")).all()
    assert summary["n"] == {
        "high": 21, "low": 21, "ood_near": 19, "ood_far": 40, "not_measured": 0, "no_expression": 0, "one_sample": 0
    }  # fmt: skip


def test_values_just_above_the_median_are_above_it(tmp_path):
    # The released code's v >= median + 1 leaves them without a label (checklist A1.8).
    table, _ = run(study(tmp_path, np.linspace(0, 1, 21)))
    assert (table["above_median"] == [0.0] * 11 + [1.0] * 10).all()


@given(values=VALUES)
@settings(max_examples=60, deadline=None)
def test_scale_agrees_with_scipy(values):
    scale = labels.fit_scale(np.array(values), **PAPER)
    quantile = stats.mstats.mquantiles(values, [0.2, 0.5, 0.8], alphap=1, betap=1)  # R type 7 = linear interpolation
    np.testing.assert_allclose([scale.low, scale.median, scale.high], quantile, rtol=1e-9, atol=1e-9)
    table = labels.extremes(pd.Series(values), scale=scale)
    rank = (stats.rankdata(values) - 1) / (len(values) - 1) * 100
    np.testing.assert_allclose(table["percentile"], rank, atol=1e-9)


@given(values=VALUES)
@settings(max_examples=60, deadline=None)
def test_every_measured_value_is_in_exactly_one_class(values):
    scale = labels.fit_scale(np.array(values), **PAPER)
    table = labels.extremes(pd.Series([*values, np.nan]), scale=scale)
    classes = (
        (table["label"] == 0).astype(int) + (table["label"] == 1) + (table["ood"] == "near") + (table["ood"] == "far")
    )
    assert (classes[:-1] == 1).all()
    last = table.iloc[-1]
    assert (
        classes.iloc[-1] == 0
        and last["decile"] == 0
        and np.isnan(last["percentile"])
        and np.isnan(last["above_median"])
    )


def test_thresholds_leave_out_the_test_patients_unless_told(tmp_path):
    values = np.r_[np.arange(101.0), np.arange(1000.0, 1040.0)]  # the test patients are all very high
    tested = [f"p{k:03d}" for k in range(101, 141)]
    table, summary = run(study(tmp_path, values, tested=tested))
    assert summary["thresholds"] == {"low": 20, "high": 80, "median": 50}
    assert (table["label"][-40:] == 1).all() and (table["percentile"][-40:] == 100).all()
    assert (summary["fitted_on"], summary["fitted_samples"]) == ("non_test", 101)
    assert run(tmp_path, fitted_on="all")[1]["reason"] == "0 high samples outside the test part, need 2"
    other, released = run(tmp_path, fitted_on="all", min_per_class=0)
    assert released["thresholds"]["high"] == np.percentile(values, 80)
    changed = (table["label"].fillna(-1) != other["label"].fillna(-1)).sum()
    assert summary["changed_against_all"] == changed > 0
    assert released["changed_against_all"] == 0


def test_patient_with_ten_slides_counts_once(tmp_path):
    folder = study(tmp_path, np.arange(101.0), slides_each=10)
    manifest = read_table(folder / "manifest.tsv")
    keep = (manifest["patient"] == "p100") | manifest["slide"].str.endswith("-0")
    write_table(manifest[keep], folder / "manifest.tsv")
    write_table(read_table(folder / "round-1.tsv")[keep], folder / "round-1.tsv")
    table, summary = run(folder)
    assert summary["thresholds"] == {"low": 20, "high": 80, "median": 50}
    assert (table.loc[table["patient"] == "p100", "label"] == 1).all() and len(table) == 110


def test_all_means_patients_without_slides_too_and_non_test_does_not(tmp_path):
    folder = study(tmp_path, np.arange(101.0))
    split = read_table(folder / "round-1.tsv")
    for name in ("manifest.tsv", "round-1.tsv"):
        table = read_table(folder / name)
        write_table(table[table["patient"] <= "p050"], folder / name)
    assert run(folder, fitted_on="all")[1]["thresholds"]["median"] == 50
    assert run(folder)[1]["thresholds"]["median"] == 25
    assert len(split) == 101


def test_not_measured_is_never_out_of_distribution(tmp_path):
    values = np.arange(101.0)
    values[[3, 50]] = np.nan
    folder = study(tmp_path, values)
    expression = read_table(folder / "expression.parquet").drop("p099")
    write_table(expression, folder / "expression.parquet", index=True)
    table, summary = run(folder)
    assert table.loc[["p003-0", "p050-0", "p099-0"], "reason"].tolist() == [
        "not_measured",
        "not_measured",
        "no_expression",
    ]
    assert (table.loc[["p003-0", "p050-0", "p099-0"], "ood"] == "").all()
    assert (table.loc[["p003-0", "p050-0", "p099-0"], "decile"] == 0).all()
    assert summary["n"]["not_measured"] == 3 and summary["n"]["no_expression"] == 1
    assert (
        sum(summary["n"][name] for name in ("high", "low", "ood_near", "ood_far", "not_measured")) == len(table) == 101
    )


def test_median_labels_leave_nothing_between(tmp_path):
    values = np.r_[np.zeros(40), np.arange(1.0, 62.0)]
    table, summary = run(study(tmp_path, values), low=50, high=50, near=0)
    assert summary["thresholds"]["median"] == 11
    assert (table["label"] == (table["value"] > 11)).all()
    assert (table["ood"] == "").all()


def test_ties_exclude_the_trait_with_its_code(tmp_path):
    # 85 % zeros, as a miRNA has: P20 = P80 = 0 would make nearly everything low (faults B12).
    values = np.r_[np.zeros(85), np.arange(1.0, 16.0)]
    table, summary = run(study(tmp_path, values))
    assert (summary["status"], summary["code"], summary["reason"]) == ("excluded", "B-TIES", "P20 = P80 = 0; no labels")
    assert len(table) == 0
    assert list(table.reset_index().columns) == list(labels.COLUMNS)
    assert run(tmp_path, trait="ESR1", low=50, high=50, near=0)[1]["reason"] == "P50 = maximum = 0; no labels"


def test_unmeasured_trait_is_excluded(tmp_path):
    summary = run(study(tmp_path, np.full(30, np.nan)))[1]
    assert (summary["status"], summary["code"]) == ("excluded", "B-NOVALUE")
    assert summary["n"]["not_measured"] == 30 and summary["changed_against_all"] is None


def test_too_few_of_a_class_outside_the_test_part(tmp_path):
    # 20 values, 4 low and 4 high (faults B13); both slides of a patient count once.
    summary = run(study(tmp_path, np.arange(20.0), slides_each=2), min_per_class=5)[1]
    assert (summary["code"], summary["reason"]) == ("B-FEW", "4 low samples outside the test part, need 5")
    assert run(tmp_path, min_per_class=4)[1]["status"] == "ok"


@pytest.mark.parametrize(
    ("trait", "names", "reason"),
    [
        ("MK167", ["MKI67|4288", "ESR1|2099"], r"Expected trait 'MK167' among the 2 traits of .*; nearest: MKI67"),
        (
            "SLC35E2",
            ["SLC35E2|728661", "SLC35E2|9906"],
            r"found SLC35E2\|728661, SLC35E2\|9906; name one of them in full",
        ),
    ],
    ids=["absent", "two genes of one symbol"],
)
def test_a_trait_that_no_table_has_is_left_out_and_stops_no_other(tmp_path, capsys, trait, names, reason):
    folder = study(tmp_path, np.arange(30.0))
    values = pd.DataFrame(1.0, index=pd.Index([f"p{k:03d}" for k in range(30)], name="sample"), columns=names)
    write_table(values, folder / "expression.parquet", index=True)
    table, summary = run(folder, trait=trait)
    assert table.empty and [*table.index.names, *table.columns] == list(labels.COLUMNS)
    assert (summary["status"], summary["code"], summary["column"]) == ("excluded", "B-NOTRAIT", None)
    assert re.search(reason, summary["reason"]) and summary["reason"] in capsys.readouterr().err
    # Every key that the summary of another trait has, so that all of them read the same.
    assert set(summary) == set(run(study(tmp_path / "other", np.arange(30.0)))[1])
    assert set(summary["n"].values()) == {0}


def test_a_renamed_gene_is_labelled_under_either_name(tmp_path):
    # The 2009 tables say KNTC2, the trait list may say NDC80 (HGNC).
    values = pd.Series(np.arange(30.0), [f"p{k:03d}" for k in range(30)], name="KNTC2|10403").rename_axis("sample")
    folder = study(tmp_path, values.to_numpy())
    write_table(values.to_frame(), folder / "expression.parquet", index=True)
    summary = run(folder, trait="NDC80")[1]
    assert (summary["status"], summary["trait"], summary["column"]) == ("ok", "NDC80", "KNTC2|10403")


def test_no_sample_in_common_shows_one_id_of_each_kind(tmp_path):
    folder = study(tmp_path, np.arange(20.0))
    expression = read_table(folder / "expression.parquet").rename(index=lambda name: f"TCGA-{name}")
    write_table(expression, folder / "expression.parquet", index=True)
    with pytest.raises(InputError, match=r"none in common: slides have e\.g\. 'p000', the table 'TCGA-p000'"):
        run(folder)


def test_stale_split_is_refused(tmp_path):
    folder = study(tmp_path, np.arange(20.0))
    write_table(read_table(folder / "round-1.tsv").iloc[1:], folder / "round-1.tsv")
    with pytest.raises(InputError, match=r"found 1 that it lacks, such as 'p000-0'; delete the split"):
        run(folder)


def cores(folder, *, depth, tested):
    """Two patients of 20 virtual cores; every core is a sample, patient B's values are ``depth`` higher."""
    names = [f"{patient}-{k:02d}" for patient in "AB" for k in range(20)]
    values = np.r_[np.arange(20.0), np.arange(20.0) + depth]
    write_table(
        pd.DataFrame({"ERBB2": values}, index=pd.Index(names, name="sample")), folder / "expression.parquet", index=True
    )
    slides = pd.DataFrame({"slide": names, "patient": [name[0] for name in names]})
    write_table(slides.assign(block=names, n_tiles=3), folder / "manifest.tsv")
    part = np.where(slides["slide"].isin(tested), "test", "train")
    write_table(slides.assign(unit=slides["slide"], part=part, scheme="s", round=1), folder / "round-1.tsv")
    return folder


def test_centring_removes_what_only_tells_patients_apart(tmp_path):
    folder = cores(tmp_path, depth=100.0, tested=["A-00", "B-19"])
    options = {"trait": "ERBB2", "low": 50, "high": 50, "near": 0}
    raw, _ = run(folder, **options)
    assert (raw["label"] == (raw["patient"] == "B")).all()  # the depth alone decides
    table, summary = run(folder, **options, centre="patient")
    # Means over the cores outside the test part: A 1 … 19 -> 10, B 100 … 118 -> 109.
    assert table.loc["A-00", "value"] == -10 and table.loc["B-19", "value"] == 10
    assert table.groupby("patient")["label"].sum().tolist() == [9, 10]
    assert (summary["rule"]["centre"], summary["fitted_samples"]) == ("patient", 38)


def test_left_out_patient_is_centred_on_itself_and_single_samples_have_no_value(tmp_path):
    folder = cores(tmp_path, depth=100.0, tested=[f"B-{k:02d}" for k in range(20)])
    expression = read_table(folder / "expression.parquet")
    table, _ = run(folder, trait="ERBB2", low=50, high=50, near=0, centre="patient")
    assert table.loc["B-00", "value"] == -9.5
    expression.loc[[f"B-{k:02d}" for k in range(1, 20)]] = np.nan
    write_table(expression, folder / "expression.parquet", index=True)
    table, summary = run(folder, trait="ERBB2", low=50, high=50, near=0, centre="patient")
    assert table.loc["B-00", "reason"] == "one_sample" and np.isnan(table.loc["B-00", "value"])
    assert (summary["n"]["one_sample"], summary["n"]["not_measured"]) == (1, 20)


def test_leave_one_out_must_say_that_it_fits_on_all(tmp_path):
    folder = cores(tmp_path, depth=0.0, tested=[f"A-{k:02d}" for k in range(20)])
    second = read_table(folder / "round-1.tsv")
    second["part"] = np.where(second["patient"] == "B", "test", "train")
    write_table(second, folder / "round-2.tsv")
    both = [str(folder / "round-1.tsv"), str(folder / "round-2.tsv")]
    with pytest.raises(InputError, match=r"every slide is tested in some round .*percentiles_fitted_on: all"):
        run(folder, trait="ERBB2", split=both)
    assert run(folder, trait="ERBB2", split=both, fitted_on="all")[1]["fitted_samples"] == 40


def test_in_leave_one_out_every_round_needs_both_classes_among_those_it_trains_on(tmp_path):
    folder = cores(tmp_path, depth=0.0, tested=[f"A-{k:02d}" for k in range(20)])
    second = read_table(folder / "round-1.tsv")
    second["part"], second["round"] = np.where(second["patient"] == "B", "test", "train"), 2
    write_table(second, folder / "round-2.tsv")
    both = [str(folder / "round-1.tsv"), str(folder / "round-2.tsv")]
    given = {"trait": "ERBB2", "split": both, "fitted_on": "all", "low": 50, "high": 50, "near": 0, "centre": "patient"}
    table, summary = run(folder, **given, min_per_class=5)
    least = min(int((rows["label"] == label).sum()) for _, rows in table.groupby("patient") for label in (0, 1))
    assert summary["status"] == "ok" and least >= 5
    summary = run(folder, **given, min_per_class=least + 1)[1]
    assert summary["code"] == "B-FEW" and f"{least} " in summary["reason"]
    assert re.search(rf"samples outside the test part of round [12], need {least + 1}$", summary["reason"])


@pytest.mark.real
@pytest.mark.skipif("REAL_DATA" not in os.environ, reason="REAL_DATA is not set")
@pytest.mark.parametrize("trait", ["KRAS", "EGFR", "CD274"])
def test_real_luad_table_against_pandas(tmp_path, trait):
    source = Path(os.environ["REAL_DATA"]) / "tcga_luad" / "tcga_luad_all_clean.csv.zip"
    real = pd.read_csv(source, usecols=["case_id", "slide_id", f"{trait}_rnaseq"]).drop_duplicates("case_id")
    value = real.set_index("case_id")[f"{trait}_rnaseq"].rename_axis("sample")
    write_table(value.rename(trait).to_frame(), tmp_path / "expression.parquet", index=True)
    slides = real.rename(columns={"case_id": "patient", "slide_id": "slide"})[["slide", "patient"]]
    write_table(slides.assign(block="", n_tiles=1), tmp_path / "manifest.tsv")
    write_table(slides.assign(unit=slides["patient"], part="train", scheme="s", round=1), tmp_path / "round-1.tsv")
    table, summary = run(tmp_path, trait=trait)
    table = table.set_index("patient").loc[value.index]
    assert len(value) == 453 and summary["status"] == "ok"
    assert (table["label"] == 1).equals(value >= value.quantile(0.8))
    assert (table["label"] == 0).equals(value <= value.quantile(0.2))
    assert (table["above_median"] == 1).equals(value > value.median())
    assert (table["decile"] == pd.qcut(value, 10, labels=False) + 1).all()
