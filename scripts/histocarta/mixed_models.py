"""Linear mixed models with a random intercept, of many genes at once: likelihood profiled over one variance ratio."""

import numpy as np
import pandas as pd
from scipy import stats

GRID = np.concatenate([[0.0], np.logspace(-6, 4, 61)])  # ratio of the groups' variance to the residuals'
STEPS = 40  # of golden section, which narrows a grid cell by 2e8
GOLDEN = (np.sqrt(5) - 1) / 2
LEVEL = 0.95
COLUMNS = ("n", "groups", "slope", "se", "low", "high", "p", "sd_group", "sd_residual", "singular", "reason")


class _Sums:
    """What the likelihood needs of the data of all genes, gathered once: sums of products, whole and by group."""

    def __init__(self, x: np.ndarray, y: np.ndarray, group: np.ndarray) -> None:
        self.sizes = np.bincount(group)
        self.n = len(group)
        self.x, self.y = (_by_group(table, group, len(self.sizes)) for table in (x, y))  # genes × groups
        self.xx, self.xy, self.yy = ((a * b).sum(axis=0) for a, b in ((x, x), (x, y), (y, y)))

    def solve(self, ratio: np.ndarray, *, slope: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Log-likelihood, slope, its variance over the residuals' and the residuals' variance at ``ratio`` (genes)."""
        # V = I + ratio J in each group, so that V⁻¹ = I - c J with c = ratio / (1 + ratio size).
        c = ratio[:, None] / (1 + ratio[:, None] * self.sizes)
        one = self.n - (c * self.sizes**2).sum(axis=1)
        ones_x, ones_y = (((1 - c * self.sizes) * sums).sum(axis=1) for sums in (self.x, self.y))
        yy = self.yy - (c * self.y**2).sum(axis=1) - ones_y**2 / one
        xx = self.xx - (c * self.x**2).sum(axis=1) - ones_x**2 / one
        xy = self.xy - (c * self.x * self.y).sum(axis=1) - ones_x * ones_y / one
        beta = xy / xx if slope else np.zeros_like(xy)
        variance = np.maximum(yy - (xy * beta if slope else 0), 1e-300) / self.n
        determinant = np.log1p(ratio[:, None] * self.sizes).sum(axis=1)
        likelihood = -0.5 * (self.n * (np.log(2 * np.pi * variance) + 1) + determinant)
        return likelihood, beta, variance / xx, variance


def fit_random_intercepts(x: np.ndarray, y: np.ndarray, group: np.ndarray) -> pd.DataFrame:
    """y ~ x + (1 | group) by maximum likelihood, for every column of ``x`` and ``y`` (rows × genes, no NaN).

    Wang 2021: lme4 with REML off. p is that of the likelihood-ratio test against y ~ 1 + (1 | group), chi² with 1
    degree of freedom; low, high: Wald's 95 % interval of the slope. ``singular``: the groups' variance is estimated as
    0 (lme4's singular fit), which leaves ordinary least squares. Columns that are constant, or fewer than 3 rows or 2
    groups, have no figures but a ``reason``.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    _, code = np.unique(group, return_inverse=True)
    n, groups = len(code), len(np.unique(code))
    found = pd.DataFrame(np.nan, index=range(x.shape[1]), columns=list(COLUMNS)).assign(n=n, groups=groups)
    found["singular"], found["reason"] = False, ""
    few = f"{n} regions in {groups} groups, need 3 in 2" if n < 3 or groups < 2 else ""
    flat = np.zeros(x.shape[1], bool) if few or not n else (np.ptp(x, axis=0) == 0) | (np.ptp(y, axis=0) == 0)
    found.loc[flat, "reason"] = "one of the two is constant"
    if few:
        return found.assign(reason=few)
    use = ~flat
    if not use.any():
        return found
    # Centred and scaled: the sums of squares then lose no digits, and the slope is put back.
    scale_x, scale_y = x[:, use].std(axis=0), y[:, use].std(axis=0)
    sums = _Sums((x[:, use] - x[:, use].mean(axis=0)) / scale_x, (y[:, use] - y[:, use].mean(axis=0)) / scale_y, code)
    full, null = (_best_ratio(sums, slope=slope) for slope in (True, False))
    likelihood, slope, spread, variance = sums.solve(full, slope=True)
    below = sums.solve(null, slope=False)[0]
    back = scale_y / scale_x
    se = np.sqrt(spread) * back
    reach = stats.norm.ppf((1 + LEVEL) / 2) * se
    found.loc[use, "slope"], found.loc[use, "se"] = slope * back, se
    found.loc[use, "low"], found.loc[use, "high"] = slope * back - reach, slope * back + reach
    found.loc[use, "p"] = stats.chi2.sf(np.maximum(2 * (likelihood - below), 0), 1)
    found.loc[use, "sd_residual"] = np.sqrt(variance) * scale_y
    found.loc[use, "sd_group"] = np.sqrt(variance * full) * scale_y
    found.loc[use, "singular"] = full == 0
    return found


def _by_group(table: np.ndarray, group: np.ndarray, groups: int) -> np.ndarray:
    """Sums of the rows of each group, genes × groups."""
    total = np.zeros((groups, table.shape[1]))
    np.add.at(total, group, table)
    return total.T


def _best_ratio(sums: _Sums, *, slope: bool) -> np.ndarray:
    """The variance ratio of the highest likelihood of every gene: a grid, then golden section around its best place."""
    genes = sums.x.shape[0]
    heights = np.stack([sums.solve(np.full(genes, ratio), slope=slope)[0] for ratio in GRID])
    best = np.argmax(heights, axis=0)
    low, high = GRID[np.maximum(best - 1, 0)], GRID[np.minimum(best + 1, len(GRID) - 1)]
    for _ in range(STEPS):
        inner, outer = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        rising = sums.solve(inner, slope=slope)[0] < sums.solve(outer, slope=slope)[0]
        low, high = np.where(rising, inner, low), np.where(rising, high, outer)
    ratio = (low + high) / 2
    # A maximum at the edge is 0 itself and not a number near it.
    return np.where(sums.solve(ratio, slope=slope)[0] > heights[0], ratio, 0.0)
