"""What a spatially measured section becomes: spots with counts on their slide, or why it is left out."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import anndata
import cv2
import numpy as np
import pandas as pd
from scipy import sparse

from histocarta.errors import InputError, nearest
from histocarta.files import read_json, replacing, write_json, write_table
from histocarta.placement import AS_GIVEN, FURTHEST, LEAST_ON_TISSUE, draw_placement, move, pitch_px, place
from histocarta.section_formats import PLACE, Measured, read_h5ad, read_spatialdata, read_visium
from histocarta.section_sheets import LATTICES, is_file_name, kind_of
from histocarta.section_tables import read_classes, read_st
from histocarta.survey import write_png
from histocarta.tables import is_missing
from histocarta.versions import VERSION

COLUMNS = ("row", "col", "x_px", "y_px", "total", "annotation")
READERS: dict[str, Callable[[str, str], Measured]] = {
    "st": read_st,
    "visium": lambda counts, _: read_visium(counts),
    "h5ad": lambda counts, _: read_h5ad(counts),
    "spatialdata": lambda counts, _: read_spatialdata(counts),
}


@dataclass(frozen=True)
class Fault:
    """Why a section is left out: a code and what was found; two blanks where it is not."""

    code: str = ""
    reason: str = ""


def read_section(
    *,
    slide: str,
    survey: str,
    tissue: str,
    thumbnail: str,
    counts: str,
    spots: str,
    lattice: str,
    pitch_um: str,
    diameter_um: str,
    annotation: str,
    section_counts: str,
    section_spots: str,
    record: str,
    registration: str,
) -> None:
    """Write a slide's section: counts (.h5ad), spots (.parquet), its record (JSON) and a picture of the spots (PNG).

    ``counts`` to ``annotation`` are the slide's row of the sheet (:mod:`histocarta.section_sheets`), blank where it
    says nothing. Spots whose centres lie in the slide's region are kept; positions are level-0 px of the slide's file.
    A fault in the data (the slide is excluded, S-SCALE, S-SWAPPED, S-OFF) gives status ``excluded`` and no spots.
    Raises InputError for files of another kind, counts that are none, and where no spot has both counts and a position.
    """
    facts = read_json(survey)
    rgb = cv2.cvtColor(cv2.imread(str(thumbnail), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    mask = cv2.imread(str(tissue), cv2.IMREAD_GRAYSCALE) > 0
    found = {"slide": slide, "version": VERSION["sections"], "format": kind_of(counts), "left_out": {}, "on_tissue": {}}
    data = _empty()
    if facts["status"] != "ok":
        fault = Fault(facts["code"], facts["reason"])
        found |= dict.fromkeys(("lattice", "pitch_um", "measured_pitch_um", "diameter_um"))
        picture = draw_placement(rgb, {f"{fault.code}: no slide": np.empty((0, 2))}, mask, downsample=1, diameter_px=0)
    elif not counts:
        fault = Fault("S-NOSPOTS", f"{slide}: the sheet of sections does not name it")
        found |= dict.fromkeys(("lattice", "pitch_um", "measured_pitch_um", "diameter_um")) | {"format": ""}
        picture = draw_placement(rgb, {f"{fault.code}: no spots": np.empty((0, 2))}, mask, downsample=1, diameter_px=0)
    else:
        measured = READERS[kind_of(counts)](counts, spots)
        measured = replace(measured, positions=_classified(measured.positions, annotation))
        data, left_out = _joined(measured, spots=spots)
        inside = _within(data, facts)
        found["left_out"] = measured.left_out | left_out | {"outside the region": int((~inside).sum())}
        # Of a whole slide all spots are judged: under swapped axes those that belong inside may lie outside.
        judged = data if _is_whole(facts) else data[inside]
        found |= _lengths(measured, judged, facts, lattice=lattice, pitch_um=pitch_um, diameter_um=diameter_um)
        fault, found["on_tissue"], picture = _judged(slide, judged, facts, found, rgb=rgb, mask=mask)
        data = data[inside]
    found |= {"status": "excluded" if fault.code else "ok", "code": fault.code, "reason": fault.reason}
    data = _empty() if fault.code else data
    _write_h5ad(data, section_counts)
    write_table(data.obs.rename_axis("spot").reset_index(), section_spots)
    write_png(picture, registration)
    write_json(found | {"n_spots": data.n_obs, "n_genes": data.n_vars}, record)


def check_counts(counts: sparse.csr_matrix, *, ids: pd.Index, genes: pd.Index, source: str) -> None:
    """InputError naming the first value that is no whole number from 0 on, by its spot and gene."""
    values = counts.data
    wrong = np.flatnonzero(~np.isfinite(values) | (values < 0) | (values != np.rint(values)))
    if len(wrong):
        row = np.searchsorted(counts.indptr, wrong[0], side="right") - 1
        raise InputError(
            f"Expected raw counts, whole numbers from 0 on, found {values[wrong[0]]:g} ({source}, spot {ids[row]}, "
            f"gene {genes[counts.indices[wrong[0]]]}); give the counts as they were before normalisation"
        )


def _classified(positions: pd.DataFrame, annotation: str) -> pd.DataFrame:
    """Positions with a text column ``annotation``: a column of theirs, a table of its own, or blanks."""
    if not annotation:
        classes = pd.Series("", index=positions.index, dtype=object)
    elif is_file_name(annotation):
        classes = read_classes(annotation, positions)
    else:
        known = [name for name in positions if name not in PLACE]
        if annotation not in known:
            raise InputError(
                f"Expected the annotation {annotation!r} among the columns of the spots, found "
                f"{', '.join(map(str, known)) or 'none'}{nearest(annotation, known)}; name a column, or a table (.tsv)"
            )
        column = positions[annotation]
        classes = column.astype(object).where(column.notna(), "").astype(str)
        classes = classes.mask(classes.map(is_missing), "")
    return positions[list(PLACE)].assign(annotation=classes)


def _joined(measured: Measured, *, spots: str) -> tuple[anndata.AnnData, dict[str, int]]:
    """Spots that have both counts and a position, in the order of the counts; how many have only one of them."""
    ids, positions = measured.ids, measured.positions
    positions = positions[np.isfinite(positions[["x_px", "y_px"]].to_numpy(float)).all(axis=1)]
    for names, where in ((ids, measured.source), (positions.index, spots or measured.source)):
        if names.has_duplicates:
            twice = names[names.duplicated()][0]
            raise InputError(f"Expected every spot once in {where}, found {twice!r} more than once; take one out")
    known = ids.isin(positions.index)
    if not known.any():
        raise InputError(
            f"Expected spots with counts and a position, found none in common: {_few(ids)} in {measured.source}, "
            f"{_few(positions.index)} in {spots or 'its positions'}; name the files of one section"
        )
    check_counts(measured.counts, ids=ids, genes=measured.genes, source=measured.source)
    counts = measured.counts[np.flatnonzero(known)].astype(np.float32)
    obs = positions.loc[ids[known]].assign(total=np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel())
    obs = obs.astype({"row": np.int32, "col": np.int32, "x_px": float, "y_px": float})[list(COLUMNS)].rename_axis(None)
    if (twice := obs.duplicated(["row", "col"])).any():
        row, col = obs.loc[twice.to_numpy(), ["row", "col"]].iloc[0]
        raise InputError(
            f"Expected one spot at every place of the lattice of {measured.source}, found several at row {row}, "
            f"column {col}; take all but one out"
        )
    left_out = {"no position": int((~known).sum()), "no counts": int((~positions.index.isin(ids)).sum())}
    return _anndata(counts, obs, measured.genes), left_out


def _within(data: anndata.AnnData, facts: dict) -> np.ndarray:
    """Which spots have their centre in the slide's region."""
    x, y = data.obs["x_px"] - facts["x"], data.obs["y_px"] - facts["y"]
    return ((x >= 0) & (y >= 0) & (x < facts["region_width"]) & (y < facts["region_height"])).to_numpy()


