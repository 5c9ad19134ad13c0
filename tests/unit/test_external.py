"""Models held against a cohort that no fit has seen: its scale, its figures, and what was brought forward."""

import numpy as np
import pandas as pd
import pytest
from histocarta.evaluation import benjamini_hochberg
from histocarta.external import evaluate_external
from histocarta.external_scores import gather_scores, score_by_heads
from histocarta.files import read_json, read_table, write_json, write_table
from scipy import stats

GENES = ["up", "down", "none"]
N_OWN, N = 40, 30


@pytest.fixture
def cohorts(tmp_path):
    """A cohort of 40 slides, the last 10 tested, and an external one of 30, on a platform 3 units higher.

    Of the three genes «none» is noise and «gone» is not measured in the external cohort.
    """
    rng = np.random.default_rng(5)
    own = [f"o{n:02d}" for n in range(N_OWN)]
    values = pd.DataFrame(rng.normal(4, 1, (N_OWN, 4)), columns=[*GENES, "gone"])
    part = np.where(np.arange(N_OWN) < 30, "train", "test")
    keys = pd.DataFrame({"slide": own, "patient": own, "sample": own, "unit": own, "round": 0, "part": part})
    write_table(keys.join(values), tmp_path / "predictions.parquet")
    write_table(keys[["slide"]].join(values), tmp_path / "measured.parquet")
    fates = pd.DataFrame({"trait": [*GENES, "gone", "flat"], "status": "ok", "code": "", "reason": ""})
    fates.loc[4, ["status", "code", "reason"]] = ["excluded", "B-VARIANCE", "flat"]
    write_table(fates, tmp_path / "fates.tsv")
    table = fates.assign(brought_forward=[True, True, False, True, False])
    write_table(table, tmp_path / "associations.parquet")

    slides = [f"x{n:02d}" for n in range(N)]
    truth = pd.DataFrame(rng.normal(4, 1, (N, 3)), columns=GENES, index=slides)
    noise = rng.normal(0, 0.3, (N, 3))
    said = (truth * [1, -1, 0] + noise + [0, 8, 4]).assign(gone=1.0)
    rounds = [said.assign(round=number).rename_axis("slide").reset_index() for number in (0, 1)]
    write_table(pd.concat(rounds, ignore_index=True), tmp_path / "scores.parquet")
    write_table(pd.DataFrame({"slide": slides, "patient": slides, "n_tiles": 3}), tmp_path / "manifest.tsv")
    (truth + 3).to_parquet(tmp_path / "expression.parquet")
    (tmp_path / "model").write_text("weights")
    return tmp_path, values, truth, said


def evaluate(folder, **changes):
    inputs = {
        name: str(folder / f"{name}.{kind}")
        for name, kind in (
            ("scores", "parquet"), ("expression", "parquet"), ("manifest", "tsv"), ("fates", "tsv"),
            ("predictions", "parquet"), ("measured", "parquet"), ("associations", "parquet"),
        )
    }  # fmt: skip
    outputs = {"values": "values.parquet", "table": "table.tsv", "parquet": "table.parquet", "record": "opened.json"}
    call = inputs | {key: str(folder / name) for key, name in outputs.items()}
    call |= {"models": [str(folder / "model")], "register": str(folder / "register.json"), "cohort": "far"}
    evaluate_external(**call | {"centre": None, "align": "median", "reopen": False} | changes)
    return read_table(call["parquet"]).set_index("trait"), read_table(call["values"]), read_json(call["record"])


def test_figures_are_scipys_and_the_false_discovery_rate_is_over_all_genes_that_are_measured(cohorts):
    folder, _, truth, said = cohorts
    found, _, _ = evaluate(folder)
    expected = {gene: stats.spearmanr(said[gene], truth[gene]) for gene in GENES}
    for gene, (rho, p) in expected.items():
        assert found.loc[gene, ["rho", "p"]].tolist() == pytest.approx([rho, p], abs=1e-12)
    fdr = benjamini_hochberg(np.array([p for _, p in expected.values()]))
    assert found.loc[GENES, "fdr"].tolist() == pytest.approx(fdr.tolist())
    assert set(found["n_tests"]) == {3} and set(found.loc[GENES, "n"]) == {N}


