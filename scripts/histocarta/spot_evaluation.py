"""How well the expression of genes is predicted in spots: per gene, per patient and per section (He 2020)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from histocarta.errors import InputError
from histocarta.spot_nulls import blocks, null_curve, shuffle
from histocarta.spot_statistics import (
    consistency,
    median,
    partial,
    patterns,
    pearson,
    quartile_auroc,
    rmse,
    smooth,
    spearman,
)

ALPHA = 0.05
SPOTS = ["slide", "section", "patient", "row", "col", "total", "annotation", "lattice"]
FIGURES = ["r", "rho", "rmse", "auroc", "r_smooth", "r_depth", "r_partial"]
MEDIANS = ["r", "rho", "r_smooth", "auroc", "r_depth", "r_partial"]
RULES = {"holm": "p_holm", "benjamini_hochberg": "fdr_bh", "bonferroni": "p_bonferroni"}


@dataclass(frozen=True)
class SpotEvaluation:
    """genes: a row per gene; sections, patients: a row per gene and section, or patient; curve: of ``null_curve``."""

    genes: pd.DataFrame
    sections: pd.DataFrame
    patients: pd.DataFrame
    curve: pd.DataFrame
    summary: dict


def evaluate_spots(
    predicted: pd.DataFrame, measured: pd.DataFrame, spots: pd.DataFrame, *, permutations: int, seed: int
) -> SpotEvaluation:
    """Hold ``predicted`` against ``measured``, both spots × genes of ln-normalised expression, columns alike.

    predicted : NaN where a gene was not predicted (chosen in some folds only): such a spot is no spot of that gene.
    spots : slide, section, patient, row, col (lattice), total (counts), annotation, lattice, in the order of both.

    A patient's figures are over all its sections together, as the released code of He 2020 has them: they hold
    differences between its sections too. ``sections`` are free of these. r, rho : Pearson and Spearman; auroc : of
    :func:`quartile_auroc`; r_smooth : r of the prediction as it is with the measured values smoothed on the lattice
    within sections (He 2020 smooths the measurement only); r_depth : Pearson of the measured value with ln(total), what
    is left of depth in it (B.16); r_partial : r with ln(total) held constant; r_permuted : r after the measured values
    changed places within sections, once in ``sections`` (how far a shuffled r strays), mean of all shuffles in
    ``patients`` (what differences between sections give by themselves).

    genes : the columns of :func:`consistency`; consistent_smooth, by r_smooth (their Fig. 2b); median_… over patients;
    median_r_sections over sections; rmse over all spots; median_r_permuted, mean over the shuffles, and p_permutation
    (of consistent patients) and p_permutation_r (of the median r): see :mod:`histocarta.spot_nulls`.
    """
    names = _checked(predicted, measured, spots, permutations=permutations)
    pair = [table.to_numpy(float) for table in (predicted, measured)]
    rng = np.random.default_rng(seed)
    # A spot without a single count stands with those of one.
    depth, keys = np.log(np.maximum(spots["total"].to_numpy(float), 1)), rng.random(len(spots))
    where = spots[["slide", "section", "patient"]].astype(str)
    section, section_of = _codes(where, ["slide", "section"])
    patient, patient_of = _codes(where, ["patient"])
    smoothed = _smooth_sections(pair[1], spots, section)
    sections = _groups(*pair, smoothed, depth, code=section, keys=keys)
    patients = _groups(*pair, smoothed, depth, code=patient)
    r = _wide(patients, "r", len(patient_of), len(names))
    null = shuffle(blocks(*pair, patient=patient, section=section), r, permutations=permutations, rng=rng)
    patients["r_permuted"] = null.patient_r[patients["group"], patients["number"]]
    genes = _gene_table(names, pair, r, patients, sections, sizes=(len(patient_of), len(section_of)))
    genes = genes.assign(median_r_permuted=null.median_r, p_permutation=null.p_consistent, p_permutation_r=null.p_r)
    tables = [_named(table, of, names) for table, of in ((sections, section_of), (patients, patient_of))]
    summary = summarise(genes, pair, n_patients=len(patient_of), n_sections=len(section_of))
    return SpotEvaluation(genes, *tables, null_curve(r, null), summary | {"permutations": permutations})


def _checked(predicted: pd.DataFrame, measured: pd.DataFrame, spots: pd.DataFrame, *, permutations: int) -> list[str]:
    """The genes, once the three tables are found to belong together."""
    if missing := [name for name in SPOTS if name not in spots]:
        raise InputError(f"Expected the columns {', '.join(SPOTS)} of the spots, found no {', '.join(missing)}")
    if list(predicted) != list(measured):
        odd = sorted({*predicted} ^ {*measured})
        raise InputError(
            "Expected the same genes in the same order in predicted and measured values, found "
            + (f"{', '.join(odd[:3])} in one only" if odd else "another order")
        )
    if not len(predicted) == len(measured) == len(spots):
        raise InputError(
            "Expected as many predicted as measured values as spots, found "
            f"{len(predicted)}, {len(measured)} and {len(spots)} rows"
        )
    if permutations < 1:
        raise InputError(f"Expected 1 or more permutations, found {permutations}")
    owners = spots.groupby(["slide", "section"], observed=True)["patient"].nunique()
    if (owners > 1).any():
        raise InputError(f"Expected one patient of each section, found {owners.max()} of {owners.idxmax()[1]}")
    return list(predicted)


def _codes(where: pd.DataFrame, by: list[str]) -> tuple[np.ndarray, pd.DataFrame]:
    """Each spot's group 0, 1, … in the order of their names, and what a group is (a row per group)."""
    grouped = where.groupby(by, sort=True)
    return grouped.ngroup().to_numpy(), grouped.first().reset_index()[[*by, *(["patient"] if len(by) > 1 else [])]]


