"""Which patients, sections and spots a synthetic cohort of spatially measured tissue has, and what each spot sees.

The slides are those of simulate_slide, with more tissue. A spot sees a window of one cell: the means of the latent
fields there, which shape its pixels too, set the rates of the planted genes (simulate_counts); the null genes follow
the depth of sequencing only, which differs between two groups of patients. ``python -m
histocarta.simulate_sections --output data/demo-spots`` writes the sheets of a study:

    slides.tsv  sections.tsv  slides/*.svs
    counts/*.tsv.gz and spots/*.tsv (square lattice), or visium/* and annotations/*.tsv (hexagonal lattice)
    truth/genes.tsv  truth/spots.tsv  truth/patients.tsv  truth/recipe.json
"""

import argparse
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from histocarta.errors import InputError
from histocarta.files import write_json, write_table
from histocarta.progress import progress
from histocarta.simulate_counts import draw_counts, list_genes
from histocarta.simulate_section_files import SHEETS, WRITERS
from histocarta.simulate_slide import FIELDS, SlidePlan, simulate_slide

CLASSES = {True: "tumour", False: "normal"}  # by whether field A is high
COVERED = 0.5  # share of tissue in a spot's window from which on its counts are kept
JITTER = 0.02  # sd of a spot's place on a square lattice, pitches: an arrayer's needles are not a grid
FIRST = {"square": (2, 4), "hexagonal": (0, 0)}  # row and column of the first spot


@dataclass(frozen=True)
class SectionRecipe:
    """A cohort's size, its lattice and how deeply it was sequenced."""

    patients: int
    second_sections: int = 0  # of the first patients
    lattice: str = "square"
    cells: tuple[int, int] = (12, 13)  # per side of a slide, lowest and highest
    rim: float = 1.0  # cells of glass around the tissue
    cell_um: float = 37.5  # a spot's window: 75 px at 0.5 µm/px
    mpp: float = 0.5
    pitch_um: float = 37.5  # a Visium's is 100: tissue is as much smaller here
    diameter_um: float = 20.0
    prevalence: tuple[float, float] = (0.3, 0.7)  # share of the tissue in a field's high state
    depths: tuple[float, float] = (800.0, 6400.0)  # counts per spot, of the two groups of patients
    depth_sd: float = 0.35  # of a spot's log depth
    overdispersion: float = 0.08  # variance of a rate over its squared mean
    null_genes: int = 35
    null_span: float = 1e-4  # share of the rarest null gene over that of the commonest
    prefix: str = "S"  # of the patients' names


PRESETS = {
    "demo": SectionRecipe(patients=6),
    "hexagonal": SectionRecipe(patients=3, lattice="hexagonal", prefix="V"),
    "small": SectionRecipe(patients=4, second_sections=1, cells=(7, 8)),
}


@dataclass(frozen=True)
class SectionPlan:
    """All that decides one section; picklable, so that a process pool can share the work."""

    slide: SlidePlan
    output: Path
    recipe: SectionRecipe
    seed: tuple[int, ...]
    depth: float  # counts per spot


def simulate_sections(*, output: str | Path, recipe: SectionRecipe, seed: int, processes: int = 2) -> None:
    """Write a whole study of sections below ``output``; the same recipe and seed give the same bytes.

    Paths in the sheets begin with ``output`` as given: relative to the folder where the workflow runs. An InputError
    says which lattices there are.
    """
    if recipe.lattice not in WRITERS:
        raise InputError(f"Expected a lattice of {', '.join(WRITERS)}, found {recipe.lattice!r}; choose one of them.")
    output = Path(output)
    patients = draw_patients(np.random.default_rng([seed, 0]), recipe=recipe)
    plans = plan_sections(patients, output=output, recipe=recipe, seed=seed)
    spots = list(progress(_simulate_all(plans, processes), total=len(plans), what="synthetic sections"))

    slides = [(plan.slide.slide, plan.slide.patient, plan.slide.path) for plan in plans]
    write_table(pd.DataFrame(slides, columns=["slide", "patient", "file"]), output / "slides.tsv")
    sections = pd.DataFrame([SHEETS[recipe.lattice](output, slide) for slide, _, _ in slides])
    sections.insert(3, "lattice", recipe.lattice)
    sections.insert(4, "pitch_um", recipe.pitch_um)
    sections.insert(5, "diameter_um", recipe.diameter_um)
    write_table(sections, output / "sections.tsv")
    genes = list_genes(nulls=recipe.null_genes, span=recipe.null_span)
    write_table(genes, output / "truth" / "genes.tsv")
    write_table(pd.concat(spots), output / "truth" / "spots.tsv")
    write_table(patients.reset_index(), output / "truth" / "patients.tsv")
    write_json({"seed": seed, **asdict(recipe)}, output / "truth" / "recipe.json")


