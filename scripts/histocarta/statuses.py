"""Whether predicted expression tells what the clinic found: genes and panels by a column of the clinical sheet."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy import stats

from histocarta.errors import InputError
from histocarta.files import read_table, write_table
from histocarta.panels import ENDS, tested_samples
from histocarta.sheets import read_traits

LEAST = 3  # samples of a status that is drawn and tested
COLUMNS = ("name", "column", "statuses", "n", "test", *(f"{end}_p" for end in ENDS), "reason")


def compare_statuses(
    *,
    predictions: str,
    measured: str,
    clinical: str,
    table: str,
    samples: str,
    statuses: Mapping[str, str],
    panels: Mapping[str, str],
) -> None:
    """Write a row per gene or panel of ``statuses`` (name: column of the clinical sheet), and what is drawn of it.

    On the samples of the test part, as predicted and as measured (a panel: the mean over its genes; Wang 2021, Fig. 1
    and 5: ESR1, PGR and ERBB2 by immunohistochemistry, the proliferation score by subtype). p by Mann–Whitney of two
    statuses, by Kruskal–Wallis of more; a status with fewer than ``LEAST`` samples is left out. ``samples``: name,
    sample, status, predicted, measured. Raises InputError for a column that the sheet lacks.
    """
    ends, patients = tested_samples(predictions, measured)
    sheet = read_table(clinical).set_index("patient")
    known = {name.split("|")[0]: name for name in ends["predicted"].columns}
    rows, drawn = [], []
    for name, column in statuses.items():
        if column not in sheet:
            raise InputError(
                f"Expected the column {column!r} (statuses.{name}) in the clinical sheet, found "
                f"{', '.join(map(str, sheet))}"
            )
        genes = read_traits(panels[name]) if name in panels else [name]
        symbols = [gene.split("|")[0] for gene in genes]
        inside = [known[symbol] for symbol in symbols if symbol in known]
        status = sheet[column].replace("", np.nan).reindex(patients).set_axis(patients.index)
        values = pd.DataFrame({end: ends[end][inside].mean(axis=1) for end in ENDS}).assign(status=status)
        values = values.dropna()
        values = values[values.groupby("status")["status"].transform("size") >= LEAST]
        found = _compare(values, predicted=bool(inside))
        rows.append({"name": name, "column": column} | found)
        drawn.append(values.assign(name=name).rename_axis("sample").reset_index())
    write_table(pd.DataFrame(rows, columns=list(COLUMNS)), table)
    write_table(pd.concat(drawn).astype({"status": str})[["name", "sample", "status", *ENDS]], samples)


def _compare(values: pd.DataFrame, *, predicted: bool) -> dict:
    groups = values.groupby("status")
    found = {"statuses": groups.ngroups, "n": len(values), "test": "", "reason": ""}
    if not predicted:
        return found | {"reason": "no gene of it is predicted"}
    if groups.ngroups < 2:
        return found | {"reason": f"{groups.ngroups} statuses with at least {LEAST} test samples, need 2"}
    for end in ENDS:
        parts = [part[end].to_numpy() for _, part in groups]
        test = stats.mannwhitneyu if len(parts) == 2 else stats.kruskal
        constant = np.ptp(values[end]) == 0
        found[f"{end}_p"] = 1.0 if constant else float(test(*parts).pvalue)
    return found | {"test": "Mann-Whitney U" if groups.ngroups == 2 else "Kruskal-Wallis"}