def _smooth_sections(values: np.ndarray, spots: pd.DataFrame, section: np.ndarray) -> np.ndarray:
    found = np.full(values.shape, np.nan)
    row, col, lattice = (spots[name].to_numpy() for name in ("row", "col", "lattice"))
    for number in np.unique(section):
        own = np.flatnonzero(section == number)
        found[own] = smooth(values[own], row[own], col[own], lattice[own[0]])
    return found


def _groups(
    predicted: np.ndarray,
    measured: np.ndarray,
    smoothed: np.ndarray,
    depth: np.ndarray,
    *,
    code: np.ndarray,
    keys: np.ndarray | None = None,
) -> pd.DataFrame:
    """A row per group and gene that has spots there: group, number (of the gene), n_spots and the ``FIGURES``.

    keys : a number per spot, by whose order the measured values change places (r_permuted).
    """
    parts, use = [], ~(np.isnan(predicted) | np.isnan(measured))
    for group in np.unique(code):
        own = np.flatnonzero(code == group)
        for genes, rows in patterns(use[own]):
            if not len(rows):
                continue
            at = np.ix_(own[rows], genes)
            found = _figures(predicted[at], measured[at], smoothed[at], depth[own[rows]])
            if keys is not None:
                found["r_permuted"] = pearson(predicted[at], measured[at][np.argsort(keys[own[rows]])])
            parts.append(pd.DataFrame({"group": group, "number": genes, "n_spots": len(rows)} | found))
    if not parts:
        return pd.DataFrame(columns=["group", "number", "n_spots", *FIGURES, "r_permuted"], dtype=float).astype(
            {"group": int, "number": int}
        )
    return pd.concat(parts).sort_values(["group", "number"], ignore_index=True)


