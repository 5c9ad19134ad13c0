# Reads:  the consensus of every listed gene, each with jobs of its own (training.smk).
# Writes: transcriptome/per-gene/: the same tables as gene_jobs.smk's, which stands here where jobs train many genes each.


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
