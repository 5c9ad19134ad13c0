"""How states of a grid become a picture: in colour over the slide's grey thumbnail, with a legend below."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from histocarta.files import replacing
from histocarta.legends import legend

GLASS, UNSCORED, NEGATIVE = 0, 1, 2  # states of a tile; what lies above NEGATIVE is for others to say
WHITE = 255
WHITE_POINT = 220  # grey of the thumbnail drawn as white: brighter is background (Levy-Jurgenson 2020)
STRENGTH = 0.72  # of a tile's colour over the grey thumbnail
HATCH = 4  # px between the stripes over tissue that was not scored
LONGEST_AT_LEAST = 640  # px; smaller thumbnails are enlarged by a whole factor


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


def paint(
    states: np.ndarray,
    *,
    sites: pd.DataFrame,
    thumbnail: np.ndarray,
    origin: tuple[int, int],
    downsample: float,
    colours: Callable[[np.ndarray], np.ndarray],
    always: Sequence[int] = (NEGATIVE,),
) -> Picture:
    """The states of the grid in colour over the slide's grey thumbnail, enlarged where it is small.

    ``states``: (rows, cols); ``thumbnail``: uint8 RGB of the region whose corner ``origin`` is in level-0 px;
    ``downsample``: level-0 px per thumbnail px; ``colours``: of states; ``always``: states that a legend needs, be they
    there or not. Tissue that was not scored is hatched.
    """
    grey = Image.fromarray(thumbnail).convert("L")
    times = -(-LONGEST_AT_LEAST // max(grey.size))
    grey = np.asarray(grey.resize((grey.width * times, grey.height * times), Image.Resampling.BILINEAR))
    here = _states_of_pixels(states, sites, shape=grey.shape, origin=origin, step=downsample / times)
    present = np.unique(np.append(states, [GLASS, UNSCORED, *always]))
    levels = max(8, min(32, 256 // len(present)))  # 256 colours are what a palette PNG holds
    strength = np.where(present > UNSCORED, STRENGTH, 0.0)[:, None, None]
    ramp = np.linspace(0, WHITE, levels)[None, :, None]
    palette = strength * colours(present)[:, None, :] + (1 - strength) * ramp
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


def blank_map(record: Mapping) -> Picture:
    """In place of the map of an excluded slide, the reason: ``record`` is its slide.json."""
    blank = np.full((1, LONGEST_AT_LEAST, 3), WHITE, np.uint8)
    empty = paint(
        np.zeros((1, 1), int), sites=pd.DataFrame(), thumbnail=blank, origin=(0, 0), downsample=1.0, colours=_white
    )
    notes = [f"no map: {record['code']} {record['reason']}"]
    return with_legend(empty, title=record["slide"], notes=notes, labels={}, mpp=None)


def _white(states: np.ndarray) -> np.ndarray:
    return np.full((len(states), 3), WHITE)


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
