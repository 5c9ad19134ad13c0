"""How well each of many columns is predicted: rank correlation and R² of all of them by a few matrix operations."""

import math

import numpy as np
import pandas as pd
from scipy import special, stats

from histocarta.evaluation import MIN_FOR_P


def associate_columns(score: np.ndarray, value: np.ndarray) -> pd.DataFrame:
    """Spearman's rho, its two-sided p, R² = 1 - SS_res / SS_tot, n and the reason of what is missing, per column.

    score, value : rows × genes; a row counts for a gene where both are numbers. The figures are those of
    ``evaluation.spearman`` and ``evaluation.r_squared`` column by column.
    """
    # A gene's numbers beside each other in memory: sorting them is most of the work.
    score, value = (np.ascontiguousarray(np.asarray(table, float).T) for table in (score, value))
    use = ~(np.isnan(score) | np.isnan(value))
    if use.all():
        return _associate(score, value)
    # Genes that lack the same rows are ranked together.
    patterns = pd.Series([row.tobytes() for row in np.packbits(use, axis=1)], dtype=object)
    parts = []
    for _, group in patterns.groupby(patterns, sort=False):
        genes, rows = group.index.to_numpy(), use[group.index[0]]
        parts.append(_associate(score[np.ix_(genes, rows)], value[np.ix_(genes, rows)]).set_index(genes))
    return pd.concat(parts).sort_index()


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks 1 … n along the last axis, ties sharing their mean (SciPy's ``rankdata``, at a third of its time)."""
    order = values.argsort(axis=1)
    found = np.empty(values.shape)
    np.put_along_axis(found, order, np.arange(1.0, values.shape[1] + 1)[None], axis=1)
    rising = np.take_along_axis(values, order, axis=1)
    tied = (rising[:, 1:] == rising[:, :-1]).any(axis=1)
    found[tied] = stats.rankdata(values[tied], axis=1)
    return found


def _associate(score: np.ndarray, value: np.ndarray) -> pd.DataFrame:
    """The figures of genes × rows without a gap."""
    genes, n = score.shape
    found = pd.DataFrame(
        {"n": n, "rho": np.nan, "p": np.nan, "r2": _r2(score, value), "reason": ""}, index=range(genes)
    )
    if n < 3:
        return found.assign(reason=f"{n} pairs, need 3")
    flat = (np.ptp(score, axis=1) == 0) | (np.ptp(value, axis=1) == 0)
    centred = [ranks(one) - (n + 1) / 2 for one in (score, value)]
    norms = [np.einsum("ij,ij->i", one, one) for one in centred]
    with np.errstate(divide="ignore", invalid="ignore"):
        rho = np.einsum("ij,ij->i", *centred) / np.sqrt(norms[0] * norms[1])
        rho = np.where(flat, np.nan, np.clip(rho, -1, 1))
        t = np.abs(rho) * np.sqrt((n - 2) / ((1 - rho) * (1 + rho)))
    p = np.maximum(2 * special.stdtr(n - 2, -t), 2 / math.factorial(min(n, 170)))
    p = np.where(flat | (n < MIN_FOR_P), np.nan, p)
    short = f"no p below {MIN_FOR_P} pairs" if n < MIN_FOR_P else ""
    return found.assign(rho=rho, p=p, reason=np.where(flat, "one of the two is constant", short))


def _r2(score: np.ndarray, value: np.ndarray) -> np.ndarray:
    """1 - SS_res / SS_tot of each row; NaN for fewer than two columns or a constant ``value``."""
    if value.shape[1] < 2:
        return np.full(len(value), np.nan)
    total = ((value - value.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
    left = ((value - score) ** 2).sum(axis=1)
    constant = np.ptp(value, axis=1) == 0
    return np.where(constant, np.nan, 1 - np.divide(left, total, out=np.zeros_like(left), where=~constant))
