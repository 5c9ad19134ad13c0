"""Ordinary least squares of many genes on one design: one decomposition serves all of them."""

import numpy as np
import pandas as pd
from scipy import special

from histocarta.errors import InputError


def fit_genes(values: np.ndarray, design: np.ndarray, *, term: int, names: list[str]) -> pd.DataFrame:
    """Effect of column ``term`` of ``design`` (samples × terms, with its intercept) on every column of ``values``.

    Columns effect, se, low, high (95 %), t, p (two-sided, n - terms degrees of freedom); NaN for a gene that does not
    vary or is not measured in every sample. Raises InputError where the design's columns (``names``) depend on one
    another or leave no degree of freedom.
    """
    design, values = np.asarray(design, float), np.asarray(values, float)
    n, terms = design.shape
    # Scaled first, so that age in days does not look like a column of its own kind.
    spread = np.where(np.ptp(design, axis=0) == 0, 1, design.std(axis=0))
    rank = np.linalg.matrix_rank(design / spread)
    if rank < terms or n <= terms:
        raise InputError(
            f"Expected covariates that do not follow from one another, and more samples than terms, found {n} samples "
            f"and {terms} terms of rank {rank}: {', '.join(names)}; leave some out"
        )
    q, r = np.linalg.qr(design)
    whole = np.isfinite(values).all(axis=0) & (np.ptp(values, axis=0) > 0)
    y = values[:, whole] - values[:, whole].mean(axis=0)
    projected = q.T @ y
    inverse = np.linalg.inv(r)
    effect = inverse[term] @ projected
    rest = ((y - q @ projected) ** 2).sum(axis=0)
    se = np.sqrt(rest / (n - terms)) * np.linalg.norm(inverse[term])
    with np.errstate(divide="ignore", invalid="ignore"):
        t = effect / se
    reach = special.stdtrit(n - terms, 0.975) * se
    figures = {"effect": effect, "se": se, "low": effect - reach, "high": effect + reach, "t": t}
    figures["p"] = 2 * special.stdtr(n - terms, -np.abs(t))
    found = {name: np.full(values.shape[1], np.nan) for name in figures}
    for name, column in figures.items():
        found[name][whole] = column
    return pd.DataFrame(found)
