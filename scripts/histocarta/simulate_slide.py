"""How one synthetic slide and its truth come about: latent fields, pixels, defects, an Aperio file, truth per cell."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import tifffile

from histocarta import simulate_tissue as tissue
from histocarta.files import replacing

FIELDS = ("A", "B")
FIELD_LENGTH = 30.0  # µm, smoothing sigma of a latent field: patches of two or three demo tiles
CONTRAST = 5.0  # steepness of the logistic between a field's two states
SPOT_PITCH = 30.0  # µm
SPOT_DIAMETER = 20.0  # µm
SVS_TILE = 256  # px
JPEG_QUALITY = 90
NUCLEAR = 0.6  # haematoxylin concentration above which a pixel belongs to a nucleus


@dataclass(frozen=True)
class SlidePlan:
    """All that decides one synthetic slide; picklable, so that a process pool can share the work."""

    slide: str
    patient: str
    path: str
    seed: tuple[int, ...]
    prevalence: tuple[float, float]  # share of the tissue in the high state of fields A and B
    defect: str  # a key of DEFECTS, or "" for none
    cells: int  # truth grid: cells per side of the slide
    rim: float  # cells of glass on each side
    cell_um: float  # side of a cell = the demo's tile, µm
    mpp: float  # of a 20x slide; the 40x slide has half of it
    spots: bool
    uptake: tuple[float, float] = (1.0, 1.0)  # of haematoxylin and eosin, times the usual
    keeps_maps: bool = False


@dataclass(frozen=True)
class SlideTruth:
    """What was planted: one row per cell, one record for the slide, and (where planned) one row per spot.

    ``maps``, where the plan keeps them, hold every level-0 px: tissue, A, B (0..1), ink, blur, nuclei (bool), each of
    (height, width), and rgb.
    """

    cells: pd.DataFrame
    summary: dict[str, object]
    spots: pd.DataFrame | None
    maps: dict[str, np.ndarray] | None = None


@dataclass(frozen=True)
class Defect:
    """What sets a faulty slide apart."""

    scale: float = 1.0  # pixels per 20x pixel
    states_mpp: bool = True
    states_objective: bool = True
    has_tissue: bool = True
    pen: str = ""
    blurred: bool = False


DEFECTS = {
    "": Defect(),
    "pen-green": Defect(pen="green"),
    "pen-blue": Defect(pen="blue"),
    "blur": Defect(blurred=True),
    "40x": Defect(scale=2.0),
    "objective-only": Defect(states_mpp=False),
    "no-mpp": Defect(states_mpp=False, states_objective=False),
    "empty": Defect(has_tissue=False),
}


def simulate_slide(plan: SlidePlan) -> SlideTruth:
    """Paint the slide of ``plan``, write it as an Aperio SVS to ``plan.path`` and return what was planted.

    Columns of ``cells``: slide, row, col, tissue (share 0..1), A, B (mean field over the cell, 0..1), positive_A,
    positive_B (mean field > 0.5), ink, blur (shares 0..1). Row and col count ``cell_um`` from the slide's corner.
    """
    defect = DEFECTS[plan.defect]
    rng = np.random.default_rng(plan.seed)
    mpp = plan.mpp / defect.scale
    cell = round(plan.cell_um / mpp)
    side = plan.cells * cell
    outline = tissue.tissue_outline(rng, side=side, rim=plan.rim * cell, mpp=mpp)
    fields = [draw_field(rng, outline=outline, prevalence=share, mpp=mpp) for share in plan.prevalence]
    mask = outline if defect.has_tissue else np.zeros_like(outline)
    layers = tissue.paint_tissue(field_a=fields[0], field_b=fields[1], mask=mask, mpp=mpp, rng=rng)
    stain = tissue.draw_stain(rng, uptake=plan.uptake)
    rgb = tissue.develop(layers, stain=stain, mpp=mpp, rng=rng)
    ink, blurred = np.zeros(rgb.shape[:2], bool), np.zeros(rgb.shape[:2], bool)
    if defect.pen:
        rgb, ink = tissue.draw_pen(rgb, colour=defect.pen, mpp=mpp, rng=rng)
    if defect.blurred:
        rgb, blurred = tissue.blur_right_half(rgb, mpp=mpp)
    write_svs(
        plan.path,
        rgb,
        mpp=mpp if defect.states_mpp else None,
        objective=20 * defect.scale if defect.states_objective else None,
    )
    maps = {"tissue": mask, "A": fields[0], "B": fields[1], "ink": ink, "blur": blurred}
    cells = _tabulate_cells(plan.slide, {name: cell_means(values, cell=cell) for name, values in maps.items()})
    spots = _measure_spots(plan.slide, fields, mask, mpp=mpp, rng=rng) if plan.spots else None
    means = [float(field[outline > 0.5].mean()) for field in fields]
    summary = _summarise(plan, cells, means=means, stain=stain, mpp=mpp)
    kept = maps | {"nuclei": layers[..., 0] > NUCLEAR, "rgb": rgb} if plan.keeps_maps else None
    return SlideTruth(cells, summary, spots, kept)


def draw_field(rng: np.random.Generator, *, outline: np.ndarray, prevalence: float, mpp: float) -> np.ndarray:
    """A smooth field in 0..1 (float32, like ``outline``) that is > 0.5 on ``prevalence`` of the tissue's area."""
    latent = tissue.smooth_noise(rng, shape=outline.shape, length=FIELD_LENGTH / mpp)
    threshold = np.quantile(latent[outline > 0.5], 1 - prevalence)
    return (1 / (1 + np.exp(-CONTRAST * (latent - threshold)))).astype(np.float32)


