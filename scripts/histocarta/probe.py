"""How all genes are predicted from features that were not made for them: one ridge regression per round."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from histocarta.files import read_json, read_table, replacing, write_json
from histocarta.genes import TRAIT
from histocarta.ridge import Ridge, fit_ridge
from histocarta.splits import tuning_part
from histocarta.versions import VERSION


def fit_probes(
    *,
    features: str,
    labels: str,
    summary: str,
    audit: str,
    splits: list[str],
    heads: list[str],
    sidecars: list[str],
    penalties: Sequence[float],
) -> None:
    """Fit a linear head for all genes in every round of ``splits`` (``heads``: .npz; ``sidecars``: .json, in order).

    A slide is the mean of its tiles' features (``features``), so that a slide's prediction is the mean of its tiles',
    as with a network whose last layer is linear. Slides of the training part are fitted, each gene's penalty is chosen
    on the part that tunes. A round without enough slides gets an empty head and a code.
    """
    facts = read_json(summary)
    slides = read_table(features).merge(read_table(labels), on="slide", validate="one_to_one")
    for path, head, sidecar in zip(splits, heads, sidecars, strict=True):
        split = read_table(path)
        parts = slides.merge(split[["slide", "part", "round"]], on="slide", validate="one_to_one")
        train, tuning = (parts[parts["part"] == name] for name in ("train", tuning_part(split)))
        code, reason = facts["code"], facts["reason"]
        if not code and (len(train) < 2 or tuning.empty):
            code, reason = (
                "M-EMPTY",
                f"{len(train)} slides to fit on and {len(tuning)} to tune on have tiles and values",
            )
        ridge = Ridge(np.zeros((0, 0)), np.zeros(0), np.zeros(0))
        if not code:
            (x, y), (tuning_x, tuning_y) = (_matrices(part) for part in (train, tuning))
            ridge = fit_ridge(x, y, tuning_features=tuning_x, tuning_target=tuning_y, penalties=penalties)
        with replacing(head) as temporary, temporary.open("wb") as stream:
            np.savez(stream, weights=ridge.weights.astype(np.float32), intercept=ridge.intercept)
        chosen, count = np.unique(ridge.penalty, return_counts=True)
        record = {
            "trait": TRAIT, "round": int(split["round"].iloc[0]), "status": "excluded" if code else "ok", "code": code,
            "reason": reason, "parts": {"train": {"slides": len(train)}, "tuning": {"slides": len(tuning)}},
            "penalties": {f"{one:g}": int(n) for one, n in zip(chosen, count, strict=True)},
            "audit": read_json(audit), "version": VERSION["probe"],
        }  # fmt: skip
        write_json(record, sidecar)


def _matrices(slides: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Features and targets of the slides, a row each."""
    return np.stack(slides["features"]), np.stack(slides["target"])
