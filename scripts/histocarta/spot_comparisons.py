"""Predictions of genes in spots beside each other: within one class of tissue, against other ways, against depth."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from histocarta.errors import InputError
from histocarta.spot_evaluation import SpotEvaluation, evaluate_spots
from histocarta.spot_statistics import median, pearson

PAIRED = "Wilcoxon signed-rank test over genes, two-sided"


def evaluate_classes(
    predicted: pd.DataFrame,
    measured: pd.DataFrame,
    spots: pd.DataFrame,
    *,
    classes: Mapping[str, Sequence[str]],
    permutations: int,
    seed: int,
    known: Sequence[str] | None = None,
) -> dict[str, SpotEvaluation]:
    """:func:`evaluate_spots` within some annotated classes: {"tumour": ["invasive cancer", "in situ"], …}.

    He 2020 asks it of tumour alone and of normal tissue alone. A patient without spots of the class is no trial: it
    lowers a gene's n_patients and is not counted as consistent (B.13). A class none of whose spots is predicted is left
    out. known : all annotations that there are, of spots that nothing was predicted for too; without any there are no
    classes.
    """
    found = {}
    present = sorted(set(spots["annotation"] if known is None else known) - {""})
    for name, members in classes.items() if present else ():
        if unknown := [member for member in members if member not in present]:
            raise InputError(
                f"Expected the classes of {name!r} among the annotations of the spots ({', '.join(present) or 'none'}),"
                f" found {', '.join(map(repr, unknown))}; name them as the annotation does"
            )
        mask = spots["annotation"].isin(list(members)).to_numpy()
        if not mask.any():
            continue
        found[name] = evaluate_subset(predicted, measured, spots, mask=mask, permutations=permutations, seed=seed)
    return found


def evaluate_subset(
    predicted: pd.DataFrame,
    measured: pd.DataFrame,
    spots: pd.DataFrame,
    *,
    mask: np.ndarray,
    permutations: int,
    seed: int,
) -> SpotEvaluation:
    """:func:`evaluate_spots` of the spots in ``mask`` (a bool per spot); neighbours outside it smooth nothing."""
    mask = np.asarray(mask)
    if mask.dtype != bool or mask.shape != (len(spots),):
        raise InputError(f"Expected a mask of {len(spots)} bools, found {mask.dtype} of shape {mask.shape}")
    chosen = (table[mask].reset_index(drop=True) for table in (predicted, measured, spots))
    return evaluate_spots(*chosen, permutations=permutations, seed=seed)


def compare_ways(tables: Mapping[str, pd.DataFrame], *, model: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Each gene's median r by every way of predicting it, and ``model`` against each other way (He 2020: baselines).

    tables : name of a way -> its ``genes`` of :func:`evaluate_spots`. The first table: gene and a column per way, a row
    per gene of any (NaN: not predicted in that way). The second, a row per other way: n_genes (with a median r in
    both), better (genes in which the model's is higher), worse, equal, median_difference, statistic, p, test, reason.
    Genes of one set of patients are not independent: p is that of the published kind of comparison, and too small.
    """
    if model not in tables:
        raise InputError(f"Expected the model {model!r} among the ways {', '.join(tables)}, found none of that name")
    for name, table in tables.items():
        if (twice := table.loc[table["gene"].duplicated(), "gene"]).size:
            raise InputError(f"Expected a row per gene in the way {name!r}, found {twice.iloc[0]!r} twice")
    order = list(dict.fromkeys(gene for table in tables.values() for gene in table["gene"]))
    wide = pd.DataFrame({name: table.set_index("gene")["median_r"] for name, table in tables.items()}).reindex(order)
    rows = [{"way": way} | _paired(wide[model] - wide[way]) for way in tables if way != model]
    return wide.rename_axis("gene").reset_index(), pd.DataFrame(rows, columns=["way", *_paired(pd.Series(dtype=float))])


def _paired(difference: pd.Series) -> dict[str, float | int | str]:
    """How often and how far above 0 the differences lie, and their signed-rank test."""
    difference = difference.dropna()
    found = {"n_genes": len(difference), "better": int((difference > 0).sum()), "worse": int((difference < 0).sum())}
    found |= {"equal": int((difference == 0).sum()), "median_difference": difference.median()}
    found |= {"statistic": np.nan, "p": np.nan, "test": PAIRED, "reason": ""}
    if not difference.any():
        return found | {"reason": "no gene differs" if len(difference) else "no gene in common"}
    test = stats.wilcoxon(difference)
    return found | {"statistic": float(test.statistic), "p": float(test.pvalue)}


def depth_report(measured: pd.DataFrame, spots: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Pearson's r of each gene's measured values with ln(total counts of the spot): what depth still explains (B.16).

    measured : spots × genes, normalised; spots : slide, section, patient, total, in the same order. The first table: a
    row per gene and section (gene, slide, section, patient, n_spots, r_depth; NaN for a constant gene); the second: a
    row per gene (n_sections with a defined r, median_r_depth, lowest, highest, and shared, the median r²).
    """
    values, depth = measured.to_numpy(float), np.log(np.maximum(spots["total"].to_numpy(float), 1))
    names, parts, rows = list(measured), [], []
    for (slide, section), own in spots.groupby(["slide", "section"], observed=True).indices.items():
        known, r = ~np.isnan(values[own]), np.full(len(names), np.nan)
        whole = known.all(axis=0)
        r[whole] = pearson(values[np.ix_(own, whole)], np.broadcast_to(depth[own, None], (len(own), whole.sum())))
        for gene in np.flatnonzero(~whole):
            at = own[known[:, gene]]
            r[gene] = pearson(values[at][:, [gene]], depth[at, None])[0]
        where = {"slide": slide, "section": section, "patient": spots["patient"].iloc[own[0]]}
        parts.append(pd.DataFrame({"gene": names} | where | {"n_spots": known.sum(axis=0), "r_depth": r}))
        rows.append(r)
    table = np.array(rows).reshape(len(rows), len(names))
    genes = pd.DataFrame({"gene": names, "n_sections": (~np.isnan(table)).sum(axis=0), "median_r_depth": median(table)})
    found = pd.DataFrame(table)
    genes["lowest"], genes["highest"] = found.min().to_numpy(), found.max().to_numpy()
    genes["shared"] = median(table**2)
    columns = ["gene", "slide", "section", "patient", "n_spots", "r_depth"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns), genes
