"""Genes in spots, all at once, against SciPy and scikit-learn one by one; consistent patients against He 2020."""

import numpy as np
import pytest
from histocarta.errors import InputError
from histocarta.spot_statistics import (
    consistency,
    median,
    partial,
    patterns,
    pearson,
    quartile_auroc,
    rmse,
    smooth,
    spearman,
)
from scipy import stats
from sklearn.metrics import roc_auc_score
from statsmodels.stats.multitest import multipletests

# Genes with so many of 23 patients consistent, counted in the results that He 2020's authors released (B.12).
PUBLISHED = {23: 17, 22: 20, 21: 28, 20: 37, 19: 35, 18: 39, 17: 29, 16: 18, 15: 15, 14: 12}


def _signs(positive, trials=23):
    """Patients × genes with r = 1 in as many patients as ``positive`` says, r = -1 in the others."""
    return np.where(np.arange(trials)[:, None] < np.asarray(positive), 1.0, -1.0)


def _pair(ties=False, spots=151, genes=30):
    rng = np.random.default_rng(7)
    measured = rng.normal(size=(spots, genes))
    predicted = measured * rng.uniform(-1, 1, genes) + rng.normal(size=measured.shape)
    return (predicted.round(1), measured.round(1)) if ties else (predicted, measured)


@pytest.mark.parametrize("ties", [False, True])
def test_correlations_are_scipys_gene_by_gene(ties):
    predicted, measured = _pair(ties)
    pairs = list(zip(predicted.T, measured.T, strict=True))
    np.testing.assert_allclose(pearson(predicted, measured), [stats.pearsonr(*pair).statistic for pair in pairs])
    np.testing.assert_allclose(spearman(predicted, measured), [stats.spearmanr(*pair).statistic for pair in pairs])
    np.testing.assert_allclose(rmse(predicted, measured), [np.sqrt(np.mean((x - y) ** 2)) for x, y in pairs])


def test_a_constant_has_no_correlation_and_rounding_is_no_prediction():
    predicted, measured = _pair(genes=4)
    predicted[:, 0] = -9.3
    predicted[:, 1] = np.float32(-9.3) + np.random.default_rng(0).choice([0, 1e-6], 151)  # one unit in the last place
    measured[:, 2] = 0.1
    for found in (pearson(predicted, measured), spearman(predicted, measured)):
        assert np.isnan(found).tolist() == [True, True, True, False]
    assert (
        np.isnan(pearson(predicted[:2], measured[:2])).all() and np.isnan(spearman(predicted[:2], measured[:2])).all()
    )


@pytest.mark.parametrize("ties", [False, True])
def test_auroc_is_scikit_learns_of_top_against_bottom_quarter(ties):
    predicted, measured = _pair(ties)
    found = quartile_auroc(predicted, measured)
    for gene, (x, y) in enumerate(zip(predicted.T, measured.T, strict=True)):
        low, high = np.percentile(y, [25, 75])
        used = (y >= high) | (y <= low)
        assert found[gene] == pytest.approx(roc_auc_score(y[used] >= high, x[used]), abs=1e-12)


def test_auroc_needs_two_quarters_that_differ():
    measured = np.array([0.0] * 8 + [1.0, 2.0])[:, None]  # P25 = P75 = 0
    assert np.isnan(quartile_auroc(np.arange(10.0)[:, None], measured)[0])
    assert quartile_auroc(np.zeros((8, 1)), np.arange(8.0)[:, None])[0] == 0.5
    assert quartile_auroc(np.arange(8.0)[:, None], np.arange(8.0)[:, None])[0] == 1


def test_partial_correlation_is_that_of_the_residuals():
    rng = np.random.default_rng(0)
    z = rng.normal(size=200)
    x, y = z + rng.normal(size=200), z + rng.normal(size=200)
    left = [values - np.polyval(np.polyfit(z, values, 1), z) for values in (x, y)]
    r = [np.array([stats.pearsonr(*pair).statistic]) for pair in ((x, y), (x, z), (y, z))]
    assert partial(*r)[0] == pytest.approx(stats.pearsonr(*left).statistic, abs=1e-12)
    assert np.isnan(partial(np.array([0.5]), np.array([1.0]), np.array([0.5])))[0]


def test_smoothing_a_square_lattice_is_the_mean_of_three_by_three():
    grid = np.random.default_rng(1).normal(size=(6, 5))
    row, col = np.indices(grid.shape).reshape(2, -1)
    found = smooth(grid.reshape(-1, 1), row, col, "square").reshape(grid.shape)
    for r, c in [(2, 2), (0, 0), (5, 3)]:  # inside, corner, edge
        assert found[r, c] == pytest.approx(grid[max(r - 1, 0) : r + 2, max(c - 1, 0) : c + 2].mean())