def cell_means(values: np.ndarray, *, cell: int) -> np.ndarray:
    """Mean of every ``cell`` × ``cell`` px block of a (height, width) map whose sides are multiples of ``cell``."""
    rows, columns = values.shape[0] // cell, values.shape[1] // cell
    return values.reshape(rows, cell, columns, cell).mean(axis=(1, 3), dtype=np.float64)


def true_heterogeneity(counts: np.ndarray) -> float:
    """HTI of tile counts per non-empty combination of traits (all 2^k - 1): entropy to the base of their number.

    NaN where no tile is positive (Levy-Jurgenson 2020, Methods). Kept apart from the code under test on purpose.
    """
    total = counts.sum()
    if total == 0:
        return float("nan")
    shares = counts[counts > 0] / total
    return float(-(shares * np.log(shares)).sum() / np.log(len(counts))) + 0.0


def write_svs(path: str | Path, rgb: np.ndarray, *, mpp: float | None, objective: float | None) -> None:
    """Write RGB uint8 as a tiled-JPEG Aperio SVS: levels 1 and 1/4, a thumbnail, MPP and AppMag where given."""
    height, width = rgb.shape[:2]
    stated = [f"AppMag = {objective:g}"] if objective is not None else []
    stated += [f"MPP = {mpp:.4f}"] if mpp is not None else []
    size = f"{width}x{height}"
    head = f"Aperio Image Library v12.0.15 \r\n{size} [0,0 {size}] ({SVS_TILE}x{SVS_TILE}) JPEG/RGB Q={JPEG_QUALITY}"
    thumbnail = cv2.resize(rgb, (max(1, width // 3), max(1, height // 3)), interpolation=cv2.INTER_AREA)
    quarter = cv2.resize(rgb, (width // 4, height // 4), interpolation=cv2.INTER_AREA)
    jpeg = {
        "photometric": "rgb",  # of the input; stored as YCbCr with halved chroma, as scanners do
        "subsampling": (2, 2),
        "compression": "jpeg",
        "compressionargs": {"level": JPEG_QUALITY},
        "metadata": None,
        "software": False,
    }
    with replacing(path) as temporary, tifffile.TiffWriter(temporary) as svs:
        svs.write(rgb, tile=(SVS_TILE, SVS_TILE), description="|".join([head, *stated]), **jpeg)
        small = f"{thumbnail.shape[1]}x{thumbnail.shape[0]}"
        svs.write(thumbnail, rowsperstrip=16, description=f"{head} -> {small} - |", **jpeg)
        level = f"{head} -> {quarter.shape[1]}x{quarter.shape[0]} JPEG/RGB Q={JPEG_QUALITY}"
        svs.write(quarter, tile=(SVS_TILE, SVS_TILE), subfiletype=0, description=level, **jpeg)


def _tabulate_cells(slide: str, grids: dict[str, np.ndarray]) -> pd.DataFrame:
    rows, columns = np.indices(grids["tissue"].shape)
    table = {"slide": slide, "row": rows.ravel(), "col": columns.ravel()}
    table |= {name: grid.ravel().round(4) for name, grid in grids.items()}
    table |= {f"positive_{field}": (grids[field].ravel() > 0.5).astype(int) for field in FIELDS}
    return pd.DataFrame(table)


def _summarise(
    plan: SlidePlan, cells: pd.DataFrame, *, means: list[float], stain: tissue.Stain, mpp: float
) -> dict[str, object]:
    """One slide's truth: field means over its tissue, share of positive tissue cells, HTI, stain and defect."""
    kept = cells[cells["tissue"] >= 0.5]
    combination = kept["positive_A"] + 2 * kept["positive_B"]
    counts = np.bincount(combination, minlength=4)[1:]
    record: dict[str, object] = {"slide": plan.slide, "patient": plan.patient, "defect": plan.defect, "mpp": mpp}
    record |= {"n_tissue_cells": len(kept), "hti": true_heterogeneity(counts)}
    for field, mean in zip(FIELDS, means, strict=True):
        record[f"mean_{field}"] = mean
        record[f"share_{field}"] = float(kept[f"positive_{field}"].mean()) if len(kept) else float("nan")
    record |= {"count_A": int(counts[0]), "count_B": int(counts[1]), "count_A+B": int(counts[2])}
    for name in ("haematoxylin", "eosin"):
        record |= {f"{name}_{band}": value for band, value in zip("rgb", getattr(stain, name), strict=True)}
        record[f"{name}_strength"] = getattr(stain, f"{name}_strength")
    return record


def _measure_spots(
    slide: str, fields: list[np.ndarray], mask: np.ndarray, *, mpp: float, rng: np.random.Generator
) -> pd.DataFrame:
    """Spatial transcriptomics of the slide: spots on a square lattice over tissue, with Poisson counts.

    Columns: slide, section (each slide is one), x_px, y_px (centre, level-0 px), total (counts of all genes), then per
    trait the log of 1 + counts per 10,000; the trait ``noise`` follows no field.
    """
    pitch, radius = SPOT_PITCH / mpp, SPOT_DIAMETER / 2 / mpp
    centres = np.arange(pitch / 2, mask.shape[0] - radius, pitch)
    kernel = (2 * round(radius) + 1,) * 2
    local = {name: cv2.blur(values, kernel) for name, values in zip(FIELDS, fields, strict=True)}
    local["noise"] = rng.uniform(0, 1, mask.shape)
    covered = cv2.blur(mask.astype(np.float32), kernel)
    rows = []
    for y in centres:
        for x in centres:
            at = (int(y), int(x))
            if covered[at] < 0.5:
                continue
            total = round(float(np.exp(rng.normal(np.log(4000), 0.35))))
            counts = {name: int(rng.poisson(total * (0.001 + 0.009 * values[at]))) for name, values in local.items()}
            values = {name: round(float(np.log1p(1e4 * count / total)), 5) for name, count in counts.items()}
            centre = {"x_px": round(float(x), 2), "y_px": round(float(y), 2)}
            rows.append({"slide": slide, "section": slide} | centre | {"total": total} | values)
    return pd.DataFrame(rows, columns=["slide", "section", "x_px", "y_px", "total", *local])
