"""How gene sets come from GMT files, and a ranking of genes from a table: by symbol, in capitals."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from histocarta.errors import InputError
from histocarta.files import read_table

SIZES = (15, 500)  # genes of a set that are ranked: GSEA's own bounds


def read_ranking(path: str, *, by: str) -> pd.Series:
    """Scores by gene symbol, highest first, ties by name; genes without a score are left out."""
    frame = read_table(path)
    score = pd.to_numeric(frame[by], errors="coerce").to_numpy(float)
    symbols = frame["trait"].astype(str).str.split("|").str[0].str.upper()
    genes = pd.Series(score, index=symbols)[np.isfinite(score)]
    genes = genes[~genes.index.duplicated()].sort_index()
    return genes.sort_values(ascending=False, kind="stable")


def copy_sets(data: Path, output: Path) -> None:
    """Copy the GMT files of ``data``/genesets, where there are any, to ``output``/genesets."""
    for path in sorted((data / "genesets").glob("*.gmt")):
        (output / "genesets").mkdir(exist_ok=True)
        shutil.copyfile(path, output / "genesets" / path.name)


def read_gmt(path: str) -> dict[str, set[str]]:
    """Sets by name of a GMT file: a line per set, its name, a note and its genes, separated by tabs."""
    if not Path(path).is_file():
        raise InputError(f"Expected a GMT file of gene sets, found nothing at {path}")
    sets = {}
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), start=1):
        name, *rest = line.rstrip("\t").split("\t")
        if len(rest) < 2:
            raise InputError(
                f"Expected name, note and genes separated by tabs in line {number} of {path}, found {line!r:.80}"
            )
        sets[name] = {gene.upper() for gene in rest[1:] if gene}
    if not sets:
        raise InputError(f"Expected gene sets in {path}, found an empty file")
    return sets