def draw_patients(rng: np.random.Generator, *, recipe: SectionRecipe) -> pd.DataFrame:
    """Per patient (index): share_A, share_B (of tissue in a field's high state) and depth (counts per spot).

    Half of the patients, the smaller one of an odd number, were sequenced deeply; neither field knows of it.
    """
    count = recipe.patients
    names = pd.Index([f"{recipe.prefix}{number:03d}" for number in range(1, count + 1)], name="patient")
    table = pd.DataFrame(index=names)
    for field in FIELDS:
        table[f"share_{field}"] = rng.uniform(*recipe.prevalence, count).round(4)
    table["depth"] = np.asarray(recipe.depths)[rng.permutation(np.arange(count) % 2)]
    return table


def plan_sections(patients: pd.DataFrame, *, output: Path, recipe: SectionRecipe, seed: int) -> list[SectionPlan]:
    """One plan per section: one of each patient, and a second one of the first ``second_sections``."""
    plans = []
    for place, (patient, row) in enumerate(patients.iterrows()):
        for number in range(1, 3 if place < recipe.second_sections else 2):
            # The name decides too: cohorts of the same seed must not share tissue.
            slide = f"{patient}-{number}"
            stream = (seed, int.from_bytes(slide.encode()))
            plan = SlidePlan(
                slide=slide,
                patient=str(patient),
                path=(output / "slides" / f"{slide}.svs").as_posix(),
                seed=(*stream, 0),
                prevalence=(float(row["share_A"]), float(row["share_B"])),
                defect="",
                cells=int(np.random.default_rng((*stream, 1)).integers(recipe.cells[0], recipe.cells[1] + 1)),
                rim=recipe.rim,
                cell_um=recipe.cell_um,
                mpp=recipe.mpp,
                spots=False,
                keeps_maps=True,
            )
            plans.append(SectionPlan(plan, output, recipe, seed=(*stream, 2), depth=float(row["depth"])))
    return plans


def simulate_section(plan: SectionPlan) -> pd.DataFrame:
    """Write one slide and what its spots counted; return the truth of the spots on tissue.

    Columns: slide, row, col, x_px, y_px (level-0 px), A, B (means of the fields over the window's tissue, 0..1),
    nuclei, tissue (shares of the window), depth (counts expected of all genes), annotation.
    """
    recipe, rng = plan.recipe, np.random.default_rng(plan.seed)
    maps = simulate_slide(plan.slide).maps
    window = recipe.cell_um / recipe.mpp
    spots = place_spots(
        rng, side=maps["tissue"].shape[0], lattice=recipe.lattice, pitch=recipe.pitch_um / recipe.mpp, window=window
    )
    spots = pd.concat([spots, window_means(maps, spots, window=round(window))], axis=1)
    spots["selected"] = (spots["tissue"] >= COVERED).astype(int)
    spots["depth"] = (plan.depth * np.exp(rng.normal(0, recipe.depth_sd, len(spots)))).round(1)
    spots["annotation"] = np.where(spots["selected"] == 1, (spots["A"] > 0.5).map(CLASSES), "")
    on_tissue = spots[spots["selected"] == 1].reset_index(drop=True)
    genes = list_genes(nulls=recipe.null_genes, span=recipe.null_span)
    counts = draw_counts(rng, spots=on_tissue, genes=genes, overdispersion=recipe.overdispersion)
    WRITERS[recipe.lattice](
        plan.output,
        plan.slide.slide,
        spots=spots,
        counts=counts,
        rgb=maps["rgb"],
        pitch=recipe.pitch_um / recipe.mpp,
        diameter=recipe.diameter_um / recipe.mpp,
    )
    columns = ["row", "col", "x_px", "y_px", *FIELDS, "nuclei", "tissue", "depth", "annotation"]
    truth = on_tissue[columns].round(dict.fromkeys([*FIELDS, "nuclei", "tissue"], 4))
    truth.insert(0, "slide", plan.slide.slide)
    return truth


