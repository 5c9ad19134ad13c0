# Reads:  the cohort's expression table, manifest and splits.
# Writes: transcriptome/per-gene/: networks of many genes from one job and round, all genes' predictions.parquet,
#         measured.parquet and fates.tsv; one gene's model where it is asked for.
# Included where the study's regression has `genes_per_job` above 1; else each gene has its own jobs (training.smk).
# GPU rules: train_genes, score_genes.

JOBS = jobs_of_genes()
JOB = "<cohort>/transcriptome/per-gene/round-{round}/job-{job}"


use rule label_genes as label_listed_genes with:
    output:
        labels="<cohort>/transcriptome/per-gene/labels.parquet",
        genes="<cohort>/transcriptome/per-gene/genes.tsv",
        summary="<cohort>/transcriptome/per-gene/labels.json",
    log:
        "<cohort>/logs/label_genes/per-gene.log",
    benchmark:
        "<cohort>/benchmarks/label_genes/per-gene.txt"
    params:
        wanted=genes_in_jobs(),
        settings=REGRESSION.labels.model_dump(),
        fitted_on=STUDY.choice("percentiles_fitted_on"),
        test_shift=STUDY.choice("test_batch_shift"),
        version=VERSION["genes"],


use rule audit_genes as audit_listed_genes with:
    input:
        manifest=MANIFEST,
        labels="<cohort>/transcriptome/per-gene/labels.parquet",
        summary="<cohort>/transcriptome/per-gene/labels.json",
        splits=SPLITS,
    output:
        audit="<cohort>/transcriptome/per-gene/leaks.json",
    log:
        "<cohort>/logs/audit_genes/per-gene.log",
    benchmark:
        "<cohort>/benchmarks/audit_genes/per-gene.txt"


rule train_genes:
    input:
        manifest=MANIFEST,
        labels="<cohort>/transcriptome/per-gene/labels.parquet",
        genes="<cohort>/transcriptome/per-gene/genes.tsv",
        summary="<cohort>/transcriptome/per-gene/labels.json",
        audit="<cohort>/transcriptome/per-gene/leaks.json",
        split=f"<cohort>/splits/{REGRESSION.scheme}/round-{{round}}.tsv",
    output:
        models=f"{JOB}/models.zip",
        sidecar=f"{JOB}/models.json",
        histories=f"{JOB}/histories.csv",
    log:
        "<cohort>/logs/train_genes/round-{round}/job-{job}.log",
    benchmark:
        "<cohort>/benchmarks/train_genes/round-{round}/job-{job}.txt"
    conda:
        TENSORFLOW_ENV
    threads: 8
    resources:
        gpu=REGRESSION.training.gpus,
        mem_mb=together_mb(size=REGRESSION.model.size, batch=REGRESSION.training.batch, models=REGRESSION.genes_per_job),
    params:
        call=gene_job_call(),
        job=number_of_job,
        round=number_of_round,
        state_dir="state/{cohort}/transcriptome/per-gene/round-{round}/job-{job}",
        version=VERSION["train"],
    script:
        "../scripts/train_genes.py"


rule score_genes:
    input:
        manifest=MANIFEST,
        models=collect(f"{JOB}/models.zip", round=ROUNDS, allow_missing=True),
        sidecars=collect(f"{JOB}/models.json", round=ROUNDS, allow_missing=True),
        placed=placed_rois_of_regression,
    output:
        scores="<cohort>/transcriptome/per-gene/scores/job-{job}.parquet",
        fates="<cohort>/transcriptome/per-gene/scores/job-{job}.json",
        regions="<cohort>/transcriptome/per-gene/regions/job-{job}.parquet",
    log:
        "<cohort>/logs/score_genes/job-{job}.log",
    benchmark:
        "<cohort>/benchmarks/score_genes/job-{job}.txt"
    conda:
        TENSORFLOW_ENV
    threads: 8
    resources:
        gpu=min(1, REGRESSION.training.gpus),
        mem_mb=scoring_mb(size=REGRESSION.model.size, batch=REGRESSION.training.batch, models=REGRESSION.genes_per_job),
    params:
        call=REGRESSION.training.model_dump(include={"gpus", "require_gpu", "batch", "precision"}),
        version=VERSION["predict"],
    script:
        "../scripts/score_genes.py"


rule extract_gene:
    input:
        models=archive_of_gene,
    output:
        model="<cohort>/transcriptome/per-gene/round-{round}/models/{trait}.keras",
    log:
        "<cohort>/logs/extract_gene/round-{round}/{trait}.log",
    benchmark:
        "<cohort>/benchmarks/extract_gene/round-{round}/{trait}.txt"
    conda:
        "../envs/statistics.yaml"
    params:
        trait="{trait}",
        version=VERSION["train"],
    script:
        "../scripts/extract_gene.py"


rule gather_jobs:
    input:
        scores=collect("<cohort>/transcriptome/per-gene/scores/job-{job}.parquet", job=JOBS, allow_missing=True),
        told=collect("<cohort>/transcriptome/per-gene/scores/job-{job}.json", job=JOBS, allow_missing=True),
        labels="<cohort>/transcriptome/per-gene/labels.parquet",
        genes="<cohort>/transcriptome/per-gene/genes.tsv",
        splits=SPLITS,
    output:
        predictions="<cohort>/transcriptome/per-gene/predictions.parquet",
        measured="<cohort>/transcriptome/per-gene/measured.parquet",
        fates="<cohort>/transcriptome/per-gene/fates.tsv",
    log:
        "<cohort>/logs/gather_jobs.log",
    benchmark:
        "<cohort>/benchmarks/gather_jobs.txt"
    conda:
        "../envs/statistics.yaml"
    resources:
        mem_mb=8000,
    params:
        standardise=REGRESSION.labels.standardise,
        version=VERSION["genes_predicted"],
    script:
        "../scripts/gather_jobs.py"


rule validate_jobs:
    input:
        rois=rois_of_cohort,
        placed=placed_rois_of_regression,
        regions=collect("<cohort>/transcriptome/per-gene/regions/job-{job}.parquet", job=JOBS, allow_missing=True),
        genes="<cohort>/transcriptome/per-gene/genes.tsv",
        splits=SPLITS,
    output:
        table=report(
            "<cohort>/tables/spatial-per-gene.tsv",
            caption="captions/spatial.rst",
            category="Spatial validation",
            labels={"way": "per-gene"},
        ),
        parquet_table="<cohort>/tables/spatial-per-gene.parquet",
        markers="<cohort>/transcriptome/per-gene/markers.parquet",
    log:
        "<cohort>/logs/validate_rois/per-gene.log",
    benchmark:
        "<cohort>/benchmarks/validate_rois/per-gene.txt"
    conda:
        "../envs/statistics.yaml"
    resources:
        mem_mb=8000,
    params:
        values=roi_values_of_cohort,
        standardise=REGRESSION.labels.standardise,
        probe_sum=STUDY.choice("probe_sum"),
        version=VERSION["rois"],
    script:
        "../scripts/validate_jobs.py"
