"""Whether expression predicted in place is what was measured there: regions under many genes, probes and markers."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import pyarrow.parquet as parquet

from histocarta.correlations import associate_columns
from histocarta.evaluation import benjamini_hochberg
from histocarta.marker_scores import log_percent, marker_table, mean_scores, read_markers
from histocarta.mixed_models import COLUMNS, fit_random_intercepts
from histocarta.roi_values import hardly_varying, probe_members, read_roi_values, sum_probes

OWN = ("fdr", "direction", "section_rho", "sections", "sections_positive")  # what is said beside the mixed model


def genes_needed(
    rois: str, *, genes: Sequence[str], sums: Mapping[str, Sequence[str]], scores: Mapping[str, Sequence[str]]
) -> set[str]:
    """The names that are compared: columns of the table of regions, and the members of its probes and markers."""
    columns = parquet.read_schema(rois).names
    members = (probe_members(given, columns=columns, genes=list(genes)) for given in (sums, scores))
    return {*columns}.union(*(names for found in members for names in found.values()))


def compare_regions(
    predicted: pd.DataFrame,
    *,
    where: pd.DataFrame,
    rois: str,
    names: Sequence[str],
    lost: Mapping[str, str] = {},
    negatives: Sequence[str] = (),
    sums: Mapping[str, Sequence[str]] = {},
    min_variance: float = 0.0,
    probe_sum: str = "linear",
    scores: Mapping[str, Sequence[str]] = {},
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two tables: a row per gene of ``names``, and of every marker its regions (:func:`marker_scores.marker_table`).

    predicted : regions (index roi) × genes, on the scale of the expression, NaN where no model may speak of a region.
    where : roi, slide, section. lost : genes of ``names`` without a prediction, and why.
    Each gene is compared in the regions in which it is measured and predicted.
    Per gene measured ~ predicted + (1 | section) by :func:`mixed_models.fit_random_intercepts` with the false discovery
    rate over all genes tried, and Spearman within each section: its mean, and in how many sections it is positive. A
    significant negative slope is no validation: the sign stands in ``direction``. Genes that the regions lack keep
    their row. negatives, sums, min_variance, probe_sum : of :mod:`histocarta.roi_values`; a probe of ``sums`` has a row
    as a gene has, and so has a marker of ``scores`` (:mod:`histocarta.marker_scores`: its genes).
    """
    columns, first = parquet.read_schema(rois).names, where.drop_duplicates("roi").set_index("roi")
    probes, panels = (probe_members(given, columns=columns, genes=list(predicted)) for given in (sums, scores))
    both = [name for name in predicted if name in columns and name not in {*probes, *panels}]
    pooled = sum_probes(predicted, sums=probes, probe_sum=probe_sum)
    marked = mean_scores(predicted, members=panels)
    values = read_roi_values(rois, columns=[*both, *pooled], negatives=negatives, rows=predicted.index)
    percent = read_markers(rois, columns=list(marked), rows=predicted.index)
    values = values.join(log_percent(percent))
    compared = predicted[both].assign(**pooled, **marked)
    still = hardly_varying(values, min_variance=min_variance)
    chosen = still.index[still == ""]
    section = first["section"].loc[predicted.index].to_numpy()
    found = _associate(compared[chosen].to_numpy(), values[chosen].to_numpy(), section, names=chosen)
    every = [*names, *(name for name in {**probes, **panels} if name not in set(names))]
    frame = pd.DataFrame({"trait": every}).merge(found, on="trait", how="left")
    why = frame["trait"].map(still[still != ""]).fillna("not measured in the regions")
    why = why.mask(frame["trait"].isin({*probes, *panels} - {*pooled, *marked}), "no gene of it is predicted")
    why = frame["trait"].map(lost).fillna(why)
    frame["reason"] = frame["reason"].fillna(why)
    return frame, marker_table(rois, first, percent=percent, predicted=marked)


def _associate(
    predicted: np.ndarray, measured: np.ndarray, section: np.ndarray, *, names: Sequence[str]
) -> pd.DataFrame:
    """A row per gene: the mixed model's figures, its FDR and direction, and Spearman within sections."""
    known = ~(np.isnan(predicted) | np.isnan(measured))
    # Genes that lack the same regions are fitted together.
    patterns, kind = np.unique(known, axis=1, return_inverse=True) if len(names) else (known, np.zeros(0, int))
    kind, parts = np.ravel(kind), []
    for number in range(patterns.shape[1]):
        rows, genes = patterns[:, number], np.flatnonzero(kind == number)
        place = np.ix_(rows, genes)
        found = _fit(predicted[place], measured[place], section[rows])
        parts.append(found.assign(trait=[names[gene] for gene in genes], at=genes))
    if not parts:
        return pd.DataFrame(columns=["trait", *COLUMNS, *OWN])
    frame = pd.concat(parts).sort_values("at").drop(columns="at").reset_index(drop=True)
    frame.insert(0, "trait", frame.pop("trait"))
    frame["fdr"] = benjamini_hochberg(frame["p"])
    frame["direction"] = np.select([frame["slope"] > 0, frame["slope"] < 0], ["positive", "negative"], default="")
    return frame[["trait", *COLUMNS, *OWN]]


def _fit(predicted: np.ndarray, measured: np.ndarray, section: np.ndarray) -> pd.DataFrame:
    """The mixed models of genes that are known in the same regions, and their correlations within sections."""
    frame = fit_random_intercepts(predicted, measured, section)
    groups, genes = np.unique(section), predicted.shape[1]
    rho = np.array(
        [associate_columns(predicted[section == one], measured[section == one])["rho"] for one in groups]
    ).reshape(len(groups), genes)
    known = ~np.isnan(rho)
    total = np.where(known, rho, 0).sum(axis=0)
    frame["section_rho"] = np.divide(total, known.sum(axis=0), out=np.full(genes, np.nan), where=known.any(axis=0))
    frame["sections"], frame["sections_positive"] = known.sum(axis=0), (rho > 0).sum(axis=0)
    return frame
