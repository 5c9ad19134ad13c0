"""Of which gene sets the genes that morphology does not tell hold more than their share: hypergeometric tests."""

import numpy as np
import pandas as pd
from scipy import stats

from histocarta.associations import Q
from histocarta.errors import InputError
from histocarta.evaluation import benjamini_hochberg
from histocarta.files import read_table, write_table
from histocarta.gene_sets import SIZES, read_gmt

COLUMNS = ("set", "genes", "unpredicted", "expected", "p", "fdr", "members")


def represent_unpredicted(*, associations: str, sets: str, table: str) -> None:
    """Write a row per set of a GMT file: how many of its genes are not predicted, beside what chance would give.

    associations : tables/regression-{way}.parquet. Not predicted are genes with an FDR above ``Q``, or no rho, whose
    variance is above the median of all that were tried (Wang 2021: 4,184 genes that vary, and are not told by
    morphology). One-sided p of the hypergeometric distribution over the genes tried, Benjamini–Hochberg over the sets
    with 15 to 500 of them. Raises InputError where no set has so many.
    """
    tried = read_table(associations)
    tried = tried[tried["status"] == "ok"]
    tried = tried.assign(symbol=tried["trait"].str.split("|").str[0].str.upper()).drop_duplicates("symbol")
    lost = tried[~(tried["test_fdr"] <= Q) & (tried["variance"] > tried["variance"].median())]
    known, missed = set(tried["symbol"]), set(lost["symbol"])
    usable = {name: genes & known for name, genes in read_gmt(sets).items()}
    usable = {name: genes for name, genes in usable.items() if SIZES[0] <= len(genes) <= SIZES[1]}
    if not usable:
        raise InputError(
            f"Expected sets of {SIZES[0]} to {SIZES[1]} of the {len(known)} genes tried in {sets}, found none"
        )
    size = np.array([len(genes) for genes in usable.values()])
    found = np.array([len(genes & missed) for genes in usable.values()])
    p = stats.hypergeom.sf(found - 1, len(known), len(missed), size)
    frame = pd.DataFrame({"set": list(usable), "genes": size, "unpredicted": found})
    frame["expected"] = size * len(missed) / len(known)
    frame["p"], frame["fdr"] = p, benjamini_hochberg(p)
    frame["members"] = [";".join(sorted(genes & missed)) for genes in usable.values()]
    write_table(frame.sort_values(["p", "set"], kind="stable")[list(COLUMNS)], table)