def _figures(
    predicted: np.ndarray, measured: np.ndarray, smoothed: np.ndarray, depth: np.ndarray
) -> dict[str, np.ndarray]:
    depth = np.broadcast_to(depth[:, None], measured.shape)
    r, with_depth = pearson(predicted, measured), pearson(measured, depth)
    return {
        "r": r,
        "rho": spearman(predicted, measured),
        "rmse": rmse(predicted, measured),
        "auroc": quartile_auroc(predicted, measured),
        "r_smooth": pearson(predicted, smoothed),
        "r_depth": with_depth,
        "r_partial": partial(r, pearson(predicted, depth), with_depth),
    }


def _wide(table: pd.DataFrame, column: str, n_groups: int, n_genes: int) -> np.ndarray:
    """One figure as groups × genes, NaN where a group has no spot of a gene."""
    found = np.full((n_groups, n_genes), np.nan)
    found[table["group"], table["number"]] = table[column]
    return found


def _gene_table(
    names: list[str],
    pair: list[np.ndarray],
    r: np.ndarray,
    patients: pd.DataFrame,
    sections: pd.DataFrame,
    *,
    sizes: tuple[int, int],
) -> pd.DataFrame:
    known = ~(np.isnan(pair[0]) | np.isnan(pair[1]))
    count, squares = known.sum(axis=0), np.where(known, (pair[0] - pair[1]) ** 2, 0).sum(axis=0)
    genes = pd.DataFrame({"gene": names, "n_spots": count}).join(consistency(r))
    genes["consistent_smooth"] = (_wide(patients, "r_smooth", sizes[0], len(names)) > 0).sum(axis=0)
    for column in MEDIANS:
        genes[f"median_{column}"] = median(_wide(patients, column, sizes[0], len(names)))
    genes["median_r_sections"] = median(_wide(sections, "r", sizes[1], len(names)))
    genes["rmse"] = np.sqrt(np.divide(squares, count, out=np.full(len(names), np.nan), where=count > 0))
    return genes


def _named(table: pd.DataFrame, of: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """``table`` with the names of genes and groups in the place of their numbers."""
    gene = np.asarray(names, dtype=object)[table["number"].to_numpy()]
    found = pd.concat([of.iloc[table["group"]].reset_index(drop=True), table.drop(columns=["group", "number"])], axis=1)
    found.insert(0, "gene", gene)
    return found


def summarise(genes: pd.DataFrame, pair: Sequence[np.ndarray], *, n_patients: int, n_sections: int) -> dict:
    """The figures of all genes together; ``n_…`` of each rule at ``ALPHA`` and a sentence where none could reach it.

    rmse : over all spots and genes that are predicted and measured (He 2020: 0.31, on the natural logarithm).
    """
    differences = pair[0] - pair[1]
    known = ~np.isnan(differences)
    smallest = float(genes["smallest_p"].min()) if len(genes) else 1.0
    found = {
        "n_genes": len(genes),
        "n_genes_without_r": int((genes["n_patients"] == 0).sum()),
        "n_patients": n_patients,
        "n_sections": n_sections,
        "n_spots": len(differences),
        "rmse": float(np.sqrt(np.mean(differences[known] ** 2))) if known.any() else float("nan"),
        "genes_positive_median_r": int((genes["median_r"] > 0).sum()),
        "smallest_p": smallest,
        "alpha": ALPHA,
        "note": "",
    }
    found |= {f"n_{rule}": int((genes[column] <= ALPHA).sum()) for rule, column in RULES.items()}
    medians = [f"median_{column}" for column in MEDIANS]
    found |= dict(zip(medians, map(float, median(genes[medians].to_numpy(float))), strict=True))
    most = int(genes["n_patients"].max()) if len(genes) else 0
    reach = f"with {most} patients the smallest p that the test of consistent patients can give is {smallest:.3g}"
    if smallest > ALPHA:
        found["note"] = f"No gene can be significant: {reach}, before any correction."
    elif smallest * len(genes) > ALPHA:
        found["note"] = (
            f"No gene can be significant by Holm or Bonferroni over {len(genes)} genes: {reach}, and that times the "
            f"number of genes is above {ALPHA}. The false discovery rate can still reach it, where many genes agree."
        )
    return found
