"""How five spatially measured sections become a cohort: virtual cores, their blocks, pseudo-bulk and its controls.

The sections (Andersson 2021, Nat. Commun. 12:6012) are of two patients; C2 to C5 are consecutive sections of one
tumour. A *core* is a square of 0.8 mm at a *place*: the places form one lattice per tumour, carried to each section by
registering the tissue outlines, so that the same place is the same tissue in every section. A *block* is up to 2 × 2
neighbouring places in all sections of a tumour; it is the unit of splitting, since its cores show nearly the same
tissue. ``python -m histocarta.her2st --data <folder> --output data/her2st`` writes

    slides.tsv      one row per core: slide, patient, file, mpp, x, y, width, height (level-0 px), block
    expression.tsv  traits × cores, log2 CPM of the summed counts; ``<TRAIT>_shuffled`` = shuffled within the patient
    spots.tsv       slide, section, x_px, y_px (level-0 px), total (counts), each trait's log(1 + counts per 10,000);
                    of a control the gene's own values: its map must not agree with them
    traits.tsv      the traits that the study asks for
    annotations.tsv slide, x_px, y_px, class of every spot in an expression cluster: dense carcinoma or other tissue
    whole-slides.tsv, sections.tsv, classes/*.tsv: the sections as they are, for the task spots
    genesets/*.gmt: the gene sets of the folder, where it has some
    core-sections.tsv: the same spots by the core that they lie in, for a cohort with bulk and spots

There is no clinical table. ``--small`` takes B4 and C2, one section of each patient, and ERBB2, FASN and one control.
"""

import argparse
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from histocarta.errors import InputError, nearest
from histocarta.files import write_table
from histocarta.gene_sets import copy_sets
from histocarta.her2st_sections import Section, log_shares, mark_clusters, read_section, write_sections
from histocarta.progress import progress

MPP = 0.686  # µm per px: neighbouring spots, 200 µm apart, lie 291.5 px apart
SPOT_PITCH = 200 / MPP  # px
CORE = 800 / MPP  # px
SECTIONS = {"B": ("B4",), "C": ("C2", "C3", "C4", "C5")}
SMALL_SECTIONS = {"B": ("B4",), "C": ("C2",)}
# ERBB2 and FASN drive these tumours; SPARC (stroma) and IGKC (plasma cells) are well expressed in both patients and
# agree between halves of a core's spots (split-half r .67 and .60 on these data; ERBB2 .29, FASN .35).
TRAITS = ("ERBB2", "FASN", "IGKC", "SPARC")
SMALL_TRAITS = ("ERBB2", "FASN")
CONTROLS = ("ERBB2", "FASN")
SMALL_CONTROLS = ("ERBB2",)
_REDUCTION = 32  # outlines are compared at 22 µm per px
_OFFSETS = 8  # lattice origins tried per axis


@dataclass(frozen=True)
class Placement:
    """Rigid map from a section's level-0 px to those of its tumour's first section, and the outlines' Dice under it."""

    matrix: np.ndarray  # 2 × 3
    degrees: float
    dice: float