def _lengths(
    measured: Measured, data: anndata.AnnData, facts: dict, *, lattice: str, pitch_um: str, diameter_um: str
) -> dict:
    """The lattice, its pitch as stated (None where nobody does) and as measured, and the spots' diameter, in um."""
    mpp = facts["mpp"]
    kind = lattice or LATTICES[measured.hexagonal]
    row, col = (data.obs[name].to_numpy(int) for name in ("row", "col"))
    found = pitch_px(data.obsm["spatial"], row, col, lattice=kind) * mpp
    diameter = float(diameter_um) if diameter_um else measured.diameter_um
    if diameter is None and measured.diameter_px:
        diameter = float(measured.diameter_px) * mpp
    return {
        "lattice": kind,
        "pitch_um": float(pitch_um) if pitch_um else measured.pitch_um,
        "measured_pitch_um": found if np.isfinite(found) else None,
        "diameter_um": diameter,
    }


def _judged(
    slide: str, data: anndata.AnnData, facts: dict, found: dict, *, rgb: np.ndarray, mask: np.ndarray
) -> tuple[Fault, dict[str, float], np.ndarray]:
    """The fault of a section's placement, if any, the shares of spots on tissue, and the picture of both."""
    points = data.obsm["spatial"] - [facts["x"], facts["y"]]
    size = {"width": facts["region_width"], "height": facts["region_height"]}
    downsample = facts["thumbnail_downsample"]
    diameter = (found["diameter_um"] or (found["pitch_um"] or 0) / 2) / facts["mpp"]
    fault, shares, panels = _scale_fault(slide, found), {}, {f"0 of {data.n_obs} spots": points}
    if not len(points):
        fault = Fault(
            "S-OFF", f"{slide}: no spot lies in the slide's region; check the region, and whose spots these are"
        )
    else:
        placed = place(points, mask, downsample=downsample, whole=_is_whole(facts), **size)
        shares = dict(placed.shares)
        fault = fault if fault.code else _placement_fault(slide, shares, placed.better)
        panels = {
            f"{name}: {shares[name]:.0%} of {len(points)} spots on tissue": move(points, name, **size)
            for name in (AS_GIVEN, placed.better) if name
        }  # fmt: skip
    return fault, shares, draw_placement(rgb, panels, mask, downsample=downsample, diameter_px=diameter)


