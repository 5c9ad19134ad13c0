"""What makes a tile unfit to learn from: blur, ink of a marker pen, folds and black, and how that looks on a slide."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from histocarta.files import replacing

REDUCE = 8  # ink and folds are wider than 8 px (4 um); on a reduced copy nuclei fade into their surroundings
STROKE = np.ones((3, 3), np.uint8)  # what is narrower, 12 um on the reduced copy, is a nucleus or debris, not a stroke
DARK = 60  # grey level of folds, scanner borders and black ink after the reduction; dense nuclei average above it
# Grey levels of blue above red and green. Haematoxylin alone reaches 74 at most (Ruifrok & Johnston's vector, at an
# optical density of 0.97), eosin takes blue away, and single pixels of reduced copies of six real sections reach 75.
BLUER_THAN_HAEMATOXYLIN = 75
NOISE = 8.0  # grey levels of coarse detail that are none: without it, noise on a strong blur would count as focus
COLOURS = {
    "kept": (27, 120, 55),
    "background": (150, 150, 150),
    "pen": (31, 119, 210),
    "blur": (240, 140, 0),
    "dark": (20, 20, 20),
    "unreadable": (215, 25, 28),
    "edge": (197, 152, 220),
    "elsewhere": (250, 210, 100),
}


class Quality(NamedTuple):
    """What is measured on a tile: focus (above 0.25 where sharp), share of pen and of very dark pixels, 0..1."""

    sharpness: float
    pen: float
    dark: float


def measure_quality(rgb: np.ndarray) -> Quality:
    """:func:`sharpness`, :func:`pen_share` and :func:`dark_share` of a tile, uint8 H×W×3, on shared reduced copies."""
    half, small = _copies(rgb)
    return Quality(_sharpness(half, small), _share(pen_mask(small)), _share(_grey(small) < DARK))


def sharpness(rgb: np.ndarray) -> float:
    """Focus of a tile, uint8 H×W×3: detail 2 px wide over detail 8 px wide, nearly whatever the stain's strength.

    The ratio of the standard deviations of two Laplacians, at half and at an eighth of the tile's size, the latter
    plus ``NOISE``. The common variance of one Laplacian calls pale stroma blurred; a blur takes the fine detail and
    leaves the coarse, a weak stain takes of both alike. At 0.5 um/px: focused tissue of four real slides 0.27-0.77
    (1st to 99th percentile; a scanner's 0.58 and more, resampled pictures of 0.69 um/px the rest), the same tiles
    under a Gaussian of 2-20 px, noise of 0-2 grey levels and JPEG 0.08-0.23. So 0.25 parts them.
    """
    return _sharpness(*_copies(rgb))


def pen_share(rgb: np.ndarray) -> float:
    """Share of a tile, uint8 H×W×3, that is covered by pen, 0..1."""
    return _share(pen_mask(_copies(rgb)[1]))


def dark_share(rgb: np.ndarray) -> float:
    """Share of a tile, uint8 H×W×3, that is very dark (folds, borders, black ink), 0..1."""
    return _share(_grey(_copies(rgb)[1]) < DARK)


def pen_mask(rgb: np.ndarray) -> np.ndarray:
    """Which pixels, bool H×W, look like green, blue, red or black ink rather than haematoxylin or eosin.

    Both stains absorb green most (Ruifrok & Johnston 2001: haematoxylin .65 .70 .29, eosin .07 .99 .11), so in
    stained tissue green is the darkest channel or nearly so. Green and some blue inks absorb red more; other blue and
    violet ones absorb both alike, as haematoxylin does, but let more blue through than it can; red ink lets through
    no more blue than green, eosin does; black ink is dark without colour, where folds stay purple. Bluish nuclei
    break the rule too (8 % of a her2st tile), but no stroke of a pen is as narrow: the mask is opened by ``STROKE``.
    Ink so thin that it is no bluer than haematoxylin is not found.
    """
    red, green, blue = (channel.astype(np.int16) for channel in cv2.split(rgb))
    cold_ink = (green - red > 15) | (blue - np.maximum(red, green) > BLUER_THAN_HAEMATOXYLIN)
    red_ink = (red - green > 90) & (blue - green < 20) & (green < 130)
    bright = np.maximum(np.maximum(red, green), blue)
    black_ink = (bright < 80) & (bright - np.minimum(np.minimum(red, green), blue) < 25)
    ink = (cold_ink | red_ink | black_ink).astype(np.uint8)
    return cv2.morphologyEx(ink, cv2.MORPH_OPEN, STROKE).astype(bool)


def _copies(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The tile at half its size and at 1 / ``REDUCE``."""
    half = _reduced(rgb, 2)
    return half, _reduced(half, REDUCE // 2)


def _sharpness(half: np.ndarray, small: np.ndarray) -> float:
    fine, coarse = (cv2.meanStdDev(cv2.Laplacian(_grey(copy), cv2.CV_16S))[1][0, 0] for copy in (half, small))
    return float(fine / (coarse + NOISE))


def _grey(rgb: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)


def _reduced(rgb: np.ndarray, factor: int) -> np.ndarray:
    height, width = (max(1, side // factor) for side in rgb.shape[:2])
    return cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)


def _share(mask: np.ndarray) -> float:
    return float(np.count_nonzero(mask) / mask.size)


def draw_quality_picture(
    *,
    thumbnail: np.ndarray,
    sites: Mapping[str, np.ndarray],
    downsample: float,
    origin: tuple[int, int],
    path: str | Path,
) -> None:
    """Write which tiles are kept and why the others are not over the slide's thumbnail, with a legend, as PNG.

    ``sites`` needs x, y, width_px (level-0 px), kept and reason; ``origin`` is the level-0 corner of the thumbnail.
    """
    plain = quality_picture(thumbnail=thumbnail, sites=sites, downsample=downsample, origin=origin)
    picture = _with_legend(plain, Counter(_names(sites)))
    with replacing(path) as temporary:
        picture.save(temporary, format="PNG")


def quality_picture(
    *, thumbnail: np.ndarray, sites: Mapping[str, np.ndarray], downsample: float, origin: tuple[int, int]
) -> Image.Image:
    """That picture without the legend: dropped tiles tinted in the colour of their reason, kept ones outlined."""
    zoom = max(1, round(1000 / max(thumbnail.shape[:2])))
    scale = zoom / downsample
    height, width = (side * zoom for side in thumbnail.shape[:2])
    picture = Image.fromarray(cv2.resize(thumbnail, (width, height), interpolation=cv2.INTER_LINEAR))
    draw = ImageDraw.Draw(picture, "RGBA")  # on RGB: what is drawn is blended in
    kept, names = np.asarray(sites["kept"], bool), _names(sites)
    lefts, tops, sides = (
        (np.subtract(sites[key], start) * scale).tolist()
        for key, start in (("x", origin[0]), ("y", origin[1]), ("width_px", 0))
    )
    for site in np.argsort(kept, kind="stable").tolist():  # kept ones last, so that their outlines are whole
        name, left, top, side = names[site], lefts[site], tops[site], sides[site]
        fill = None if name == "kept" else (*COLOURS[name], 60 if name == "background" else 130)
        draw.rectangle((left, top, left + side - 1, top + side - 1), outline=(*COLOURS[name], 255), fill=fill)
    return picture


def _names(sites: Mapping[str, np.ndarray]) -> list[str]:
    """The key of each tile in ``COLOURS``."""
    return np.where(np.asarray(sites["kept"], bool), "kept", np.asarray(sites["reason"], object)).tolist()


def _with_legend(picture: Image.Image, counts: Mapping[str, int]) -> Image.Image:
    """``picture`` on white with a line per colour and its number of tiles at the right."""
    font = ImageFont.load_default(size=18)
    canvas = Image.new("RGB", (picture.width + 190, max(picture.height, 30 * len(COLOURS) + 20)), "white")
    canvas.paste(picture, (0, 0))
    draw = ImageDraw.Draw(canvas)
    shown = [name for name in COLOURS if counts.get(name)]
    for line, name in enumerate(shown):
        top = 12 + 30 * line
        draw.rectangle((picture.width + 12, top, picture.width + 30, top + 18), fill=COLOURS[name])
        draw.text((picture.width + 40, top - 2), f"{name} {counts[name]:,}", fill="black", font=font)
    return canvas