def prepare_study(
    *,
    data: str | Path,
    output: str | Path,
    sections: Mapping[str, Sequence[str]] = SECTIONS,
    traits: Sequence[str] = TRAITS,
    controls: Sequence[str] = CONTROLS,
    seed: int = 1,
) -> pd.DataFrame:
    """Write the study's sheets below ``output`` from the folder that holds ``her2st/``; returns the table of cores.

    Raises InputError where a file or a trait is missing.
    """
    folder, output = Path(data) / "her2st", Path(output)
    names = [(patient, name) for patient, members in sections.items() for name in members]
    loaded = {name: read_section(folder, name) for _, name in progress(names, total=len(names), what="sections read")}
    cores = pd.concat(
        cut_patient(patient, [loaded[name] for name in members]) for patient, members in sections.items()
    ).reset_index(drop=True)
    spots = pd.concat(assign_spots(section, cores) for section in loaded.values())
    bulk = sum_counts(loaded.values(), spots).reindex(cores["slide"])
    for trait in (*traits, *controls):
        if trait not in bulk:
            hint = nearest(trait, bulk.columns)
            raise InputError(f"Expected a gene of {folder / 'counts'} ({bulk.shape[1]} genes), found {trait!r}{hint}")
    expression = log_cpm(bulk)
    measured = expression.loc[:, (bulk > 0).mean() >= 0.5]
    listed = measured.join(expression[[trait for trait in traits if trait not in measured]])
    in_place = pd.concat([log_shares(section.counts, list(listed)) for section in loaded.values()])
    rois = pd.concat([spots.reset_index(drop=True), in_place.astype(np.float32).reset_index(drop=True)], axis=1)
    for trait in controls:
        listed[f"{trait}_shuffled"] = shuffle_within(
            expression[trait].to_numpy(), cores["patient"].to_numpy(), seed=(seed, zlib.crc32(trait.encode()))
        )
    spots = spots.assign(**{trait: in_place[trait].to_numpy() for trait in traits})
    spots = spots.assign(**{f"{trait}_shuffled": spots[trait] for trait in controls})
    write_table(cores.drop(columns=["section", "n_spots"]), output / "slides.tsv")
    write_table(listed.round(5).T.rename_axis("trait").reset_index(), output / "expression.tsv")
    write_table(spots[spots["slide"] != ""].round(5), output / "spots.tsv")
    write_table(rois[rois["slide"] != ""], output / "rois.parquet")
    marked = spots.assign(**{"class": pd.concat(map(mark_clusters, loaded.values())).to_numpy()})
    marked = marked.loc[(marked["slide"] != "") & (marked["class"] != ""), ["slide", "x_px", "y_px", "class"]]
    write_table(marked.round(5), output / "annotations.tsv")
    copy_sets(Path(data), output)
    write_sections(folder, sections, cores=cores, output=output, mpp=MPP)
    asked = [name for trait in traits for name in (trait, f"{trait}_shuffled") if name == trait or trait in controls]
    write_table(pd.DataFrame({"trait": asked}), output / "traits.tsv")
    return cores


def cut_patient(patient: str, sections: Sequence[Section]) -> pd.DataFrame:
    """The cores of one tumour's sections: slide, patient, file, mpp, x, y, width, height, block, section, n_spots."""
    outlines = {section.name: tissue_outline(section.image) for section in sections}
    fixed = outlines[sections[0].name]
    placements = {section.name: register(outlines[section.name], fixed) for section in sections}
    cores = place_cores({section.name: section.positions for section in sections}, placements)
    row, column = cores["row"] - cores["row"].min(), cores["col"] - cores["col"].min()
    cores["slide"] = cores["section"] + "-r" + row.astype(str) + "c" + column.astype(str)
    cores["patient"], cores["mpp"] = patient, MPP
    cores["file"] = cores["section"].map({section.name: section.image.as_posix() for section in sections})
    cores["block"] = patient + "-" + group_blocks(row.to_numpy(), column.to_numpy())
    return cores[
        ["slide", "patient", "file", "mpp", "x", "y", "width", "height", "block", "section", "n_spots"]
    ].sort_values("slide", kind="stable")


def tissue_outline(image: Path) -> np.ndarray:
    """Filled outline of the largest piece of tissue, boolean, at 1/32 of the image's size.

    Tissue is darker in green than the glass; the pink bleeding of eosin beside the sections stays below the threshold.
    """
    picture = cv2.imread(str(image), cv2.IMREAD_REDUCED_COLOR_8)
    if picture is None:
        raise InputError(f"Expected a JPEG image, found something else in {image}; fetch the file again")
    size = (picture.shape[1] * 8 // _REDUCTION, picture.shape[0] * 8 // _REDUCTION)
    green = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)[..., 1].astype(np.float32)
    mask = (np.median(green) - green > 33).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((25, 25), np.uint8))
    count, labels, statistics, _ = cv2.connectedComponentsWithStats(mask)
    if count < 2:
        raise InputError(f"Expected a tissue section, found only glass in {image}; check the image")
    return labels == 1 + statistics[1:, cv2.CC_STAT_AREA].argmax()


