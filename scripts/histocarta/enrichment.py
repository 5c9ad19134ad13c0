"""Which gene sets stand at the ends of a ranking of genes: pre-ranked GSEA of local GMT files, by gseapy."""

import gseapy
import pandas as pd

from histocarta.errors import InputError
from histocarta.files import write_table
from histocarta.gene_sets import SIZES, read_gmt, read_ranking

COLUMNS = ("set", "genes", "es", "nes", "p", "fdr", "leading")
PERMUTATIONS = 1000


def enrich_ranking(
    *, ranking: str, sets: str, table: str, by: str, seed: int, threads: int = 1, permutations: int = PERMUTATIONS
) -> None:
    """Write ``table``: enrichment score, its normalised form, p and FDR (q of GSEA) of every set of a GMT file.

    ranking : a table with ``trait`` (``SYMBOL`` or ``SYMBOL|ID``; of several rows of a symbol the first counts) and the
    column ``by`` that ranks, high to low. Sets with fewer than 15 or more than 500 ranked genes are left out
    (Subramanian et al. 2005, PNAS 102:15545). ``leading``: the genes that make the score, joined by ;.
    Raises InputError where no set has enough of the ranked genes.
    """
    genes = read_ranking(ranking, by=by)
    members = read_gmt(sets)
    usable = {
        name: found
        for name, all_of in members.items()
        if SIZES[0] <= len(found := all_of & set(genes.index)) <= SIZES[1]
    }
    if not usable:
        raise InputError(
            f"Expected sets of {SIZES[0]} to {SIZES[1]} of the {len(genes)} ranked genes in {sets}, found none of "
            f"{len(members)}: genes are named like {genes.index[0] if len(genes) else 'nothing'!r}, those of the sets "
            f"like {min(next(iter(members.values())))!r}"
        )
    done = gseapy.prerank(
        rnk=genes,
        gene_sets={name: sorted(found) for name, found in usable.items()},
        min_size=SIZES[0],
        max_size=SIZES[1],
        permutation_num=permutations,
        seed=seed,
        threads=threads,
        outdir=None,
        no_plot=True,
        verbose=False,
    ).res2d
    least = 1 / (permutations + 1)  # no arrangement was as extreme: not a p of 0
    frame = pd.DataFrame(
        {
            "set": done["Term"],
            "genes": [len(usable[name]) for name in done["Term"]],
            "es": done["ES"].astype(float),
            "nes": done["NES"].astype(float),
            "p": done["NOM p-val"].astype(float).clip(lower=least),
            "fdr": done["FDR q-val"].astype(float).clip(lower=least),
            "leading": done["Lead_genes"],
        }
    )
    write_table(frame.sort_values(["fdr", "p", "set"], kind="stable")[list(COLUMNS)], table)
