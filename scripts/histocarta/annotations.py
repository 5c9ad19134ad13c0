"""What was marked on slides, by a pathologist or spot by spot, and how much of every tile each class covers."""

import json
from collections.abc import Iterator, Mapping
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
    *, annotations: str, slides: list[str], sites: list[str], placed: str, files: list[str] | None = None
) -> None:
    """Write how much of every kept tile each class covers.

    annotations : a sheet of :mod:`histocarta.annotation_sheets`: a GeoJSON of polygons in level-0 px with their class
    for each slide (as QuPath exports them), or spots. files : the GeoJSON files, named for the workflow's sake.
    ``placed`` : slide, row, col, annotated (whether the slide is in the sheet), and a column per class: the share of
    the tile's area that its polygons cover, or of the spots on the tile that are of it. Rows are in the shards' order.
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
        shares = _shares(marked[slide], grid, kept) if slide in marked and len(kept) else {}
        found.append(rows.assign(**{name: share.astype(np.float32) for name, share in shares.items()}))
    every = pd.concat(found, ignore_index=True)
    classes = sorted(set(every.columns) - set(PLACE))
    every[classes] = every[classes].fillna(0.0)
    write_table(every[[*PLACE, *classes]], placed)


def _shares(marked: pd.DataFrame, grid: pd.DataFrame, kept: pd.DataFrame) -> Mapping[str, np.ndarray]:
    """By class, its share in each of the ``kept`` tiles of one slide."""
    if "file" in marked:
        shapes = [shape for path in marked["file"] for shape in read_polygons(path)]
        return _covered(shapes, grid, kept)
    return _counted(marked, kept)


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
    for number, feature in enumerate(features, start=1):
        if not isinstance(feature, dict) or "geometry" not in feature:
            raise InputError(f"Expected GeoJSON features in {path}, found something else at number {number}")
        name = _class_of(feature.get("properties") or {})
        if not name:
            continue
        kind, corners = (feature["geometry"] or {}).get("type"), (feature["geometry"] or {}).get("coordinates")
        if kind not in ("Polygon", "MultiPolygon"):
            raise InputError(
                f"Expected a Polygon or MultiPolygon of class {name} in {path}, found {kind} at feature {number}; draw "
                "an area, or take its class away"
            )
        for polygon in [corners] if kind == "Polygon" else corners:
            try:
                yield name, [np.array(ring, np.float64).reshape(len(ring), -1)[:, :2] for ring in polygon]
            except (TypeError, ValueError, IndexError) as error:
                raise InputError(f"Expected rings of x, y in {path}, found others at feature {number}") from error


def _class_of(properties: Mapping[str, Any]) -> str:
    """The class of a feature, or a blank."""
    found = properties.get("classification", properties.get("class"))
    return str((found.get("name") if isinstance(found, dict) else found) or "")


def _covered(
    shapes: list[tuple[str, list[np.ndarray]]], grid: pd.DataFrame, kept: pd.DataFrame
) -> Mapping[str, np.ndarray]:
    """The share of each kept tile's area that lies in polygons of each class."""
    width = float(grid["width_px"].iloc[0])
    origin = _origin(grid)
    rows, cols = int(grid["row"].max()) + 1, int(grid["col"].max()) + 1
    masks: dict[str, np.ndarray] = {}
    for name, rings in shapes:
        inside = _inside(rings, origin=origin, step=width / FINE, shape=(rows * FINE, cols * FINE))
        masks[name] = masks[name] | inside if name in masks else inside
    place = (kept["row"].to_numpy(int), kept["col"].to_numpy(int))
    return {
        name: mask.reshape(rows, FINE, cols, FINE).mean(axis=(1, 3), dtype=float)[place] for name, mask in masks.items()
    }


def _inside(rings: list[np.ndarray], *, origin: np.ndarray, step: float, shape: tuple[int, int]) -> np.ndarray:
    """Which points of a lattice (``step`` apart, half a step from ``origin``) lie in a polygon, holes left out.

    Even-odd: along a row of points each edge that is crossed changes inside to outside, or back.
    """
    crossed = np.zeros((shape[0], shape[1] + 1), np.int32)
    for ring in rings:
        (x, y), (next_x, next_y) = (((corner - origin) / step - 0.5).T for corner in (ring, np.roll(ring, -1, axis=0)))
        first, last = (
            np.clip(np.ceil(bound(y, next_y)), 0, shape[0]).astype(int) for bound in (np.minimum, np.maximum)
        )
        count = last - first
        edge = np.repeat(np.arange(len(ring)), count)
        row = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + first[edge]
        at = x[edge] + (row - y[edge]) / (next_y - y)[edge] * (next_x - x)[edge]
        np.add.at(crossed, (row, np.clip(np.ceil(at), 0, shape[1]).astype(int)), 1)
    return np.cumsum(crossed, axis=1)[:, :-1] % 2 == 1


def _counted(spots: pd.DataFrame, kept: pd.DataFrame) -> Mapping[str, np.ndarray]:
    """The share of each class among the spots whose centres lie on each kept tile."""
    width = float(kept["width_px"].iloc[0])
    col, row = np.floor((spots[["x_px", "y_px"]].to_numpy() - _origin(kept)) / width).astype(int).T
    counts = pd.crosstab([pd.Series(row, name="row"), pd.Series(col, name="col")], spots["class"].to_numpy())
    here = counts.reindex(pd.MultiIndex.from_frame(kept[["row", "col"]]), fill_value=0)
    total = here.sum(axis=1).to_numpy()
    shares = np.divide(here.to_numpy(float), total[:, None], out=np.zeros(here.shape), where=total[:, None] > 0)
    return dict(zip(map(str, here.columns), shares.T, strict=True))


def _origin(sites: pd.DataFrame) -> np.ndarray:
    """x and y of the grid's corner, level-0 px."""
    first = sites.iloc[0]
    return np.array(
        [first["x"] - first["col"] * first["width_px"], first["y"] - first["row"] * first["width_px"]], float
    )
