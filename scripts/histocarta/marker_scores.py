"""How a marker that is counted on tissue (Ki67, in percent of nuclei) is held against the mean of a panel's genes."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from histocarta.errors import InputError
from histocarta.evaluation import spearman

BOUNDS = (10.0, 30.0)  # percent: low, intermediate and high Ki67 (Wang 2021, Fig. 5)
KEYS = ("roi", "slide", "section", "x_px", "y_px")


def read_markers(rois: str, *, columns: Sequence[str], rows: Sequence[int]) -> pd.DataFrame:
    """Regions (``rows`` of the table) × markers, percent; InputError for a value that is none."""
    table = pd.read_parquet(rois, columns=list(columns)).astype(float).iloc[list(rows)]
    for name, column in table.items():
        wrong = column.index[(column < 0) | (column > 100)]
        if len(wrong):
            raise InputError(
                f"Expected percent, 0 to 100, in column {name} (roi_values.scores) of {rois}, found "
                f"{column[wrong[0]]:g} in row {wrong[0] + 1}; correct it"
            )
    return table


def log_percent(percent: pd.DataFrame) -> pd.DataFrame:
    """log2(1 + percent): Wang 2021 takes logarithms and does not say of what; no nucleus at all must have one."""
    return np.log2(1 + percent)


def mean_scores(predicted: pd.DataFrame, *, members: Mapping[str, Sequence[str]]) -> dict[str, np.ndarray]:
    """Mean of each marker's panel of genes, of those that are predicted, if any (their proliferation score).

    NaN in a region in which one of them is not: means of different genes cannot be compared.
    """
    inside = {name: [gene for gene in genes if gene in predicted] for name, genes in members.items()}
    return {name: predicted[genes].mean(axis=1, skipna=False).to_numpy() for name, genes in inside.items() if genes}


def marker_table(
    rois: str, where: pd.DataFrame, *, percent: pd.DataFrame, predicted: Mapping[str, np.ndarray]
) -> pd.DataFrame:
    """KEYS, marker, percent, predicted of every region that has both. ``where``: roi (the index), slide, section."""
    places = pd.read_parquet(rois, columns=["x_px", "y_px"]).iloc[list(percent.index)]
    keys = where.loc[percent.index, ["slide", "section"]].assign(roi=percent.index, **places)[list(KEYS)]
    tables = [keys.assign(marker=name, percent=percent[name], predicted=score) for name, score in predicted.items()]
    columns = [*KEYS, "marker", "percent", "predicted"]
    return pd.concat(tables, ignore_index=True)[columns].dropna() if tables else pd.DataFrame(columns=columns)


def classes_by_quantile(percent: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Class (0 low, 1 intermediate, 2 high) of measured and predicted values.

    Measured ones by BOUNDS; the bounds of the predicted ones leave the same share below them (Wang 2021: the colour
    scheme is mapped by quantiles), so that the maps can be compared although the scales cannot.
    """
    shares = [np.mean(percent < bound) for bound in BOUNDS]
    bounds = np.quantile(predicted, shares)
    # At a share of 1 nothing lies at or above the bound, not even the highest value.
    bounds = np.where(np.array(shares) == 1, np.inf, bounds)
    return np.digitize(percent, BOUNDS), np.digitize(predicted, bounds)


def slide_agreement(table: pd.DataFrame) -> tuple[float, float, int]:
    """Spearman's rho, p and number of slides, of the means over one marker's regions."""
    means = table.groupby("slide")[["percent", "predicted"]].mean()
    found = spearman(means["predicted"], means["percent"])
    return found.rho, found.p, found.n
