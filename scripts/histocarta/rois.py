"""What is predicted in regions of interest: which tiles a region has, and what models say of it that never saw it."""

from typing import Any

import cv2
import numpy as np
import pandas as pd
import pyarrow.parquet as parquet

from histocarta.errors import InputError
from histocarta.files import read_json, read_table, write_table
from histocarta.roi_tests import compare_regions, genes_needed
from histocarta.rounds import read_fates
from histocarta.values import UNSCALED

PLACE = ("slide", "section", "x_px", "y_px")
SIDE = "side_um"
POLYGON = "polygon"


def place_rois(*, rois: str, slides: list[str], sites: list[str], placed: str, size: int, mpp: float) -> None:
    """Find the kept tiles of every region and write ``placed``: roi (row of the table), slide, section, row, col.

    rois : slide, section, x_px, y_px (centre, level-0 px), optionally side_um (of a square, µm) or polygon (text of
    level-0 px, ``x,y x,y x,y …``), and a column per gene. A region is the tiles whose centres lie in its polygon or
    square; without either the tile under its centre.
    size, mpp : the layout's. A region on no kept tile is left out. Raises InputError for missing columns or none left.
    """
    names = parquet.read_schema(rois).names
    if missing := [name for name in PLACE if name not in names]:
        raise InputError(f"Expected the columns {', '.join(PLACE)} in {rois}, found no {', '.join(missing)}")
    table = pd.read_parquet(rois, columns=[*PLACE, *(name for name in (SIDE, POLYGON) if name in names)])
    table["roi"] = np.arange(len(table))
    grids = dict(zip(slides, sites, strict=True))
    found = [
        _tiles_of(rows, read_table(grids[slide]), tile_um=size * mpp)
        for slide, rows in table.groupby("slide")
        if slide in grids
    ]
    if not sum(map(len, found)):
        raise InputError(
            f"Expected regions on tiles of the cohort's slides ({slides[0]}, …) in {rois}, found none of {len(table)}; "
            "name slides in both alike, and give x_px and y_px in pixels of level 0"
        )
    write_table(pd.concat(found, ignore_index=True)[["roi", "slide", "section", "row", "col"]], placed)


def validate_rois(
    *,
    rois: str,
    placed: str,
    places: list[str],
    tiles: list[str],
    heads: list[str],
    sidecars: list[str],
    genes: str,
    splits: list[str],
    table: str,
    parquet_table: str,
    markers: str,
    standardise: bool,
    **values: Any,
) -> None:
    """Predict every gene in the regions of test slides and hold it against what was measured there; a row per gene.

    places, tiles : of every round, or one for all (:mod:`histocarta.features`). A region's prediction is the mean over
    its tiles and over the rounds that tested its slide. ``values`` and the tables: :func:`roi_tests.compare_regions`.
    """
    scale, where = _scale_of_genes(genes, standardise=standardise), read_table(placed)
    needed = genes_needed(rois, genes=scale.index, **{key: values.get(key, {}) for key in ("sums", "scores")})
    here = scale.index.isin(needed)
    rounds = _by_round(where, places, tiles, heads, sidecars, splits=splits, chosen=np.flatnonzero(here))
    predicted = _mean_of_rounds(rounds, columns=scale.index[here].tolist())
    predicted = predicted * scale.loc[here, "sd"].to_numpy() + scale.loc[here, "mean"].to_numpy()
    found, regions = compare_regions(predicted, where=where, rois=rois, names=scale.index.tolist(), **values)
    write_table(found, table)
    write_table(found, parquet_table)
    write_table(regions, markers)


def validate_traits(
    *,
    rois: str,
    placed: str,
    metrics: list[str],
    scores_of_tiles: list[str],
    splits: list[str],
    table: str,
    parquet_table: str,
    markers: str,
    **values: Any,
) -> None:
    """The same of genes with a network each, by their metrics.json and consensus/scores.parquet, in the same order.

    A region's prediction is the mean over its tiles of test slides, each the mean of the rounds that may speak of it.
    """
    where, records = read_table(placed), [read_json(path) for path in metrics]
    tested = {slide for path in splits for slide in _tested(read_table(path))}
    here = where[where["slide"].isin(tested)]
    found = {}
    for record, path in zip(records, scores_of_tiles, strict=True):
        if record["status"] == "ok":
            tiles = here.merge(read_table(path), on=["slide", "row", "col"], how="left")
            found[record["trait"]] = tiles.groupby("roi")["score"].mean()
    predicted = pd.DataFrame(found, index=pd.Index(sorted(here["roi"].unique()), name="roi"), dtype=float)
    lost = {record["trait"]: f"{record['code']} {record['reason']}" for record in records if record["status"] != "ok"}
    names = [record["trait"] for record in records]
    compared, regions = compare_regions(predicted, where=where, rois=rois, names=names, lost=lost, **values)
    write_table(compared, table)
    write_table(compared, parquet_table)
    write_table(regions, markers)


