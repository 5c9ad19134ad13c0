# Reads:  the study (config), and of each cohort the slide sheet only.
# Writes: nothing. Holds the small functions that turn wildcards into paths and parameters.
from pathlib import Path

from histocarta.config import read_study
from histocarta.formats import is_plain_image, plain_image_named
from histocarta.sheets import read_cohort_slides, read_traits
from histocarta.versions import VERSION

STUDY = read_study(config)
SETTINGS = STUDY.model_dump()
SLIDES = {name: read_cohort_slides(cohort).set_index("slide") for name, cohort in SETTINGS["cohorts"].items()}
TRAITS = {name: read_traits(task["traits"]) for name, task in SETTINGS["tasks"].items()}
TENSORFLOW_ENV = f"../envs/{STUDY.tensorflow_env}.yaml"


def sheets_of_cohort(wildcards):
    """The user's tables that a cohort is made from, by name."""
    return STUDY.cohorts[wildcards.cohort].files()


def cohort_settings(wildcards):
    """What :func:`histocarta.cohort.prepare_cohort` is told of a cohort."""
    return STUDY.cohorts[wildcards.cohort].preparation()


def gdc_md5(wildcards):
    """The manifest's MD5 of a slide file."""
    file = f"{wildcards.folder}/{wildcards.uuid}/{wildcards.filename}"
    return next(sheet.set_index("file").at[file, "md5"] for sheet in SLIDES.values() if file in set(sheet["file"]))


def slide_row(wildcards):
    """What the sheet says of one slide, and what its cohort says of slides without a resolution."""
    row, cohort = SLIDES[wildcards.cohort].loc[wildcards.slide], STUDY.cohorts[wildcards.cohort]
    return {
        "slide": wildcards.slide,
        "patient": row["patient"],
        "sheet_mpp": float(row["mpp"]) if row["mpp"] else None,
        "region": [float(row[key]) for key in ("x", "y", "width", "height")] if row["x"] else None,
        "exclude": row["exclude"],
        "default_mpp": cohort.default_mpp,
        "mpp_from_objective": cohort.mpp_from_objective,
    }


def slide_file(wildcards):
    """The file that OpenSlide opens: the sheet's own, or the pyramid made from a plain image."""
    row = SLIDES[wildcards.cohort].loc[wildcards.slide]
    if row["exclude"]:
        return []  # a slide that the sheet excludes need not be there, nor be downloaded
    file = row["file"]
    return f"results/{wildcards.cohort}/images/{Path(file).stem}.tif" if is_plain_image(file) else file


def plain_image(wildcards):
    """The plain image behind an imported pyramid."""
    return plain_image_named(wildcards.image, SLIDES[wildcards.cohort]["file"])


def plain_image_mpp(wildcards):
    """The sheet's resolution of a plain image, µm per pixel; an image without one is the job's error to tell."""
    sheet = SLIDES[wildcards.cohort].drop_duplicates("file").set_index("file")
    return sheet.at[plain_image(wildcards), "mpp"]


def tiling_settings(wildcards):
    """How a layout's tiles are cut and judged."""
    return STUDY.layouts[wildcards.layout].tiling()


def staining_settings(wildcards):
    """How a layout's stain is estimated."""
    return STUDY.layouts[wildcards.layout].staining()


def slides_of_cohort(wildcards):
    """All slides of the cohort: for cohort-level rules only, per-trait jobs read the manifest."""
    return list(SLIDES[wildcards.cohort].index)


def rounds_of_scheme(name):
    """Round numbers of a split scheme; leaving one patient out gives a round per patient."""
    scheme = STUDY.splits[name]
    patients = next(iter(SLIDES.values()))["patient"].nunique()
    return list(range(1, 1 + (patients if scheme.leave_out == "patient" else scheme.rounds)))


def manifest_of_task(wildcards):
    """The cohort manifest of the task's layout: the only slide-level input of a per-trait job."""
    return f"results/{wildcards.cohort}/{STUDY.tasks[wildcards.task].layout}/manifest.tsv"