def place_spots(rng: np.random.Generator, *, side: int, lattice: str, pitch: float, window: float) -> pd.DataFrame:
    """All spots of a lattice over a slide of ``side`` px whose windows lie inside: row, col, x_px, y_px.

    Neighbours are ``pitch`` px apart. Square: one row and column each, a needle's width astray. Hexagonal, as Visium
    counts: rows are ``pitch`` × √3/2 apart, columns ``pitch`` / 2, and row + col is even.
    """
    hexagonal = lattice == "hexagonal"
    step_x, step_y = (pitch / 2, pitch * np.sqrt(3) / 2) if hexagonal else (pitch, pitch)
    origin = window / 2 + 1 + rng.uniform(0, 0.5, 2) * pitch
    rows, columns = np.indices([int((side - origin[0]) / step_y) + 1, int((side - origin[1]) / step_x) + 1])
    kept = (rows + columns) % 2 == 0 if hexagonal else np.ones_like(rows, bool)
    rows, columns = rows[kept], columns[kept]
    places = np.stack([origin[1] + columns * step_x, origin[0] + rows * step_y], axis=1)
    # Space Ranger writes whole pixels; an ST file holds each spot as found, off its lattice point.
    places = places.round() if hexagonal else (places + rng.normal(0, JITTER * pitch, places.shape)).round(2)
    first = FIRST[lattice]
    table = pd.DataFrame(
        {"row": rows + first[0], "col": columns + first[1], "x_px": places[:, 0], "y_px": places[:, 1]}
    )
    inside = ((places >= window / 2) & (places <= side - window / 2)).all(axis=1)
    return table[inside].reset_index(drop=True)


def window_means(maps: dict[str, np.ndarray], spots: pd.DataFrame, *, window: int) -> pd.DataFrame:
    """Per spot the means of A and B over the tissue of its window (``window`` px square), and of nuclei and tissue.

    maps : (height, width) each. A field is what it is on glass too, but shapes no pixel there; NaN without tissue.
    """
    rows = []
    for x, y in spots[["x_px", "y_px"]].to_numpy():
        left, top = round(x - window / 2), round(y - window / 2)
        part = {name: maps[name][top : top + window, left : left + window] for name in ("tissue", "nuclei", *FIELDS)}
        weight = part["tissue"].sum(dtype=np.float64)
        row = {name: float(part[name].mean(dtype=np.float64)) for name in ("nuclei", "tissue")}
        for field in FIELDS:
            total = (part[field] * part["tissue"]).sum(dtype=np.float64)
            row[field] = float(total / weight) if weight > 0 else float("nan")
        rows.append(row)
    return pd.DataFrame(rows, index=spots.index)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of the generator."""
    parser = argparse.ArgumentParser(description="Write synthetic spatially measured sections with planted genes.")
    parser.add_argument("--output", required=True, help="folder of the study, for example data/demo-spots")
    parser.add_argument("--preset", choices=sorted(PRESETS), default="demo")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--patients", type=int, help="where the preset's number does not suit")
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args(arguments)
    recipe = PRESETS[given.preset]
    if given.patients is not None:
        if given.patients < 2:
            parser.error(f"--patients: expected at least 2 (one per depth), found {given.patients}")
        recipe = replace(recipe, patients=given.patients)
    simulate_sections(output=given.output, recipe=recipe, seed=given.seed, processes=given.processes)


def _simulate_all(plans: list[SectionPlan], processes: int) -> Iterator[pd.DataFrame]:
    if processes == 1:
        yield from map(simulate_section, plans)
        return
    # spawn, not fork: OpenCV's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        yield from pool.map(simulate_section, plans)


if __name__ == "__main__":
    main()
