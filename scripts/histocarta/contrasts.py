"""Which genes differ between two groups of patients: the groups, the covariates, and a linear model of every gene."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from histocarta.errors import InputError, nearest
from histocarta.evaluation import benjamini_hochberg
from histocarta.expression import find_trait
from histocarta.files import read_table, write_table
from histocarta.linear_models import fit_genes
from histocarta.predictions import KEYS, MEAN

MIN_GROUP = 5
Q = 0.05


def compare_groups(
    *,
    expression: str,
    clinical: str | list[str],
    table: str,
    column: str | None,
    gene: str | None,
    high: str | None,
    low: str | None,
    covariates: Sequence[str],
) -> None:
    """Write ``table``: per gene of ``expression`` the effect of being ``high`` rather than ``low``, with p and FDR.

    Groups: patients whose clinical ``column`` is ``high`` or ``low`` (others take no part), or those above and not
    above the median of ``gene``, which is then left out of the table. Model: expression ~ group + covariates (Wang
    2021: ER status, with age, HER2, size and nodes), patients without a covariate left out; a covariate of words is a
    term per word but the first. Raises InputError for unknown columns, and fewer than 5 patients in a group.
    """
    values = pd.read_parquet(expression).astype(float)
    groups, gene_column = _groups(values, clinical, column=column, gene=gene, high=high, low=low, path=expression)
    found = fit_groups(values.drop(columns=gene_column), groups, clinical, covariates=covariates)
    write_table(found, table)


def compare_predicted_groups(
    *,
    predictions: str,
    measured: str,
    expression: str,
    clinical: str | list[str],
    table: str,
    column: str | None,
    gene: str | None,
    high: str | None,
    low: str | None,
    covariates: Sequence[str],
) -> None:
    """The same on the test part, of genes as predicted (``predicted_…``) and as measured there (``measured_…``).

    A sample's prediction is the mean over its slides. ``common``: significant in both with the same sign (Wang 2021).
    """
    scores = read_table(predictions)
    scores = scores[(scores["round"] == MEAN) & (scores["part"] == "test")].reset_index(drop=True)
    names = [name for name in scores.columns if name not in KEYS]
    truth = read_table(measured).set_index("slide").reindex(scores["slide"]).reset_index(drop=True)
    groups, gene_column = _groups(
        pd.read_parquet(expression), clinical, column=column, gene=gene, high=high, low=low, path=expression
    )
    tables = []
    for prefix, matrix in (("predicted", scores), ("measured", truth)):
        values = matrix[names].astype(float).groupby(scores["sample"]).mean().drop(columns=gene_column, errors="ignore")
        tables.append(
            fit_groups(values, groups, clinical, covariates=covariates).set_index("trait").add_prefix(f"{prefix}_")
        )
    both = tables[0].join(tables[1])
    small = (both["predicted_fdr"] < Q) & (both["measured_fdr"] < Q)
    both["common"] = small & (np.sign(both["predicted_effect"]) == np.sign(both["measured_effect"]))
    write_table(both.reset_index(), table)


def fit_groups(
    values: pd.DataFrame, groups: pd.Series, clinical: str | list[str], *, covariates: Sequence[str]
) -> pd.DataFrame:
    """A row per column of ``values`` (samples × genes): n_high, n_low, the effect's figures and its FDR."""
    terms = _covariates(clinical, covariates=covariates) if covariates else pd.DataFrame(index=groups.index)
    samples = [sample for sample in values.index if sample in groups.index and sample in terms.index]
    group, terms = groups.loc[samples], terms.loc[samples]
    terms = terms.loc[:, terms.nunique() > 1]  # a word that none of these samples has
    counts = {name: int((group == label).sum()) for name, label in (("high", 1.0), ("low", 0.0))}
    if min(counts.values()) < MIN_GROUP:
        raise InputError(
            f"Expected at least {MIN_GROUP} patients in each group with all covariates, found {counts['high']} high "
            f"and {counts['low']} low; name other groups or fewer covariates"
        )
    design = np.column_stack([np.ones(len(group)), group, terms.to_numpy(float)])
    found = fit_genes(values.loc[samples].to_numpy(), design, term=1, names=["group", *terms.columns])
    found.insert(0, "trait", values.columns)
    found.insert(1, "n_high", counts["high"])
    found.insert(2, "n_low", counts["low"])
    found["fdr"] = benjamini_hochberg(found["p"])
    return found


def _groups(
    values: pd.DataFrame,
    clinical: str | list[str],
    *,
    column: str | None,
    gene: str | None,
    high: str | None,
    low: str | None,
    path: str,
) -> tuple[pd.Series, list[str]]:
    """1 for high and 0 for low by sample, and the columns of ``values`` that made them."""
    if gene is not None:
        name = find_trait(gene, names=values.columns, table=path)
        known = values[name].dropna().astype(float)
        return (known > known.median()).astype(float), [name]
    sheet = _sheet(clinical, columns=[column])
    words = sheet[column].map(lambda value: f"{value:g}" if isinstance(value, float) else str(value))  # 1.0 is «1»
    absent = [word for word in (high, low) if word not in set(words)]
    if absent:
        raise InputError(
            f"Expected {high!r} and {low!r} among the values of {column} in the clinical sheet, found no {absent[0]!r} "
            f"but {', '.join(sorted(set(words))[:8])}"
        )
    chosen = words[words.isin([high, low])]
    return (chosen == high).astype(float), []


def _covariates(clinical: str | list[str], *, covariates: Sequence[str]) -> pd.DataFrame:
    """Numbers by sample, without those that lack one."""
    sheet = _sheet(clinical, columns=covariates)[list(covariates)].replace("", np.nan).dropna()
    numeric = {name: pd.to_numeric(sheet[name], errors="coerce") for name in covariates}
    columns = []
    for name, numbers in numeric.items():
        words = numbers.isna().any()
        columns.append(pd.get_dummies(sheet[name], prefix=name, drop_first=True) if words else numbers.rename(name))
    return pd.concat(columns, axis=1).astype(float)


def _sheet(clinical: str | list[str], *, columns: Sequence[str | None]) -> pd.DataFrame:
    """The cleaned clinical sheet by patient; InputError for a column that it lacks, or where there is none."""
    if not clinical:
        raise InputError(f"Expected a clinical sheet with {', '.join(map(str, columns))}, found none for this cohort")
    sheet = read_table(clinical if isinstance(clinical, str) else clinical[0])
    for name in columns:
        if name not in sheet:
            raise InputError(
                f"Expected the column {name!r} in the clinical sheet, found {', '.join(sheet)}"
                f"{nearest(name, list(sheet))}"
            )
    return sheet.set_index("patient")