def spots_of_cohort(wildcards):
    """The cohort's table of expression measured in place."""
    return STUDY.cohorts[wildcards.cohort].spots


def placed_spots_of_task(wildcards):
    """The cohort's spots on the tiles of the task's layout."""
    return f"results/{wildcards.cohort}/{STUDY.tasks[wildcards.task].layout}/spots.parquet"


def spot_agreements_of_cohort(wildcards):
    """Comparisons of every trait's map with measured spots, where the cohort has any."""
    pattern = "results/{cohort}/traits/{trait}/{task}/consensus/spots.json"
    return of_every_task(pattern)(wildcards) if spots_of_cohort(wildcards) else []


def splits_of_task(wildcards):
    """The split tables of the task's scheme, all rounds."""
    scheme = STUDY.tasks[wildcards.task].scheme
    return collect(
        "results/{cohort}/splits/{scheme}/round-{round}.tsv",
        cohort=wildcards.cohort,
        scheme=scheme,
        round=rounds_of_scheme(scheme),
    )


def unit_of_task(wildcards):
    """What the task's scheme splits by: patient, section or block."""
    return STUDY.splits[STUDY.tasks[wildcards.task].scheme].unit


def rounds_of_job(wildcards):
    """Round numbers that one training job is for: its path's round, or all where the job trains them together."""
    round = wildcards.get("round")
    return [int(round)] if round else rounds_of_scheme(STUDY.tasks[wildcards.task].scheme)


def sites_of_slide(wildcards):
    """Tile positions of one slide in the task's layout."""
    layout = STUDY.tasks[wildcards.task].layout
    return f"results/{wildcards.cohort}/slides/{wildcards.slide}/{layout}/sites.parquet"


def traits_joined(wildcards):
    """The traits of a ``A+B`` path."""
    return wildcards.traits.split("+")


def has_survival(cohort):
    """Whether the cohort has a clinical sheet, without which there is no survival analysis."""
    return STUDY.cohorts[cohort].clinical is not None


def of_every_slide(name, *, layouts=tuple(STUDY.layouts)):
    """An input function: one file of every slide in each of the ``layouts`` that a task reads."""
    used = sorted({task.layout for task in STUDY.tasks.values()} & set(layouts))

    def paths(wildcards):
        return collect(
            "results/{cohort}/slides/{slide}/{layout}/{name}",
            cohort=wildcards.cohort,
            slide=SLIDES[wildcards.cohort].index,
            layout=used,
            name=name,
        )

    return paths


def stains_of_cohort(wildcards):
    """Stain records of the layouts that normalise colours."""
    stained = [name for name, layout in STUDY.layouts.items() if layout.stain != "none"]
    return of_every_slide("stain.json", layouts=stained)(wildcards)


def heterogeneity_of_cohort(name):
    """An input function: one file of each set of traits that the study asks heterogeneity of."""

    def paths(wildcards):
        return [
            f"results/{wildcards.cohort}/heterogeneity/{item.task}/{'+'.join(item.traits)}/{name}"
            for item in STUDY.heterogeneity
        ]

    return paths


def survival_of_cohort(wildcards):
    """Survival analyses of a cohort with a clinical sheet, none of another."""
    return heterogeneity_of_cohort("survival.json")(wildcards) if has_survival(wildcards.cohort) else []


def traits_of_task(wildcards):
    """The traits that the study asks of a task; any other can still be asked for by its path."""
    return TRAITS[wildcards.task]


def of_every_task(pattern):
    """An input function: ``pattern`` filled with every trait, task and layout of the study."""

    def paths(wildcards):
        return sorted(
            {
                pattern.format(cohort=wildcards.cohort, task=name, layout=task.layout, trait=trait)
                for name, task in STUDY.tasks.items()
                for trait in TRAITS[name]
            }
        )

    return paths


def folder_of_report(wildcards, output):
    """The cohort's folder, where the report looks up pictures beside the tables that it is given."""
    return str(Path(output.report).parent)
