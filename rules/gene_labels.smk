# Reads:  the cohort's expression table, manifest and splits.
# Writes: transcriptome/: the values of many genes at once, which of them can be learnt, and the audit of their leaks.
# Included where the study's regression predicts all genes, or trains many in one job.

REGRESSION = STUDY.tasks["regression"]
MANIFEST = f"<cohort>/{REGRESSION.layout}/manifest.tsv"
ROUNDS = rounds_of_scheme(REGRESSION.scheme)
SPLITS = collect(f"<cohort>/splits/{REGRESSION.scheme}/round-{{round}}.tsv", round=ROUNDS, allow_missing=True)
UNIT = STUDY.splits[REGRESSION.scheme].unit


rule label_genes:
    input:
        expression="<cohort>/sheets/expression.parquet",
        manifest=MANIFEST,
        split=SPLITS,
        sheet=sheet_of_batches,
    output:
        labels="<cohort>/transcriptome/labels.parquet",
        genes="<cohort>/transcriptome/genes.tsv",
        summary="<cohort>/transcriptome/labels.json",
    log:
        "<cohort>/logs/label_genes.log",
    benchmark:
        "<cohort>/benchmarks/label_genes.txt"
    conda:
        "../envs/statistics.yaml"
    params:
        wanted=wanted_genes(),
        settings=REGRESSION.labels.model_dump(),
        fitted_on=STUDY.choice("percentiles_fitted_on"),
        test_shift=STUDY.choice("test_batch_shift"),
        version=VERSION["genes"],
    script:
        "../scripts/label_genes.py"


use rule audit_leaks as audit_genes with:
    input:
        manifest=MANIFEST,
        labels="<cohort>/transcriptome/labels.parquet",
        summary="<cohort>/transcriptome/labels.json",
        splits=SPLITS,
    output:
        audit="<cohort>/transcriptome/leaks.json",
    log:
        "<cohort>/logs/audit_genes.log",
    benchmark:
        "<cohort>/benchmarks/audit_genes.txt"
    params:
        unit=UNIT,
        fitted_on=STUDY.choice("percentiles_fitted_on"),
        version=VERSION["split"],
