"""What the report shows of where predictions in spots come from: attributions of genes, and nuclei beside genes."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from histocarta.files import read_table
from histocarta.report_page import Block, Note, Picture, Table, number, picture_uri

TOP = 20


def explained_blocks(folder: str, *, made: Sequence[str]) -> list[Block]:
    """The pictures and tables of ``folder`` that are among the files ``made``."""
    blocks: list[Block] = []
    for path in sorted(path for path in made if path.startswith(f"{folder}/gene-") and path.endswith(".png")):
        gene = Path(path).stem.removeprefix("gene-")
        error = pd.to_numeric(read_table(path.removesuffix(".png") + ".tsv")["error"]).abs().max()
        caption = (
            f"{gene}: integrated gradients from a white window (they miss the difference that they explain by "
            f"{number(error, 3)} at most)"
        )
        blocks.append(Picture(picture_uri(path), caption))
    if f"{folder}/nuclei.tsv" in made:
        blocks += _nuclei(f"{folder}/nuclei.tsv")
    return blocks


def _nuclei(path: str) -> list[Block]:
    found = read_table(path)
    figures = found[["rho_measured", "rho_predicted"]].apply(pd.to_numeric)
    order = figures["rho_measured"].abs().sort_values(ascending=False, kind="stable", na_position="last").index[:TOP]
    rows = [
        [row["gene"], row["feature"].replace("_", " "), number(row["rho_measured"]),
         f"{row['agree_measured']} of {row['n_patients']}", number(row["rho_predicted"]),
         f"{row['agree_predicted']} of {row['n_patients']}"]
        for row in found.loc[order].to_dict("records")
    ]  # fmt: skip
    head = ("gene", "feature of the windows", "ρ measured", "patients of that sign", "ρ predicted", "of that sign")
    note = (
        "Spearman's ρ of a gene with the nuclei and the colour of its windows, the median over patients. A prediction "
        "that leans on a feature more than the gene does has a larger ρ with it."
    )
    return [Note(note), Table(head, rows, "Genes and nuclei", folded=True)]
