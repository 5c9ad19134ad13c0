"""Pseudo-bulk against bulk, and subtypes: SciPy's figures, all genes counted, and no gene chosen with the left-out."""

import numpy as np
import pandas as pd
import pytest
from histocarta.errors import InputError
from histocarta.files import read_json, read_table, write_table
from histocarta.spot_bulk import compare_bulk, correlate_bulk
from histocarta.spot_subtypes import CHOSEN, auc_of, classify, classify_subtypes, kinds_of
from scipy import stats
from sklearn.feature_selection import SelectKBest, f_classif

PATIENTS, TILES = 40, 6


@pytest.fixture
def cohort(tmp_path):
    """Forty patients, one with two slides; G follows bulk, ANTI runs against it, FLAT is constant, LOST has no bulk."""
    rng = np.random.default_rng(0)
    patients = [f"P{number:02}" for number in range(PATIENTS)]
    bulk = pd.DataFrame(rng.normal(size=(PATIENTS, 3)), index=patients, columns=["G|1", "ANTI", "FLAT"])
    slides = pd.DataFrame({"slide": [*(f"{name}-1" for name in patients), "P00-2"], "patient": [*patients, "P00"]})
    rows = []
    for slide, patient in slides.itertuples(index=False):
        for tile in range(TILES):
            own = bulk.loc[patient]
            rows.append((slide, tile, 0, own["G|1"] + rng.normal() / 3, rng.normal() - own["ANTI"], 2.0, rng.normal()))
    scores = pd.DataFrame(rows, columns=["slide", "row", "col", "G", "ANTI", "FLAT", "LOST"])
    clinical = pd.DataFrame({"patient": patients, "kind": np.where(bulk["G|1"] > 0, "IDC", "ILC")})
    write_table(scores, tmp_path / "scores.parquet")
    write_table(slides, tmp_path / "slides.tsv")
    write_table(clinical, tmp_path / "clinical.parquet")
    bulk.rename_axis("sample").to_parquet(tmp_path / "expression.parquet")
    call = {"scores": "scores.parquet", "slides": "slides.tsv", "expression": "expression.parquet"}
    return {key: str(tmp_path / name) for key, name in call.items()}, tmp_path


def test_r_is_pearsons_of_the_patients_means_and_every_gene_counts(cohort):
    call, folder = cohort
    compare_bulk(**call, table=str(folder / "b.tsv"), record=str(folder / "b.json"), picture=str(folder / "b.png"))
    found, told = read_table(folder / "b.tsv").set_index("gene"), read_json(folder / "b.json")
    scores, bulk = read_table(call["scores"]), pd.read_parquet(call["expression"])
    of_slides = scores.groupby("slide")["G"].mean()
    means = of_slides.groupby(of_slides.index.str[:3]).mean()  # the two slides of P00 count alike
    expected = stats.pearsonr(means, bulk["G|1"].reindex(means.index))
    assert float(found.loc["G", "r"]) == pytest.approx(expected.statistic)
    assert float(found.loc["G", "p"]) == pytest.approx(expected.pvalue)
    fdr = stats.false_discovery_control([float(found.loc["G", "p"]), float(found.loc["ANTI", "p"]), 1, 1])
    assert float(found.loc["G", "fdr"]) == pytest.approx(fdr[0])
    assert found.loc["FLAT", "reason"] == "constant" and found.loc["LOST", "reason"] == "not in the bulk"
    assert [told[key] for key in ("n_genes", "positive", "significant_positive", "significant_negative")] == [
        4,
        1,
        1,
        1,
    ]
    assert told["n_samples"] == PATIENTS and (folder / "b.png").stat().st_size > 4000


def test_two_samples_have_no_r():
    frame = pd.DataFrame({"G": [1.0, 2.0]}, index=["a", "b"])
    assert correlate_bulk(frame, frame)["reason"].tolist() == ["2 samples"]


def test_kinds_that_follow_a_gene_are_told_apart_and_the_table_says_by_what(cohort):
    call, folder = cohort
    call |= {"clinical": str(folder / "clinical.parquet"), "table": str(folder / "s.tsv")}
    classify_subtypes(**call, column="kind", values=["IDC", "ILC"], seed=1)
    found = read_table(folder / "s.tsv")
    assert found["features"].tolist() == ["predicted", "bulk"] and (found["auc"].astype(float) > 0.9).all()
    assert (found["n_first"].astype(int) + found["n_second"].astype(int) == PATIENTS).all()
    classify_subtypes(**call, column="kind", values=["IDC", "absent"], seed=1)
    assert (read_table(folder / "s.tsv")["reason"] == "0 patients of one kind, need 10").all()
    with pytest.raises(InputError, match="Expected the column 'grade'"):
        kinds_of(
            pd.Index(["P00"]), read_table(call["slides"]), read_table(call["clinical"]), column="grade", values=["a"]
        )


def test_genes_chosen_within_the_folds_find_nothing_where_there_is_nothing_and_a_leak_would():
    """He 2020 chose 55 genes on all patients: on noise that alone gives an AUC far above one half."""
    rng = np.random.default_rng(3)
    features, truth = rng.normal(size=(60, 2000)), np.tile([0, 1], 30)
    honest = classify(features, truth, seed=1)
    assert honest["low"] < 0.5 < honest["high"]
    leaked = SelectKBest(f_classif, k=CHOSEN).fit_transform(features, truth)
    assert classify(leaked, truth, seed=1)["low"] > 0.8


def test_the_area_is_the_share_of_pairs_in_order():
    assert auc_of(np.array([0, 0, 1, 1]), np.array([0.1, 0.5, 0.5, 0.9])) == pytest.approx(3.5 / 4)
