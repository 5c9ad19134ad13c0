"""Rank correlation and R² of many columns at once, against SciPy and scikit-learn one by one."""

import numpy as np
import pytest
from histocarta.correlations import associate_columns, ranks
from histocarta.evaluation import r_squared, spearman
from scipy import stats
from sklearn.metrics import r2_score


@pytest.mark.parametrize("rows", [172, 11])
@pytest.mark.parametrize("ties", [False, True])
def test_whole_columns_are_scipys_to_the_last_digits(rows, ties):
    rng = np.random.default_rng(rows)
    value = rng.normal(size=(rows, 300))
    score = value * rng.uniform(-1, 1, 300) + rng.normal(size=(rows, 300))
    if ties:
        score, value = score.round(1), value.round(1)
    found = associate_columns(score, value)
    for gene in range(300):
        rho, p = stats.spearmanr(score[:, gene], value[:, gene])
        assert found["rho"][gene] == pytest.approx(rho, abs=1e-12)
        assert found["p"][gene] == pytest.approx(p, rel=1e-9)
        assert found["r2"][gene] == pytest.approx(r2_score(value[:, gene], score[:, gene]), rel=1e-12, abs=1e-12)
    assert set(found["n"]) == {rows} and set(found["reason"]) == {""}


def test_gaps_constants_and_few_rows_are_as_one_by_one():
    rng = np.random.default_rng(3)
    score, value = rng.normal(size=(2, 30, 40))
    score[rng.random(score.shape) < 0.2] = np.nan
    value[:, 5], score[:, 6], value[:, 7], value[3:, 8], value[8:, 9] = 2.0, 1.0, np.nan, np.nan, np.nan
    found = associate_columns(score, value)
    for gene in range(40):
        expected = spearman(score[:, gene], value[:, gene])
        row = found.loc[gene]
        assert (row["n"], row["reason"]) == (expected.n, expected.reason)
        np.testing.assert_allclose([row["rho"], row["p"]], [expected.rho, expected.p], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(row["r2"], r_squared(value[:, gene], score[:, gene]), rtol=1e-12, atol=1e-12)
    assert list(found.index) == list(range(40))


def test_ranks_are_scipys():
    values = np.random.default_rng(4).integers(0, 9, (50, 23)).astype(float)
    np.testing.assert_array_equal(ranks(values), stats.rankdata(values, axis=1))


def test_no_column_and_no_row_give_no_figure():
    assert associate_columns(np.zeros((5, 0)), np.zeros((5, 0))).empty
    found = associate_columns(np.zeros((0, 2)), np.zeros((0, 2)))
    assert found["rho"].isna().all() and set(found["reason"]) == {"0 pairs, need 3"}
