import numpy as np
import pandas as pd
import pytest
from histocarta import evaluation
from histocarta.files import read_table, write_json
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score
from statsmodels.stats.multitest import multipletests

SCORED = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 6)), min_size=2, max_size=40)


@given(pairs=SCORED)
@settings(max_examples=100, deadline=None)
def test_auc_agrees_with_sklearn_ties_included(pairs):
    truth, score = np.array(pairs).T
    found = evaluation.auc(truth, score)
    assert (found.n_high, found.n_low) == (truth.sum(), (1 - truth).sum())
    if 0 < truth.sum() < len(truth):
        assert found.auc == pytest.approx(roc_auc_score(truth, score), abs=1e-12)


def test_auc_of_one_class_is_nan_with_the_count():
    found = evaluation.auc(np.ones(12), np.arange(12.0))
    assert np.isnan(found.auc) and found.reason == "only one class: 12 high, 0 low"
    assert evaluation.auc(np.full(3, np.nan), np.arange(3.0)).reason == "no labelled slide"


def test_auc_of_constant_scores_is_a_half_and_says_so():
    found = evaluation.auc(np.array([0, 1, 1]), np.full(3, 0.4))
    assert (found.auc, found.reason) == (0.5, "all scores are equal")


def test_slides_without_label_or_score_are_left_out():
    found = evaluation.auc(np.array([0, 1, np.nan, 1]), np.array([0.1, 0.9, 0.5, np.nan]))
    assert (found.auc, found.n_high, found.n_low) == (1.0, 1, 1)


@given(pairs=SCORED, seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_weighted_auc_is_that_of_the_repeated_slides(pairs, seed):
    truth, score = np.array(pairs).T
    rng = np.random.default_rng(seed)
    code = rng.integers(0, 5, len(truth))  # of five groups, some of several slides and some of none
    drawn = rng.integers(0, 3, size=(4, 5))
    found = evaluation._resampled_auc(truth == 1, score.astype(float), code, drawn.astype(float))
    for row, area in zip(drawn[:, code], found, strict=True):
        repeated = evaluation.auc(np.repeat(truth, row), np.repeat(score, row)) if row.sum() else None
        np.testing.assert_allclose(area, repeated.auc if repeated else np.nan, atol=1e-12)


def normal_scores(n, *, seed, shift=1.0):
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % 2
    return truth, rng.normal(size=n) + shift * truth


def test_bootstrap_interval_agrees_with_scipy():
    truth, score = normal_scores(200, seed=3)
    low, high, reason = evaluation.bootstrap_auc(truth, score, np.arange(200), seed=1, resamples=4000)
    outside = stats.bootstrap(
        (truth, score), lambda t, s: roc_auc_score(t, s), paired=True, vectorized=False, n_resamples=400,
        method="percentile", rng=np.random.default_rng(2),
    ).confidence_interval  # fmt: skip
    assert reason == ""
    assert (low, high) == pytest.approx(tuple(outside), abs=0.015)


def test_bootstrap_resamples_patients_not_slides():
    # Ten copies of every slide add no information: the interval by patient stays, the one by slide shrinks.
    truth, score = normal_scores(60, seed=5)
    once = np.subtract(*evaluation.bootstrap_auc(truth, score, np.arange(60), seed=1)[1::-1])
    ten = [np.repeat(values, 10) for values in (truth, score, np.arange(60))]
    by_patient = np.subtract(*evaluation.bootstrap_auc(*ten, seed=1)[1::-1])
    by_slide = np.subtract(*evaluation.bootstrap_auc(ten[0], ten[1], np.arange(600), seed=1)[1::-1])
    assert by_patient == pytest.approx(once, rel=1e-9)
    assert by_slide < 0.5 * by_patient


def test_bootstrap_covers_the_true_auc():
    # Two normals a standard deviation apart: AUC = Phi(1 / sqrt 2) = 0.7602. 95 % of 120 intervals: 114 +- 2.4.
    area = stats.norm.cdf(1 / np.sqrt(2))
    covered = 0
    for seed in range(120):
        truth, score = normal_scores(80, seed=seed)
        low, high, _ = evaluation.bootstrap_auc(truth, score, np.arange(80), seed=seed, resamples=400)
        covered += low <= area <= high
    assert covered >= 106


def test_bootstrap_says_why_there_is_no_interval():
    truth, score = np.array([1, 1, 0, 0, 0]), np.arange(5.0)
    low, high, reason = evaluation.bootstrap_auc(truth, score, ["A", "A", "B", "C", "D"], seed=1)
    assert np.isnan(low) and np.isnan(high)
    assert reason == "no interval: 1 independent units are high, 3 low, need 2 of each"
    perfect = evaluation.bootstrap_auc(np.r_[0, 0, 1, 1], np.arange(4.0), list("ABCD"), seed=1)
    assert perfect[:2] == (1.0, 1.0) and perfect[2].startswith("no resample differs")


@given(pairs=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=10, max_size=40))
@settings(max_examples=60, deadline=None)
def test_spearman_agrees_with_pearson_of_ranks(pairs):
    x, y = np.array(pairs, dtype=float).T
    found = evaluation.spearman(x, y)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert np.isnan(found.rho) and found.reason == "one of the two is constant"
        return
    rho, p = stats.pearsonr(stats.rankdata(x), stats.rankdata(y))
    assert found.rho == pytest.approx(rho, abs=1e-9)
    assert found.p == pytest.approx(p, rel=1e-5, abs=1e-6)


