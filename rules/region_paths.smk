# Reads:  the study, as rules/common.smk has it.
# Writes: nothing. Holds the small functions that say where annotations lie, and which models tell a cohort's regions.


def annotations_of_cohort(wildcards):
    """The cohort's sheet of annotations."""
    path = STUDY.cohorts[wildcards.cohort].annotations
    if path is None:
        raise InputError(f"Expected annotations in cohorts.{wildcards.cohort}, found none; name the sheet")
    return path


def annotation_files_of_cohort(wildcards):
    """The GeoJSON files that the cohort's annotations name."""
    return annotation_files(annotations_of_cohort(wildcards))


def labelling_of_region(wildcards):
    """What tiles that nobody marked teach of a region of the study."""
    task = STUDY.tasks["regions"]
    if wildcards.trait not in task.traits:
        raise InputError(f"Expected one of the regions {', '.join(task.traits)}, found {wildcards.trait}")
    return {"unmarked": task.unmarked}


def manifest_of_source(wildcards):
    """The manifest of the layout whose tiles a layout keeps."""
    return f"results/{wildcards.cohort}/{STUDY.layouts[wildcards.layout].of}/manifest.tsv"


def choice_of_layout(wildcards):
    """Which region a layout keeps to, and from which score on."""
    layout = STUDY.layouts[wildcards.layout]
    return {"region": layout.region, "min_score": layout.min_score}


def folder_of_region(wildcards):
    """Where the models of a layout's region lie: the cohort's own, or those of the cohort that it is external to."""
    own = STUDY.cohorts[wildcards.cohort].external_to or wildcards.cohort
    return f"results/{own}/traits/{STUDY.layouts[wildcards.layout].region}/regions"


def scores_of_region(wildcards):
    """Every tile's score of the region that a layout keeps to."""
    external = STUDY.cohorts[wildcards.cohort].external_to is not None
    file = f"external/{wildcards.cohort}/scores.parquet" if external else "consensus/scores.parquet"
    return f"{folder_of_region(wildcards)}/{file}"


def metrics_of_region(wildcards):
    """Whether the region has a classifier, and how good it is."""
    return f"{folder_of_region(wildcards)}/consensus/metrics.json"


def regions_of_cohort(wildcards):
    """How well each region is told, where the study has any."""
    if not is_trained(wildcards.cohort):
        return []
    pattern = "results/{cohort}/traits/{trait}/regions/consensus/metrics.json"
    return collect(pattern, cohort=wildcards.cohort, trait=TRAITS.get("regions", []))
