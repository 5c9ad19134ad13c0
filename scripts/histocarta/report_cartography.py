"""What the report shows of two maps of a gene on the same tissue: by a model of spots, and by a cartography of bulk."""

from collections.abc import Sequence

import pandas as pd

from histocarta.files import read_table
from histocarta.report_page import Block, Note, Picture, Table, number, picture_uri

FIGURES = ("rho_maps", "rho_predicted", "rho_cartography", "rho_predicted_partial", "rho_cartography_partial")
COLUMNS = (
    "gene", "patient", "slides", "tiles", "ρ of the two maps", "spot model and measured", "cartography and measured",
    "spot model, given depth", "cartography, given depth", "remark",
)  # fmt: skip
NOTE = (
    "Two maps of a gene on the same tiles, by models that both held the tiles' patient out: «spot model», learnt from "
    "expression in spots, and «cartography», learnt from slides at the extremes of bulk expression. Both are held "
    "against the spots measured on the tiles by Spearman's ρ over a patient's tiles, plain and with the spots' total "
    "count held constant. Neighbouring tiles are alike: these are no tests."
)


def cartography_blocks(folder: str, *, made: Sequence[str]) -> list[Block]:
    """The table and picture of ``folder``/cartography.tsv, where that is among the files ``made``."""
    if f"{folder}/cartography.tsv" not in made:
        return []
    found = read_table(f"{folder}/cartography.tsv")
    rows = [_row(row) for row in found.to_dict("records")]
    return [
        Note(NOTE),
        Table(COLUMNS, rows, "The spot model's maps beside the cartography of the same genes"),
        Picture(picture_uri(f"{folder}/cartography.png"), "The gene whose two maps agree best, on one image"),
    ]


def _row(row: dict[str, str]) -> list[str]:
    figures = [number(pd.to_numeric(row[name])) for name in FIGURES]
    return [row["gene"], row["patient"], row["n_slides"], row["n_tiles"], *figures, row["reason"]]
