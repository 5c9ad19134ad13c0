"""In which slides predicted expression varies most from place to place: where measuring in place has most to find."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from histocarta.files import read_table, write_table
from histocarta.rounds import read_fates
from histocarta.scored import part_of_all
from histocarta.splits import PARTS

LEAST = 10  # tiles of a slide that is ranked


def rank_slides(
    *,
    tiles: list[str],
    places: list[str],
    heads: list[str],
    sidecars: list[str],
    genes: str,
    splits: list[str],
    table: str,
    wanted: Sequence[str],
) -> None:
    """Write a row per slide, the most variable first: its part, tiles, and how much the ``wanted`` genes vary in it.

    tiles, places : of :mod:`histocarta.features`, one file for all rounds or one of each. A gene's prediction of a tile
    is the mean over the rounds; its standard deviation within a slide is given in units of that over all tiles, and
    ``variability`` is the mean over the genes (Wang 2021 chose 24 of 168 tumours by eye from maps of seven genes). A
    slide with fewer than ``LEAST`` tiles comes last, without a figure. Genes that are not predicted are left out.
    """
    told = read_table(genes)
    names = told.loc[told["status"] == "ok", "trait"].tolist()
    chosen = [names.index(gene) for gene in wanted if gene in names]
    slides, scores = _predict(tiles, places, heads, sidecars, chosen=chosen)
    found = pd.DataFrame(scores, columns=[names[number] for number in chosen]).groupby(slides)
    whole = pd.DataFrame(scores).std(ddof=0).to_numpy()
    spread = found.std(ddof=0) / np.where(whole > 0, whole, np.nan)
    frame = spread.assign(tiles=found.size(), variability=spread.mean(axis=1)).rename_axis("slide").reset_index()
    frame.loc[frame["tiles"] < LEAST, [*spread.columns, "variability"]] = np.nan
    rounds = [read_table(path).set_index("slide")["part"].reindex(frame["slide"]) for path in splits]
    codes = np.stack([pd.Categorical(part, categories=PARTS).codes for part in rounds], axis=1)
    frame["part"] = part_of_all(codes)
    frame = frame.sort_values(["variability", "slide"], ascending=[False, True], kind="stable", na_position="last")
    write_table(frame[["slide", "part", "tiles", "variability", *spread.columns]], table)


def _predict(
    tiles: list[str], places: list[str], heads: list[str], sidecars: list[str], *, chosen: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Each tile's slide, and the mean over the rounds with a model of what they say of the ``chosen`` outputs."""
    wide = len(heads) if len(tiles) == 1 else 1
    slides, total, rounds = np.zeros(0, object), np.zeros((0, len(chosen))), 0
    for fate, tile, place, head in zip(read_fates(sidecars), tiles * wide, places * wide, heads, strict=True):
        if fate.code:
            continue
        with np.load(head) as arrays:
            weights, intercept = arrays["weights"][:, chosen].astype(np.float32), arrays["intercept"][list(chosen)]
        score = np.load(tile, mmap_mode="r").astype(np.float32) @ weights + intercept
        slides, total, rounds = (
            read_table(place)["slide"].to_numpy(object),
            total + score if rounds else score,
            rounds + 1,
        )
    return slides, total / max(rounds, 1)
