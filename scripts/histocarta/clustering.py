"""Into which groups patients or genes fall, how firmly, and how far two such groupings agree."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist, squareform

RESAMPLES, SHARE = 200, 0.8  # of consensus clustering: draws, and the share of the items in each
PERMUTATIONS, BOOTSTRAPS = 1000, 1000


@dataclass(frozen=True)
class Agreement:
    """Adjusted Rand index of two groupings, its 95 % bootstrap interval and one-sided permutation p."""

    ari: float
    low: float
    high: float
    p: float
    n: int
    reason: str = ""


def consensus_clusters(values: np.ndarray, *, k: int, seed: int, resamples: int = RESAMPLES) -> np.ndarray:
    """Clusters 0 … k - 1 of the rows of ``values`` (items × features, no NaN), by consensus (Monti et al. 2003).

    Each draw of 80 % of the items is clustered by average linkage of 1 - Pearson's correlation; how often two items
    fall together, of the draws that have both, is their similarity for a last clustering of the same kind.
    """
    rng = np.random.default_rng(seed)
    n = len(values)
    size = max(k + 1, math.ceil(SHARE * n))
    together, drawn = np.zeros((n, n)), np.zeros((n, n))
    distance = squareform(pdist(values, "correlation"))
    for _ in range(resamples):
        chosen = np.sort(rng.choice(n, size, replace=False))
        clusters = _cut(distance[np.ix_(chosen, chosen)], k=k)
        place = np.ix_(chosen, chosen)
        drawn[place] += 1
        together[place] += clusters[:, None] == clusters[None]
    similarity = np.divide(together, drawn, out=np.eye(n), where=drawn > 0)
    return _cut(1 - similarity, k=k) - 1


def adjusted_rand(one: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Adjusted Rand index (Hubert and Arabie 1985) of ``one`` (n) with every row of ``others`` (groupings × n)."""
    _, a = np.unique(one, return_inverse=True)
    _, b = np.unique(others, return_inverse=True)
    b = b.reshape(np.shape(others))
    groups, rows, columns = len(b), int(a.max()) + 1, int(b.max()) + 1
    code = (np.arange(groups)[:, None] * rows + a[None]) * columns + b
    table = np.bincount(code.ravel(), minlength=groups * rows * columns).reshape(groups, rows, columns).astype(float)
    pairs = (table * (table - 1) / 2).sum(axis=(1, 2))
    by_row, by_column = ((sums * (sums - 1) / 2).sum(axis=1) for sums in (table.sum(axis=2), table.sum(axis=1)))
    n = len(a)
    expected = by_row * by_column / (n * (n - 1) / 2)
    most = (by_row + by_column) / 2
    return np.divide(pairs - expected, most - expected, out=np.ones(groups), where=most != expected)


def agree(one: np.ndarray, other: np.ndarray, *, seed: int) -> Agreement:
    """How far two groupings of the same items agree.

    Interval: items drawn with replacement (percentiles). p: (b + 1) / (N + 1), b of N permutations of the items whose
    index is as high.
    """
    n = len(one)
    if n < 4:
        return Agreement(math.nan, math.nan, math.nan, math.nan, n, f"{n} items, need 4")
    rng = np.random.default_rng(seed)
    found = float(adjusted_rand(one, other[None])[0])
    shuffled = np.stack([rng.permutation(other) for _ in range(PERMUTATIONS)])
    above = int((adjusted_rand(one, shuffled) >= found - 1e-12).sum())
    drawn = rng.integers(0, n, (BOOTSTRAPS, n))
    resampled = np.array([adjusted_rand(one[rows], other[rows][None])[0] for rows in drawn])
    low, high = np.quantile(resampled, [0.025, 0.975])
    return Agreement(found, float(low), float(high), (above + 1) / (PERMUTATIONS + 1), n)


def _cut(distance: np.ndarray, *, k: int) -> np.ndarray:
    """Clusters 1 … k of a square matrix of distances by average linkage."""
    tree = linkage(squareform(np.maximum(distance, 0), checks=False), "average")
    return fcluster(tree, k, criterion="maxclust")
