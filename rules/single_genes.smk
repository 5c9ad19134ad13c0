# Reads:  the consensus of every listed gene, each with jobs of its own (training.smk).
# Writes: transcriptome/per-gene/: the same tables as gene_jobs.smk's, which stands here where jobs train many genes each; and
#         tables/spatial-per-gene: how far they are predicted in place.


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


rule validate_traits:
    input:
        rois=rois_of_cohort,
        placed=placed_rois_of_regression,
        metrics=collect(
            "<cohort>/traits/{trait}/regression/consensus/metrics.json", trait=traits_of_regression, allow_missing=True
        ),
        scores_of_tiles=collect(
            "<cohort>/traits/{trait}/regression/consensus/scores.parquet",
            trait=traits_of_regression,
            allow_missing=True,
        ),
        splits=splits_of_regression,
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
    params:
        values=roi_values_of_cohort,
        probe_sum=STUDY.choice("probe_sum"),
        version=VERSION["rois"],
    script:
        "../scripts/validate_traits.py"
