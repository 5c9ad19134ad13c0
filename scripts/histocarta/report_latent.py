"""What the report shows of what a network sees in spots: planes of patients left out, clusters, neighbours, windows."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from histocarta.files import read_json, read_table
from histocarta.report_page import Block, Note, Picture, Table, number, picture_uri

NOTE = (
    "What the network sees in a window before its last layer, in patients that the model did not learn from; each "
    "patient lies in a space of its own, that of the round that tests it. Purity: the share of spots that belong to "
    "the commonest class of their k-means cluster, beside that of classes that changed places. Nearest and farthest: "
    "the neighbour on the lattice that is nearest, or farthest, in that space as a predictor of what was measured."
)


def latent_blocks(folder: str, *, made: Sequence[str]) -> list[Block]:
    """The tables and pictures of ``folder``/latent.json, where that is among the files ``made``."""
    if f"{folder}/latent.json" not in made:
        return []
    told, genes = read_json(f"{folder}/latent.json"), read_table(f"{folder}/genes.tsv")
    r = {name: pd.to_numeric(genes[name]) for name in ("r_nearest", "r_farthest")}
    better = int((r["r_nearest"] > r["r_farthest"]).sum())
    rows = [
        ("purity over patients, mean ± sd; by chance",
         f"{number(told['mean_purity'])} ± {number(told['sd_purity'])}; {number(told['mean_chance'])}"),
        ("median r with the nearest neighbour; with the farthest",
         f"{number(r['r_nearest'].median())}; {number(r['r_farthest'].median())}"),
        ("genes better told by the nearest", f"{better} of {len(genes)}"),
        ("steps to the spot nearest in latent space; to a random one",
         f"{number(told['median_distance'], 1)}; {number(told['median_distance_by_chance'], 1)}"),
    ]  # fmt: skip
    head = ("patient", "spots", "classes", "purity", "by chance", "remark")
    return [
        Note(NOTE),
        Table(("what the network sees", "value"), rows),
        Table(head, [_row(patient) for patient in told["patients"]], "Clusters against classes", folded=True),
        Picture(picture_uri(f"{folder}/plane.png"), "Spots of patients left out in the plane of a UMAP"),
        Picture(picture_uri(f"{folder}/windows.png"), "Windows whose neighbours there are of their class, or not"),
    ]


def _row(told: dict[str, Any]) -> list[str]:
    figures = [number(told["purity"]), number(told["chance"])]
    return [told["patient"], str(told["spots"]), ", ".join(told["classes"]), *figures, told["reason"]]
