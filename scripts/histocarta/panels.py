"""How a panel of genes is predicted: how many of them, their mean, and whether patients fall into the same groups."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from histocarta.clustering import Agreement, agree, consensus_clusters
from histocarta.errors import InputError
from histocarta.evaluation import spearman
from histocarta.files import read_table, write_table
from histocarta.predictions import KEYS, MEAN
from histocarta.sheets import read_traits

CLUSTERS = 4  # of patients (Wang 2021)
GENE_CLUSTERS = 3  # Wang 2021 clusters genes too, and does not say into how many
ENDS = ("predicted", "measured")
AGREEMENT = ("ari", "low", "high", "p", "reason")


def summarise_panels(
    *,
    associations: str,
    predictions: str,
    measured: str,
    table: str,
    patients: str,
    panels: Mapping[str, str],
    seed: int,
    clinical: str | list[str] = (),
    subtype: str | None = None,
) -> None:
    """Write a row per panel (``table``) and, per test sample and panel, its score and cluster (``patients``).

    associations : tables/regression-{way}.parquet. panels : sheets of genes by name. Of each panel: how many genes it
    has, are in the study, have an FDR below .05, are brought forward and validated, are predictable (where the table
    says so); Spearman of its score, the mean over its genes, as predicted and as measured (Wang 2021: the
    proliferation score); and adjusted Rand indices, with genes in units of their standard deviation over the test
    samples: of the samples' consensus clusters, ``CLUSTERS`` of them, as predicted and as measured (``cluster_…``), of
    the genes' likewise (``gene_…``), and of the samples' clusters of either kind with the column ``subtype`` of the
    clinical sheet (``predicted_subtype_…``, ``measured_subtype_…``; none where no column is named).
    """
    rows, people = read_table(associations), []
    ends, patients_of = tested_samples(predictions, measured)
    types = _subtypes(patients_of, clinical=clinical, subtype=subtype)
    known = {name.split("|")[0]: name for name in ends["predicted"].columns}
    told = rows.assign(symbol=rows["trait"].str.split("|").str[0]).drop_duplicates("symbol").set_index("symbol")
    found = []
    for panel, path in panels.items():
        genes = read_traits(path)
        inside = [known[gene] for gene in genes if gene in known]
        found.append({"panel": panel, "genes": len(genes)} | _counts(told.reindex(genes)))
        scores = {end: ends[end][inside].mean(axis=1) for end in ENDS}
        fit = spearman(scores["predicted"], scores["measured"])
        scaled, reason = scale_panel(ends, inside)
        clusters, agreements = _agreements(scaled, reason, types=types, n=len(patients_of), seed=seed)
        found[-1] |= {"score_rho": fit.rho, "score_p": fit.p, "score_n": fit.n, "score_reason": fit.reason}
        for what, agreement in agreements.items():
            found[-1] |= {f"{what}_{key}": getattr(agreement, key) for key in AGREEMENT}
        person = pd.DataFrame({f"{end}_score": scores[end] for end in ENDS})
        people.append(person.assign(panel=panel, **clusters).rename_axis("sample").reset_index())
    write_table(pd.DataFrame(found), table)
    write_table(pd.concat(people) if people else pd.DataFrame(columns=["sample", "panel"]), patients)


def tested_samples(predictions: str, measured: str) -> tuple[dict[str, pd.DataFrame], pd.Series]:
    """Predicted and measured genes of the test part, a row per sample; and the samples' patients."""
    scores = read_table(predictions)
    scores = scores[(scores["round"] == MEAN) & (scores["part"] == "test")]
    names = [name for name in scores.columns if name not in KEYS]
    truth = read_table(measured).set_index("slide").reindex(index=scores["slide"], columns=names)
    sample = scores["sample"].to_numpy()
    tables = (table[names].astype(float).groupby(sample).mean() for table in (scores, truth))
    return dict(zip(ENDS, tables, strict=True)), scores.groupby("sample")["patient"].first()


def _counts(genes: pd.DataFrame) -> dict[str, int | None]:
    """How many of a panel's rows there are of each kind; None where the table has no such column."""
    counts: dict[str, int | None] = {"tried": int((genes["status"] == "ok").sum())}
    counts["significant"] = int(((genes["test_fdr"] < 0.05) & (genes["test_rho"] > 0)).sum())
    counts["median_rho"] = float(genes["test_rho"].median()) if counts["tried"] else None
    for name in ("brought_forward", "validated", "predictable"):
        counts[name] = int(genes[name].eq(True).sum()) if name in genes else None
    return counts


def scale_panel(ends: Mapping[str, pd.DataFrame], genes: list[str]) -> tuple[dict[str, pd.DataFrame], str]:
    """Samples × those of the ``genes`` that vary at both ends, in units of their spread; why there is none."""
    tables = {end: ends[end][genes].dropna(axis=1) for end in ENDS}
    shared = [gene for gene in tables["predicted"] if gene in tables["measured"] and _varies(tables, gene)]
    n = len(ends["predicted"])
    if len(shared) < 3 or n < 2 * CLUSTERS:
        return {}, f"{n} samples and {len(shared)} genes that vary, need {2 * CLUSTERS} and 3"
    return {end: (table[shared] - table[shared].mean()) / table[shared].std() for end, table in tables.items()}, ""


def _agreements(
    scaled: Mapping[str, pd.DataFrame], reason: str, *, types: pd.Series | None, n: int, seed: int
) -> tuple[dict[str, np.ndarray], dict[str, Agreement]]:
    """Each sample's cluster as predicted and as measured, -1 for none, and every agreement that is asked for."""
    nothing = Agreement(np.nan, np.nan, np.nan, np.nan, n, reason)
    kinds = ("cluster", "gene", *(f"{end}_subtype" for end in ENDS if types is not None))
    if not scaled:
        return {f"{end}_cluster": np.full(n, -1) for end in ENDS}, dict.fromkeys(kinds, nothing)
    clusters = {end: consensus_clusters(scaled[end].to_numpy(), k=CLUSTERS, seed=seed) for end in ENDS}
    found = {"cluster": agree(clusters["measured"], clusters["predicted"], seed=seed)}
    genes = scaled["measured"].shape[1]
    if genes < 2 * GENE_CLUSTERS:
        found["gene"] = replace(nothing, reason=f"{genes} genes, need {2 * GENE_CLUSTERS}")
    else:
        groups = [consensus_clusters(scaled[end].to_numpy().T, k=GENE_CLUSTERS, seed=seed) for end in ENDS]
        found["gene"] = agree(*groups, seed=seed)
    if types is not None:
        known = types.notna().to_numpy()
        for end in ENDS:
            found[f"{end}_subtype"] = agree(types[known].to_numpy(str), clusters[end][known], seed=seed)
    return {f"{end}_cluster": clusters[end] for end in ENDS}, found


def _subtypes(patients: pd.Series, *, clinical: str | list[str], subtype: str | None) -> pd.Series | None:
    """The subtype of each sample's patient, NaN for none; None where the study names no column."""
    if subtype is None or not clinical:
        return None
    table = read_table(clinical).set_index("patient")
    if subtype not in table:
        raise InputError(
            f"Expected the column {subtype!r} (subtype) in the clinical sheet, found {', '.join(map(str, table))}"
        )
    return table[subtype].replace("", np.nan).reindex(patients).set_axis(patients.index)


def _varies(tables: Mapping[str, pd.DataFrame], gene: str) -> bool:
    return all(tables[end][gene].nunique() > 1 for end in ENDS)
