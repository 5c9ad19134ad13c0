"""How values predicted in spots are held against those measured there: gene by gene, all genes in a few operations."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy import sparse, stats

from histocarta.correlations import ranks
from histocarta.errors import InputError

FEWEST = 3  # spots of a group below which no correlation is given
CONSTANT = 1e-6  # of a gene's mean: a spread below it is the rounding of 32-bit numbers, not a prediction
# Offsets (row, col) of the spots that touch one: a 3 × 3 block (He 2020), and Visium's six, which lie two columns apart
# in a row; there the 3 × 3 block would hold the four diagonals only.
NEIGHBOURS = {
    "square": [(row, col) for row in (-1, 0, 1) for col in (-1, 0, 1) if (row, col) != (0, 0)],
    "hexagonal": [(0, -2), (0, 2), (-1, -1), (-1, 1), (1, -1), (1, 1)],
}


def patterns(use: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Genes that share their spots, and those spots: index arrays (genes, spots) of each pattern of ``use``.

    use : spots × genes, True where a gene is both predicted and measured. A gene chosen in some folds only lacks whole
    sections, so that there are few patterns however many genes.
    """
    if not use.size:
        return
    codes, number = np.unique(np.packbits(use, axis=0), axis=1, return_inverse=True)
    number = number.ravel()  # NumPy 2.0 gave it a second axis
    for pattern in range(codes.shape[1]):
        genes = np.flatnonzero(number == pattern)
        yield genes, np.flatnonzero(use[:, genes[0]])


def standardise(values: np.ndarray) -> np.ndarray:
    """Columns of ``values`` (spots × genes) with mean 0 and sum of squares 1; NaN for a constant one.

    The sum of the products of two such columns is their Pearson correlation.
    """
    values = np.asarray(values, float)
    mean = values.mean(axis=0)
    centred = values - mean
    norm = np.sqrt(np.einsum("ij,ij->j", centred, centred))
    flat = (norm <= CONSTANT * np.sqrt(len(values)) * np.abs(mean)) | (np.ptp(values, axis=0) == 0)
    return centred / np.where(flat, np.nan, norm)