def test_smoothing_a_hexagonal_lattice_takes_the_six_that_touch():
    row, col = np.array([(r, c) for r in range(9) for c in range(18) if (r + c) % 2 == 0]).T
    centre = (row == 4) & (col == 8)
    spread = smooth(centre.astype(float)[:, None], row, col, "hexagonal")[:, 0]
    reached = {(r - 4, c - 8) for r, c in zip(row[spread > 0], col[spread > 0], strict=True)}
    assert reached == {(0, 0), (0, -2), (0, 2), (-1, -1), (-1, 1), (1, -1), (1, 1)}
    np.testing.assert_allclose(spread[spread > 0], 1 / 7)
    # On Visium's lattice the six neighbours of a spot are its six nearest: rows are sqrt(3) columns apart.
    distance = np.hypot((row - 4) * np.sqrt(3), col - 8)
    assert set(np.flatnonzero(spread > 0)) == set(np.argsort(distance)[:7])


def test_smoothing_takes_what_is_there():
    values = np.array([[1.0, 1.0], [3.0, np.nan], [8.0, 5.0]])
    found = smooth(values, [0, 0, 0], [0, 1, 5], "square")  # the third has no neighbour
    np.testing.assert_array_equal(found, [[2, 1], [2, np.nan], [8, 5]])
    order = [2, 0, 1]
    np.testing.assert_array_equal(smooth(values[order], [0, 0, 0], np.array([0, 1, 5])[order], "square"), found[order])


def test_smoothing_refuses_two_sections_at_once_and_unknown_lattices():
    with pytest.raises(InputError, match=r"found two at row 3, column 4; smooth sections one by one"):
        smooth(np.zeros((2, 1)), [3, 3], [4, 4], "square")
    with pytest.raises(InputError, match=r"one of square, hexagonal as lattice, found 'round'"):
        smooth(np.zeros((2, 1)), [3, 3], [4, 5], "round")


def test_he_2020s_102_genes_are_holms_and_not_a_false_discovery_rate():
    positive = np.repeat(list(PUBLISHED), list(PUBLISHED.values()))
    assert len(positive) == 250
    found = consistency(_signs(positive))
    assert found["consistent"].tolist() == positive.tolist() and set(found["n_patients"]) == {23}
    at = found.groupby("consistent").first()
    assert at.loc[20, "p_binomial"] == pytest.approx(2.44e-4, abs=5e-7)
    assert at.loc[20, "p_holm"] == pytest.approx(0.0452, abs=5e-5)  # printed as FDR .05
    assert at.loc[19, "p_holm"] == pytest.approx(0.192, abs=5e-4)
    counts = {column: int((found[column] <= 0.05).sum()) for column in ("p_holm", "fdr_bh", "p_bonferroni")}
    assert counts == {"p_holm": 102, "fdr_bh": 205, "p_bonferroni": 65}
    assert found.loc[found["fdr_bh"] <= 0.05, "consistent"].min() == 17
    assert found.loc[found["p_bonferroni"] <= 0.05, "consistent"].min() == 21
    assert int((found["p_holm"] <= 0.1).sum()) == 102  # the released code asks at .1: the same genes


def test_patients_without_a_correlation_are_no_trials():
    # Normal tissue of 21 of 23 patients (B.13): P(X >= 18 | 21), not P(X >= 20 | 23).
    r = _signs([18, 18])
    r[21:] = np.nan
    found = consistency(r)
    assert found["n_patients"].tolist() == [21, 21]
    assert found["p_binomial"][0] == pytest.approx(7.45e-4, abs=5e-7)
    assert found["p_binomial"][0] == pytest.approx(stats.binomtest(18, 21, alternative="greater").pvalue)
    assert found["smallest_p"][0] == 0.5**21


def test_a_gene_without_a_correlation_counts_in_the_family():
    r = np.column_stack([_signs([9, 7, 3], trials=9), np.full(9, np.nan), np.zeros(9)])
    found = consistency(r)
    assert found["n_patients"].tolist() == [9, 9, 9, 0, 9] and found["consistent"].tolist() == [9, 7, 3, 0, 0]
    p = [stats.binomtest(k, 9, alternative="greater").pvalue for k in (9, 7, 3)] + [1, 1]
    for column, method in (("p_holm", "holm"), ("fdr_bh", "fdr_bh"), ("p_bonferroni", "bonferroni")):
        np.testing.assert_allclose(found[column], multipletests(p, method=method)[1])
    assert consistency(_signs([2], trials=2))["smallest_p"][0] == 0.25


def test_patterns_share_out_genes_by_their_spots():
    use = np.array([[1, 0, 1, 1], [1, 0, 0, 1], [1, 0, 1, 1]], bool)
    found = {tuple(genes): tuple(spots) for genes, spots in patterns(use)}
    assert found == {(0, 3): (0, 1, 2), (1,): (), (2,): (0, 2)}
    assert list(patterns(np.zeros((0, 3), bool))) == []


def test_median_is_numpys_of_what_is_defined():
    values = np.random.default_rng(2).normal(size=(8, 50))
    values[np.random.default_rng(3).random(values.shape) < 0.4] = np.nan
    values[:, 0] = np.nan
    assert np.isnan(median(values)[0]) and np.isnan(median(values[:0])).all()
    np.testing.assert_allclose(median(values)[1:], np.nanmedian(values[:, 1:], axis=0))
