"""How far predictions of genes in another cohort hold against its own spots, and which genes hold in both."""

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from histocarta.evaluation import spearman
from histocarta.figures import png
from histocarta.files import read_json, read_table, replacing, write_json, write_table
from histocarta.spot_labels import COLUMNS, NO_LABELS, normalised


def label_elsewhere(*, counts: str, learnt: str, labels: str, summary: str) -> None:
    """Label another cohort's windows with the genes and on the scale of a model (``learnt``: its labels.json).

    counts : of :func:`histocarta.spot_counts.gather_counts`. The number of genes of the published scale is the training
    cohort's, whatever the other one measured (papers' checklist B.16). Genes that it did not measure have NaN and stand
    in ``summary`` as missing.
    """
    data, facts = anndata.read_h5ad(counts), read_json(learnt)
    genes = facts["genes"]
    missing = [gene for gene in genes if gene not in data.var_names]
    known = [gene for gene in genes if gene not in missing]
    columns = data.var_names.get_indexer(known)
    values, counted = normalised(data, columns, normalisation=facts["rule"]["normalisation"], n_genes=facts["n_genes"])
    whole = pd.DataFrame(values, columns=known).reindex(columns=genes).to_numpy(np.float32)
    target = [value if use else None for value, use in zip(whole, counted, strict=True)]
    table = data.obs.reset_index(drop=True)
    table = table.astype(dict.fromkeys(("slide", "patient", "section", "annotation"), str)) if len(table) else table
    usable = facts["status"] == "ok" and len(table)
    write_table(table.assign(target=target)[[*COLUMNS, "target"]] if usable else NO_LABELS, labels)
    record = facts | {"missing": missing, "lattice": {str(k): str(v) for k, v in data.uns["lattice"].items()}}
    record["n"] = {"windows": int(counted.sum()), "no_counts": int((~counted).sum())}
    write_json(record, summary)


def compare_transfer(*, here: str, there: str, table: str, picture: str) -> None:
    """Write each gene's median r where it was learnt and in the other cohort, and draw them (He 2020, Fig. 2c).

    here, there : genes.tsv of both evaluations. Rows: gene, r_here, r_there, n_patients_there; a gene that the other
    cohort lacks has a blank.
    """
    own, far = (read_table(path).set_index("gene") for path in (here, there))
    found = pd.DataFrame(
        {
            "r_here": pd.to_numeric(own["median_r"]),
            "r_there": pd.to_numeric(far["median_r"]).reindex(own.index),
            "n_patients_there": far["n_patients"].reindex(own.index),
        }
    )
    write_table(found.reset_index(), table)
    with replacing(picture) as draft:
        Path(draft).write_bytes(png(transfer_figure(found)))


def transfer_figure(found: pd.DataFrame) -> Figure:
    """r_there against r_here, a dot per gene, and the counts of positive ones (He 2020: 207 of 234)."""
    both = found.dropna(subset=["r_here", "r_there"])
    figure = Figure(figsize=(4.6, 4.4), layout="constrained")
    axis = figure.subplots()
    axis.axhline(0, color="0.8", linewidth=0.8)
    axis.axvline(0, color="0.8", linewidth=0.8)
    axis.scatter(both["r_here"], both["r_there"], s=12, alpha=0.6, color="#4477aa", linewidths=0)
    agreement = spearman(both["r_here"].to_numpy(float), both["r_there"].to_numpy(float))
    positive = int((both["r_there"] > 0).sum())
    axis.set(
        xlabel="median r, patients left out", ylabel="median r, other cohort",
        title=f"{positive} of {len(both)} genes with r > 0 there; ρ = {agreement.rho:.2f}",
    )  # fmt: skip
    axis.title.set_fontsize(10)
    return figure
