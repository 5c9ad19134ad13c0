"""What predictions of genes must beat to mean anything: colour, nuclei, size, an untrained network, shuffled values."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import special

from histocarta.files import read_json, read_table, write_table
from histocarta.plain_features import FEATURES
from histocarta.predictions import average_rounds
from histocarta.ridge import fit_ridge
from histocarta.scored import read_labelled
from histocarta.splits import PARTS, tuning_part
from histocarta.values import UNSCALED

NAMES = (*FEATURES, "untrained", "shuffled")


def predict_controls(
    *,
    plain: str,
    features: str,
    untrained: str,
    labels: str,
    genes: str,
    summary: str,
    splits: list[str],
    controls: str,
    penalties: Sequence[float],
    standardise: bool,
    seed: int,
) -> None:
    """Predict all genes as a probe does (:mod:`histocarta.probe`) from what needs no learning; write ``controls``.

    plain : a slide's colour, nuclei and size (:mod:`histocarta.plain_features`); untrained : slide means of an
    untrained network's features; features : of the study's own probe, here with values shuffled among the slides of
    each part, all genes alike. ``controls``: a row per control and slide (control, slide), a column per gene: the mean
    over the rounds, on the scale of the expression.
    """
    told = read_table(genes)
    told = told[told["status"] == "ok"].astype({"mean": float, "sd": float})
    scale = told if standardise else told.assign(**UNSCALED)
    cohort, parts = read_labelled(labels, splits)
    tables = []
    if read_json(summary)["status"] == "ok":
        tuned = [PARTS.index(tuning_part(read_table(path))) for path in splits]
        target = np.stack(cohort["target"])
        sources = _sources(cohort["slide"], plain=plain, features=features, untrained=untrained)
        for number, (name, matrix) in enumerate(sources.items()):
            rng = np.random.default_rng([seed, number]) if name == "shuffled" else None
            rounds = [
                _fit(matrix, target, part=part, tuning=tuning, penalties=penalties, rng=rng)
                for part, tuning in zip(parts.T, tuned, strict=True)
            ]
            score = average_rounds(rounds, parts=parts)
            if score is not None:
                wide = pd.DataFrame(
                    score * scale["sd"].to_numpy() + scale["mean"].to_numpy(), columns=list(scale["trait"])
                )
                tables.append(pd.concat([cohort[["slide"]].assign(control=name), wide.astype(np.float32)], axis=1))
    write_table(pd.concat(tables) if tables else pd.DataFrame(columns=["slide", "control"]), controls)


def steiger(rho: np.ndarray, other: np.ndarray, between: np.ndarray, *, n: np.ndarray) -> np.ndarray:
    """One-sided p of the hypothesis that ``rho`` is no higher than ``other``: two correlations with one variable.

    ``between`` is the correlation of the two predictors, ``n`` the number of observations (> 3). Steiger 1980 (Psychol.
    Bull. 87:245), equations 11 and 14, with Fisher's z and the mean of the two correlations in their covariance. NaN
    where a correlation is NaN; .5 where the two predictors are the same.
    """
    rho, other, between = (
        np.clip(np.asarray(values, float), -1 + 1e-12, 1 - 1e-12) for values in (rho, other, between)
    )
    mean = (rho + other) / 2
    covariance = between * (1 - 2 * mean**2) - 0.5 * mean**2 * (1 - 2 * mean**2 - between**2)
    spread = np.maximum(2 - 2 * covariance / (1 - mean**2) ** 2, 1e-12)
    z = (np.arctanh(rho) - np.arctanh(other)) * np.sqrt(np.asarray(n, float) - 3) / np.sqrt(spread)
    return special.ndtr(-z)


def _sources(slides: pd.Series, *, plain: str, features: str, untrained: str) -> dict[str, np.ndarray]:
    """By control, slides × features."""
    table = read_table(plain).set_index("slide").reindex(slides)
    networks = {
        name: np.stack(read_table(path).set_index("slide")["features"].reindex(slides))
        for name, path in (("untrained", untrained), ("shuffled", features))
    }
    return {name: np.stack(table[name]) for name in FEATURES} | networks


def _fit(
    features: np.ndarray,
    target: np.ndarray,
    *,
    part: np.ndarray,
    tuning: int,
    penalties: Sequence[float],
    rng: np.random.Generator | None,
) -> np.ndarray | None:
    """Predictions of all slides by one round's fit; None where it has too few slides. ``rng`` shuffles within parts."""
    train, tune = np.flatnonzero(part == PARTS.index("train")), np.flatnonzero(part == tuning)
    if len(train) < 2 or not len(tune):
        return None
    values = [target[rows if rng is None else rng.permutation(rows)] for rows in (train, tune)]
    ridge = fit_ridge(
        features[train], values[0], tuning_features=features[tune], tuning_target=values[1], penalties=penalties
    )
    return ridge.predict(features)
