"""When a coarse look at a cell is enough to know that its tile would be dropped as background."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from histocarta.reader import SlideReader, UnreadableRegion, best_level
from histocarta.tissue import background_share, enough_tissue

SMALLEST_LOOK = 32  # px on a side: below it single pixels decide
LEAST_GAIN = 4  # a level nearer to the tile's own than this costs more to look at than it saves
MASK_SHARE = 0.25  # a cell of which the slide's tissue mask claims more is read whatever it looks like


@dataclass(frozen=True)
class Margin:
    """How much clearer than the rule a coarse look must be: grey levels darker, and share of the tile."""

    levels: int
    share: float


# A coarse pixel averages fine ones on both sides of a threshold, so the look must be clearer than the rule. On H&E of
# six sections, five of them breast with fat and pale stroma, 2,608 windows and every rule: no tile lost, and the most
# tissue in a window that was skipped is 0.38 (0.5 is kept).
BY_BRIGHTNESS = Margin(levels=4, share=0.1)
BY_TEXTURE = Margin(levels=0, share=0.2)  # colour and texture are judged on a reduced copy of the tile anyway
# A rule that is not here skips nothing.
MARGINS = {
    "paper": BY_BRIGHTNESS,
    "released": BY_BRIGHTNESS,
    "st-net": BY_BRIGHTNESS,
    "st-net-released": BY_BRIGHTNESS,
    "otsu": BY_TEXTURE,
    "badea": BY_TEXTURE,
}


def surely_background(rgb: np.ndarray, *, preset: str, min_tissue: float) -> bool:
    """Whether the full rule drops the tile of which ``rgb`` (uint8 H×W×3) is a reduced copy, beyond doubt."""
    margin = MARGINS.get(preset)
    if margin is None:
        return False
    darker = np.maximum(rgb, margin.levels) - np.uint8(margin.levels)
    background = background_share(darker, preset=preset) - margin.share
    return not enough_tissue(background, preset=preset, min_tissue=min_tissue)


class GlassFinder:
    """Finds the cells of one slide's grid that need not be read in full.

    A cell is skipped only where two looks agree: the slide's tissue ``mask`` (bool, the region at 1/``downsample``, its
    corner at level-0 px ``origin``) has next to no tissue there, and the pixels of a coarse pyramid level are
    background by the layout's own rule with a margin. Slides without a coarse level are read in full.
    """

    def __init__(
        self,
        reader: SlideReader,
        *,
        mask: np.ndarray,
        origin: tuple[int, int],
        downsample: float,
        width_px: int,
        size: int,
        preset: str,
        min_tissue: float,
    ) -> None:
        self._reader = reader
        self._mask = mask
        self._origin = origin
        self._downsample = downsample
        self._width_px = width_px
        self._preset = preset
        self._min_tissue = min_tissue
        self._look = look_size(reader.downsamples, width_px=width_px, size=size)

    def background(self, x: int, y: int) -> float | None:
        """The share of background seen coarsely in the cell at ``(x, y)``, or None where the tile has to be read."""
        if self._look is None or self._masked_tissue(x, y) > MASK_SHARE:
            return None
        try:
            rgb = self._reader.read(x, y, self._width_px, self._look)
        except UnreadableRegion:
            return None
        if not surely_background(rgb, preset=self._preset, min_tissue=self._min_tissue):
            return None
        return background_share(rgb, preset=self._preset)

    def _masked_tissue(self, x: int, y: int) -> float:
        """Share of the cell that the mask calls tissue, with the thumbnail pixels that it only touches."""
        left, top = ((value - start) / self._downsample for value, start in zip((x, y), self._origin, strict=True))
        side = self._width_px / self._downsample
        part = self._mask[int(top) : math.ceil(top + side), int(left) : math.ceil(left + side)]
        return np.count_nonzero(part) / part.size if part.size else 1.0


def look_size(downsamples: tuple[float, ...], *, width_px: int, size: int) -> int | None:
    """Side in px of the coarse look at a window of ``width_px`` level-0 px, or None where no level is fit for it."""
    level = best_level(downsamples, width_px / SMALLEST_LOOK)
    own = best_level(downsamples, width_px / size)
    if downsamples[level] < LEAST_GAIN * downsamples[own]:
        return None
    return max(1, round(width_px / downsamples[level]))
