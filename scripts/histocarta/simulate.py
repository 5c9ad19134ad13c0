"""Who is in a synthetic cohort and what was planted in it: patients, traits, hazards, faulty slides, and the truth.

Two latent fields shape each slide's morphology (simulate_tissue). A patient's bulk expression of traits ``A`` and
``B`` is the log of the field's mean over the tissue plus noise; the trait ``noise`` and the genes ``null…`` follow
nothing; the hazard grows with the true heterogeneity. ``python -m histocarta.simulate --output data/demo`` writes the
sheets of a study:

    slides.tsv  expression.tsv (traits × patients, log2)  clinical.tsv (months)  traits.tsv  spots.tsv  slides/*.svs
    annotations.tsv  annotations/*.geojson (glands and stroma, of some slides)
    truth/cells.tsv  truth/slides.tsv  truth/patients.tsv  truth/recipe.json
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

from histocarta.files import write_json, write_table
from histocarta.progress import progress
from histocarta.simulate_annotations import write_annotations
from histocarta.simulate_slide import FIELDS, SlidePlan, SlideTruth, simulate_slide

TRAITS = (*FIELDS, "noise")
# The first patients carry one fault each; the fields and the expression behind it are as good as any other's.
FAULTY = ("two-slides", "pen-green", "pen-blue", "blur", "40x", "objective-only")
# These patients come on top of the recipe's number: nothing of them can be used.
UNUSABLE = ("empty", "no-mpp")


@dataclass(frozen=True)
class Recipe:
    """A cohort's size and how loudly its truth speaks."""

    patients: int
    cells: int = 8  # per side of a slide, of cell_um each
    rim: float = 1.0  # cells of glass around the tissue
    cell_um: float = 37.5  # 75 px at 0.5 µm/px: the demo's tile
    mpp: float = 0.5
    low: tuple[float, float] = (0.03, 0.38)  # share of the tissue in a field's high state: half of the patients
    high: tuple[float, float] = (0.62, 0.97)  # and the other half
    expression_noise: float = 0.25  # sd, log2 units
    log_hazard_per_sd: float = 1.2  # of the true HTI
    median_months: float = 40.0
    follow_up_months: tuple[float, float] = (18.0, 140.0)
    spot_slides: int = 4
    annotated_slides: int = 12  # on which glands and stroma are marked
    null_genes: int = 200  # beside the trait «noise»: enough to see whether p-values hold what they promise
    prefix: str = "P"  # of the patients' names
    uptake: tuple[float, float] = (1.0, 1.0)  # of haematoxylin and eosin, times the usual: another laboratory
    expression_shift: float = 0.0  # log2 units, added to every gene: another platform


PRESETS = {
    "demo": Recipe(patients=80),
    "small": Recipe(patients=20, spot_slides=1, null_genes=0),
    "recovery": Recipe(patients=160),
    # Other patients, from a laboratory and a platform of other habits: external to the demo.
    "external": Recipe(
        patients=24, spot_slides=0, annotated_slides=0, prefix="X", uptake=(1.25, 0.75), expression_shift=2.0
    ),
}


def simulate_cohort(*, output: str | Path, recipe: Recipe, seed: int, processes: int = 2) -> None:
    """Write a whole synthetic study below ``output``; the same recipe and seed give the same bytes.

    Paths in slides.tsv begin with ``output`` as given: relative to the folder where the workflow runs.
    """
    output = Path(output)
    rng = np.random.default_rng([seed, 0])
    shares = draw_prevalences(rng, recipe=recipe)
    plans = plan_slides(output=output, recipe=recipe, seed=seed, shares=shares)
    truths = list(progress(_simulate_all(plans, processes), total=len(plans), what="synthetic slides"))
    slides = pd.DataFrame([truth.summary for truth in truths])
    patients = slides.groupby("patient")[["mean_A", "mean_B", "hti"]].mean().join(shares)
    expression = measure_expression(rng, patients=patients, recipe=recipe)
    expression = pd.concat([expression, draw_null_genes(patients.index, recipe=recipe, seed=seed)])
    expression = (expression + recipe.expression_shift).round(4)
    clinical, patients["log_hazard"] = follow_up(rng, heterogeneity=patients["hti"], recipe=recipe)

    files = pd.DataFrame(
        [(plan.slide, plan.patient, plan.path) for plan in plans], columns=["slide", "patient", "file"]
    )
    write_table(files, output / "slides.tsv")
    write_table(expression.rename_axis("trait").reset_index(), output / "expression.tsv")
    write_table(clinical.reset_index(), output / "clinical.tsv")
    write_table(pd.DataFrame({"trait": TRAITS}), output / "traits.tsv")
    spots = [truth.spots for truth in truths if truth.spots is not None]
    if spots:
        write_table(pd.concat(spots), output / "spots.tsv")
    cells = pd.concat(truth.cells for truth in truths)
    if recipe.annotated_slides:
        marked = slides[slides["defect"] == ""].head(recipe.annotated_slides)
        sides = (recipe.cell_um / marked["mpp"]).round().astype(int)
        write_annotations(cells, slides=dict(zip(marked["slide"], sides, strict=True)), output=output)
    write_table(cells, output / "truth" / "cells.tsv")
    write_table(slides, output / "truth" / "slides.tsv")
    write_table(patients.reset_index(), output / "truth" / "patients.tsv")
    write_json({"seed": seed, "null_traits": ["noise"], **asdict(recipe)}, output / "truth" / "recipe.json")