def _scale_fault(slide: str, found: dict) -> Fault:
    stated, measured = found["pitch_um"], found["measured_pitch_um"]
    if stated is None or measured is None or abs(measured - stated) <= FURTHEST * stated:
        return Fault()
    return Fault(
        "S-SCALE",
        f"{slide}: neighbouring spots lie {measured:.0f} um apart, need {stated:g} um within {FURTHEST:.0%}; give "
        "positions in level-0 px of the slide's own file, its um per px, and the pitch",
    )


def _placement_fault(slide: str, shares: dict[str, float], better: str) -> Fault:
    given = shares[AS_GIVEN]
    if better:
        return Fault(
            "S-SWAPPED",
            f"{slide}: {given:.0%} of the spots lie on tissue, {shares[better]:.0%} {better}; correct the "
            "positions or the image (see registration.png)",
        )
    if given < LEAST_ON_TISSUE:
        return Fault("S-OFF", f"{slide}: {given:.0%} of the spots lie on tissue, need {LEAST_ON_TISSUE:.0%}; "
                     "check that spots and image are of one section (see registration.png)")  # fmt: skip
    return Fault()


def _is_whole(facts: dict) -> bool:
    """Whether the slide's region is its whole image."""
    region = [facts[name] for name in ("x", "y", "region_width", "region_height")]
    return region == [0, 0, facts["width"], facts["height"]]


def _anndata(counts: sparse.csr_matrix, obs: pd.DataFrame, genes: pd.Index) -> anndata.AnnData:
    data = anndata.AnnData(counts, obs=obs, var=pd.DataFrame(index=genes))
    data.obsm["spatial"] = obs[["x_px", "y_px"]].to_numpy(float)
    return data


def _empty() -> anndata.AnnData:
    kinds = dict(zip(COLUMNS, (np.int32, np.int32, float, float, float, object), strict=True))
    obs = pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in kinds.items()}, index=pd.Index([], dtype=object))
    return _anndata(sparse.csr_matrix((0, 0), dtype=np.float32), obs, pd.Index([], dtype=object))


def _write_h5ad(data: anndata.AnnData, path: str | Path) -> None:
    with replacing(path) as temporary:
        data.copy().write_h5ad(temporary, compression="gzip")  # it makes categories of text, in place


def _few(names: pd.Index) -> str:
    return ", ".join(map(str, names[:3])) or "none"
