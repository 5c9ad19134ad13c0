"""Where the traits of a slide lie: binary tile predictions on the tissue grid, and what colour each combination has.

A tile is glass, tissue that was not scored, negative tissue, or positive for one combination of traits; glass and
negative tissue are never the same (the released code drew both as 0).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from histocarta.colours import NEGATIVE_COLOUR, WHITE_COLOUR, combination_colours
from histocarta.errors import InputError
from histocarta.files import read_json, read_table, replacing
from histocarta.heterogeneity import combination_codes, combination_name, hti
from histocarta.legends import legend

GLASS, UNSCORED, NEGATIVE = 0, 1, 2  # states of a tile; NEGATIVE + code is the combination with that code
STATE_NAMES = {GLASS: "glass or little tissue", UNSCORED: "tissue, not scored", NEGATIVE: "negative"}
NOT_TISSUE = (
    "background",
    "edge",
)  # reasons of sites.parquet that mean glass or no whole tile, not a fault of the tile
WHITE = 255
WHITE_POINT = 220  # grey of the thumbnail drawn as white: brighter is background (Levy-Jurgenson 2020)
STRENGTH = 0.72  # of a tile's colour over the grey thumbnail
HATCH = 4  # px between the stripes over tissue that was not scored
LONGEST_AT_LEAST = 640  # px; smaller thumbnails are enlarged by a whole factor
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


@dataclass(frozen=True)
class Picture:
    """A palette picture: ``index`` (height, width) into ``palette`` (states × levels of grey, 3) uint8.

    ``states`` are those that the palette has, ascending from GLASS; ``scale``: level-0 px per pixel.
    """

    index: np.ndarray
    palette: np.ndarray
    states: np.ndarray
    scale: float

    @property
    def levels(self) -> int:
        """Levels of grey per state, black to white; those of GLASS come first and are plain grey."""
        return len(self.palette) // len(self.states)

    @property
    def rgb(self) -> np.ndarray:
        """The picture as uint8 (height, width, 3)."""
        return self.palette[self.index]


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


def paint(
    states: np.ndarray, *, sites: pd.DataFrame, thumbnail: np.ndarray, origin: tuple[int, int], downsample: float
) -> Picture:
    """The states of the grid in colour over the slide's grey thumbnail, enlarged where it is small.

    ``states``: (rows, cols); ``thumbnail``: uint8 RGB of the region whose corner ``origin`` is in level-0 px;
    ``downsample``: level-0 px per thumbnail px. Tissue that was not scored is hatched.
    """
    grey = Image.fromarray(thumbnail).convert("L")
    times = -(-LONGEST_AT_LEAST // max(grey.size))
    grey = np.asarray(grey.resize((grey.width * times, grey.height * times), Image.Resampling.BILINEAR))
    here = _states_of_pixels(states, sites, shape=grey.shape, origin=origin, step=downsample / times)
    present = np.unique(np.append(states, [GLASS, UNSCORED, NEGATIVE]))
    levels = max(8, min(32, 256 // len(present)))  # 256 colours are what a palette PNG holds
    strength = np.where(present > UNSCORED, STRENGTH, 0.0)[:, None, None]
    ramp = np.linspace(0, WHITE, levels)[None, :, None]
    palette = strength * state_colours(present)[:, None, :] + (1 - strength) * ramp
    level = np.rint(np.minimum(grey / WHITE_POINT, 1) * (levels - 1)).astype(np.int64)
    level[_stripes(grey.shape) & (here == UNSCORED)] = 0
    index = np.searchsorted(present, here) * levels + level
    return Picture(index, np.rint(palette.reshape(-1, 3)).astype(np.uint8), present, downsample / times)


def with_legend(
    picture: Picture, *, title: str, notes: list[str], labels: dict[int, str], mpp: float | None
) -> Picture:
    """``picture`` above its legend: title, notes, a box per state of ``labels``; a scale bar where ``mpp`` is known."""
    scale = mpp * picture.scale if mpp else None
    strip, boxes = legend(
        title=title, notes=notes, labels=list(labels.values()), width=picture.index.shape[1], microns_per_pixel=scale
    )
    # The first indices of the palette are the greys of GLASS, so grey levels are indices.
    words = np.rint(strip / WHITE * (picture.levels - 1)).astype(np.int64)
    for state, box in zip(labels, boxes, strict=True):
        fill = np.full(words[box].shape, picture.levels - 1)
        fill[_stripes(fill.shape) & (state == UNSCORED)] = 0
        words[box] = np.searchsorted(picture.states, state) * picture.levels + fill
    beside = [(0, 0), (0, words.shape[1] - picture.index.shape[1])]
    wide = np.pad(picture.index, beside, constant_values=picture.levels - 1)
    return replace(picture, index=np.vstack([wide, words]))


def write_picture(picture: Picture, path: str | Path) -> None:
    """Write as PNG, with a palette where 256 colours suffice."""
    if len(picture.palette) <= 256:
        image = Image.fromarray(picture.index.astype(np.uint8), mode="P")
        image.putpalette(picture.palette.tobytes())
    else:
        image = Image.fromarray(picture.rgb)
    with replacing(path) as temporary:
        image.save(temporary)


def slide_map(scores: Sequence[str], *, sites: str, thumbnail: str, record: Mapping) -> tuple[Cartography, Picture]:
    """The cartography of one slide and its picture without a legend; ``record``: its slide.json, not excluded.

    ``scores``: consensus/scores.parquet of each trait, in order; ``sites``, ``thumbnail``: files of the slide.
    """
    grid = read_table(sites)
    cartography = tensor_cartography(grid, [_scores_of(path, record["slide"]) for path in scores])
    rgb = np.asarray(Image.open(thumbnail).convert("RGB"))
    origin, downsample = (record["x"], record["y"]), record["thumbnail_downsample"]
    return cartography, paint(cartography.states, sites=grid, thumbnail=rgb, origin=origin, downsample=downsample)


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
        blank = np.full((1, LONGEST_AT_LEAST, 3), WHITE, np.uint8)
        empty = paint(np.zeros((1, 1), int), sites=pd.DataFrame(), thumbnail=blank, origin=(0, 0), downsample=1.0)
        notes = [f"no map: {record['code']} {record['reason']}"]
        write_picture(with_legend(empty, title=record["slide"], notes=notes, labels={}, mpp=None), picture)
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


def _stripes(shape: tuple[int, ...]) -> np.ndarray:
    return np.add.outer(np.arange(shape[0]), np.arange(shape[1])) % HATCH == 0


def _states_of_pixels(
    states: np.ndarray, sites: pd.DataFrame, *, shape: tuple[int, int], origin: tuple[int, int], step: float
) -> np.ndarray:
    """State under the centre of each pixel (``step`` level-0 px wide); outside the grid it is glass."""
    if sites.empty:
        return np.full(shape, GLASS)
    width = int(sites["width_px"].max())
    lines = []
    for axis, name, length, start in (("y", "row", shape[0], origin[1]), ("x", "col", shape[1], origin[0])):
        corners = sites.groupby(name)[axis].first()  # sorted by number, so rising in px
        centre = start + (np.arange(length) + 0.5) * step
        nearest = np.clip(np.searchsorted(corners, centre, side="right") - 1, 0, None)
        inside = (centre >= corners.to_numpy()[nearest]) & (centre < corners.to_numpy()[nearest] + width)
        lines.append((corners.index.to_numpy()[nearest], inside))
    (rows, in_rows), (cols, in_cols) = lines
    return np.where(in_rows[:, None] & in_cols[None, :], states[np.ix_(rows, cols)], GLASS)
