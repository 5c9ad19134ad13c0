"""Random-intercept models of many genes at once, against statsmodels' of one and closed forms."""

import warnings

import numpy as np
import pytest
import statsmodels.api as sm
from histocarta.mixed_models import fit_random_intercepts
from scipy import stats


def draw(*, genes=12, sizes=(12, 9, 15, 4, 11), spread=1.0, seed=0):
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(len(sizes)), sizes)
    x = rng.normal(3, 2, (len(group), genes))
    y = x * rng.uniform(-1, 1, genes) + rng.normal(0, spread, (len(sizes), genes))[group] + rng.normal(size=x.shape)
    return x, y, group


def likelihood(x, y, group, row):
    """The log-likelihood written out, with the whole covariance matrix."""
    cov = row["sd_residual"] ** 2 * np.eye(len(y)) + row["sd_group"] ** 2 * (group[:, None] == group)
    inverse, rest = np.linalg.inv(cov), y - row["slope"] * x
    rest = rest - inverse.sum(axis=0) @ rest / inverse.sum()
    return -0.5 * (len(y) * np.log(2 * np.pi) + np.linalg.slogdet(cov)[1] + rest @ inverse @ rest)


@pytest.mark.parametrize("spread", [2.0, 0.7])
def test_every_gene_is_statsmodels_by_maximum_likelihood(spread):
    x, y, group = draw(spread=spread)
    found = fit_random_intercepts(x, y, group)
    agreed = 0
    for gene in range(x.shape[1]):
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            full = sm.MixedLM(y[:, gene], sm.add_constant(x[:, gene]), groups=group).fit(reml=False)
            null = sm.MixedLM(y[:, gene], np.ones(len(y)), groups=group).fit(reml=False)
        row = found.loc[gene]
        ours = likelihood(x[:, gene], y[:, gene], group, row)
        assert ours > full.llf - 1e-8  # the maximum: no other search finds more
        if warned:
            continue  # statsmodels stopped short of it
        agreed += 1
        assert row["slope"] == pytest.approx(full.params[1], rel=1e-4)
        # lme4's standard error, given the variances; statsmodels' is the curvature of all parameters, up to 3 %
        # larger here.
        same = group[:, None] == group
        weights = np.eye(len(y)) + same * (row["sd_group"] / row["sd_residual"]) ** 2
        line = sm.GLS(y[:, gene], sm.add_constant(x[:, gene]), sigma=weights).fit()
        assert row["slope"] == pytest.approx(line.params[1], rel=1e-9)
        assert row["se"] == pytest.approx(np.sqrt(line.normalized_cov_params[1, 1]) * row["sd_residual"], rel=1e-9)
        assert row["p"] == pytest.approx(stats.chi2.sf(2 * (full.llf - null.llf), 1), rel=1e-3)
        assert row["sd_residual"] == pytest.approx(np.sqrt(full.scale), rel=1e-3)
        assert row["sd_group"] == pytest.approx(np.sqrt(np.asarray(full.cov_re)[0, 0]), rel=5e-3, abs=1e-3)
    assert agreed >= 10
    assert (found["n"] == len(group)).all() and (found["groups"] == 5).all() and not found["singular"].any()


def test_without_a_difference_between_groups_it_is_least_squares():
    """Equal means of all groups: the variance between them is 0, the fit singular, slope and p those of OLS by ML."""
    x, y, group = draw(spread=0.0, sizes=(20, 20, 20), seed=3)
    means = np.stack([table[group == g].mean(axis=0) for table in (x, y) for g in range(3)])
    x, y = x - means[:3][group], y - means[3:][group]
    found = fit_random_intercepts(x, y, group)
    assert found["singular"].all() and (found["sd_group"] == 0).all()
    for gene in range(x.shape[1]):
        line = stats.linregress(x[:, gene], y[:, gene])
        assert found.loc[gene, "slope"] == pytest.approx(line.slope, rel=1e-9)
        ratio = -len(group) * np.log1p(-(line.rvalue**2))  # twice the gain in log-likelihood
        assert found.loc[gene, "p"] == pytest.approx(stats.chi2.sf(ratio, 1), rel=1e-6)


def test_units_change_the_slope_and_nothing_else():
    x, y, group = draw()
    plain, other = fit_random_intercepts(x, y, group), fit_random_intercepts(x * 1e3 + 1e6, y * 1e-2 - 5, group)
    np.testing.assert_allclose(other["slope"], plain["slope"] * 1e-5, rtol=1e-6)
    np.testing.assert_allclose(other["p"], plain["p"], rtol=1e-5)
    np.testing.assert_allclose(other["sd_group"], plain["sd_group"] * 1e-2, rtol=1e-5)


def test_p_is_uniform_where_nothing_is_related():
    rng = np.random.default_rng(9)
    group = np.repeat(np.arange(22), 12)  # Wang 2021: 22 tumours of 12 regions
    x, y = (rng.normal(size=(22, 4000))[group] + rng.normal(size=(len(group), 4000)) for _ in range(2))
    p = fit_random_intercepts(x, y, group)["p"]
    for level in (0.01, 0.05, 0.5):
        low, high = stats.binom.interval(0.9999, 4000, level)
        assert low <= (p < level).sum() <= high * 1.1


def test_what_cannot_be_fitted_says_why():
    x, y, group = draw(genes=3)
    x[:, 1], y[:, 2] = 4.0, 1.0
    found = fit_random_intercepts(x, y, group)
    assert found["reason"].tolist() == ["", "one of the two is constant", "one of the two is constant"]
    assert found.loc[1:, "p"].isna().all() and found.loc[0, "p"] >= 0
    assert fit_random_intercepts(x, y, np.zeros(len(group)))["reason"][0] == "51 regions in 1 groups, need 3 in 2"
