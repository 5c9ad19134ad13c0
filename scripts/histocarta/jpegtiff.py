"""Where a tiled TIFF keeps its JPEG tiles, and how to decode only those that a window needs, straight from the file."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import openslide
import simplejpeg
import tifffile

VENDORS = ("aperio", "generic-tiff")  # their levels are whole images of non-overlapping tiles
CACHE_BYTES = 8 << 20  # decoded tiles kept per level for the windows to the right and below
_JPEG, _RGB, _YCBCR = 7, 2, 6  # TIFF's numbers for compression and photometric interpretation
_SOI, _EOI, _APP0 = b"\xff\xd8", b"\xff\xd9", b"\xff\xe0"


class TileError(Exception):
    """A tile that is absent or that libjpeg does not decode without complaint."""


def open_jpeg_tiff(path: Path, slide: openslide.OpenSlide) -> JpegTiff | None:
    """The JPEG tiles of a slide that OpenSlide has open; None where it is no TIFF of JPEG tiles."""
    if slide.properties.get(openslide.PROPERTY_NAME_VENDOR) not in VENDORS:
        return None
    with tifffile.TiffFile(path) as tiff:
        pages = [page for page in tiff.pages if _supported(page)]
        levels = {}
        for number, (width, height) in enumerate(slide.level_dimensions):
            matching = [page for page in pages if (page.imagewidth, page.imagelength) == (width, height)]
            if len(matching) == 1:  # two of one size are focal planes: which of them OpenSlide shows is its own affair
                levels[number] = _level(matching[0])
    return JpegTiff(path, levels) if levels else None


def _supported(page: tifffile.TiffPage) -> bool:
    return (
        page.is_tiled
        and page.compression == _JPEG
        and page.photometric in (_RGB, _YCBCR)
        and page.bitspersample == 8
        and page.samplesperpixel == 3
        and page.planarconfig == 1
        and page.imagedepth == 1
    )


def _level(page: tifffile.TiffPage) -> Level:
    tables = page.jpegtables or b""
    # libjpeg takes three components for YCbCr unless Adobe's marker says otherwise; TIFF says it in a tag of its own.
    adobe = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + (b"\x00" if page.photometric == _RGB else b"\x01")
    return Level(
        width=page.imagewidth,
        height=page.imagelength,
        tile_width=page.tilewidth,
        tile_height=page.tilelength,
        offsets=np.array(page.dataoffsets, dtype=np.int64),
        sizes=np.array(page.databytecounts, dtype=np.int64),
        rgb=page.photometric == _RGB,
        prefix=_SOI + adobe + tables.removeprefix(_SOI).removesuffix(_EOI),
    )


@dataclass
class Level:
    """One image of the pyramid: its tile grid, where each tile's bytes are, and tiles decoded already."""

    width: int
    height: int
    tile_width: int
    tile_height: int
    offsets: np.ndarray
    sizes: np.ndarray
    prefix: bytes
    rgb: bool
    held: dict[tuple[int, int], np.ndarray] = field(default_factory=dict)  # by their right and bottom edge

    @property
    def columns(self) -> int:
        """Tiles per row."""
        return -(-self.width // self.tile_width)

    def hold(self, used: dict[tuple[int, int], np.ndarray], *, x: int, y: int, span: int) -> None:
        """Keep what the next windows of a row-by-row reader need again, of the tiles ``used`` for the window at (x, y).

        Bounded by CACHE_BYTES: tiles needed by the very next window first, then those held longest.
        """
        right, bottom = x + span, y + span
        ahead = {edge: tile for edge, tile in used.items() if edge[0] > right}
        below = {edge: tile for edge, tile in used.items() if edge[1] > bottom}
        alive = {
            edge: tile for edge, tile in self.held.items() if edge[1] > bottom or (edge[1] > y and edge[0] > right)
        }
        room = CACHE_BYTES // max((tile.nbytes for tile in used.values()), default=1)
        self.held = dict(list((ahead | alive | below).items())[:room])


class JpegTiff:
    """The tiled-JPEG levels of one file, by OpenSlide's level numbers."""

    def __init__(self, path: Path, levels: dict[int, Level]) -> None:
        self._levels = levels
        self._descriptor = os.open(path, os.O_RDONLY)

    def has(self, level: int) -> bool:
        """Whether this level is made of JPEG tiles."""
        return level in self._levels

    def close(self) -> None:
        """Close the file and forget the decoded tiles."""
        os.close(self._descriptor)
        self._levels = {}

    def read(self, number: int, x: int, y: int, span: int, *, reduction: int, dct: bool) -> np.ndarray:
        """The square of ``span`` px at ``(x, y)`` of a level, reduced 1, 2, 4 or 8 times; white outside.

        All numbers are px of that level, multiples of ``reduction``. Returns uint8 (n, n, 3), n = span / reduction.
        With ``dct`` tiles are decoded at the reduced size, without they are decoded whole and averaged: tile by tile,
        so that no more than one is ever held at full size.

        Raises:
            TileError: where a tile is absent or damaged.
        """
        level = self._levels[number]
        x, y, span = x // reduction, y // reduction, span // reduction
        tile_width, tile_height = level.tile_width // reduction, level.tile_height // reduction
        right = min(x + span, -(-level.width // reduction))
        bottom = min(y + span, -(-level.height // reduction))
        inside = x >= 0 and y >= 0 and right == x + span and bottom == y + span
        out = np.empty((span, span, 3), np.uint8) if inside else np.full((span, span, 3), 255, np.uint8)
        if right <= max(x, 0) or bottom <= max(y, 0):
            return out
        used = {}
        for row in range(max(y, 0) // tile_height, -(-bottom // tile_height)):
            for column in range(max(x, 0) // tile_width, -(-right // tile_width)):
                left, top = column * tile_width, row * tile_height
                tile = self._tile(level, row, column, reduction=reduction, dct=dct)
                x0, x1 = max(x, left, 0), min(right, left + tile_width)
                y0, y1 = max(y, top, 0), min(bottom, top + tile_height)
                out[y0 - y : y1 - y, x0 - x : x1 - x] = tile[y0 - top : y1 - top, x0 - left : x1 - left]
                used[left + tile_width, top + tile_height] = tile
        level.hold(used, x=x, y=y, span=span)
        return out

    def _tile(self, level: Level, row: int, column: int, *, reduction: int, dct: bool) -> np.ndarray:
        height, width = level.tile_height // reduction, level.tile_width // reduction
        held = level.held.get(((column + 1) * width, (row + 1) * height))
        if held is not None and held.shape[:2] == (height, width):
            return held
        whole = self._decode(level, row * level.columns + column, reduction=reduction if dct else 1)
        return whole if dct or reduction == 1 else cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)

    def _decode(self, level: Level, index: int, *, reduction: int) -> np.ndarray:
        size = int(level.sizes[index])
        if size == 0:
            raise TileError(f"tile {index} is absent")
        data = os.pread(self._descriptor, size, int(level.offsets[index]))
        if data[:2] != _SOI or (level.rgb and data[2:4] == _APP0):  # JFIF's marker would overrule Adobe's
            raise TileError(f"tile {index} does not say its colours as its TIFF does")
        height, width = level.tile_height // reduction, level.tile_width // reduction
        try:
            tile = simplejpeg.decode_jpeg(level.prefix + data[2:], min_height=height, min_width=width)
        except ValueError as error:
            raise TileError(f"tile {index}: {error}") from error
        if tile.shape != (height, width, 3):
            raise TileError(f"tile {index} is {tile.shape}, not {(height, width, 3)}")
        return tile
