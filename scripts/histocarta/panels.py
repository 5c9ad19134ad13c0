"""How a panel of genes is predicted: how many of them, their mean, and whether patients fall into the same groups."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from histocarta.clustering import Agreement, agree, consensus_clusters
from histocarta.evaluation import spearman
from histocarta.files import read_table, write_table
from histocarta.predictions import KEYS, MEAN
from histocarta.sheets import read_traits

CLUSTERS = 4  # of patients (Wang 2021)
ENDS = ("predicted", "measured")


def summarise_panels(
    *,
    associations: str,
    predictions: str,
    measured: str,
    table: str,
    patients: str,
    panels: Mapping[str, str],
    seed: int,
) -> None:
    """Write a row per panel (``table``) and, per test sample and panel, its score and cluster (``patients``).

    associations : tables/regression-{way}.parquet. panels : sheets of genes by name. Of each panel: how many genes it
    has, are in the study, have an FDR below .05, are brought forward and validated, are predictable (where the table
    says so); Spearman of its score, the mean over its genes, as predicted and as measured (Wang 2021: the
    proliferation score); and the adjusted Rand index of the samples' consensus clusters, ``CLUSTERS`` of them, as
    predicted and as measured, with genes in units of their standard deviation over the test samples.
    """
    rows, people = read_table(associations), []
    ends = dict(zip(ENDS, _samples(predictions, measured), strict=True))
    known = {name.split("|")[0]: name for name in ends["predicted"].columns}
    told = rows.assign(symbol=rows["trait"].str.split("|").str[0]).drop_duplicates("symbol").set_index("symbol")
    found = []
    for panel, path in panels.items():
        genes = read_traits(path)
        inside = [known[gene] for gene in genes if gene in known]
        found.append({"panel": panel, "genes": len(genes)} | _counts(told.reindex(genes)))
        scores = {end: ends[end][inside].mean(axis=1) for end in ENDS}
        fit = spearman(scores["predicted"], scores["measured"])
        clusters, agreement = _clusters(ends, inside, seed=seed)
        found[-1] |= {"score_rho": fit.rho, "score_p": fit.p, "score_n": fit.n, "score_reason": fit.reason}
        found[-1] |= {f"cluster_{key}": getattr(agreement, key) for key in ("ari", "low", "high", "p", "reason")}
        person = pd.DataFrame({f"{end}_score": scores[end] for end in ENDS})
        people.append(person.assign(panel=panel, **clusters).rename_axis("sample").reset_index())
    write_table(pd.DataFrame(found), table)
    write_table(pd.concat(people) if people else pd.DataFrame(columns=["sample", "panel"]), patients)


def _samples(predictions: str, measured: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predicted and measured genes of the test part, a row per sample."""
    scores = read_table(predictions)
    scores = scores[(scores["round"] == MEAN) & (scores["part"] == "test")]
    names = [name for name in scores.columns if name not in KEYS]
    truth = read_table(measured).set_index("slide").reindex(index=scores["slide"], columns=names)
    sample = scores["sample"].to_numpy()
    return tuple(table[names].astype(float).groupby(sample).mean() for table in (scores, truth))


def _counts(genes: pd.DataFrame) -> dict[str, int | None]:
    """How many of a panel's rows there are of each kind; None where the table has no such column."""
    counts: dict[str, int | None] = {"tried": int((genes["status"] == "ok").sum())}
    counts["significant"] = int(((genes["test_fdr"] < 0.05) & (genes["test_rho"] > 0)).sum())
    counts["median_rho"] = float(genes["test_rho"].median()) if counts["tried"] else None
    for name in ("brought_forward", "validated", "predictable"):
        counts[name] = int(genes[name].eq(True).sum()) if name in genes else None
    return counts


def _clusters(
    ends: Mapping[str, pd.DataFrame], genes: list[str], *, seed: int
) -> tuple[dict[str, np.ndarray], Agreement]:
    """Each sample's cluster as predicted and as measured, -1 for none, and how far the two agree."""
    tables = {end: ends[end][genes].dropna(axis=1) for end in ENDS}
    shared = [gene for gene in tables["predicted"] if gene in tables["measured"] and _varies(tables, gene)]
    n = len(ends["predicted"])
    if len(shared) < 3 or n < 2 * CLUSTERS:
        reason = f"{n} samples and {len(shared)} genes that vary, need {2 * CLUSTERS} and 3"
        nothing = {f"{end}_cluster": np.full(n, -1) for end in ENDS}
        return nothing, Agreement(np.nan, np.nan, np.nan, np.nan, n, reason)
    scaled = {end: (table[shared] - table[shared].mean()) / table[shared].std() for end, table in tables.items()}
    clusters = {end: consensus_clusters(scaled[end].to_numpy(), k=CLUSTERS, seed=seed) for end in ENDS}
    return {f"{end}_cluster": found for end, found in clusters.items()}, agree(
        clusters["measured"], clusters["predicted"], seed=seed
    )


def _varies(tables: Mapping[str, pd.DataFrame], gene: str) -> bool:
    return all(tables[end][gene].nunique() > 1 for end in ENDS)