def test_values_are_brought_to_the_median_outside_the_test_part_and_ranks_stay(cohorts):
    """Closed form: the median of 30 training values less that of the external ones; without it R² is spoilt."""
    folder, values, truth, said = cohorts
    found, aligned, _ = evaluate(folder)
    offset = values.iloc[:30].median()[GENES] - (truth + 3).median()
    assert found.loc[GENES, "offset"].to_numpy() == pytest.approx(offset.to_numpy())
    assert aligned[GENES].to_numpy() == pytest.approx((truth + 3 + offset).to_numpy())
    measured = (truth + 3 + offset)["up"]
    r2 = 1 - ((measured - said["up"]) ** 2).sum() / ((measured - measured.mean()) ** 2).sum()
    assert found.loc["up", "r2"] == pytest.approx(r2) and r2 > 0.5
    raw, _, _ = evaluate(folder, align=None)
    assert raw.loc["up", "rho"] == found.loc["up", "rho"] and raw.loc["up", "r2"] < -5
    assert (raw.loc[GENES, "offset"] == 0).all()


def test_what_was_brought_forward_pays_for_the_genes_that_are_measured_here(cohorts):
    """Two of three genes brought forward are measured; «down» is told backwards, which is no validation."""
    folder, _, _, _ = cohorts
    found, _, _ = evaluate(folder)
    assert found.loc["up", "bonferroni"] == pytest.approx(2 * found.loc["up", "p"])
    assert found["validated"].tolist() == [True, False, False, False, False]
    assert found.loc["down", "bonferroni"] < 0.05 and found.loc["none", ["bonferroni"]].isna().all()
    assert found.loc["gone", "code"] == "B-NOTRAIT" and found.loc["flat", "code"] == "B-VARIANCE"


def test_a_study_that_brings_nothing_forward_has_no_such_columns(cohorts):
    folder, _, _, _ = cohorts
    table = read_table(folder / "associations.parquet").drop(columns="brought_forward")
    write_table(table, folder / "associations.parquet")
    assert "validated" not in evaluate(folder)[0]


def test_patients_of_both_cohorts_are_named(cohorts):
    folder, _, _, _ = cohorts
    manifest = read_table(folder / "manifest.tsv")
    manifest.loc[3, "patient"] = "o07"
    write_table(manifest, folder / "manifest.tsv")
    _, _, record = evaluate(folder)
    assert record["shared_patients"] == ["o07"] and record["cohort"] == "far" and len(record["openings"]) == 1


def test_slides_of_one_sample_count_once_for_the_median_and_for_the_samples_figures(cohorts):
    folder, values, truth, _ = cohorts
    manifest = read_table(folder / "manifest.tsv")
    manifest.loc[:9, "patient"] = "p"
    write_table(manifest, folder / "manifest.tsv")
    own = truth.drop(index=[f"x{n:02d}" for n in range(10)])
    table = pd.concat([own + 3, (truth.iloc[[0]] + 3).set_axis(["p"])])
    table.to_parquet(folder / "expression.parquet")
    found, _, _ = evaluate(folder)
    assert (found.loc["up", "n"], found.loc["up", "sample_n"]) == (30, 21)
    assert found.loc["up", "offset"] == pytest.approx(values.iloc[:30]["up"].median() - table["up"].median())


def test_values_centred_by_patient_are_centred_on_the_external_patients_own(cohorts):
    folder, _, truth, _ = cohorts
    manifest = read_table(folder / "manifest.tsv").assign(patient=["p"] * 15 + ["q"] * 15)
    write_table(manifest, folder / "manifest.tsv")
    _, measured, _ = evaluate(folder, centre="patient", align=None)
    expected = pd.concat([truth.iloc[:15] - truth.iloc[:15].mean(), truth.iloc[15:] - truth.iloc[15:].mean()])
    assert measured[GENES].to_numpy() == pytest.approx(expected.to_numpy())


