"""Whether expression predicted in place is what was measured there: regions of interest under many genes at once."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import pandas as pd
import pyarrow.parquet as parquet

from histocarta.correlations import associate_columns
from histocarta.errors import InputError
from histocarta.evaluation import benjamini_hochberg
from histocarta.files import read_table, write_table
from histocarta.marker_scores import log_percent, marker_table, mean_scores, read_markers
from histocarta.mixed_models import fit_random_intercepts
from histocarta.roi_values import hardly_varying, probe_members, read_roi_values, sum_probes
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
    standardise: bool,
    negatives: Sequence[str] = (),
    sums: Mapping[str, Sequence[str]] = {},
    min_variance: float = 0.0,
    probe_sum: str = "linear",
    scores: Mapping[str, Sequence[str]] = {},
    markers: str | None = None,
) -> None:
    """Predict every gene in the regions of test slides and hold it against what was measured there; a row per gene.

    places, tiles : of every round, or one for all (:mod:`histocarta.features`). A region's prediction is the mean over
    its tiles and over the rounds that tested its slide. Per gene measured ~ predicted + (1 | section) by
    :func:`mixed_models.fit_random_intercepts` with the false discovery rate over all genes tried, and Spearman within
    each section: its mean, and in how many sections it is positive. A significant negative slope is no validation: the
    sign stands in ``direction``. Genes that the regions lack keep their row. negatives, sums, min_variance, probe_sum :
    of :mod:`histocarta.roi_values`; a probe of ``sums`` has a row as a gene has, and so has a marker of ``scores``
    (:mod:`histocarta.marker_scores`: its genes), whose regions are written to ``markers``.
    """
    told = read_table(genes)
    told = told[told["status"] == "ok"].astype({"mean": float, "sd": float})
    scale = told if standardise else told.assign(**UNSCALED)
    where, columns = read_table(placed), parquet.read_schema(rois).names
    probes = probe_members(sums, columns=columns, genes=scale["trait"].tolist())
    panels = probe_members(scores, columns=columns, genes=scale["trait"].tolist())
    needed = {*columns}.union(*probes.values(), *panels.values())
    here = scale["trait"].isin(needed).to_numpy()
    rounds = _by_round(where, places, tiles, heads, sidecars, splits=splits, chosen=np.flatnonzero(here))
    predicted = _mean_of_rounds(rounds, columns=scale.loc[here, "trait"].tolist())
    predicted = predicted * scale.loc[here, "sd"].to_numpy() + scale.loc[here, "mean"].to_numpy()
    both = [name for name in predicted if name in columns and name not in {*probes, *panels}]
    pooled, marked = (
        sum_probes(predicted, sums=probes, probe_sum=probe_sum),
        mean_scores(predicted, members=panels),
    )
    values = read_roi_values(rois, columns=[*both, *pooled], negatives=negatives, rows=predicted.index)
    percent = read_markers(rois, columns=list(marked), rows=predicted.index)
    if markers:
        first = where.drop_duplicates("roi").set_index("roi")
        write_table(marker_table(rois, first, percent=percent, predicted=marked), markers)
    values = values.join(log_percent(percent))
    predicted = predicted[both].assign(**pooled, **marked)
    still = hardly_varying(values, min_variance=min_variance)
    chosen = still.index[still == ""]
    section = where.drop_duplicates("roi").set_index("roi")["section"].loc[predicted.index].to_numpy()
    found = _associate(predicted[chosen].to_numpy(), values[chosen].to_numpy(), section, names=chosen)
    names = [*told["trait"], *(name for name in {**probes, **panels} if name not in set(told["trait"]))]
    frame = pd.DataFrame({"trait": names}).merge(found, on="trait", how="left")
    why = frame["trait"].map(still[still != ""]).fillna("not measured in the regions")
    why = why.mask(frame["trait"].isin({*probes, *panels} - {*pooled, *marked}), "no gene of it is predicted")
    frame["reason"] = frame["reason"].fillna(why)
    write_table(frame, table)
    write_table(frame, parquet_table)


def _associate(
    predicted: np.ndarray, measured: np.ndarray, section: np.ndarray, *, names: Sequence[str]
) -> pd.DataFrame:
    """A row per gene: the mixed model's figures, its FDR and direction, and Spearman within sections."""
    frame = fit_random_intercepts(predicted, measured, section)
    frame.insert(0, "trait", list(names))
    frame["fdr"] = benjamini_hochberg(frame["p"])
    frame["direction"] = np.select([frame["slope"] > 0, frame["slope"] < 0], ["positive", "negative"], default="")
    rho = np.array(
        [associate_columns(predicted[section == one], measured[section == one])["rho"] for one in np.unique(section)]
    ).reshape(-1, len(names))
    known = ~np.isnan(rho)
    total = np.where(known, rho, 0).sum(axis=0)
    frame["section_rho"] = np.divide(total, known.sum(axis=0), out=np.full(len(names), np.nan), where=known.any(axis=0))
    frame["sections"], frame["sections_positive"] = known.sum(axis=0), (rho > 0).sum(axis=0)
    return frame


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
        split = read_table(path)
        tested = where[where["slide"].isin(split.loc[split["part"] == "test", "slide"])]
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