def test_spearman_of_few_pairs_has_no_p_and_perfect_order_no_zero():
    assert evaluation.spearman(np.arange(2.0), np.arange(2.0)).reason == "2 pairs, need 3"
    few = evaluation.spearman(np.arange(9.0), np.arange(9.0))
    assert few.rho == 1 and np.isnan(few.p) and few.reason == "no p below 10 pairs"
    # 2 of the 10! orders are as extreme.
    assert evaluation.spearman(np.arange(10.0), -np.arange(10.0)).p == pytest.approx(2 / 3628800)
    with_hole = evaluation.spearman(np.r_[np.arange(10.0), np.nan], np.r_[np.arange(10.0), 5])
    assert with_hole.n == 10


@given(p=st.lists(st.floats(0, 1), min_size=1, max_size=30))
@settings(max_examples=60, deadline=None)
def test_benjamini_hochberg_agrees_with_statsmodels(p):
    np.testing.assert_allclose(evaluation.benjamini_hochberg(p), multipletests(p, method="fdr_bh")[1], atol=1e-12)


def test_missing_p_counts_in_the_family():
    found = evaluation.benjamini_hochberg([0.01, np.nan, 0.04, np.nan])
    np.testing.assert_allclose(found, [0.04, np.nan, 0.08, np.nan])
    assert len(evaluation.benjamini_hochberg([])) == 0


def test_st_net_consistency_counts():
    # He 2020's genes by number of consistent patients of 23: Benjamini–Hochberg at .05 accepts 205 (checklist B.12).
    genes = {23: 17, 22: 20, 21: 28, 20: 37, 19: 35, 18: 39, 17: 29, 16: 18, 15: 15, 12: 12}
    p = np.repeat([stats.binom.sf(k - 1, 23, 0.5) for k in genes], list(genes.values()))
    assert (evaluation.benjamini_hochberg(p) < 0.05).sum() == 205


def slides_frame():
    """Patient A has eight slides, all alike; by slide they outvote the others, by patient they count once."""
    frame = pd.DataFrame({"patient": list("AAAAAAAABCDE"), "score": [0.9] * 8 + [0.1, 0.8, 0.2, 0.95]})
    frame["percentile"] = [95.0] * 8 + [90, 10, 5, 12]
    return frame.assign(unit=frame["patient"], sample=frame["patient"])


def test_patient_counts_once_in_patient_level_figures():
    frame = slides_frame()
    truth = (frame["percentile"] > 50).astype(float)
    found = evaluation.evaluate(frame, truth=truth, seed=1)
    assert found["auc"] == pytest.approx(roc_auc_score(truth, frame["score"]))  # 16 of 27 pairs
    assert found["patient_auc"] == pytest.approx(2 / 6)
    assert (found["n_high"], found["n_low"], found["n_patients"], found["n_units"]) == (9, 3, 5, 5)
    ranks = evaluation.correlate(frame, chosen=truth.notna())
    assert (ranks["n"], ranks["sample_n"]) == (12, 5)
    expected = stats.spearmanr([0.9, 0.1, 0.8, 0.2, 0.95], [95, 90, 10, 5, 12])[0]
    assert ranks["sample_rho"] == pytest.approx(expected)