def register(moving: np.ndarray, fixed: np.ndarray) -> Placement:
    """The rotation (within ±20°, to 0.5°) and shift under which two tissue outlines correlate best, by FFT.

    Not the spot lattices: they are parallel in every image, and nearest neighbours lock onto them, not onto the tissue.
    """
    side = cv2.getOptimalDFTSize(2 * max(*moving.shape, *fixed.shape))
    soft_fixed = cv2.GaussianBlur(fixed.astype(np.float32), (0, 0), 2)
    spectrum = np.fft.rfft2(soft_fixed, (side, side))

    def correlate(degrees: float) -> tuple[float, float, np.ndarray]:
        matrix = cv2.getRotationMatrix2D((moving.shape[1] / 2, moving.shape[0] / 2), degrees, 1.0)
        turned = cv2.warpAffine(moving.astype(np.float32), matrix, moving.shape[::-1])
        turned = cv2.GaussianBlur(turned, (0, 0), 2)
        product = np.fft.irfft2(spectrum * np.conj(np.fft.rfft2(turned, (side, side))), (side, side))
        shift = np.array(np.unravel_index(product.argmax(), product.shape))
        shift[shift > side // 2] -= side
        matrix[:, 2] += shift[::-1]
        return float(product.max() / np.linalg.norm(turned)), degrees, matrix

    # At equal correlation the smaller turn: a section registered to itself does not move.
    coarse = max((correlate(degrees) for degrees in range(-20, 21, 2)), key=lambda found: (found[0], -abs(found[1])))
    fine = coarse[1] + np.arange(-1.5, 2.0, 0.5)
    _, degrees, matrix = max(map(correlate, fine), key=lambda found: (found[0], -abs(found[1])))
    moved = cv2.warpAffine(moving.astype(np.uint8), matrix, fixed.shape[::-1]) > 0
    dice = 2 * (moved & fixed).sum() / (moved.sum() + fixed.sum())
    matrix[:, 2] *= _REDUCTION
    return Placement(matrix, float(degrees), float(dice))


def place_cores(positions: Mapping[str, np.ndarray], placements: Mapping[str, Placement]) -> pd.DataFrame:
    """Cut all sections of a tumour by one lattice of places: section, row, col, x, y, width, height, n_spots.

    A core is kept where at least half of its possible spots are; of 8 × 8 lattice origins the one that yields most
    cores (then most spots) is taken. In a section that is turned by t degrees the squares shrink by cos t, so that
    neighbouring cores do not overlap.
    """
    best = pd.DataFrame()
    for x in np.arange(_OFFSETS) * CORE / _OFFSETS:
        for y in np.arange(_OFFSETS) * CORE / _OFFSETS:
            found = pd.concat(_cut_section(name, positions[name], placements[name], (x, y)) for name in positions)
            if not len(best) or (len(found), found["n_spots"].sum()) > (len(best), best["n_spots"].sum()):
                best = found
    return best.reset_index(drop=True)


def group_blocks(row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Block names of lattice places, 2 × 2 each; of the four ways to tile, the one that parts fewest neighbours."""
    places = np.unique(np.stack([row, column], axis=-1), axis=0)
    distance = np.abs(places[:, None, :] - places[None, :, :]).sum(axis=2)

    def parted(corner: tuple[int, int]) -> int:
        block = (places + corner) // 2
        return int(((block[:, None, :] != block[None, :, :]).any(axis=2) & (distance == 1)).sum())

    down, across = min([(0, 0), (0, 1), (1, 0), (1, 1)], key=parted)
    pairs = zip((row + down) // 2, (column + across) // 2, strict=True)
    return np.array([f"{vertical}.{horizontal}" for vertical, horizontal in pairs])


def assign_spots(section: Section, cores: pd.DataFrame) -> pd.DataFrame:
    """All spots of a section: slide (its core, or blank), section, x_px, y_px, total counts; index = the spot's id."""
    x, y = section.positions.T
    table = pd.DataFrame({"slide": "", "section": section.name, "x_px": x, "y_px": y}, index=section.counts.index)
    table["total"] = section.counts.sum(axis=1)
    for core in cores[cores["section"] == section.name].itertuples():
        inside = (x >= core.x) & (x < core.x + core.width) & (y >= core.y) & (y < core.y + core.height)
        table.loc[inside, "slide"] = core.slide
    return table


def sum_counts(sections: Sequence[Section], spots: pd.DataFrame) -> pd.DataFrame:
    """Summed counts of each core's spots (cores × genes); a gene that a section does not list counts 0 there."""
    parts = []
    for section in sections:
        core = spots.loc[spots["section"] == section.name, "slide"].to_numpy()
        parts.append(section.counts[core != ""].groupby(core[core != ""]).sum())
    return pd.concat(parts).fillna(0)


def log_cpm(counts: pd.DataFrame) -> pd.DataFrame:
    """log2 counts per million of each row, with limma-voom's offsets (Law 2014): log2((c + 0.5) / (N + 1) × 10⁶)."""
    return np.log2((counts + 0.5).div(counts.sum(axis=1) + 1, axis=0) * 1e6)


def shuffle_within(values: np.ndarray, groups: np.ndarray, *, seed: int | tuple[int, ...]) -> np.ndarray:
    """``values`` permuted inside each group: keeps every group's distribution, breaks the tie to the tissue."""
    rng = np.random.default_rng(seed)
    shuffled = values.copy()
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        shuffled[members] = values[rng.permutation(members)]
    return shuffled


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of the study's preparation."""
    parser = argparse.ArgumentParser(description="Cut the real breast sections into a cohort of virtual cores.")
    parser.add_argument("--data", required=True, help="folder that holds her2st/ (images, counts, spots)")
    parser.add_argument("--output", required=True, help="folder of the study, for example data/her2st")
    parser.add_argument("--small", action="store_true", help="B4 and C2 only, fewer traits")
    parser.add_argument("--seed", type=int, default=1, help="of the shuffled controls")
    given = parser.parse_args(arguments)
    chosen = (SMALL_SECTIONS, SMALL_TRAITS, SMALL_CONTROLS) if given.small else (SECTIONS, TRAITS, CONTROLS)
    sections, traits, controls = chosen
    cores = prepare_study(
        data=given.data, output=given.output, sections=sections, traits=traits, controls=controls, seed=given.seed
    )
    print(f"{len(cores)} cores in {cores['block'].nunique()} blocks of {cores['patient'].nunique()} patients")


def _cut_section(name: str, spots: np.ndarray, placement: Placement, origin: tuple[float, float]) -> pd.DataFrame:
    """The cores of one section for a lattice with a corner at ``origin`` (px of the tumour's first section)."""
    side = int(CORE * np.cos(np.deg2rad(placement.degrees)))
    lattice_spots = spots @ placement.matrix[:, :2].T + placement.matrix[:, 2]
    low, high = (
        np.floor((lattice_spots.min(axis=0) - origin) / CORE) - 1,
        np.ceil((lattice_spots.max(axis=0) - origin) / CORE),
    )
    column, row = (
        axis.ravel()
        for axis in np.meshgrid(np.arange(low[0], high[0] + 1), np.arange(low[1], high[1] + 1), indexing="ij")
    )
    centres = np.stack([column + 0.5, row + 0.5], axis=-1) * CORE + origin
    back = cv2.invertAffineTransform(placement.matrix)
    corner = np.rint(centres @ back[:, :2].T + back[:, 2] - side / 2)
    offset = spots[None, :, :] - corner[:, None, :]
    n_spots = ((offset >= 0) & (offset < side)).all(axis=2).sum(axis=1)
    table = pd.DataFrame({"section": name, "row": row, "col": column, "x": corner[:, 0], "y": corner[:, 1]})
    table = table.assign(width=side, height=side, n_spots=n_spots)
    kept = (corner >= 0).all(axis=1) & (n_spots >= 0.5 * (side / SPOT_PITCH) ** 2)
    return table[kept].astype({"row": int, "col": int, "x": int, "y": int})


if __name__ == "__main__":
    main()
