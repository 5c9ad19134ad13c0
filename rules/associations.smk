# Reads:  what the genes of a regression were predicted to be, in one form for every way.
# Writes: tables/regression-{way}: one row per gene, the same for every way; tables/panels-{way}: one row per gene panel.
# Included where the study has a regression.


rule tabulate_associations:
    input:
        predictions="<cohort>/transcriptome/{way}/predictions.parquet",
        measured="<cohort>/transcriptome/{way}/measured.parquet",
        fates="<cohort>/transcriptome/{way}/fates.tsv",
        splits=splits_of_regression,
        controls=controls_of_regression,
        models=models_that_open_the_test,
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
        # Not an output: a record that a rerun deletes is none.
        register=register_of_test,
        reopen=STUDY.reopen_tests,
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
        clinical=clinical_of_cohort,
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
        subtype=STUDY.subtype,
        seed=STUDY.seed,
        version=VERSION["panels"],
    script:
        "../scripts/summarise_panels.py"
