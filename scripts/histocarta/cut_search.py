"""Which cut of an index separates survival most, and how often chance alone, free to choose its cut, does as well."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

NAN = float("nan")
SEARCHED = 0.1  # share of the patients that stays on either side of a searched cut (Altman et al. 1994, JNCI 86:829)
PERMUTATIONS = 1999
METHOD = "largest log-rank statistic of all cuts; survival permuted among the patients, p = (as large + 1) / (all + 1)"


@dataclass(frozen=True)
class CutSearch:
    """The cut (low: <= cut) with the largest log-rank statistic, its own p, and the p corrected for the search."""

    cut: float = NAN
    statistic: float = NAN
    cuts_tried: int = 0
    p_uncorrected: float = NAN
    p_corrected: float = NAN
    method: str = METHOD
    permutations: int = 0
    reason: str = ""


def search_cut(
    index: np.ndarray,
    time: np.ndarray,
    event: np.ndarray,
    *,
    min_group: int,
    seed: int,
    permutations: int = PERMUTATIONS,
) -> CutSearch:
    """The best of all cuts of ``index`` that leave 10 % and ``min_group`` of the patients on either side.

    ``statistic`` and ``p_uncorrected`` are those of the log-rank test of this cut, as if it had been stated beforehand.
    ``p_corrected`` holds them against the best cuts of the same patients with survival dealt out anew: a maximally
    selected statistic, for which the permutation test is exact (Hothorn and Lausen 2003, CSDA 43:121).
    """
    index, time, event = np.asarray(index, float), np.asarray(time, float), np.asarray(event, bool)
    order = np.argsort(index, kind="stable")
    ends = _cuts(index[order], min_group=min_group)
    if not len(ends) or not event.any():
        return CutSearch(reason="0 events" if len(ends) else "no cut leaves enough patients on either side")
    times = np.unique(time[event])
    at_risk = (time[:, None] >= times).astype(float)
    deaths = (event[:, None] & (time[:, None] == times)).sum(axis=0)
    found = _log_rank_statistics(at_risk[order], event[order], deaths=deaths, ends=ends)
    rng, by_chance = np.random.default_rng(seed), np.empty(permutations)
    for number in range(permutations):
        dealt = rng.permutation(len(index))
        by_chance[number] = _log_rank_statistics(at_risk[dealt], event[dealt], deaths=deaths, ends=ends).max()
    best = int(found.argmax())
    raw = float(chi2.sf(found[best], df=1))
    # Orders of patients that give the same groups may differ in the last digit.
    as_large = int((by_chance >= found[best] * (1 - 1e-9)).sum())
    return CutSearch(
        cut=float(index[order][ends[best]]),
        statistic=float(found[best]),
        cuts_tried=len(ends),
        p_uncorrected=raw,
        p_corrected=max(raw, (as_large + 1) / (permutations + 1)),  # with one cut or two the two laws may disagree
        permutations=permutations,
    )


def _cuts(index: np.ndarray, *, min_group: int) -> np.ndarray:
    """Places in the sorted ``index`` after which it may be cut: not between equal values, not near an end."""
    n = len(index)
    ends = np.flatnonzero(np.diff(index) > 0)
    smaller = np.minimum(ends + 1, n - ends - 1)
    return ends[(smaller >= SEARCHED * n) & (smaller >= min_group)]


def _log_rank_statistics(at_risk: np.ndarray, event: np.ndarray, *, deaths: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Mantel's chi-squared of the patients up to each of ``ends`` against the others; hypergeometric variance.

    ``at_risk``: patients × distinct times of death, 1.0 where the patient is under observation; ``deaths`` at each.
    """
    below, total = np.cumsum(at_risk, axis=0)[ends], at_risk.sum(axis=0)
    excess = np.cumsum(event)[ends] - below @ (deaths / total)
    # The last patient under observation has nobody to be compared with: below * (total - below) is 0 there.
    weight = deaths * (total - deaths) / (total**2 * np.maximum(total - 1, 1))
    variance = (below * (total - below)) @ weight
    return np.divide(excess**2, variance, out=np.zeros(len(ends)), where=variance > 0)
