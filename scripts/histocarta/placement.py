"""Whether spots lie where their image has tissue: their pitch, and the symmetries under which more of them would."""

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

# (row, col) of the neighbours a step away, each pair once.
STEPS = {"square": [(0, 1), (1, 0)], "hexagonal": [(0, 2), (1, -1), (1, 1)]}
FURTHEST = 0.15  # of the expected pitch: px of another scan, or a wrong resolution, are further off
TRUSTED = 0.9  # share of spots on tissue above which no other placement is believed
CLEARLY = 0.1  # by which another placement must put more spots on tissue
LEAST_ON_TISSUE = 0.5
AS_GIVEN = "as given"
# x and y swapped first, then flipped left to right (x), then top to bottom (y): all eight symmetries of an image.
SYMMETRIES = {
    AS_GIVEN: (False, False, False),
    "flipped left to right": (False, True, False),
    "flipped top to bottom": (False, False, True),
    "turned by 180 degrees": (False, True, True),
    "with x and y swapped": (True, False, False),
    "turned by 90 degrees clockwise": (True, True, False),
    "turned by 90 degrees anticlockwise": (True, False, True),
    "with x and y swapped, turned by 180 degrees": (True, True, True),
}
_BLUE, _RED = (0, 90, 181), (220, 50, 32)  # RGB, told apart by everybody
_STRIP, _NARROWEST = 36, 520  # px: of a panel's caption


@dataclass(frozen=True)
class Placement:
    """Shares of spots on tissue by the name of a symmetry, as given first; the clearly better one, or ""."""

    shares: Mapping[str, float]
    better: str


def pitch_px(points: np.ndarray, row: np.ndarray, col: np.ndarray, *, lattice: str) -> float:
    """Median distance of spots that lie a step apart on their lattice, px; NaN where no two do.

    points : n × 2, px; row, col : their places on the lattice (Visium: array_row, array_col). Spots that stray from
    their places stray towards a neighbour as often as away from it, so that the nearest of several would be too near
    (six per cent on real ST sections). Where no two spots are a step apart it is the nearest that counts.
    """
    place = pd.MultiIndex.from_arrays([row, col])
    ends = [
        (own[other >= 0], other[other >= 0])
        for down, right in STEPS[lattice]
        for own, other in [
            (np.arange(len(place)), place.get_indexer(pd.MultiIndex.from_arrays([row + down, col + right])))
        ]
    ]
    first, second = (np.concatenate(side) for side in zip(*ends, strict=True))
    if len(first):
        return float(np.median(np.linalg.norm(points[first] - points[second], axis=1)))
    if len(points) < 2:
        return float("nan")
    return float(np.median(cKDTree(points).query(points, k=2)[0][:, 1]))


def move(points: np.ndarray, symmetry: str, *, width: int, height: int) -> np.ndarray:
    """``points`` (n × 2: x, y in px) under a symmetry of an image of that size."""
    swapped, across, down = SYMMETRIES[symmetry]
    x, y = points.T[::-1] if swapped else points.T
    return np.stack([width - x if across else x, height - y if down else y], axis=1)


def on_tissue(points: np.ndarray, mask: np.ndarray, *, downsample: int) -> np.ndarray:
    """Which points (px from the mask's corner on, ``downsample`` to a pixel of it) lie on tissue; none outside."""
    column, row = np.floor(points / downsample).astype(int).T
    inside = (row >= 0) & (column >= 0) & (row < mask.shape[0]) & (column < mask.shape[1])
    found = np.zeros(len(points), bool)
    found[inside] = mask[row[inside], column[inside]]
    return found


def place(points: np.ndarray, mask: np.ndarray, *, downsample: int, width: int, height: int, whole: bool) -> Placement:
    """Share of spots on tissue as given and, where the region is the ``whole`` image, under its other symmetries.

    points : n × 2, px from the region's corner; at least one. mask : bool, the region at 1 / ``downsample``.
    """
    names = SYMMETRIES if whole else (AS_GIVEN,)
    moved = {name: move(points, name, width=width, height=height) for name in names}
    shares = {name: float(on_tissue(moved[name], mask, downsample=downsample).mean()) for name in names}
    best = max(shares, key=shares.get)
    better = shares[AS_GIVEN] < TRUSTED and shares[best] >= shares[AS_GIVEN] + CLEARLY
    return Placement(shares, best if better else "")


def draw_placement(
    thumbnail: np.ndarray, panels: Mapping[str, np.ndarray], mask: np.ndarray, *, downsample: int, diameter_px: float
) -> np.ndarray:
    """A panel per caption, uint8 RGB side by side: the thumbnail with its points, blue on tissue and red beside it."""
    drawn = [
        _panel(thumbnail, points, on_tissue(points, mask, downsample=downsample), caption,
               scale=downsample, radius=max(2, round(diameter_px / 2 / downsample)))
        for caption, points in panels.items()
    ]  # fmt: skip
    return np.hstack(drawn)


def _panel(
    thumbnail: np.ndarray, points: np.ndarray, found: np.ndarray, caption: str, *, scale: int, radius: int
) -> np.ndarray:
    picture = thumbnail.copy()
    for (x, y), tissue in zip(np.rint(points / scale).astype(int).tolist(), found, strict=True):
        cv2.circle(picture, (x, y), radius, _BLUE if tissue else _RED, 1, cv2.LINE_AA)
    beside = max(0, _NARROWEST - picture.shape[1])
    picture = cv2.copyMakeBorder(picture, _STRIP, 0, 0, beside, cv2.BORDER_CONSTANT, value=(255, 255, 255))
    return cv2.putText(picture, caption, (8, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
