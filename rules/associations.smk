# Reads:  what the genes of a regression were predicted to be: by models of their own (per-gene), or many at once.
# Writes: tables/regression-{way}: one row per gene, the same for every way; tables/panels-{way}: one row per gene panel.
# Included where the study has a regression.


rule gather_genes:
    input:
        metrics=collect(
            "<cohort>/traits/{trait}/regression/consensus/metrics.json", trait=traits_of_regression, allow_missing=True
        ),
        slides=collect(
            "<cohort>/traits/{trait}/regression/consensus/slides.parquet",
            trait=traits_of_regression,
            allow_missing=True,
        ),
        splits=splits_of_regression,
    output:
        predictions="<cohort>/transcriptome/per-gene/predictions.parquet",
        measured="<cohort>/transcriptome/per-gene/measured.parquet",
        fates="<cohort>/transcriptome/per-gene/fates.tsv",
    log:
        "<cohort>/logs/gather_genes.log",
    benchmark:
        "<cohort>/benchmarks/gather_genes.txt"
    conda:
        "../envs/statistics.yaml"
    params:
        version=VERSION["genes_predicted"],
    script:
        "../scripts/gather_genes.py"


rule tabulate_associations:
    input:
        predictions="<cohort>/transcriptome/{way}/predictions.parquet",
        measured="<cohort>/transcriptome/{way}/measured.parquet",
        fates="<cohort>/transcriptome/{way}/fates.tsv",
        splits=splits_of_regression,
        controls=controls_of_regression,
    output:
        table=report(
            "<cohort>/tables/regression-{way}.tsv",
            caption="captions/associations.rst",
            category="Performance",
            labels={"task": "regression", "way": "{way}"},
        ),
        parquet="<cohort>/tables/regression-{way}.parquet",
    log:
        "<cohort>/logs/tabulate_associations/{way}.log",
    benchmark:
        "<cohort>/benchmarks/tabulate_associations/{way}.txt"
    conda:
        "../envs/statistics.yaml"
    params:
        itself=control_of_way,
        selection=selection_of_regression(),
        unit=STUDY.splits[STUDY.tasks["regression"].scheme].unit,
        version=VERSION["associations"],
    script:
        "../scripts/tabulate_associations.py"


rule summarise_panels:
    input:
        associations="<cohort>/tables/regression-{way}.parquet",
        predictions="<cohort>/transcriptome/{way}/predictions.parquet",
        measured="<cohort>/transcriptome/{way}/measured.parquet",
        sheets=list(STUDY.panels.values()),
    output:
        table=report(
            "<cohort>/tables/panels-{way}.tsv",
            caption="captions/panels.rst",
            category="Performance",
            labels={"task": "regression", "way": "{way}"},
        ),
        patients="<cohort>/transcriptome/{way}/panels.parquet",
    log:
        "<cohort>/logs/summarise_panels/{way}.log",
    benchmark:
        "<cohort>/benchmarks/summarise_panels/{way}.txt"
    conda:
        "../envs/statistics.yaml"
    params:
        panels=STUDY.panels,
        seed=STUDY.seed,
        version=VERSION["panels"],
    script:
        "../scripts/summarise_panels.py"
