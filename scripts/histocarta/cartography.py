"""Where the traits of a slide lie: binary tile predictions on the tissue grid, and what colour each combination has.

A tile is glass, tissue that was not scored, negative tissue, or positive for one combination of traits; glass and
negative tissue are never the same (the released code drew both as 0).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from PIL import Image

from histocarta.colours import NEGATIVE_COLOUR, WHITE_COLOUR, combination_colours
from histocarta.errors import InputError
from histocarta.files import read_json, read_table
from histocarta.heterogeneity import combination_codes, combination_name, hti
from histocarta.overlays import (
    GLASS,
    NEGATIVE,
    STRENGTH,
    UNSCORED,
    WHITE,
    Picture,
    blank_map,
    paint,
    with_legend,
    write_picture,
)

# NEGATIVE + code is the state of a tile that is positive for the combination with that code.
STATE_NAMES = {GLASS: "glass or little tissue", UNSCORED: "tissue, not scored", NEGATIVE: "negative"}
NOT_TISSUE = (
    "background",
    "edge",
)  # reasons of sites.parquet that mean glass or no whole tile, not a fault of the tile
LEGEND_ENTRIES = 12
REGIONAL = ("hti_low", "hti_high", "hta", "permutation_p")


@dataclass(frozen=True)
class Cartography:
    """The tensor molecular cartography of one slide.

    positive: bool (rows, cols, traits); scored, tissue: bool (rows, cols); ``scored`` tiles are those with predictions,
    ``tissue`` also holds tiles that quality control dropped.
    """

    positive: np.ndarray
    scored: np.ndarray
    tissue: np.ndarray

    @property
    def states(self) -> np.ndarray:
        """State per grid cell, int64 (rows, cols): GLASS, UNSCORED, or NEGATIVE + combination code."""
        codes = combination_codes(list(np.moveaxis(self.positive, -1, 0))).astype(np.int64)
        return np.where(self.scored, NEGATIVE + codes, np.where(self.tissue, UNSCORED, GLASS))


def tensor_cartography(sites: pd.DataFrame, scores: Sequence[pd.DataFrame]) -> Cartography:
    """Place the predictions of each trait on the grid of one slide.

    ``sites``: the slide's sites.parquet, all grid cells; ``scores``: row, col, positive of the slide's tiles, one frame
    per trait. Raises InputError where a prediction has no kept tile (scores and tiles of different runs).
    """
    shape = (int(sites["row"].max()) + 1, int(sites["col"].max()) + 1) if len(sites) else (1, 1)
    kept, tissue = np.zeros(shape, bool), np.zeros(shape, bool)
    kept[sites["row"], sites["col"]] = sites["kept"]
    tissue[sites["row"], sites["col"]] = sites["kept"] | ~sites["reason"].isin(NOT_TISSUE)
    positive, scored = np.zeros((*shape, len(scores)), bool), kept.copy()
    for trait, frame in enumerate(scores):
        row, col = frame["row"].to_numpy(np.int64), frame["col"].to_numpy(np.int64)
        inside = (row < shape[0]) & (col < shape[1])
        if not (inside.all() and kept[row, col].all()):
            raise InputError(
                f"Expected every scored tile among the {int(kept.sum())} kept tiles of the slide, found {len(frame)} "
                "scores that are not; score the slide's present tiles again."
            )
        here = np.zeros(shape, bool)
        here[row, col] = True
        scored &= here
        positive[row, col, trait] = frame["positive"]
    return Cartography(positive & scored[..., None], scored, tissue)


def state_colours(states: np.ndarray) -> np.ndarray:
    """Colour of each state, uint8 (n, 3); glass and tissue not scored are white (they show the thumbnail itself)."""
    colours = combination_colours(max(int(states.max()) - NEGATIVE, 0))
    return np.vstack([[WHITE_COLOUR, WHITE_COLOUR, NEGATIVE_COLOUR], colours])[states].astype(np.uint8)


def legend_colours(states: np.ndarray) -> np.ndarray:
    """Colour of each state as a map shows it over white, uint8 (n, 3)."""
    return np.rint(STRENGTH * state_colours(states) + (1 - STRENGTH) * WHITE).astype(np.uint8)


def slide_map(scores: Sequence[str], *, sites: str, thumbnail: str, record: Mapping) -> tuple[Cartography, Picture]:
    """The cartography of one slide and its picture without a legend; ``record``: its slide.json, not excluded.

    ``scores``: consensus/scores.parquet of each trait, in order; ``sites``, ``thumbnail``: files of the slide.
    """
    grid = read_table(sites)
    cartography = tensor_cartography(grid, [_scores_of(path, record["slide"]) for path in scores])
    rgb = np.asarray(Image.open(thumbnail).convert("RGB"))
    origin, downsample = (record["x"], record["y"]), record["thumbnail_downsample"]
    return cartography, paint(
        cartography.states, sites=grid, thumbnail=rgb, origin=origin, downsample=downsample, colours=state_colours
    )


def draw_map(*, scores: str, sites: str, survey: str, thumbnail: str, picture: str, trait: str) -> None:
    """Write the molecular cartography of one trait on one slide: glass, negative and positive tissue.

    ``scores``: consensus/scores.parquet of the trait; the other inputs are the slide's own.
    """
    _draw([scores], sites=sites, survey=survey, thumbnail=thumbnail, picture=picture, traits=[trait])


def draw_combination_map(
    *,
    scores: list[str],
    sites: str,
    survey: str,
    thumbnail: str,
    picture: str,
    traits: list[str],
    heterogeneity: str | None = None,
) -> None:
    """Write the heterogeneity map of one slide: a colour per combination of ``traits`` (any number), with the HTI.

    ``scores``: consensus/scores.parquet of each trait, in order; ``heterogeneity``: hti.tsv, whose interval and
    regional index are noted too; the other inputs are the slide's own.
    """
    _draw(scores, sites=sites, survey=survey, thumbnail=thumbnail, picture=picture, traits=traits, table=heterogeneity)


def _draw(
    scores: list[str],
    *,
    sites: str,
    survey: str,
    thumbnail: str,
    picture: str,
    traits: list[str],
    table: str | None = None,
) -> None:
    record = read_json(survey)
    if record["status"] != "ok":
        write_picture(blank_map(record), picture)
        return
    cartography, painted = slide_map(scores, sites=sites, thumbnail=thumbnail, record=record)
    notes, labels = describe(cartography, traits)
    notes += regional_notes(table, record["slide"]) if table else []
    title = f"{' + '.join(traits)} on {record['slide']}"
    write_picture(with_legend(painted, title=title, notes=notes, labels=labels, mpp=record["mpp"]), picture)


def regional_notes(table: str, slide: str) -> list[str]:
    """What hti.tsv adds to a map: the interval of HTI, and HTA with its permutation p, as far as the slide has them."""
    rows = read_table(table)
    found = rows[rows["slide"] == slide].to_dict("records")
    known = (
        {name: f"{float(text):.3g}" for name, text in found[0].items() if name in REGIONAL and text} if found else {}
    )
    notes = []
    if "hti_low" in known:
        notes.append(f"HTI 95 % CI {known['hti_low']} to {known['hti_high']} (blocks of tiles resampled)")
    if "hta" in known:
        p = f"; that combinations keep apart: p = {known['permutation_p']}" if "permutation_p" in known else ""
        notes.append(f"HTA {known['hta']}{p}")
    return notes


def describe(cartography: Cartography, traits: Sequence[str]) -> tuple[list[str], dict[int, str]]:
    """What stands under a map: notes (the HTI of two or more traits), and a label with its tile count per state."""
    states, number = np.unique(cartography.states, return_counts=True)
    count = dict(zip(states.tolist(), number.tolist(), strict=True))
    labels = {GLASS: STATE_NAMES[GLASS], NEGATIVE: f"{STATE_NAMES[NEGATIVE]} ({count.get(NEGATIVE, 0)})"}
    if count.get(UNSCORED):
        labels[UNSCORED] = f"{STATE_NAMES[UNSCORED]} ({count[UNSCORED]})"
    positive = sorted((state for state in count if state > NEGATIVE), key=lambda state: (-count[state], state))
    shown = sorted(positive[:LEGEND_ENTRIES])
    labels |= {state: f"{state_name(state, traits)} ({count[state]})" for state in shown}
    rest = positive[LEGEND_ENTRIES:]
    notes = [f"and {len(rest)} rarer combinations ({sum(count[state] for state in rest)} tiles)"] if rest else []
    if not cartography.scored.any():
        notes.insert(0, "no scored tile")
    elif len(traits) > 1:
        index = float(hti(np.array([count[state] for state in positive] or [0]), combinations=2 ** len(traits) - 1))
        notes.insert(0, "HTI not defined: no positive tile" if np.isnan(index) else f"HTI {index:.2f}")
    return notes, labels


def state_name(state: int, traits: Sequence[str]) -> str:
    """A state in the words of a legend; of one trait there is only one combination."""
    if state <= NEGATIVE or len(traits) == 1:
        return STATE_NAMES.get(state, "positive")
    code = state - NEGATIVE
    name = combination_name(code, traits)
    return f"{name} only" if code & (code - 1) == 0 else name.replace("+", " + ")


def _scores_of(path: str, slide: str) -> pd.DataFrame:
    """Row, col and positive of the tiles of one slide that were voted on, without reading the rest of the cohort."""
    tiles = pd.read_parquet(path, columns=["row", "col", "positive", "score"], filters=[("slide", "==", slide)])
    return tiles[tiles["score"].notna()]
