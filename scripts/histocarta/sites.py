"""Where the tiles of a slide may lie: side by side on a grid, or one on every spot."""

from __future__ import annotations

import math

import numpy as np

from histocarta.reader import window_width

SITE_TYPES = {
    "row": "int32",
    "col": "int32",
    "x": "int64",
    "y": "int64",
    "width_px": "int32",
    "x_um": "float64",
    "y_um": "float64",
    "tissue": "float32",
    "sharpness": "float32",
    "pen": "float32",
    "dark": "float32",
    "kept": "bool",
    "reason": "object",
}
Sites = dict[str, np.ndarray]  # the columns of SITE_TYPES: no frame, as pandas takes more memory than all that tiles


def lay_grid(*, x: int, y: int, width: int, height: int, mpp: float, width_px: int) -> Sites:
    """All cells of the non-overlapping grid that starts at a region's corner ``(x, y)``, row by row.

    ``x``, ``y``, ``width``, ``height`` and ``width_px``, the side of a cell, are level-0 px, ``mpp`` um per level-0 px.
    Cells that reach beyond the region have reason ``edge``; nothing is measured or kept yet.
    """
    rows, cols = math.ceil(height / width_px), math.ceil(width / width_px)
    row, col = (axis.ravel() for axis in np.mgrid[:rows, :cols])
    left, top = col * width_px, row * width_px
    edge = (left + width_px > width) | (top + width_px > height)
    values = {"row": row, "col": col, "x": x + left, "y": y + top, "width_px": width_px}
    values |= {"x_um": values["x"] * mpp, "y_um": values["y"] * mpp}
    values |= dict.fromkeys(("tissue", "sharpness", "pen", "dark"), np.nan)
    values |= {"kept": False, "reason": np.where(edge, "edge", "")}
    return {name: np.full(row.shape, values[name]).astype(kind) for name, kind in SITE_TYPES.items()}


def lay_spots(spots: str, *, slide_width: int, slide_height: int, mpp: float, width_px: int) -> Sites:
    """A window of ``width_px`` level-0 px about the centre of every spot, in the order of the table ``spots``.

    spots : row and col in the lattice, x_px and y_px (level-0 px). Windows that leave the image have reason ``edge``.
    """
    from pyarrow import parquet

    table = parquet.read_table(spots, columns=["row", "col", "x_px", "y_px"])
    row, col, x, y = (table[name].to_numpy() for name in table.column_names)
    left, top = (np.round(centre - width_px / 2).astype(np.int64) for centre in (x, y))
    edge = (left < 0) | (top < 0) | (left + width_px > slide_width) | (top + width_px > slide_height)
    values = {"row": row, "col": col, "x": left, "y": top, "width_px": width_px}
    values |= {"x_um": left * mpp, "y_um": top * mpp}
    values |= dict.fromkeys(("tissue", "sharpness", "pen", "dark"), np.nan)
    values |= {"kept": False, "reason": np.where(edge, "edge", "")}
    return {name: np.full(row.shape, values[name]).astype(kind) for name, kind in SITE_TYPES.items()}


def sites_of(record: dict, *, size: int, mpp: float, spots: str | None) -> Sites:
    """The grid of a surveyed slide's region, or its windows on ``spots``, for tiles of ``size`` px at ``mpp``."""
    if spots:
        width_px = window_width(size=size, mpp=mpp, slide_mpp=record["mpp"])
        place = {"slide_width": record["width"], "slide_height": record["height"], "mpp": record["mpp"]}
        return lay_spots(spots, width_px=width_px, **place)
    return lay_grid(
        x=record["x"],
        y=record["y"],
        width=record["region_width"],
        height=record["region_height"],
        mpp=record["mpp"],
        width_px=window_width(size=size, mpp=mpp, slide_mpp=record["mpp"]),
    )
