# Reads:  the models of a cohort's regression, and the slides and expression of cohorts that are external to it.
# Writes: transcriptome/{way}/external/{other}/ and tables/external-{other}-{way}: one row per gene, the same for every way.
# Included where a cohort of the study says that it is external to another. Nothing here reaches back into a fit.
# GPU rules: score_external_gene.

EXTERNAL = "<cohort>/transcriptome/{way}/external/{other}"
OF_OTHER = f"results/{{other}}/{STUDY.tasks['regression'].layout}/manifest.tsv"


rule score_external_gene:
    input:
        manifest=OF_OTHER,
        summary="<trait>/labels.json",
        models=models_of_gene,
    output:
        scores="<trait>/external/{other}/scores.parquet",
    log:
        "<cohort>/logs/score_external_gene/{other}/{trait}.log",
    benchmark:
        "<cohort>/benchmarks/score_external_gene/{other}/{trait}.txt"
    pathvars:
        trait="results/{cohort}/traits/{trait}/regression",
    conda:
        TENSORFLOW_ENV
    threads: 8
    resources:
        gpu=min(1, STUDY.tasks["regression"].training.gpus),
        mem_mb=scoring_mb(size=STUDY.tasks["regression"].model.size, batch=STUDY.tasks["regression"].training.batch),
    params:
        trait="{trait}",
        call=STUDY.tasks["regression"].training.model_dump(include={"gpus", "require_gpu", "batch", "precision"}),
        version=VERSION["predict"],
    script:
        "../scripts/score_external_gene.py"


rule gather_external:
    input:
        tables=external_scores_of_genes,
        genes=[] if STUDY.tasks["regression"].one_by_one() else "<cohort>/transcriptome/per-gene/genes.tsv",
    output:
        scores="<cohort>/transcriptome/per-gene/external/{other}/scores.parquet",
    log:
        "<cohort>/logs/gather_external/{other}.log",
    benchmark:
        "<cohort>/benchmarks/gather_external/{other}.txt"
    conda:
        "../envs/statistics.yaml"
    params:
        standardise=STUDY.tasks["regression"].labels.standardise,
        version=VERSION["external"],
    script:
        "../scripts/gather_external.py"


rule evaluate_external:
    input:
        models=models_of_way,
        scores=f"{EXTERNAL}/scores.parquet",
        expression="results/{other}/sheets/expression.parquet",
        manifest=OF_OTHER,
        fates="<cohort>/transcriptome/{way}/fates.tsv",
        predictions="<cohort>/transcriptome/{way}/predictions.parquet",
        measured="<cohort>/transcriptome/{way}/measured.parquet",
        associations="<cohort>/tables/regression-{way}.parquet",
    output:
        values=f"{EXTERNAL}/measured.parquet",
        table=report(
            "<cohort>/tables/external-{other}-{way}.tsv",
            caption="captions/external.rst",
            category="Performance",
            labels={"task": "regression", "way": "{way}"},
        ),
        parquet="<cohort>/tables/external-{other}-{way}.parquet",
        record=f"{EXTERNAL}/opened.json",
    log:
        "<cohort>/logs/evaluate_external/{other}-{way}.log",
    benchmark:
        "<cohort>/benchmarks/evaluate_external/{other}-{way}.txt"
    wildcard_constraints:
        way="per-gene|panel|probe",
    conda:
        "../envs/statistics.yaml"
    params:
        centre=STUDY.tasks["regression"].labels.centre,
        align=STUDY.tasks["regression"].align,
        reopen=STUDY.reopen_tests,
        # Not an output: a record that a rerun deletes is none.
        register=register_of_opening,
        version=VERSION["external"],
    script:
        "../scripts/evaluate_external.py"
