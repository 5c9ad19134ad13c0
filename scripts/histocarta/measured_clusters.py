"""Into which groups patients fall by what a panel of genes measures in them, where no slide takes part."""

import numpy as np
import pandas as pd

from histocarta.clustering import agree, consensus_clusters
from histocarta.errors import InputError
from histocarta.files import read_table, write_json, write_table
from histocarta.panels import AGREEMENT, CLUSTERS
from histocarta.sheets import read_traits


def cluster_measured(
    *,
    expression: str,
    sheet: str,
    clinical: str | list[str],
    clusters: str,
    summary: str,
    seed: int,
    subtype: str | None = None,
) -> None:
    """Write each sample's consensus cluster (``clusters``) and how the grouping stands (``summary``).

    expression : samples × genes. sheet : the panel; of its genes those that the table has, all samples measured and
    that vary, in units of their standard deviation, ``CLUSTERS`` clusters of samples (Wang 2021). summary : genes
    found, sizes, the adjusted Rand index with the clusters of another seed (how firm they are), and with the column
    ``subtype`` of the clinical sheet, where the study names one.
    """
    table = read_table(expression)  # its index is the sample
    by_symbol = {name.split("|")[0]: name for name in table}
    genes = read_traits(sheet)
    values = table[[by_symbol[gene] for gene in genes if gene in by_symbol]].astype(float).dropna(axis=1)
    values = values.loc[:, values.nunique() > 1]
    if values.shape[1] < 3 or len(values) < 2 * CLUSTERS:
        raise InputError(
            f"Expected at least 3 genes of {sheet} that vary and {2 * CLUSTERS} samples in {expression}, found "
            f"{values.shape[1]} and {len(values)}; name another panel"
        )
    scaled = ((values - values.mean()) / values.std()).to_numpy()
    found, again = (consensus_clusters(scaled, k=CLUSTERS, seed=number) for number in (seed, seed + 1))
    record = {"genes": len(genes), "genes_found": values.shape[1], "samples": len(values)}
    record |= {"sizes": np.bincount(found, minlength=CLUSTERS).tolist(), "clusters": CLUSTERS}
    firm = agree(found, again, seed=seed)
    record |= {f"seeds_{key}": getattr(firm, key) for key in AGREEMENT}
    frame = pd.DataFrame({"sample": values.index, "cluster": found})
    if subtype and clinical:
        people = read_table(clinical).set_index("patient")
        if subtype not in people:
            raise InputError(
                f"Expected the column {subtype!r} (subtype) in the clinical sheet, found {', '.join(people)}"
            )
        frame["subtype"] = people[subtype].replace("", np.nan).reindex(values.index).to_numpy()
        known = frame["subtype"].notna().to_numpy()
        matched = agree(frame.loc[known, "subtype"].to_numpy(str), found[known], seed=seed)
        record |= {f"subtype_{key}": getattr(matched, key) for key in AGREEMENT} | {"subtype_n": int(known.sum())}
    write_table(frame, clusters)
    write_json(record, summary)
