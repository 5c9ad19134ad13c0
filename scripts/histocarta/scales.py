"""Which values each scale of expression can hold, and which make one doubt that the declared scale is the true one."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from histocarta.errors import InputError
from histocarta.tables import exclusion

LARGEST_LOG2 = 64.0  # 2^64 reads do not exist
LARGE_LOG2 = 25.0  # 2^25 is 33 million reads, or units of a million, of one trait
FEW_NEGATIVE = 0.01  # batch-corrected raw tables (TCGA's EB++) hold some negative values; of z-scores about half are
# The mean of a typical trait in its own standard deviations. In 2,812 genes of 453 patients z-scored by others (TCGA
# LUAD, MCAT) it is 0.1; log2 tables of RNA-seq have 5 and more. Z-scores by a reference of normal tissue lie between.
CENTRED, OFF_CENTRE, FAR_OFF_CENTRE = 0.5, 1.0, 3.0
MANY_NEGATIVE = 0.2
ENOUGH_VALUES, ENOUGH_SAMPLES = 50, 3  # below them whole numbers and means say nothing


@dataclass(frozen=True)
class Spread:
    """What is looked at in a table: range and shares of all measured values, and where a typical trait's mean lies.

    ``offset`` counts that trait's standard deviations; NaN where there are too few samples to speak of a mean.
    """

    low: float
    high: float
    negative: float
    whole: bool
    offset: float

    def __str__(self) -> str:
        about = "" if np.isnan(self.offset) else f", a typical trait's mean {self.offset:.1f} sd from 0"
        return f"values from {self.low:g} to {self.high:g}, {self.negative:.2%} negative{about}"


def check_scale(frame: pd.DataFrame, *, scale: str, path: str | Path) -> list[dict]:
    """Rows B-SCALE where the values of a table (samples × traits) are unlikely on the declared ``scale``.

    Raises InputError where they are impossible on it, or infinite.
    """
    spread = measure(frame, path=path)
    if spread is None:
        return []
    if wrong := [words for words, found in _impossible(spread)[scale].items() if found]:
        raise InputError(
            f"Expected {scale} values in {path}, found {spread} ({wrong[0]}); state the true scale in the config"
        )
    doubts = [words for words, found in _doubtful(spread)[scale].items() if found]
    for doubt in doubts:
        warnings.warn(f"{path}: scale is declared {scale}, found {spread}: {doubt}", stacklevel=3)
    return [
        exclusion("expression", "table", str(path), "B-SCALE", f"declared {scale}, {doubt} {spread}", outcome="noted")
        for doubt in doubts
    ]


def measure(frame: pd.DataFrame, *, path: str | Path) -> Spread | None:
    """The spread of a table's measured values; None where there is none. InputError where one is infinite."""
    values = frame.to_numpy()
    if np.isinf(values).any():
        row, column = np.argwhere(np.isinf(values))[0]
        raise InputError(
            f"Expected finite numbers in {path}, found inf for {frame.columns[column]!r} in {frame.index[row]!r}"
        )
    measured = values[~np.isnan(values)]
    if not measured.size:
        return None
    deviation = frame.std()
    offset = (frame.mean().abs() / deviation)[(deviation > 0) & (frame.count() >= ENOUGH_SAMPLES)].median()
    return Spread(
        low=float(measured.min()),
        high=float(measured.max()),
        negative=float((measured < 0).mean()),
        whole=measured.size >= ENOUGH_VALUES and bool((measured == np.round(measured)).all()),
        offset=float(offset),
    )


def _impossible(spread: Spread) -> dict[str, dict[str, bool]]:
    # No upper limit for z-scores: in a real table (TCGA LUAD) genes measured in a handful of samples reach 7,000.
    return {
        "log2": {f"log2 values do not exceed {LARGEST_LOG2:g}": spread.high > LARGEST_LOG2},
        "raw": {f"at most {FEW_NEGATIVE:.0%} of raw values are negative": spread.negative > FEW_NEGATIVE},
        "zscore": {
            f"more than {FEW_NEGATIVE:.0%} of z-scores are negative": spread.negative < FEW_NEGATIVE,
            f"z-scores lie within {FAR_OFF_CENTRE:g} sd of 0": spread.offset > FAR_OFF_CENTRE,
        },
    }


def _doubtful(spread: Spread) -> dict[str, dict[str, bool]]:
    centred = spread.offset < CENTRED and spread.negative > MANY_NEGATIVE
    return {
        "log2": {
            "raw values?": spread.high > LARGE_LOG2,
            "counts? All are whole numbers:": spread.whole,
            "z-scores or ratios, centred on 0?": centred,
        },
        "raw": {"log or batch-corrected values?": spread.high < LARGE_LOG2 or spread.negative > 0},
        "zscore": {"log2 values, or z-scores by another tissue?": spread.offset > OFF_CENTRE},
    }