def draw_prevalences(rng: np.random.Generator, *, recipe: Recipe) -> pd.DataFrame:
    """Per patient (index) the share of tissue in the high state of each field: columns share_A, share_B.

    Half of the patients are high in a field, and the two fields' halves cross evenly, so that neither predicts the
    other. Extreme shares make homogeneous slides, middling ones mixed slides.
    """
    count = recipe.patients + len(UNUSABLE)
    groups = rng.permutation(np.arange(count) % 4)
    table = pd.DataFrame(
        index=pd.Index([f"{recipe.prefix}{number:03d}" for number in range(1, count + 1)], name="patient")
    )
    for bit, field in enumerate(FIELDS):
        is_high = (groups >> bit) & 1 == 1
        table[f"share_{field}"] = np.where(is_high, rng.uniform(*recipe.high, count), rng.uniform(*recipe.low, count))
    return table


def plan_slides(*, output: Path, recipe: Recipe, seed: int, shares: pd.DataFrame) -> list[SlidePlan]:
    """One plan per slide: the first patients get FAULTY, the last two are UNUSABLE, the last good slides have spots."""
    faults = ["" if fault == "two-slides" else fault for fault in FAULTY]
    faults += [""] * (recipe.patients - len(faults)) + list(UNUSABLE)
    plans = []
    for number, (patient, share, fault) in enumerate(zip(shares.index, shares.to_numpy(), faults, strict=True)):
        slide = f"{patient}-1"
        plans.append(
            SlidePlan(
                slide=slide,
                patient=patient,
                path=(output / "slides" / f"{slide}.svs").as_posix(),
                seed=(seed, 1, number),
                prevalence=(float(share[0]), float(share[1])),
                defect=fault,
                cells=recipe.cells,
                rim=recipe.rim,
                cell_um=recipe.cell_um,
                mpp=recipe.mpp,
                spots=recipe.patients - recipe.spot_slides <= number < recipe.patients,
                uptake=recipe.uptake,
            )
        )
    first = plans[FAULTY.index("two-slides")]
    second = f"{first.patient}-2"
    path = (output / "slides" / f"{second}.svs").as_posix()
    plans.insert(1, replace(first, slide=second, path=path, seed=(seed, 2, 0)))
    return plans


def measure_expression(rng: np.random.Generator, *, patients: pd.DataFrame, recipe: Recipe) -> pd.DataFrame:
    """Bulk expression, traits × patients, log2: log2(1 + 31 × mean of the field) + noise; ``noise`` is noise only."""
    sd = recipe.expression_noise
    rows = {
        field: np.log2(1 + 31 * patients[f"mean_{field}"].to_numpy()) + rng.normal(0, sd, len(patients))
        for field in FIELDS
    }
    rows["noise"] = rng.normal(3, 1, len(patients))
    return pd.DataFrame.from_dict(rows, orient="index", columns=patients.index).round(4)


def draw_null_genes(patients: pd.Index, *, recipe: Recipe, seed: int) -> pd.DataFrame:
    """Genes that follow nothing, traits × patients, log2; a stream of their own leaves all else as it was."""
    rng = np.random.default_rng([seed, 3])
    names = [f"null{number:03d}" for number in range(1, 1 + recipe.null_genes)]
    return pd.DataFrame(rng.normal(5, 1, (len(names), len(patients))).round(4), index=names, columns=patients)


def follow_up(rng: np.random.Generator, *, heterogeneity: pd.Series, recipe: Recipe) -> tuple[pd.DataFrame, pd.Series]:
    """Clinical sheet (index patient; time in months, event 0/1, age, er_status, pam50) and the planted log hazard.

    Exponential survival whose log hazard grows by ``log_hazard_per_sd`` per standard deviation of the true HTI (0 where
    the HTI is not defined), under uniform censoring. The covariates are drawn without regard to anything.
    """
    count = len(heterogeneity)
    score = (heterogeneity - heterogeneity.mean()) / heterogeneity.std()
    log_hazard = (recipe.log_hazard_per_sd * score).fillna(0.0)
    death = rng.exponential(recipe.median_months / np.log(2) / np.exp(log_hazard.to_numpy()))
    end = rng.uniform(*recipe.follow_up_months, count)
    clinical = pd.DataFrame(
        {
            "time": np.maximum(np.minimum(death, end), 0.1).round(2),
            "event": (death <= end).astype(int),
            "age": rng.normal(58, 11, count).round().astype(int),
            "er_status": rng.choice(["positive", "negative"], count, p=[0.7, 0.3]),
            "pam50": rng.choice(["LumA", "LumB", "Her2", "Basal"], count),
        },
        index=heterogeneity.index,
    )
    return clinical, log_hazard


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of the generator."""
    parser = argparse.ArgumentParser(description="Write a synthetic cohort with planted truth.")
    parser.add_argument("--output", required=True, help="folder of the study, for example data/demo")
    parser.add_argument("--preset", choices=sorted(PRESETS), default="demo")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--patients", type=int, help="usable patients, where the preset's number does not suit")
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args(arguments)
    recipe = PRESETS[given.preset]
    if given.patients is not None:
        if given.patients < len(FAULTY):
            parser.error(f"--patients: expected at least {len(FAULTY)} (one per planted fault), found {given.patients}")
        recipe = replace(recipe, patients=given.patients)
    simulate_cohort(output=given.output, recipe=recipe, seed=given.seed, processes=given.processes)


def _simulate_all(plans: list[SlidePlan], processes: int) -> Iterator[SlideTruth]:
    if processes == 1:
        yield from map(simulate_slide, plans)
        return
    # spawn, not fork: OpenCV's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        yield from pool.map(simulate_slide, plans, chunksize=2)


if __name__ == "__main__":
    main()
