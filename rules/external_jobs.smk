# Reads:  the archives of models of many genes, and the manifests of cohorts that are external to the one trained on.
# Writes: transcriptome/per-gene/external/{other}/scores/: every job's genes in the external slides.
# Included where external cohorts meet jobs of many genes each.
# GPU rules: score_external_genes.


use rule score_genes as score_external_genes with:
    input:
        manifest=OF_OTHER,
        models=collect(f"{JOB}/models.zip", round=ROUNDS, allow_missing=True),
        sidecars=collect(f"{JOB}/models.json", round=ROUNDS, allow_missing=True),
    output:
        scores="<cohort>/transcriptome/per-gene/external/{other}/scores/job-{job}.parquet",
        fates="<cohort>/transcriptome/per-gene/external/{other}/scores/job-{job}.json",
    log:
        "<cohort>/logs/score_genes/external-{other}-{job}.log",
    benchmark:
        "<cohort>/benchmarks/score_genes/external-{other}-{job}.txt"
