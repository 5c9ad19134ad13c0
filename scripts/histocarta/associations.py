"""How well many traits are predicted, in one table, with the price of having tried them all."""

import numpy as np
import pandas as pd

from histocarta.evaluation import NAN, benjamini_hochberg
from histocarta.files import read_json, write_table

_HEAD = ("trait", "status", "code", "reason", "unit", "independent")
_FIT = ("n", "rho", "p", "r2", "sample_n", "sample_rho", "sample_p", "sample_r2")


def tabulate_associations(*, metrics: list[str], table: str, parquet: str) -> None:
    """Write one row per trait, in the order given, as .tsv and .parquet: its test's Spearman, p, FDR and R².

    ``test_fdr`` (Benjamini–Hochberg) is taken over all traits that have a model, ``n_tests`` of them: one whose
    predictions are constant has no rho, but was tried, and counts as p = 1 (Wang 2021 adjusts over all 17,695 genes).
    Traits without a model keep their row with status and reason.
    """
    frame = pd.DataFrame([_row(read_json(path)) for path in metrics])
    numbers = [name for name in frame.columns if name not in (*_HEAD, "test_reason")]
    frame[numbers] = frame[numbers].astype(float)
    tried = frame["status"] == "ok"
    frame.insert(frame.columns.get_loc("test_p") + 1, "test_fdr", NAN)
    frame.loc[tried, "test_fdr"] = benjamini_hochberg(frame.loc[tried, "test_p"])
    frame["n_tests"] = int(tried.sum())
    counts = [name for name in numbers if name.endswith("_n")]
    frame[counts] = frame[counts].astype("Int64")
    write_table(frame, table)
    write_table(frame, parquet)


def _row(metrics: dict) -> dict:
    """One trait's metrics as a flat row; figures that it lacks are NaN."""
    row = {key: metrics.get(key) for key in _HEAD}
    test = metrics.get("test") or {}
    row |= {f"test_{key}": NAN if test.get(key) is None else test[key] for key in _FIT}
    for key in ("rho", "r2"):
        found = [one.get(f"test_{key}") for one in metrics["rounds"]]
        known = [value for value in found if value is not None and not np.isnan(value)]
        row[f"test_rounds_{key}"] = float(np.mean(known)) if known else NAN
    return row | {"test_reason": test.get("reason", "")}