def test_where_every_slide_is_tested_once_all_samples_give_the_median(cohorts):
    """Leave-one-out: no sample is outside the test parts, and the record says whose median it is."""
    folder, values, truth, _ = cohorts
    told = read_table(folder / "predictions.parquet").assign(part="test")
    write_table(told, folder / "predictions.parquet")
    found, _, record = evaluate(folder)
    assert found.loc[GENES, "offset"].to_numpy() == pytest.approx(
        (values[GENES].median() - truth.median() - 3).to_numpy()
    )
    assert (record["align"], found.loc["up", "n"]) == ("all", N)


def test_without_a_model_the_cohort_stays_closed(cohorts):
    """All rounds were lost: a row per gene with its reason, no figure, and no opening for what comes next."""
    folder, _, _, _ = cohorts
    fates = read_table(folder / "fates.tsv").assign(status="excluded", code="E-NO-MODEL", reason="M-NAN")
    write_table(fates, folder / "fates.tsv")
    write_table(pd.DataFrame(columns=["slide", "round"]), folder / "scores.parquet")
    found, measured, record = evaluate(folder)
    assert set(found["code"]) == {"E-NO-MODEL"} and found["rho"].isna().all() and measured.empty
    assert record["openings"] == [] and not (folder / "register.json").exists()


def test_heads_and_tables_of_scores_give_one_form(tmp_path):
    """Two rounds, the second without a model: the mean is the first's; a probe and jobs of the same say the same."""
    rng = np.random.default_rng(1)
    features, weights = rng.normal(size=(6, 3)), rng.normal(size=(3, 2)).astype(np.float32)
    slides = [f"x{n}" for n in range(6)]
    write_table(pd.DataFrame({"slide": slides, "features": list(features)}), tmp_path / "features.parquet")
    genes = pd.DataFrame(
        {"trait": ["a", "flat", "b"], "status": ["ok", "excluded", "ok"], "mean": [4.0, 0, 5], "sd": 2}
    )
    write_table(genes, tmp_path / "genes.tsv")
    for number, code in ((1, ""), (2, "M-EMPTY")):
        np.savez(tmp_path / f"head-{number}.npz", weights=weights, intercept=np.array([0.5, -0.5]))
        write_json({"round": number, "code": code, "reason": code}, tmp_path / f"model-{number}.json")
    score_by_heads(
        features=[str(tmp_path / "features.parquet")], heads=[str(tmp_path / f"head-{n}.npz") for n in (1, 2)],
        sidecars=[str(tmp_path / f"model-{n}.json") for n in (1, 2)], genes=str(tmp_path / "genes.tsv"),
        scores=str(tmp_path / "probe.parquet"), standardise=True,
    )  # fmt: skip
    found = read_table(tmp_path / "probe.parquet")
    assert found["round"].tolist() == [0] * 6 + [1] * 6 and list(found.columns) == ["slide", "round", "a", "b"]
    learnt = features @ weights + [0.5, -0.5]
    assert found.loc[found["round"] == 0, ["a", "b"]].to_numpy() == pytest.approx(learnt * 2 + [4, 5], rel=1e-5)
    rows = pd.DataFrame({"slide": slides, "n_tiles": 3, "round": 1})
    for name, column in zip("ab", learnt.T, strict=True):
        write_table(rows.assign(**{name: column}), tmp_path / f"job-{name}.parquet")
    tables = [str(tmp_path / f"job-{name}.parquet") for name in "ab"]
    genes = str(tmp_path / "genes.tsv")
    gather_scores(tables=tables, scores=str(tmp_path / "jobs.parquet"), genes=genes, standardise=True)
    pd.testing.assert_frame_equal(read_table(tmp_path / "jobs.parquet"), found, check_dtype=False, rtol=1e-5)
