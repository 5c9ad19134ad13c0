# Reads:  the study (config), KERAS_BACKEND, and of each cohort the slide sheet only.
# Writes: nothing. Holds the study and the small functions that tell a job about its cohort or slide.
import os
from functools import cache

from histocarta.annotation_sheets import annotation_files
from histocarta.backends import check_backend
from histocarta.config import read_study
from histocarta.errors import InputError
from histocarta.footprint import scoring_mb, together_mb, training_mb
from histocarta.formats import is_plain_image, plain_image_named, pyramid_name
from histocarta.preflight import check_slides, is_absent
from histocarta.section_sheets import NO_SECTION, read_sections, section_files, section_row
from histocarta.sheets import mpp_of_file, read_cohort_slides, read_traits
from histocarta.spot_names import BASELINE_NAMES, is_control
from histocarta.tasks import TASKS
from histocarta.versions import VERSION

check_backend(os.environ)
STUDY = read_study(config, files=workflow.configfiles)
SETTINGS = STUDY.model_dump()
SLIDES = {name: read_cohort_slides(cohort).set_index("slide") for name, cohort in SETTINGS["cohorts"].items()}
GDC = {row["file"]: row for sheet in SLIDES.values() if "md5" in sheet for row in sheet.to_dict("records")}
SECTIONS = {
    name: read_sections(cohort.sections, check_files=False) if cohort.sections else None
    for name, cohort in STUDY.cohorts.items()
}
# Traits whose own files the study asks for.
TRAITS = {
    name: read_traits(task.traits) if task.traits and task.one_by_one() else [] for name, task in STUDY.tasks.items()
}
TENSORFLOW_ENV = f"../envs/{STUDY.tensorflow_env}.yaml"


def sheets_of_cohort(wildcards):
    """The user's tables that a cohort is made from, by name."""
    return STUDY.cohorts[wildcards.cohort].files()


def cohort_settings(wildcards):
    """What :func:`histocarta.cohort.prepare_cohort` is told of a cohort."""
    return STUDY.cohorts[wildcards.cohort].preparation()


def gdc_md5(wildcards):
    """The manifest's MD5 of a slide file."""
    return GDC[f"{wildcards.folder}/{wildcards.uuid}/{wildcards.filename}"]["md5"]


def gdc_size(wildcards):
    """The manifest's size of a slide file, bytes."""
    return int(GDC[f"{wildcards.folder}/{wildcards.uuid}/{wildcards.filename}"]["size"])


def kept_or_temporary(path):
    """``path``, deleted once nothing needs it any more where the study does not keep its slides."""
    return path if STUDY.downloads.keep_slides else temp(path)


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
    file = row["file"]
    if row["exclude"]:
        return []  # a slide that the sheet excludes need not be there, nor be downloaded
    if file not in GDC and is_absent(file, slide=wildcards.slide, cohort=wildcards.cohort):
        if workflow.is_main_process:
            most_slides_are_there(wildcards.cohort)
        return []
    return f"results/{wildcards.cohort}/images/{pyramid_name(file)}.tif" if is_plain_image(file) else file


@cache
def most_slides_are_there(cohort):
    """Asked once, where slides are needed at all: a study of tables has none."""
    check_slides(SLIDES[cohort], cohort=cohort, max_excluded=STUDY.max_excluded)


def plain_image(wildcards):
    """The plain image behind an imported pyramid."""
    return plain_image_named(wildcards.image, SLIDES[wildcards.cohort]["file"])


def plain_image_mpp(wildcards):
    """The sheet's resolution of a plain image, µm per pixel, or a blank: the survey says what to do about that."""
    return mpp_of_file(plain_image(wildcards), slides=SLIDES[wildcards.cohort])


def tiling_settings(wildcards):
    """How a layout's tiles are cut and judged."""
    return STUDY.layouts[wildcards.layout].tiling()


def staining_settings(wildcards):
    """How a layout's stain is estimated."""
    return STUDY.layouts[wildcards.layout].staining()


def heterogeneity_settings(wildcards):
    """How the heterogeneity of a set of traits is measured."""
    return STUDY.heterogeneity_of(wildcards.task, wildcards.traits.split("+")).measuring()


def slides_of_cohort(wildcards):
    """All slides of the cohort: for cohort-level rules only, per-trait jobs read the manifest."""
    return list(SLIDES[wildcards.cohort].index)
