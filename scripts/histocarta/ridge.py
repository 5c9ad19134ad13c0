"""Ridge regression of many genes at once: one decomposition of the features serves every gene and every penalty."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from histocarta.errors import InputError


@dataclass(frozen=True)
class Ridge:
    """A linear head, ``features @ weights + intercept``, with a column per gene.

    weights : float64, features × genes. intercept : float64, genes. penalty : the penalty chosen for each gene.
    """

    weights: np.ndarray
    intercept: np.ndarray
    penalty: np.ndarray

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Rows of ``features`` × genes."""
        return np.asarray(features, float) @ self.weights + self.intercept


def fit_ridge(
    features: np.ndarray,
    target: np.ndarray,
    *,
    tuning_features: np.ndarray,
    tuning_target: np.ndarray,
    penalties: Sequence[float],
) -> Ridge:
    """Minimise ‖y - b - Zw‖² + λ‖w‖² for every gene, with the λ of the least squared error on the tuning rows.

    features : slides × features; target : slides × genes, without NaN. Z is ``features`` with every column centred and
    divided by its standard deviation on these rows (a constant column counts for nothing). λ is a penalty times the
    mean squared singular value of Z (of those above 0), so that a penalty means the same for any number of slides and
    features. Of equal errors the larger penalty is taken. Raises InputError for fewer than 2 rows or no tuning row.
    """
    if len(features) < 2 or not len(tuning_features):
        raise InputError(
            f"Expected 2 slides to fit a probe on and 1 to tune it, found {len(features)} and {len(tuning_features)}"
        )
    x, y = np.asarray(features, float), np.asarray(target, float)
    middle, spread = x.mean(axis=0), x.std(axis=0)
    spread[spread <= 1e-12 * np.maximum(np.abs(middle), 1)] = np.inf
    left, values, right = np.linalg.svd((x - middle) / spread, full_matrices=False)
    level = y.mean(axis=0)
    turned = left.T @ (y - level)
    tuning = ((np.asarray(tuning_features, float) - middle) / spread) @ right.T
    wanted = np.asarray(tuning_target, float) - level
    order = sorted(set(map(float, penalties)), reverse=True)
    present = values > 1e-10 * values.max(initial=0.0)
    scale = np.mean(values[present] ** 2) if present.any() else 1.0
    # (rank × penalties): what each direction is shrunk by.
    shrink = np.stack([values / (values**2 + penalty * scale) for penalty in order], axis=1)
    error = np.stack([((tuning @ (one[:, None] * turned) - wanted) ** 2).sum(axis=0) for one in shrink.T])
    best = np.argmin(error, axis=0)
    weights = (right.T @ (shrink[:, best] * turned)) / spread[:, None]
    return Ridge(weights, level - middle @ weights, np.asarray(order)[best])
