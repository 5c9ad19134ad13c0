"""Consensus clusters and the adjusted Rand index: against scikit-learn, and groups that were planted."""

import math

import numpy as np
import pytest
from histocarta.clustering import PERMUTATIONS, adjusted_rand, agree, consensus_clusters
from sklearn.metrics import adjusted_rand_score


@pytest.mark.parametrize("groups", [2, 5])
def test_the_index_is_scikit_learns(groups):
    rng = np.random.default_rng(groups)
    one, others = rng.integers(0, groups, 50), rng.integers(0, 3, (200, 50))
    expected = [adjusted_rand_score(one, other) for other in others]
    np.testing.assert_allclose(adjusted_rand(one, others), expected, atol=1e-12)
    assert adjusted_rand(one, one[None])[0] == 1.0
    assert adjusted_rand(np.zeros(9, int), np.zeros((1, 9), int))[0] == adjusted_rand_score([0] * 9, [0] * 9)


def planted(n=40, features=30, k=4, noise=0.5, seed=0):
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % k
    return rng.normal(size=(k, features))[truth] + rng.normal(0, noise, (n, features)), truth


def test_planted_groups_are_found():
    values, truth = planted()
    found = consensus_clusters(values, k=4, seed=1)
    assert set(found) == {0, 1, 2, 3} and adjusted_rand_score(truth, found) == 1.0
    assert np.array_equal(found, consensus_clusters(values, k=4, seed=1))


def test_scale_and_level_of_an_item_do_not_matter():
    values, _ = planted()
    other = values * np.linspace(1, 9, 40)[:, None] + np.arange(40)[:, None]
    assert np.array_equal(consensus_clusters(values, k=4, seed=1), consensus_clusters(other, k=4, seed=1))


def test_groupings_that_agree_and_that_do_not():
    _, truth = planted(n=60)
    same = agree(truth, truth, seed=1)
    assert same.ari == same.low == same.high == 1.0 and same.p == pytest.approx(1 / (PERMUTATIONS + 1))
    rng = np.random.default_rng(3)
    noisy = np.where(rng.random(60) < 0.4, rng.integers(0, 4, 60), truth)
    half = agree(truth, noisy, seed=1)
    assert half.low < half.ari < half.high and half.p < 0.01 and half.n == 60
    p = [agree(truth, rng.permutation(truth), seed=seed).p for seed in range(40)]
    assert 0.2 < np.mean(p) < 0.8 and min(p) > 1 / (PERMUTATIONS + 1)


def test_three_items_cannot_agree():
    found = agree(np.arange(3), np.arange(3), seed=1)
    assert math.isnan(found.ari) and found.reason == "3 items, need 4"
