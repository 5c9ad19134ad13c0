# Reads:  the study, as rules/common.smk has it.
# Writes: nothing. Holds the small functions that turn a regression, its ways, contrasts and gene sets into paths and settings.


def traits_of_regression(wildcards):
    """The traits that have a regression model each."""
    return TRAITS["regression"]


def splits_of_regression(wildcards):
    """The split tables of the regression's scheme, all rounds."""
    return splits_of_scheme(wildcards.cohort, STUDY.tasks["regression"].scheme)


def controls_of_regression(wildcards):
    """What the controls predict of all genes, where the study predicts them at once."""
    controls = "results/{cohort}/transcriptome/controls/predictions.parquet"
    return controls.format(**wildcards) if STUDY.tasks["regression"].transcriptome else []


def control_of_way(wildcards):
    """The control that a way itself is: a probe of a network that is not trained."""
    task = STUDY.tasks["regression"]
    trained = task.model.weights or (task.transcriptome and task.transcriptome.features)
    return "untrained" if wildcards.way == "probe" and not trained else None


def selection_of_regression():
    """How genes are brought forward, where a scheme of one round has a validation part that no fit touches."""
    task = STUDY.tasks["regression"]
    honest = STUDY.splits[task.scheme].tuning > 0 and len(rounds_of_scheme(task.scheme)) == 1
    return task.selection.model_dump() if honest else None


def wanted_genes():
    """The genes that are to be predicted at once; None: all of the expression table."""
    genes = STUDY.tasks["regression"].transcriptome.genes
    return None if genes == "all" else read_traits(genes)


def clinical_of_cohort(wildcards):
    """The cohort's cleaned clinical sheet, where it has one."""
    return f"results/{wildcards.cohort}/sheets/clinical.parquet" if has_survival(wildcards.cohort) else []


def contrast_settings(wildcards):
    """Which patients a contrast compares."""
    return STUDY.contrasts[wildcards.contrast].model_dump()


def gene_sets_file(wildcards):
    """The GMT file of a name."""
    return STUDY.gene_sets[wildcards.sets]


def contrasts_of_cohort(wildcards):
    """Differential expression of every contrast: as measured, and as predicted in each way."""
    ways = [table.removeprefix("regression-") for task in STUDY.tasks.values() for table in task.tables()]
    sources = ["measured", *(way for way in ways if way != "extremes")]
    pattern = "results/{cohort}/contrasts/{contrast}/{source}.tsv"
    return collect(pattern, cohort=wildcards.cohort, contrast=STUDY.contrasts, source=sources)


def enrichment_of_cohort(wildcards):
    """Enrichment of every file of gene sets in what each contrast, and each way of predicting, ranks."""
    ways = [way for task in STUDY.tasks.values() for way in task.at_once()]
    by_contrast = "results/{cohort}/contrasts/{contrast}/enrichment-{sets}.tsv"
    by_way = "results/{cohort}/tables/enrichment-{way}-{sets}.tsv"
    return [
        *collect(by_contrast, cohort=wildcards.cohort, contrast=STUDY.contrasts, sets=STUDY.gene_sets),
        *collect(by_way, cohort=wildcards.cohort, way=ways, sets=STUDY.gene_sets),
    ]


def panels_of_cohort(wildcards):
    """How far the study's gene panels are predicted, in each way."""
    ways = [way for task in STUDY.tasks.values() for way in task.at_once()] if STUDY.panels else []
    return collect("results/{cohort}/tables/panels-{way}.tsv", cohort=wildcards.cohort, way=ways)


def features_call():
    """What :func:`histocarta.features.extract_features` is told of the regression's network."""
    task = STUDY.tasks["regression"]
    asked = task.training.model_dump(include={"gpus", "require_gpu", "batch", "precision"})
    return asked | {"network": task.model.model_dump(), "pooling": task.model.pooling, "seed": STUDY.seed}


def rois_of_cohort(wildcards):
    """The cohort's table of regions in which many genes were measured."""
    return STUDY.cohorts[wildcards.cohort].rois


def spatial_tables_of_cohort(wildcards):
    """How far all genes are predicted in place, where the cohort has regions and the study such ways."""
    ways = [way for task in STUDY.tasks.values() for way in task.at_once()]
    tables = collect("results/{cohort}/tables/spatial-{way}.tsv", cohort=wildcards.cohort, way=ways)
    return tables if rois_of_cohort(wildcards) else []


def genes_at_once_of_cohort(wildcards):
    """What became of every gene, by each way that predicts all of them at once."""
    ways = [way for task in STUDY.tasks.values() for way in task.at_once()]
    return collect("results/{cohort}/transcriptome/{way}/fates.tsv", cohort=wildcards.cohort, way=ways)
