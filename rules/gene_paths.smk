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
    at_once = STUDY.tasks["regression"].transcriptome
    return None if at_once is None or at_once.genes == "all" else read_traits(at_once.genes)


@cache
def genes_in_jobs():
    """The genes that are trained many to a job, in their order: the first job has the first of them."""
    task = STUDY.tasks["regression"]
    return read_traits(task.traits) if task.traits and not task.one_by_one() else []


def jobs_of_genes():
    """Numbers of the jobs that train many genes each."""
    return list(range(1, 1 + -(-len(genes_in_jobs()) // STUDY.tasks["regression"].genes_per_job)))


def archive_of_gene(wildcards):
    """The archive of models that holds one gene's."""
    if wildcards.trait not in genes_in_jobs():
        raise InputError(f"Expected a gene of tasks.regression.traits, found {wildcards.trait!r}")
    job = 1 + genes_in_jobs().index(wildcards.trait) // STUDY.tasks["regression"].genes_per_job
    pattern = "results/{cohort}/transcriptome/per-gene/round-{round}/job-{job}/models.zip"
    return pattern.format(cohort=wildcards.cohort, round=wildcards.round, job=job)


def number_of_job(wildcards):
    """The job of its path."""
    return int(wildcards.job)


def number_of_round(wildcards):
    """The round of its path."""
    return int(wildcards.round)


def gene_job_call():
    """What :func:`histocarta.gene_jobs.train_genes` is told of the regression."""
    told = training_call("regression")
    wanted = {key: told[key] for key in ("model", "training", "pooling", "seed")}
    return wanted | {"genes_per_job": STUDY.tasks["regression"].genes_per_job}


def clinical_of_cohort(wildcards):
    """The cohort's cleaned clinical sheet, where it has one."""
    return f"results/{wildcards.cohort}/sheets/clinical.parquet" if has_survival(wildcards.cohort) else []


def sheet_of_panel(wildcards):
    """The genes of a panel that the study names."""
    if wildcards.panel not in STUDY.panels:
        raise InputError(f"Expected one of the panels {', '.join(STUDY.panels) or 'none'}, found {wildcards.panel}")
    return STUDY.panels[wildcards.panel]


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
    ways = [way for task in STUDY.tasks.values() for way in task.gathered()]
    by_contrast = "results/{cohort}/contrasts/{contrast}/enrichment-{sets}.tsv"
    by_way = "results/{cohort}/tables/enrichment-{way}-{sets}.tsv"
    return [
        *collect(by_contrast, cohort=wildcards.cohort, contrast=STUDY.contrasts, sets=STUDY.gene_sets),
        *collect(by_way, cohort=wildcards.cohort, way=ways, sets=STUDY.gene_sets),
    ]


def variability_of_cohort(wildcards):
    """The slides ranked by how much predictions vary within them, in each way that predicts all genes at once."""
    tasks = [task for task in STUDY.tasks.values() if task.at_once() and task.transcriptome.variability]
    ways = [way for task in tasks for way in task.at_once()]
    return collect("results/{cohort}/tables/variability-{way}.tsv", cohort=wildcards.cohort, way=ways)


def unpredicted_of_cohort(wildcards):
    """Of which gene sets the genes are that no way predicts, for every file of gene sets."""
    ways = [way for task in STUDY.tasks.values() for way in task.gathered()]
    pattern = "results/{cohort}/tables/unpredicted-{way}-{sets}.tsv"
    return collect(pattern, cohort=wildcards.cohort, way=ways, sets=STUDY.gene_sets)


def statuses_of_cohort(wildcards):
    """Predicted expression by clinical status in every way, where the study names statuses and the cohort has a sheet."""
    ways = STUDY.tasks["regression"].ways() if "regression" in STUDY.tasks else []
    tables = collect("results/{cohort}/tables/statuses-{way}.tsv", cohort=wildcards.cohort, way=ways)
    return tables if STUDY.statuses and has_survival(wildcards.cohort) else []


def panels_of_cohort(wildcards):
    """How far the study's gene panels are predicted, in each way."""
    ways = [way for task in STUDY.tasks.values() for way in task.gathered()] if STUDY.panels else []
    return collect("results/{cohort}/tables/panels-{way}.tsv", cohort=wildcards.cohort, way=ways)


def features_call():
    """What :func:`histocarta.features.extract_features` is told of the regression's network."""
    task = STUDY.tasks["regression"]
    asked = task.training.model_dump(include={"gpus", "require_gpu", "batch", "precision"})
    return asked | {"network": task.model.model_dump(), "pooling": task.model.pooling, "seed": STUDY.seed}


def rois_of_cohort(wildcards):
    """The cohort's table of regions in which many genes were measured."""
    return STUDY.cohorts[wildcards.cohort].rois


def placed_rois_of_regression(wildcards):
    """The regions' tiles in the layout of the regression, where the cohort has regions."""
    layout = STUDY.tasks["regression"].layout
    return f"results/{wildcards.cohort}/{layout}/rois.parquet" if rois_of_cohort(wildcards) else []


def roi_values_of_cohort(wildcards):
    """How what the cohort's regions measure is made comparable."""
    values = STUDY.cohorts[wildcards.cohort].roi_values
    scores = {marker: read_traits(STUDY.panels[panel]) for marker, panel in values.scores.items()}
    return values.model_dump() | {"scores": scores}


def spatial_tables_of_cohort(wildcards):
    """How far genes are predicted in place, where the cohort has regions and the study such ways."""
    ways = [way for task in STUDY.tasks.values() for way in task.ways()]
    tables = collect("results/{cohort}/tables/spatial-{way}.tsv", cohort=wildcards.cohort, way=ways)
    return tables if rois_of_cohort(wildcards) else []


def genes_at_once_of_cohort(wildcards):
    """What became of every gene, by each way that has no files of each."""
    ways = [way for task in STUDY.tasks.values() for way in task.gathered() if is_trained(wildcards.cohort)]
    return collect("results/{cohort}/transcriptome/{way}/fates.tsv", cohort=wildcards.cohort, way=ways)