def test_patient_with_both_labels_has_no_patient_level_auc():
    frame = slides_frame()
    truth = pd.Series([0.0, 1.0] * 6)
    found = evaluation.evaluate(frame, truth=truth, seed=1)
    assert np.isnan(found["patient_auc"]) and found["patient_reason"] == "slides of one patient carry different labels"
    assert not np.isnan(found["auc"])


def test_empty_set_is_described_not_a_crash():
    frame = slides_frame()
    nothing = pd.Series(np.full(12, np.nan))
    found = evaluation.evaluate(frame, truth=nothing, seed=1)
    assert np.isnan(found["auc"]) and found["reason"] == "no labelled slide" and found["n_patients"] == 0
    assert evaluation.correlate(frame, chosen=nothing.notna())["reason"] == "0 pairs, need 3"


def metrics(trait, *, p, auc=0.8):
    ensemble = {"auc": auc, "low": 0.6, "high": 0.9, "patient_auc": auc, "n_high": 16, "n_low": 17, "n_patients": 33}
    spearman = {"rho": 0.5, "p": p, "n": 33, "sample_rho": 0.5, "sample_p": p, "reason": ""}
    return {
        "trait": trait, "status": "ok", "code": "", "reason": "", "unit": "patient", "independent": True,
        "test": {"mean": 0.83, "min": 0.79, "max": 0.88},
        "ensemble": {name: ensemble | {"reason": ""} for name in evaluation.SETS},
        "spearman": dict.fromkeys(evaluation.SETS, spearman), "control_patient_identity": None,
    }  # fmt: skip


def test_cohort_table_corrects_over_the_traits_that_were_tested(tmp_path):
    excluded = {
        "trait": "CD24",
        "status": "excluded",
        "code": "B-TIES",
        "reason": "P20 = P80 = 0; no labels",
        "unit": "patient",
    }
    cases = [metrics("MYC", p=0.03), metrics("miR-17-5p", p=0.0002), excluded, metrics("EGFR", p=None)]
    paths = [tmp_path / f"{k}.json" for k in range(4)]
    for path, case in zip(paths, cases, strict=True):
        write_json(case, path)
    evaluation.tabulate_cohort(
        metrics=[str(path) for path in paths], table=str(tmp_path / "t.tsv"), parquet=str(tmp_path / "t.parquet")
    )
    table = read_table(tmp_path / "t.parquet").set_index("trait")
    assert list(table.index) == ["MYC", "miR-17-5p", "CD24", "EGFR"]
    family = multipletests([0.03, 0.0002, 1.0], method="fdr_bh")[1]
    np.testing.assert_allclose(table.loc[["MYC", "miR-17-5p"], "test_fdr"], family[:2])
    assert table.loc[["CD24", "EGFR"], "test_fdr"].isna().all()
    assert (table["n_tests"] == 3).all()
    assert table.loc["miR-17-5p", "test_rounds_min"] == 0.79 and table.loc["miR-17-5p", "ood_all_auc"] == 0.8
    assert list(table.columns[table.columns.get_loc("test_p") :][:2]) == ["test_p", "test_fdr"]
    text = read_table(tmp_path / "t.tsv").set_index("trait")
    assert text.loc["MYC", "test_n_high"] == "16"
    assert text.loc["CD24", ["status", "code", "reason", "test_auc"]].tolist() == [
        "excluded",
        "B-TIES",
        "P20 = P80 = 0; no labels",
        "",
    ]


def test_cohort_table_of_no_trait_is_a_header(tmp_path):
    evaluation.tabulate_cohort(metrics=[], table=str(tmp_path / "t.tsv"), parquet=str(tmp_path / "t.parquet"))
    table = read_table(tmp_path / "t.parquet")
    assert len(table) == 0 and {"trait", "test_auc", "ood_all_fdr", "n_tests"} <= set(table)
