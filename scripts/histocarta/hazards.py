"""How the survival of groups of patients is compared, and when such a figure cannot be had.

Times are months. A figure that cannot be had is NaN with a ``reason``; lifelines would give p = 1 or NaN without one.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from lifelines import CoxPHFitter, KaplanMeierFitter
from lifelines.exceptions import ConvergenceError, ConvergenceWarning
from lifelines.statistics import logrank_test, proportional_hazard_test
from lifelines.utils import median_survival_times

NAN = float("nan")
MIN_GROUP = 5  # patients; the chi-squared law of the log-rank statistic does not hold for fewer
# Spread of the log hazard ratio per standard deviation of the covariate that only a likelihood without maximum gives.
SEPARATED = 10.0
# Fewer events per term than this give biased ratios and intervals that are too narrow (Vittinghoff and McCulloch 2007).
EVENTS_PER_TERM = 5


@dataclass(frozen=True)
class Group:
    """One Kaplan-Meier group: its size, and its median survival with 95 % CI (NaN where not reached)."""

    label: str
    n: int
    events: int
    median: float = NAN
    median_low: float = NAN
    median_high: float = NAN


@dataclass(frozen=True)
class LogRank:
    """Mantel's log-rank test of two groups, 1 degree of freedom."""

    statistic: float = NAN
    p: float = NAN
    reason: str = ""


@dataclass(frozen=True)
class Term:
    """One covariate of a Cox model: hazard ratio, 95 % CI, Wald p, and the p of its proportional-hazards test."""

    name: str
    hazard_ratio: float
    low: float
    high: float
    p: float
    proportional_p: float


@dataclass(frozen=True)
class Cox:
    """A Cox model (ties by Efron): complete cases used and left out, terms, concordance; no terms where it says why.

    ``caution``: a model that could be fitted and should not be leant on.
    """

    n: int
    events: int
    incomplete: int
    terms: tuple[Term, ...] = ()
    concordance: float = NAN
    constant: tuple[str, ...] = ()
    reason: str = ""
    caution: str = ""


