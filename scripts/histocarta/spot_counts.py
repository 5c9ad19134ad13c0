"""The counts of all genes in the windows of a cohort, one table for all sections that have any."""

from collections.abc import Sequence

import anndata
import numpy as np
import pandas as pd
from scipy import sparse

from histocarta.files import read_json, read_table, replacing
from histocarta.progress import progress

LATTICE = "lattice"


def gather_counts(
    *,
    manifest: str,
    sites: Sequence[str],
    counts: Sequence[str],
    records: Sequence[str],
    gathered: str,
    slides: Sequence[str],
) -> None:
    """Join the raw counts of the kept windows of all slides (AnnData, windows × genes) in the manifest's order.

    sites, counts, records : of the ``slides``, in their order (sites.parquet, section/counts.h5ad, section.json). Rows
    stand as in the slides' shards: obs has slide, patient, section (the file), row, col, x_px, y_px, total (all genes
    counted, also those of other sections) and annotation. A gene that a section's table lacks was not counted once
    there (ST-Net's code). uns holds each slide's lattice.
    """
    table = read_table(manifest).set_index("slide")
    used = [slide for slide in table.index if int(table.at[slide, "n_tiles"])]
    place = {slide: number for number, slide in enumerate(slides)}
    parts, lattice = [], {}
    for slide in progress(used, total=len(used), what="sections' counts"):
        number = place[slide]
        part = anndata.read_h5ad(counts[number])
        kept = read_table(sites[number]).query("kept")[["row", "col"]].astype(int)
        at = pd.MultiIndex.from_frame(part.obs[["row", "col"]].astype(int)).get_indexer(pd.MultiIndex.from_frame(kept))
        part = part[at].copy()
        part.obs = part.obs[["row", "col", "x_px", "y_px", "total", "annotation"]].assign(
            slide=slide, patient=table.at[slide, "patient"], section=table.at[slide, "file"]
        )
        parts.append(part)
        lattice[slide] = read_json(records[number])[LATTICE]
    genes = sorted(set().union(*(part.var_names for part in parts))) if parts else []
    blocks = [_on(part, genes) for part in parts]
    obs = pd.concat([part.obs for part in parts]) if parts else pd.DataFrame()
    whole = anndata.AnnData(
        sparse.vstack(blocks, format="csr") if blocks else sparse.csr_matrix((0, 0), dtype=np.float32),
        obs=obs.set_axis([f"window-{number}" for number in range(len(obs))]),
        var=pd.DataFrame(index=pd.Index(genes, name="gene", dtype=object)),
        uns={LATTICE: lattice},
    )
    with replacing(gathered) as temporary:
        whole.write_h5ad(temporary)


def _on(part: anndata.AnnData, genes: Sequence[str]) -> sparse.csr_matrix:
    """The counts of ``part`` on all ``genes`` (sorted), zero where it lacks one."""
    column = np.searchsorted(genes, part.var_names.to_numpy(str))
    values = sparse.coo_matrix(part.X)
    shape = (part.n_obs, len(genes))
    return sparse.csr_matrix((values.data.astype(np.float32), (values.row, column[values.col])), shape=shape)
