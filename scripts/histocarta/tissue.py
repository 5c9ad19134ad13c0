"""Where tissue is and where glass: the published background rules of tiles, and the mask of a whole slide."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from histocarta.errors import InputError, nearest
from histocarta.quality import pen_mask

COLOURED = 8  # chroma above that of glass, dust and black ink
TEXTURED = 2.5  # grey levels of local contrast: glass with eosin smear has < 1, pale fat and stroma > 3 (1.5-50 um/px)
DARKEST_GLASS = 0.8  # of the brightest green: eosin smeared beside a section reaches 0.85
SURELY_STAINED = 150  # green below it is stained whatever surrounds it
SIDE = 64  # px to which a tile is reduced for the texture: 4 um/px for 512 px at 0.5 um
PEN_RIM = np.ones((9, 9), np.uint8)  # the edge of a stroke is textured too, as far as the texture looks
SMALLEST = 2e-4  # share of the thumbnail below which a piece of tissue, or a hole in it, is a speck


@dataclass(frozen=True)
class Background:
    """One published rule: the share of background in a tile, whether a share of exactly 1 - min_tissue is kept."""

    share: Callable[[np.ndarray], float]
    keeps_boundary: bool
    source: str


def _any_channel_white(rgb: np.ndarray) -> float:
    return float(np.count_nonzero(rgb > 220) / rgb.size)


def _all_channels_white(rgb: np.ndarray) -> float:
    white = cv2.inRange(rgb, (221, 221, 221), (255, 255, 255))
    return cv2.countNonZero(white) / white.size


def _mean_above(rgb: np.ndarray, *, level: int) -> float:
    red, green, blue = cv2.split(rgb)
    total = np.add(red, green, dtype=np.uint16) + blue
    return float(np.count_nonzero(total > 3 * level) / total.size)


def _mean_from_220(rgb: np.ndarray) -> float:
    red, green, blue = cv2.split(rgb)
    total = np.add(red, green, dtype=np.uint16) + blue
    return float(np.count_nonzero(total >= 660) / total.size)


def _mean_above_200(rgb: np.ndarray) -> float:
    return _mean_above(rgb, level=200)


def _unstained(rgb: np.ndarray) -> float:
    factor = max(1, min(rgb.shape[:2]) // SIDE)
    size = (max(1, rgb.shape[1] // factor), max(1, rgb.shape[0] // factor))
    small = rgb if factor == 1 else cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    return 1.0 - float(np.count_nonzero(stained(small)) / (size[0] * size[1]))


BACKGROUND = {
    "paper": Background(
        _all_channels_white,
        True,
        "Levy-Jurgenson 2020: tiles with more than 50 % background removed; > 220 from its code",
    ),
    "released": Background(
        _any_channel_white, False, "PathoMCH code: mean of (value > 220) over pixels and channels, removed at >= 50 %"
    ),
    "otsu": Background(
        _unstained, True, "Otsu's threshold of the chroma (largest minus smallest channel), held to 8-25"
    ),
    "st-net": Background(
        _mean_from_220, True, "He 2020, TCGA: mean RGB >= 220 (printed as <=), more than 50 % removed"
    ),
    "st-net-released": Background(
        _mean_above_200, False, "ST-Net code: contains_tissue, mean RGB > 200 in < 60 % of pixels: min_tissue 0.4"
    ),
    "badea": Background(
        _unstained,
        True,
        "Badea 2020: tiles with less than 50 % tissue removed; the pixel rule is not given, Otsu's is used",
    ),
}


def background_share(rgb: np.ndarray, *, preset: str) -> float:
    """Share of background in a tile, uint8 H×W×3, 0..1, by the rule named ``preset``."""
    return _rule(preset).share(rgb)


def enough_tissue(background: float, *, preset: str, min_tissue: float) -> bool:
    """Whether a tile of that background share is kept: the published rules differ in what they do on the boundary."""
    tissue = 1.0 - background
    return tissue >= min_tissue if _rule(preset).keeps_boundary else tissue > min_tissue


def tissue_mask(rgb: np.ndarray) -> np.ndarray:
    """Tissue of a thumbnail, uint8 H×W×3, as bool H×W: stained, no pen; specks dropped, pinholes filled."""
    found = stained(rgb) & (cv2.dilate(pen_mask(rgb).astype(np.uint8), PEN_RIM) == 0)
    smallest = max(4, round(SMALLEST * found.size))
    found = _without_specks(found, smallest)
    return ~_without_specks(~found, smallest)


def stained(rgb: np.ndarray) -> np.ndarray:
    """Which pixels of a reduced image, uint8 H×W×3, are tissue, bool H×W: coloured, and either dark or textured.

    Brightness alone fails on real glass: eosin smeared around a section is as pink as fat, and the glass of four of
    the five her2st sections is darker than 220. Smears are smooth and tissue is not, so pale tissue is found by its
    local contrast (mean distance of green from its Gaussian blur); smooth stained areas (mucin, blood) by Otsu's
    threshold of green, the channel that both stains absorb, held where glass cannot pass it.
    """
    green = cv2.GaussianBlur(rgb[..., 1], (0, 0), 1.5)
    otsu, _ = cv2.threshold(green, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    highest = max(SURELY_STAINED, DARKEST_GLASS * float(np.percentile(green, 95)))
    dark = green < np.clip(otsu, SURELY_STAINED, highest)
    contrast = cv2.blur(cv2.absdiff(rgb[..., 1], green).astype(np.float32), (5, 5))
    return (cv2.medianBlur(_chroma(rgb), 3) > COLOURED) & (dark | (contrast > TEXTURED))


def _chroma(rgb: np.ndarray) -> np.ndarray:
    """Largest minus smallest channel: 0 for glass, black and grey alike."""
    red, green, blue = cv2.split(rgb)
    return cv2.subtract(cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue))


def _without_specks(mask: np.ndarray, smallest: int) -> np.ndarray:
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    large = stats[:, cv2.CC_STAT_AREA] >= smallest
    large[0] = False  # component 0 is what the mask leaves out
    return large[pieces]


def _rule(preset: str) -> Background:
    if preset not in BACKGROUND:
        known = ", ".join(BACKGROUND)
        raise InputError(f"Expected one of the background rules {known}; found '{preset}'{nearest(preset, BACKGROUND)}")
    return BACKGROUND[preset]