def censored_at(time: np.ndarray, event: np.ndarray, horizon: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Times beyond ``horizon`` (months) cut to it and censored; both unchanged without a horizon."""
    if horizon is None:
        return np.asarray(time, float), np.asarray(event, bool)
    return np.minimum(time, horizon), np.asarray(event, bool) & (np.asarray(time) <= horizon)


def kaplan_meier(time: np.ndarray, event: np.ndarray) -> KaplanMeierFitter:
    """The product-limit estimate with its 95 % CI on the log(-log) scale (R: conf.type = "log-log")."""
    return KaplanMeierFitter().fit(time, event)


def group(label: str, time: np.ndarray, event: np.ndarray) -> Group:
    """Size and median survival of one group."""
    if not len(time):
        return Group(label, 0, 0)
    fitted = kaplan_meier(time, event)
    low, high = median_survival_times(fitted.confidence_interval_).to_numpy(dtype=float).ravel()
    figures = [float(value) if np.isfinite(value) else NAN for value in (fitted.median_survival_time_, low, high)]
    return Group(label, len(time), int(np.sum(event)), *figures)


def log_rank(
    time: np.ndarray, event: np.ndarray, high: np.ndarray, *, labels: Sequence[str], min_group: int
) -> LogRank:
    """Compare the patients that are ``high`` with those that are not; ``labels`` name low and high in the reason."""
    time, event, high = np.asarray(time, float), np.asarray(event, bool), np.asarray(high, bool)
    for label, size in zip(labels, (int((~high).sum()), int(high.sum())), strict=True):
        if size < min_group:
            return LogRank(reason=f"group '{label}' has {size} patients, fewer than {min_group}")
    if not event.any():
        return LogRank(reason=f"0 events among {len(time)} patients")
    found = logrank_test(time[high], time[~high], event[high], event[~high])
    return LogRank(float(found.test_statistic), float(found.p_value))


def design(covariates: pd.DataFrame) -> pd.DataFrame:
    """Covariates as numbers: text columns become one 0/1 column per level but the most frequent; missing stays NaN."""
    columns = {}
    for name, values in covariates.items():
        if pd.api.types.is_numeric_dtype(values):
            columns[name] = values.astype(float)
            continue
        counts = values.value_counts()
        reference = min(counts.index, key=lambda level, counts=counts: (-counts[level], level), default=None)
        for level in sorted(set(counts.index) - {reference}):
            columns[f"{name}: {level}"] = (values == level).astype(float).where(values.notna())
        if len(counts) < 2:  # nothing to compare, but named: as constant, or by having no complete case
            columns[name] = pd.Series(1.0, index=values.index).where(values.notna())
    return pd.DataFrame(columns, index=covariates.index)


def cox(time: np.ndarray, event: np.ndarray, covariates: pd.DataFrame) -> Cox:
    """Fit a Cox model on the complete cases of ``covariates`` (numbers, see :func:`design`); the first is asked about.

    Constant covariates are left out and named. Not estimable: no events, fewer events than terms, collinear covariates,
    a likelihood without maximum (one level of a covariate without any event).
    """
    complete = covariates.notna().all(axis=1).to_numpy()
    table = covariates[complete].reset_index(drop=True)
    time, event = np.asarray(time, float)[complete], np.asarray(event, bool)[complete]
    constant = tuple(name for name in table if table[name].nunique() < 2)
    sizes = {"n": len(table), "events": int(event.sum()), "incomplete": int((~complete).sum()), "constant": constant}
    varying = table.drop(columns=list(constant))
    if reason := _not_estimable(varying, event, asked=covariates.columns[0]):
        return Cox(**sizes, reason=reason)
    frame = varying.assign(_time=time, _event=event)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # judged by the spread below, with the covariate's name
            fitted = CoxPHFitter().fit(frame, "_time", "_event")
    except ConvergenceError:
        return Cox(**sizes, reason="not estimable: the fit does not converge")
    spread = fitted.standard_errors_ * varying.std()
    if not (spread < SEPARATED).all():
        return Cox(**sizes, reason=f"not estimable: complete separation by {spread.idxmax()!r}")
    if fitted.concordance_index_ == 1:  # ordering every event, the same but steeper covariates fit better without end
        return Cox(**sizes, reason=f"not estimable: complete separation, {', '.join(varying)} order all events")
    tested = proportional_hazard_test(fitted, frame, time_transform="km").summary["p"]
    rows = fitted.summary
    terms = tuple(
        Term(name, *(float(rows.loc[name, column]) for column in _COLUMNS), float(tested[name])) for name in varying
    )
    return Cox(**sizes, terms=terms, concordance=float(fitted.concordance_index_), caution=_caution(terms, event))


_COLUMNS = ("exp(coef)", "exp(coef) lower 95%", "exp(coef) upper 95%", "p")


def _caution(terms: Sequence[Term], event: np.ndarray) -> str:
    events = int(event.sum())
    if events >= EVENTS_PER_TERM * len(terms):
        return ""
    return f"{events} events for {len(terms)} terms, fewer than {EVENTS_PER_TERM} each: ratios and p are unsteady"


def _not_estimable(table: pd.DataFrame, event: np.ndarray, *, asked: str) -> str:
    if not event.any():
        return f"0 events among {len(table)} patients"
    if asked not in table:
        return f"not estimable: {asked!r} is the same for all {len(table)} patients"
    if event.sum() < table.shape[1]:
        return f"not estimable: {int(event.sum())} events for {table.shape[1]} terms"
    scaled = (table - table.mean()) / table.std()
    if np.linalg.matrix_rank(scaled.to_numpy()) < table.shape[1]:
        return f"not estimable: {', '.join(table)} are collinear"
    for name in table:
        levels = table[name].unique()
        if len(levels) == 2 and any(not event[table[name] == level].any() for level in levels):
            return f"not estimable: complete separation by {name!r}, one level of which has no event"
    return ""
