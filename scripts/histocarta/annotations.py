"""What was marked on slides, by a pathologist or spot by spot, and how much of every tile each class covers."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from histocarta.annotation_sheets import read_annotations
from histocarta.errors import InputError
from histocarta.files import read_table, write_table

PLACE = ("slide", "row", "col", "annotated")
FINE = 8  # points per side of a tile that are looked at: shares of its area to 1/64


def place_annotations(
    *,
    annotations: str,
    slides: list[str],
    sites: list[str],
    placed: str,
    regions: Mapping[str, Sequence[str]],
    files: list[str] | None = None,
) -> None:
    """Write how much of every kept tile each region, and each class, covers.

    annotations : a sheet of :mod:`histocarta.annotation_sheets`: a GeoJSON of polygons in level-0 px with their class
    for each slide (as QuPath exports them), or spots. regions : their names and classes. files : the GeoJSON files,
    named for the workflow's sake.
    ``placed`` : slide, row, col, annotated (whether the slide is in the sheet), per region ``in …`` and ``outside …``,
    and a column per class: the share of the tile's area that its polygons cover, overlaps once, or of the spots on the
    tile that are of it. Outside is what other classes cover and the region does not. Rows are in the shards' order.
    Raises InputError for other columns, a slide that the cohort lacks, or a file that is no GeoJSON of polygons.
    """
    table = read_annotations(annotations)
    grids = dict(zip(slides, sites, strict=True))
    if strange := sorted(set(table["slide"]) - set(grids)):
        raise InputError(
            f"Expected slides of the cohort in {annotations}, found {strange[0]!r} and {len(strange) - 1} others that "
            "it lacks; correct the names, or take these lines out"
        )
    marked = dict(tuple(table.groupby("slide")))
    found = []
    for slide in sorted(grids):
        grid = read_table(grids[slide])
        kept = grid[grid["kept"]].reset_index(drop=True)
        rows = kept[["row", "col"]].assign(slide=slide, annotated=slide in marked)
        shares = _shares(marked[slide], grid, kept, regions=regions) if slide in marked and len(kept) else {}
        found.append(rows.assign(**{name: share.astype(np.float32) for name, share in shares.items()}))
    every = pd.concat(found, ignore_index=True)
    own = [column for name in regions for column in columns_of(name)]
    classes = sorted(set(every.columns) - {*PLACE, *own})
    every = every.reindex(columns=[*PLACE, *own, *classes])
    every[[*own, *classes]] = every[[*own, *classes]].fillna(0.0)
    write_table(every, placed)


def columns_of(region: str) -> tuple[str, str]:
    """Columns of ``placed`` that say how much of a tile lies in a region, and how much is marked as something else."""
    return f"in {region}", f"outside {region}"


def _shares(
    marked: pd.DataFrame, grid: pd.DataFrame, kept: pd.DataFrame, *, regions: Mapping[str, Sequence[str]]
) -> Mapping[str, np.ndarray]:
    """By class and by :func:`columns_of` regions, the share in each of the ``kept`` tiles of one slide."""
    if "file" in marked:
        shapes = [shape for path in marked["file"] for shape in read_polygons(path)]
        masks, tile_shares = _painted(shapes, grid)
    else:
        masks, tile_shares = _counted(marked, kept)
    wrong = [name for name in masks if name in {*PLACE, *(one for region in regions for one in columns_of(region))}]
    if wrong:
        raise InputError(
            f"Expected classes of tissue in the annotations, found {wrong[0]!r}, a word of ours; rename it"
        )
    found = {name: tile_shares(mask, kept) for name, mask in masks.items()}
    for region, classes in regions.items():
        inside = _union([mask for name, mask in masks.items() if name in classes])
        others = _union([mask for name, mask in masks.items() if name not in classes])
        for column, mask in zip(columns_of(region), (inside, _without(others, inside)), strict=True):
            if mask is not None:
                found[column] = tile_shares(mask, kept)
    return found


def _union(masks: list[np.ndarray]) -> np.ndarray | None:
    return np.any(masks, axis=0) if masks else None


def _without(mask: np.ndarray | None, other: np.ndarray | None) -> np.ndarray | None:
    return mask if mask is None or other is None else mask & ~other


def read_polygons(path: str) -> Iterator[tuple[str, list[np.ndarray]]]:
    """Class and rings (the outline, then holes; corners x 2, level-0 px) of every polygon that has a class.

    Of a feature the class is properties.classification.name (QuPath), properties.classification, or properties.class.
    """
    if not Path(path).is_file():
        raise InputError(f"Expected annotations at {path}, found no such file; correct the sheet")
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"Expected GeoJSON in {path}, found what cannot be read: {error}") from error
    features = content.get("features", [content]) if isinstance(content, dict) else content
    if not isinstance(features, list):
        raise InputError(f"Expected GeoJSON features in {path}, found {type(features).__name__}; export it again")
    for number, feature in enumerate(features, start=1):
        if not isinstance(feature, dict) or not isinstance(feature.get("geometry"), dict):
            raise InputError(f"Expected GeoJSON features in {path}, found something else at number {number}")
        name = _class_of(feature.get("properties"))
        if not name:
            continue
        kind, corners = feature["geometry"].get("type"), feature["geometry"].get("coordinates")
        if kind not in ("Polygon", "MultiPolygon"):
            raise InputError(
                f"Expected a Polygon or MultiPolygon of class {name} in {path}, found {kind} at feature {number}; draw "
                "an area, or take its class away"
            )
        try:
            polygons = [[_ring(ring) for ring in polygon] for polygon in ([corners] if kind == "Polygon" else corners)]
        except (TypeError, ValueError) as error:
            raise InputError(f"Expected rings of x, y in {path}, found others at feature {number}") from error
        yield from ((name, rings) for rings in polygons)


def _ring(corners: Any) -> np.ndarray:
    """Corners x 2; ValueError for what is no ring (GeoJSON may give heights as well)."""
    ring = np.array(corners, np.float64)
    if ring.ndim != 2 or ring.shape[0] < 3 or ring.shape[1] < 2 or not np.isfinite(ring[:, :2]).all():
        raise ValueError("no ring")
    return ring[:, :2]


def _class_of(properties: Any) -> str:
    """The class of a feature, or a blank."""
    if not isinstance(properties, dict):
        return ""
    found = properties.get("classification") or properties.get("class")
    return str((found.get("name") if isinstance(found, dict) else found) or "")


def _painted(
    shapes: list[tuple[str, list[np.ndarray]]], grid: pd.DataFrame
) -> tuple[Mapping[str, np.ndarray], Callable[[np.ndarray, pd.DataFrame], np.ndarray]]:
    """Of each class which points of the slide's lattice it covers, and how such points become shares of tiles."""
    width, origin = float(grid["width_px"].iloc[0]), _origin(grid)
    rows, cols = int(grid["row"].max()) + 1, int(grid["col"].max()) + 1
    masks: dict[str, np.ndarray] = {}
    for name, rings in shapes:
        mask = masks.setdefault(name, np.zeros((rows * FINE, cols * FINE), bool))
        _paint(mask, [(ring - origin) / width * FINE - 0.5 for ring in rings])

    def tile_shares(mask: np.ndarray, kept: pd.DataFrame) -> np.ndarray:
        share = mask.reshape(rows, FINE, cols, FINE).mean(axis=(1, 3), dtype=float)
        return share[kept["row"].to_numpy(int), kept["col"].to_numpy(int)]

    return masks, tile_shares


