"""The search for a cut against lifelines, published approximations, and its own level where there is nothing."""

import numpy as np
import pytest
from histocarta.cut_search import METHOD, search_cut
from lifelines.datasets import load_lung
from lifelines.statistics import logrank_test
from scipy.stats import binom


def lifelines_at(cut, index, time, event):
    """lifelines' test of the patients above ``cut`` against the others."""
    high = index > cut
    return logrank_test(time[high], time[~high], event[high], event[~high])


def cohort(rng, n, *, effect=0.0):
    index = rng.random(n).round(2)
    time = rng.exponential(np.exp(-effect * (index > 0.5))).round(2)
    return index, time, rng.random(n) < 0.7


def test_the_cut_is_the_best_of_lifelines_and_its_p_is_lifelines():
    """Every cut that leaves 10 % on either side, one by one, of cohorts with ties in index and time."""
    for seed, effect in enumerate((0.0, 0.5, 1.5)):
        index, time, event = cohort(np.random.default_rng(seed), 60, effect=effect)
        found = search_cut(index, time, event, min_group=5, seed=0, permutations=9)
        cuts = [cut for cut in np.unique(index) if 6 <= (index <= cut).sum() <= 54]
        tests = [lifelines_at(cut, index, time, event) for cut in cuts]
        best = int(np.argmax([test.test_statistic for test in tests]))
        assert (found.cut, found.cuts_tried) == (cuts[best], len(cuts))
        assert found.statistic == pytest.approx(tests[best].test_statistic, rel=1e-9)
        assert found.p_uncorrected == pytest.approx(tests[best].p_value, rel=1e-9)


def test_the_only_cut_of_two_arms_is_the_trials_own():
    """R survdiff(~ sex, lung): chi-squared 10.3 on 1 degree of freedom, p = 0.001; one cut, no search."""
    lung = load_lung()
    found = search_cut(lung["sex"], lung["time"], lung["status"], min_group=5, seed=0)
    assert (found.cut, found.cuts_tried, found.permutations) == (1.0, 1, 1999)
    assert (found.statistic, found.p_uncorrected) == pytest.approx((10.3267, 0.0013112), rel=1e-4)
    assert found.p_corrected == pytest.approx(0.0013, abs=3 * np.sqrt(0.0013 / 2000))
    assert found.method == METHOD


def test_searched_cuts_are_corrected_as_altman_tabulates():
    """Altman et al. 1994: with 10 % on either side p_corrected is about -1.63 p (1 + 2.35 ln p) for .0001 < p < .1."""
    rng, checked = np.random.default_rng(0), 0
    for effect in np.linspace(0.2, 1.2, 11):
        index = rng.random(200)
        time = rng.exponential(np.exp(-effect * (index > 0.5)))
        found = search_cut(index, time, np.ones(200), min_group=5, seed=1, permutations=999)
        p = found.p_uncorrected
        if 1e-4 < p < 0.05:
            checked += 1
            tabulated = -1.63 * p * (1 + 2.35 * np.log(p))
            assert found.p_corrected == pytest.approx(tabulated, rel=0.35, abs=0.01), (p, tabulated)
    assert checked >= 4


def test_searched_cuts_keep_their_level_where_there_is_nothing():
    """400 cohorts without effect: corrected p <= .05 in 5 % of them (binomial, 99.9 %), uncorrected in many more."""
    rng = np.random.default_rng(4)
    found = [search_cut(*cohort(rng, 60), min_group=5, seed=n, permutations=199) for n in range(400)]
    least, most = binom.interval(0.999, 400, 0.05)
    assert least <= sum(one.p_corrected <= 0.05 for one in found) <= most
    assert sum(one.p_uncorrected <= 0.05 for one in found) > 2 * most


def test_a_planted_cut_is_found_and_the_seed_gives_it_again():
    rng = np.random.default_rng(1)
    index = rng.random(150)
    time = rng.exponential(np.where(index > 0.6, 20.0, 60.0))
    found = search_cut(index, time, np.ones(150), min_group=5, seed=3)
    assert found.cut == pytest.approx(0.6, abs=0.05) and found.p_corrected == 1 / 2000
    assert search_cut(index, time, np.ones(150), min_group=5, seed=3) == found


def test_search_without_a_possible_cut():
    same = search_cut(np.zeros(30), np.arange(1.0, 31), np.ones(30), min_group=5, seed=0)
    assert np.isnan(same.p_corrected) and same.reason == "no cut leaves enough patients on either side"
    assert search_cut(np.arange(30.0), np.arange(1.0, 31), np.zeros(30), min_group=5, seed=0).reason == "0 events"
    assert search_cut(np.array([]), np.array([]), np.array([]), min_group=5, seed=0).cuts_tried == 0
