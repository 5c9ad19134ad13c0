"""Least squares of many genes at once, against statsmodels' of one."""

import numpy as np
import pytest
import statsmodels.api as sm
from histocarta.errors import InputError
from histocarta.linear_models import fit_genes


def test_every_gene_is_statsmodels():
    rng = np.random.default_rng(0)
    group, age = rng.integers(0, 2, 60), rng.normal(60, 10, 60)
    design = np.column_stack([np.ones(60), group, age, age**2])
    values = rng.normal(size=(60, 9)) + group[:, None] * np.linspace(-1, 1, 9) + 100
    found = fit_genes(values, design, term=1, names=["group", "age", "age²"])
    for gene in range(9):
        expected = sm.OLS(values[:, gene], design).fit()
        row = found.loc[gene]
        assert row["effect"] == pytest.approx(expected.params[1], rel=1e-8)
        assert row["se"] == pytest.approx(expected.bse[1], rel=1e-8)
        assert row["p"] == pytest.approx(expected.pvalues[1], rel=1e-7)
        np.testing.assert_allclose(row[["low", "high"]].astype(float), expected.conf_int()[1], rtol=1e-7)


def test_a_gene_that_does_not_vary_or_has_a_gap_has_no_figure():
    rng = np.random.default_rng(1)
    values = rng.normal(size=(20, 3))
    values[:, 0], values[3, 1] = 4.0, np.nan
    design = np.column_stack([np.ones(20), np.arange(20) % 2])
    found = fit_genes(values, design, term=1, names=["group"])
    assert found["p"].isna().tolist() == [True, True, False]


@pytest.mark.parametrize("rows", [20, 3])
def test_a_design_that_cannot_be_solved_is_refused(rows):
    design = np.column_stack([np.ones(rows), np.arange(rows) % 2, 1 - np.arange(rows) % 2])
    with pytest.raises(InputError, match=f"found {rows} samples and 3 terms of rank 2: group, other; leave some out"):
        fit_genes(np.random.default_rng(0).normal(size=(rows, 2)), design, term=1, names=["group", "other"])