def _paint(mask: np.ndarray, rings: list[np.ndarray]) -> None:
    """Add to ``mask`` the points that lie in a polygon, holes left out; corners in units of its lattice.

    Even-odd: along a row of points each edge that is crossed changes inside to outside, or back. Only the polygon's own
    box is looked at: an export of cells may hold 100,000 of them.
    """
    every = np.concatenate(rings)
    low, high = (np.clip(bound, 0, mask.shape[::-1]).astype(int) for bound in (
        np.floor(every.min(axis=0)), np.ceil(every.max(axis=0)) + 1))  # fmt: skip
    (left, top), (right, bottom) = low, high
    if right <= left or bottom <= top:
        return
    crossed = np.zeros((bottom - top, right - left + 1), np.int32)
    for ring in rings:
        (x, y), (next_x, next_y) = ((corner - low).T for corner in (ring, np.roll(ring, -1, axis=0)))
        first, last = (
            np.clip(np.ceil(bound(y, next_y)), 0, len(crossed)).astype(int) for bound in (np.minimum, np.maximum)
        )
        count = last - first
        edge = np.repeat(np.arange(len(ring)), count)
        row = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + first[edge]
        at = x[edge] + (row - y[edge]) / (next_y - y)[edge] * (next_x - x)[edge]
        np.add.at(crossed, (row, np.clip(np.ceil(at), 0, right - left).astype(int)), 1)
    mask[top:bottom, left:right] |= np.cumsum(crossed, axis=1, dtype=np.int32)[:, :-1] % 2 == 1


def _counted(
    spots: pd.DataFrame, kept: pd.DataFrame
) -> tuple[Mapping[str, np.ndarray], Callable[[np.ndarray, pd.DataFrame], np.ndarray]]:
    """Of each class which spots are of it, and how such spots become shares of those whose centres lie on a tile."""
    width = float(kept["width_px"].iloc[0])
    col, row = np.floor((spots[["x_px", "y_px"]].to_numpy() - _origin(kept)) / width).astype(int).T
    places = pd.MultiIndex.from_frame(kept[["row", "col"]])
    at = places.get_indexer(pd.MultiIndex.from_arrays([row, col]))
    total = np.bincount(at[at >= 0], minlength=len(kept))

    def tile_shares(mask: np.ndarray, kept: pd.DataFrame) -> np.ndarray:
        count = np.bincount(at[(at >= 0) & mask], minlength=len(kept))
        return np.divide(count, total, out=np.zeros(len(kept)), where=total > 0)

    names = spots["class"].to_numpy()
    return {name: names == name for name in sorted(set(names))}, tile_shares


def _origin(sites: pd.DataFrame) -> np.ndarray:
    """x and y of the grid's corner, level-0 px."""
    first = sites.iloc[0]
    return np.array(
        [first[axis] - first[place] * first["width_px"] for axis, place in (("x", "col"), ("y", "row"))], float
    )