def validate_jobs(
    *,
    rois: str,
    placed: str,
    regions: list[str],
    genes: str,
    splits: list[str],
    table: str,
    parquet_table: str,
    markers: str,
    standardise: bool,
    **values: Any,
) -> None:
    """The same of genes that were trained in jobs of many, by their regions' means (:mod:`histocarta.gene_scores`)."""
    scale, where = _scale_of_genes(genes, standardise=standardise), read_table(placed)
    slide = where.drop_duplicates("roi").set_index("roi")["slide"]
    tested = [set(_tested(read_table(path))) for path in splits]
    found = []
    for part in map(read_table, regions):
        for number, rows in part.groupby("round"):
            rows = rows[slide.loc[rows["roi"]].isin(tested[int(number) - 1]).to_numpy()]
            found.append(rows.drop(columns="round").set_index("roi").dropna(axis=1, how="all"))
    predicted = pd.concat(found).groupby(level=0).mean() if found else pd.DataFrame(index=pd.Index([], dtype=int))
    predicted = predicted * scale.loc[predicted.columns, "sd"] + scale.loc[predicted.columns, "mean"]
    lost = dict.fromkeys(scale.index.difference(predicted.columns), "no network of it")
    names = scale.index.tolist()
    compared, inside = compare_regions(predicted, where=where, rois=rois, names=names, lost=lost, **values)
    write_table(compared, table)
    write_table(compared, parquet_table)
    write_table(inside, markers)


def _scale_of_genes(genes: str, *, standardise: bool) -> pd.DataFrame:
    """Mean and sd (index: trait) that put the outputs for the genes with labels back on the scale of expression."""
    told = read_table(genes)
    told = told[told["status"] == "ok"].astype({"mean": float, "sd": float}).set_index("trait")
    return told if standardise else told.assign(**UNSCALED)


def _tested(split: pd.DataFrame) -> pd.Series:
    return split.loc[split["part"] == "test", "slide"]


def _by_round(
    where: pd.DataFrame,
    places: list[str],
    tiles: list[str],
    heads: list[str],
    sidecars: list[str],
    *,
    splits: list[str],
    chosen: np.ndarray,
) -> list[pd.DataFrame]:
    """Of every round with a model, regions (index roi) of the slides that it tests × ``chosen`` outputs."""
    wide = len(heads) if len(tiles) == 1 else 1
    found = []
    for fate, place, tile, head, path in zip(
        read_fates(sidecars), places * wide, tiles * wide, heads, splits, strict=True
    ):
        if fate.code:
            continue
        tested = where[where["slide"].isin(_tested(read_table(path)))]
        rows = _rows(tested, read_table(place), path=place)
        features = np.load(tile, mmap_mode="r")[rows["at"].to_numpy()].astype(float)
        mean = pd.DataFrame(features).groupby(rows["roi"].to_numpy()).mean()
        with np.load(head) as arrays:
            score = mean.to_numpy() @ arrays["weights"][:, chosen].astype(float) + arrays["intercept"][chosen]
        found.append(pd.DataFrame(score, index=mean.index))
    return found


def _mean_of_rounds(rounds: list[pd.DataFrame], *, columns: list[str]) -> pd.DataFrame:
    """The mean of what the rounds say of each region."""
    if not rounds:
        return pd.DataFrame(columns=columns, index=pd.Index([], dtype=int), dtype=float)
    return pd.concat(rounds).groupby(level=0).mean().set_axis(columns, axis=1)


def _rows(where: pd.DataFrame, place: pd.DataFrame, *, path: str) -> pd.DataFrame:
    """``where`` with the tile's row in the table of features."""
    rows = where.merge(place.assign(at=np.arange(len(place))), on=["slide", "row", "col"], how="left")
    if rows["at"].isna().any():
        slide = rows.loc[rows["at"].isna(), "slide"].iloc[0]
        raise InputError(
            f"Expected all kept tiles in {path}, found one of {slide} missing; extract the features again."
        )
    return rows.astype({"at": int})


def _tiles_of(rois: pd.DataFrame, sites: pd.DataFrame, *, tile_um: float) -> pd.DataFrame:
    """The kept tiles of one slide's regions."""
    kept = sites[sites["kept"]]
    if kept.empty:
        return rois.iloc[:0].assign(row=0, col=0)
    width = float(sites["width_px"].iloc[0])
    um = tile_um / width  # µm per level-0 pixel
    half = rois[SIDE].fillna(0).to_numpy(float) / 2 / um if SIDE in rois else np.zeros(len(rois))
    x, y = (kept[axis].to_numpy(float) + width / 2 for axis in ("x", "y"))
    dx, dy = (np.abs(rois[f"{axis}_px"].to_numpy(float)[:, None] - centre) for axis, centre in (("x", x), ("y", y)))
    reach = np.where(half > 0, half, width / 2)[:, None]
    inside = (dx <= reach) & (dy <= reach)
    if POLYGON in rois:
        for number, text in enumerate(rois[POLYGON].fillna("")):
            if text:
                inside[number] = _in_polygon(text, x=x, y=y)
    roi, tile = np.nonzero(inside)
    found = rois.iloc[roi].reset_index(drop=True)
    return found.assign(row=kept["row"].to_numpy(int)[tile], col=kept["col"].to_numpy(int)[tile])


def _in_polygon(text: str, *, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Whether each place lies in the polygon ``x,y x,y …``, its edge included."""
    try:
        corners = np.array([[float(value) for value in corner.split(",")] for corner in text.split()], np.float32)
    except ValueError:
        corners = np.zeros(0)
    if corners.ndim != 2 or corners.shape[0] < 3 or corners.shape[1] != 2:
        raise InputError(f"Expected a polygon as x,y x,y x,y … in level-0 px, found {text[:60]!r}; correct it")
    return np.array(
        [cv2.pointPolygonTest(corners, (float(a), float(b)), False) >= 0 for a, b in zip(x, y, strict=True)]
    )
