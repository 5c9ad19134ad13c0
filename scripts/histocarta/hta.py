"""How heterogeneous a slide is region by region (HTA), and how far chance alone would take that figure.

HTA is the mean of the regions' entropies, weighted by their positive tiles, to the base of the number of combinations
that OCCUR on the slide: the definition of the authors' package ``hta`` 0.1.0 (Levy-Jurgenson et al. 2022). The paper's
HTI takes the largest possible number instead, so HTA of one region is not HTI; the two keep their own names.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import xlogy
from scipy.stats import random_table

from histocarta.errors import InputError

PERMUTE = ("tissue", "positive")
# 4 blocks have 35 different resamples, too few for tails of 2.5 % (40); 5 blocks have 126.
MIN_BLOCKS = 5
CHUNK = 1 << 22  # cells of permuted tables held at once (32 MiB)


@dataclass(frozen=True)
class Regional:
    """Regional heterogeneity of one slide; NaN where it cannot be had, for the coded ``reason``.

    ``reason``: "" | no_positive | one_region (nothing to permute, nothing to resample) | few_regions (no intervals).
    """

    hta: float = np.nan
    hta_low: float = np.nan
    hta_high: float = np.nan
    hti_low: float = np.nan
    hti_high: float = np.nan
    permutation_p: float = np.nan
    reason: str = ""


def region_counts(
    codes: np.ndarray, rows: np.ndarray, cols: np.ndarray, *, region: int
) -> tuple[np.ndarray, np.ndarray]:
    """Tiles per region and combination code: (regions, observed codes) counts, and the observed codes, ascending.

    Regions are squares of ``region`` tiles from the grid's corner (row 0, col 0); those without a tile are left out.
    """
    if region < 1:
        raise InputError(f"Expected a region of at least 1 tile, found {region}; give the side of a region in tiles.")
    squares = np.asarray(rows, dtype=np.int64) // region, np.asarray(cols, dtype=np.int64) // region
    squares = [square - square.min(initial=0) for square in squares]
    key = squares[0] * (squares[1].max(initial=0) + 1) + squares[1]
    regions, region_of = np.unique(key, return_inverse=True)
    observed, state_of = np.unique(codes, return_inverse=True)
    cells = np.bincount(region_of * len(observed) + state_of, minlength=len(regions) * len(observed))
    return cells.reshape(len(regions), len(observed)), observed


def hta(counts: np.ndarray) -> np.ndarray:
    """HTA of tables of tiles per region and non-empty combination, shape (..., regions, combinations); NaN if all 0.

    Every combination that is given a column counts as observed; one column is homogeneous (0) by definition.
    """
    counts = np.asarray(counts, dtype=np.float64)
    positive = counts.sum(axis=-1)
    # sum_r (n_r / n) H_r = (sum_r n_r log n_r - sum_rk n_rk log n_rk) / n
    excess = xlogy(positive, positive).sum(axis=-1) - xlogy(counts, counts).sum(axis=(-2, -1))
    return _to_base(excess, positive.sum(axis=-1), counts.shape[-1])


def regional_heterogeneity(
    codes: np.ndarray,
    rows: np.ndarray,
    cols: np.ndarray,
    *,
    combinations: int,
    region: int,
    permutations: int,
    bootstraps: int,
    permute: str,
    rng: np.random.Generator,
) -> Regional:
    """HTA of one slide with 95 % spatial-block-bootstrap intervals of HTA and HTI, and a permutation p.

    ``codes``, ``rows``, ``cols``: combination code (0 = none) and grid position of every tile on tissue;
    ``combinations``: C of the paper, 2^T - 1; ``permute``: ``tissue`` lets all tiles change places, negative ones too;
    ``positive`` only those with a trait, as the authors' package does. The regions are the blocks of the bootstrap.
    """
    if permute not in PERMUTE:
        raise InputError(f"Expected one of {', '.join(PERMUTE)} for what is permuted, found {permute!r}.")
    table, observed = region_counts(codes, rows, cols, region=region)
    states = observed != 0
    if not states.any():
        return Regional(reason="no_positive")
    blocks = table[:, states]
    blocks = blocks[blocks.sum(axis=1) > 0]
    shuffled = table if permute == "tissue" else blocks
    value = float(hta(blocks))
    p = permutation_p(shuffled, empty=shuffled is table and not states[0], observed=value, n=permutations, rng=rng)
    reason = "one_region" if len(shuffled) < 2 else "few_regions" if len(blocks) < MIN_BLOCKS else ""
    return Regional(value, *block_bootstrap(blocks, combinations=combinations, n=bootstraps, rng=rng), p, reason)


def permutation_p(table: np.ndarray, *, empty: bool, observed: float, n: int, rng: np.random.Generator) -> float:
    """Share of random arrangements whose HTA is at most ``observed``, as (b + 1) / (n + 1), so never 0.

    ``table``: tiles per region and state, the first column being tiles without a trait where ``empty``. Shuffling tiles
    over fixed places gives a random table with these margins (Patefield 1981, AS 159), drawn without moving a tile.
    A small p says that regions are purer than chance makes them: the combinations keep apart. NaN for a single region,
    where every arrangement is the same.
    """
    if len(table) < 2 or n < 1:
        return np.nan
    if table.shape[1] == 1:  # one state: nothing to shuffle (and SciPy 1.17's random_table is wrong for one column)
        return 1.0
    chance = random_table(table.sum(axis=1), table.sum(axis=0))
    below, left = 0, n
    while left:
        draws = chance.rvs(min(left, max(1, CHUNK // table.size)), random_state=rng)
        left -= len(draws)
        # Ties count: equal arrangements differ in the last digits by the order of summation.
        below += int(np.count_nonzero(hta(draws[..., 1:] if empty else draws) <= observed + 1e-12))
    return (below + 1) / (n + 1)


def block_bootstrap(
    blocks: np.ndarray, *, combinations: int, n: int, rng: np.random.Generator
) -> tuple[float, float, float, float]:
    """95 % percentile intervals (HTA low, high, HTI low, high), whole regions drawn with replacement.

    ``blocks``: (regions, observed combinations) tile counts. Neighbouring tiles are near-duplicates, so single tiles
    would give intervals far too narrow. NaN for fewer than :data:`MIN_BLOCKS` regions.
    """
    if len(blocks) < MIN_BLOCKS or n < 1:
        return np.nan, np.nan, np.nan, np.nan
    drawn = rng.multinomial(len(blocks), np.full(len(blocks), 1 / len(blocks)), size=n)
    sizes = blocks.sum(axis=1)
    pooled = drawn @ blocks
    positive = (drawn @ sizes).astype(np.float64)
    regional = drawn @ (xlogy(sizes, sizes) - xlogy(blocks, blocks).sum(axis=1))
    whole = xlogy(positive, positive) - xlogy(pooled, pooled).sum(axis=1)
    hta_draws = _to_base(regional, positive, blocks.shape[1])
    hti_draws = _to_base(whole, positive, combinations)
    low, high = np.percentile([hta_draws, hti_draws], [2.5, 97.5], axis=1)
    return float(low[0]), float(high[0]), float(low[1]), float(high[1])


def _to_base(excess: np.ndarray, positive: np.ndarray, base: int) -> np.ndarray:
    """``excess`` = (positive tiles) x (entropy in nats) as entropy to ``base``, kept in 0..1 against rounding."""
    nats = np.divide(excess, positive, out=np.full(np.shape(excess), np.nan), where=np.asarray(positive) > 0)
    return np.clip(nats / np.log(base), 0.0, 1.0) if base > 1 else nats * 0.0
