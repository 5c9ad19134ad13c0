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


def slides_of_cohort(wildcards):
    """All slides of the cohort: for cohort-level rules only, per-trait jobs read the manifest."""
    return list(SLIDES[wildcards.cohort].index)


def rounds_of_scheme(name):
    """Round numbers of a split scheme; leaving one patient out gives a round per patient."""
    scheme = STUDY.splits[name]
    patients = next(iter(SLIDES.values()))["patient"].nunique()
    return list(range(1, 1 + (patients if scheme.leave_out == "patient" else scheme.rounds)))


def spots_of_cohort(wildcards):
    """The cohort's table of expression measured in place."""
    return STUDY.cohorts[wildcards.cohort].spots


def traits_joined(wildcards):
    """The traits of a ``A+B`` path."""
    return wildcards.traits.split("+")