def pearson(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pearson's r of each column of ``x`` with that of ``y`` (spots × genes, no gaps); NaN where one is constant.

    NaN below ``FEWEST`` spots too: of two spots r is 1 or -1 whatever they hold.
    """
    if len(x) < FEWEST:
        return np.full(np.shape(x)[1], np.nan)
    return np.einsum("ij,ij->j", standardise(x), standardise(y)).clip(-1, 1)


def spearman(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Spearman's rho of each column of ``x`` with that of ``y``: Pearson's r of the ranks, NaN where that of x, y is.

    A column that only rounding moves is constant here as well, though its ranks are not.
    """
    if len(x) < FEWEST:
        return np.full(np.shape(x)[1], np.nan)
    flat = np.isnan(standardise(x)).any(axis=0) | np.isnan(standardise(y)).any(axis=0)
    ranked = [ranks(np.ascontiguousarray(np.asarray(values, float).T)).T for values in (x, y)]
    return np.where(flat, np.nan, pearson(*ranked))


def rmse(predicted: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Root mean squared error of each column (spots × genes, no gaps), on the scale of the values; NaN of no spot."""
    if not len(predicted):
        return np.full(np.shape(predicted)[1], np.nan)
    return np.sqrt(np.mean((np.asarray(predicted, float) - measured) ** 2, axis=0))


def quartile_auroc(predicted: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Area under the ROC curve of ``predicted`` for the spots of each gene's top quarter against those of its bottom.

    He 2020: high = measured >= its 75th percentile, low = measured <= its 25th, the spots between are not used. NaN
    where the two percentiles are one value (B.18: many spots without a count). Equal predictions are half a win.
    predicted, measured : spots × genes, no gaps.
    """
    if len(predicted) < FEWEST:
        return np.full(np.shape(predicted)[1], np.nan)
    low, high = np.percentile(measured, [25, 75], axis=0)
    top, bottom = measured >= high, measured <= low
    # The spots between rank last, so that they change no rank of the others.
    kept = np.where(top | bottom, np.asarray(predicted, float), np.inf)
    ranked = ranks(np.ascontiguousarray(kept.T)).T
    n_top, n_bottom = top.sum(axis=0), bottom.sum(axis=0)
    area = (np.where(top, ranked, 0).sum(axis=0) - n_top * (n_top + 1) / 2) / (n_top * n_bottom)
    return np.where(low == high, np.nan, area)


def partial(xy: np.ndarray, xz: np.ndarray, yz: np.ndarray) -> np.ndarray:
    """First-order partial correlation of x and y with z held constant, of the three correlations; NaN if undefined."""
    rest = (1 - xz**2) * (1 - yz**2)
    return (xy - xz * yz) / np.sqrt(np.where(rest > 0, rest, np.nan))


def smooth(values: np.ndarray, row: np.ndarray, col: np.ndarray, lattice: str) -> np.ndarray:
    """The mean of each spot and those that touch it on the lattice, spots × genes, of ONE section.

    He 2020 averages a 3 × 3 block with its centre (square lattice); on a hexagonal one it is the centre and its six
    neighbours. The mean is taken of the values as they are (B.17: of logarithms here) over the neighbours that are
    there and defined; a spot without a value of its own stays NaN. row, col : lattice coordinates (Visium: array_row,
    array_col).
    """
    if lattice not in NEIGHBOURS:
        raise InputError(f"Expected one of {', '.join(NEIGHBOURS)} as lattice, found {lattice!r}")
    values, row, col = np.asarray(values, float), np.asarray(row, int), np.asarray(col, int)
    place = pd.MultiIndex.from_arrays([row, col])
    if place.has_duplicates:
        at = place[place.duplicated()][0]
        raise InputError(
            f"Expected one spot at each place of a section's lattice, found two at row {at[0]}, column {at[1]}; "
            "smooth sections one by one"
        )
    own = np.arange(len(row))
    pairs = [(own, own)]
    for down, right in NEIGHBOURS[lattice]:
        other = place.get_indexer(pd.MultiIndex.from_arrays([row + down, col + right]))
        pairs.append((own[other >= 0], other[other >= 0]))
    spot, other = (np.concatenate(ends) for ends in zip(*pairs, strict=True))
    around = sparse.csr_array((np.ones(len(spot)), (spot, other)), shape=(len(row), len(row)))
    known = ~np.isnan(values)
    total, count = around @ np.where(known, values, 0), around @ known.astype(float)
    return np.divide(total, count, out=np.full(values.shape, np.nan), where=known)


def consistency(r: np.ndarray) -> pd.DataFrame:
    """Whether a gene's r is positive in more patients than a coin would have it, a row per gene.

    r : patients × genes, NaN where a correlation is not defined; such a patient is no trial (B.13). Columns:
    n_patients (with a defined r), consistent (r > 0), p_binomial = P(X >= consistent), X ~ Binomial(n_patients, 1/2)
    (He 2020), and it adjusted over all genes given: p_holm (Holm-Bonferroni, family-wise: what He 2020 prints as
    "FDR"), fdr_bh (Benjamini-Hochberg, the false discovery rate), p_bonferroni. A gene without any patient has p = 1
    and counts in the family (B.14). smallest_p : the p of a gene whose patients all agree, 0.5 ** n_patients.
    """
    from statsmodels.stats.multitest import multipletests

    r = np.asarray(r, float)
    n, positive = (~np.isnan(r)).sum(axis=0), (r > 0).sum(axis=0)  # NaN > 0 is False
    p = stats.binom.sf(positive - 1, n, 0.5)
    adjusted = [multipletests(p, method=way)[1] if p.size else p for way in ("holm", "fdr_bh", "bonferroni")]
    holm, discovery, bonferroni = adjusted
    return pd.DataFrame(
        {"n_patients": n, "consistent": positive, "p_binomial": p, "p_holm": holm, "fdr_bh": discovery}
        | {"p_bonferroni": bonferroni, "smallest_p": 0.5**n}
    )


def median(values: np.ndarray) -> np.ndarray:
    """The median down each column of what is defined, NaN where nothing is (NumPy's nanmedian, without its loop)."""
    values = np.sort(np.asarray(values, float), axis=0)  # NaN last
    n = (~np.isnan(values)).sum(axis=0)
    if not len(values):
        return np.full(values.shape[1], np.nan)
    middle = [np.take_along_axis(values, np.maximum(at, 0)[None], axis=0)[0] for at in ((n - 1) // 2, n // 2)]
    return np.where(n > 0, (middle[0] + middle[1]) / 2, np.nan)
