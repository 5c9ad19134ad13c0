"""What regions measure as it is compared: over negative controls, in logarithms, genes summed as probes sum them."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from histocarta.errors import InputError


def read_roi_values(
    rois: str, *, columns: Sequence[str], negatives: Sequence[str], rows: Sequence[int] | None = None
) -> pd.DataFrame:
    """Regions (``rows`` of the table; None: all) × ``columns``, on a log scale.

    negatives : columns of the negative controls, empty where the table is on a log scale already. Else every value is
    divided by its region's mean over them, and its log2 is taken (Wang 2021, GeoMx). Raises InputError for controls
    that the table lacks, and for a value or a mean of 0 or less, which has no logarithm.
    """
    try:
        table = pd.read_parquet(rois, columns=[*columns, *negatives]).astype(float)
    except (KeyError, ValueError) as error:
        raise InputError(
            f"Expected the columns {', '.join(negatives)} (roi_values) in {rois}, found: {error}"
        ) from error
    table = table if rows is None else table.iloc[list(rows)]
    if not negatives:
        return table[list(columns)]
    background = table[list(negatives)].mean(axis=1)
    for name, column in (("mean of the negative controls", background), *table[list(columns)].items()):
        wrong = column.index[column <= 0]
        if len(wrong):
            raise InputError(
                f"Expected counts above 0 in {rois} (roi_values.negatives), found {column[wrong[0]]:g} in row "
                f"{wrong[0] + 1} as {name}; add a pseudocount, or leave negatives out where the table is on a log scale"
            )
    return np.log2(table[list(columns)].div(background, axis=0))


def probe_members(
    sums: Mapping[str, Sequence[str]], *, columns: Sequence[str], genes: Sequence[str]
) -> dict[str, list[str]]:
    """The predicted ``genes`` (``SYMBOL`` or ``SYMBOL|ID``) of each probe of ``sums``, by their symbols.

    Raises InputError for a probe that is no column of the regions' table.
    """
    if absent := [name for name in sums if name not in columns]:
        raise InputError(
            f"Expected the probes of roi_values among the columns of the regions, found no {', '.join(absent)}"
        )
    known = {gene.split("|")[0]: gene for gene in genes}
    wanted = {name: [member.split("|")[0] for member in members] for name, members in sums.items()}
    return {name: [known[symbol] for symbol in symbols if symbol in known] for name, symbols in wanted.items()}


def sum_probes(predicted: pd.DataFrame, *, sums: Mapping[str, Sequence[str]], probe_sum: str) -> dict[str, np.ndarray]:
    """Prediction of each probe that measures several genes together, by name: of those that are predicted, if any.

    predicted : regions × genes, log2. probe_sum : "linear" sums expression, log2 of the sum of 2^x; "log" sums the
    logarithms themselves, as Wang 2021 writes (multi-KRT, pan-melanocyte): one gene more or less then shifts all.
    """
    found = {}
    for name, genes in sums.items():
        inside = predicted[[gene for gene in genes if gene in predicted]].to_numpy()
        if inside.shape[1]:
            found[name] = inside.sum(axis=1) if probe_sum == "log" else np.logaddexp2.reduce(inside, axis=1)
    return found


def hardly_varying(values: pd.DataFrame, *, min_variance: float) -> pd.Series:
    """Why a column is not compared: its variance over the regions (ddof 1) is below ``min_variance``; "" if it is."""
    variance = values.var()
    words = [f"varies by {one:.3g} between the regions, need {min_variance:g}" for one in variance]
    return pd.Series(words, index=variance.index, dtype=object).where(variance < min_variance, "")
