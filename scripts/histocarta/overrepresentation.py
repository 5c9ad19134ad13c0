"""Of which gene sets some of the genes that were tried are more than their share: hypergeometric tests."""

from collections.abc import Mapping

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
    frame = represent(set(tried["symbol"]), set(lost["symbol"]), read_gmt(sets), sizes=SIZES)
    if frame.empty:
        raise InputError(
            f"Expected sets of {SIZES[0]} to {SIZES[1]} of the {len(tried)} genes tried in {sets}, found none"
        )
    write_table(frame.rename(columns={"chosen": "unpredicted"})[list(COLUMNS)], table)


def represent(
    known: set[str], chosen: set[str], sets: Mapping[str, set[str]], *, sizes: tuple[int, int]
) -> pd.DataFrame:
    """A row per set with ``sizes`` (fewest, most) of the ``known`` genes, of which some are ``chosen``.

    Columns: set, genes, chosen, expected, p, fdr, members. p is the hypergeometric distribution's, one-sided (Fisher's
    exact test for more than by chance), fdr of Benjamini–Hochberg over the sets; smallest p first.
    """
    usable = {name: genes & known for name, genes in sets.items()}
    usable = {name: genes for name, genes in usable.items() if sizes[0] <= len(genes) <= sizes[1]}
    size = np.array([len(genes) for genes in usable.values()], int)
    found = np.array([len(genes & chosen) for genes in usable.values()], int)
    p = stats.hypergeom.sf(found - 1, len(known), len(chosen), size)
    frame = pd.DataFrame({"set": list(usable), "genes": size, "chosen": found})
    frame["expected"] = size * len(chosen) / max(len(known), 1)
    frame["p"], frame["fdr"] = p, benjamini_hochberg(p)
    frame["members"] = [";".join(sorted(genes & chosen)) for genes in usable.values()]
    return frame.sort_values(["p", "set"], kind="stable").reset_index(drop=True)
