# Reads:  expression and clinical tables; for predicted genes what transcriptome.smk and associations.smk made; GMT files.
# Writes: contrasts/{contrast}/: which genes differ between two groups of patients, as measured and as predicted, and which gene
#         sets; tables/enrichment-{way}-{sets}: which gene sets are predicted well; clusters/{panel}/: groups of patients.


rule compare_groups:
    input:
        expression="<cohort>/sheets/expression.parquet",
        clinical=clinical_of_cohort,
    output:
        table=report(
            "<cohort>/contrasts/{contrast}/measured.tsv",
            caption="captions/contrast.rst",
            category="Differential expression",
            labels={"contrast": "{contrast}", "genes": "measured"},
        ),
    log:
        "<cohort>/logs/compare_groups/{contrast}.log",
    benchmark:
        "<cohort>/benchmarks/compare_groups/{contrast}.txt"
    conda:
        "../envs/statistics.yaml"
    params:
        contrast=contrast_settings,
        version=VERSION["contrasts"],
    script:
        "../scripts/compare_groups.py"


rule compare_predicted_groups:
    input:
        predictions="<cohort>/transcriptome/{way}/predictions.parquet",
        measured="<cohort>/transcriptome/{way}/measured.parquet",
        expression="<cohort>/sheets/expression.parquet",
        clinical=clinical_of_cohort,
    output:
        table=report(
            "<cohort>/contrasts/{contrast}/{way}.tsv",
            caption="captions/contrast.rst",
            category="Differential expression",
            labels={"contrast": "{contrast}", "genes": "{way}"},
        ),
    log:
        "<cohort>/logs/compare_predicted_groups/{contrast}/{way}.log",
    benchmark:
        "<cohort>/benchmarks/compare_predicted_groups/{contrast}/{way}.txt"
    wildcard_constraints:
        way="per-gene|panel|probe",
    conda:
        "../envs/statistics.yaml"
    params:
        contrast=contrast_settings,
        version=VERSION["contrasts"],
    script:
        "../scripts/compare_predicted_groups.py"


rule enrich_contrast:
    input:
        ranking="<cohort>/contrasts/{contrast}/measured.tsv",
        sets=gene_sets_file,
    output:
        table="<cohort>/contrasts/{contrast}/enrichment-{sets}.tsv",
    log:
        "<cohort>/logs/enrich_contrast/{contrast}/{sets}.log",
    benchmark:
        "<cohort>/benchmarks/enrich_contrast/{contrast}/{sets}.txt"
    conda:
        "../envs/statistics.yaml"
    params:
        by="t",
        seed=STUDY.seed,
        version=VERSION["enrichment"],
    script:
        "../scripts/enrich_ranking.py"


use rule enrich_contrast as enrich_predictions with:
    input:
        ranking="<cohort>/tables/regression-{way}.parquet",
        sets=gene_sets_file,
    output:
        table="<cohort>/tables/enrichment-{way}-{sets}.tsv",
    log:
        "<cohort>/logs/enrich_predictions/{way}/{sets}.log",
    benchmark:
        "<cohort>/benchmarks/enrich_predictions/{way}/{sets}.txt"
    wildcard_constraints:
        way="per-gene|panel|probe",
    params:
        by="test_rho",
        seed=STUDY.seed,
        version=VERSION["enrichment"],


rule represent_unpredicted:
    input:
        associations="<cohort>/tables/regression-{way}.parquet",
        sets=gene_sets_file,
    output:
        table="<cohort>/tables/unpredicted-{way}-{sets}.tsv",
    log:
        "<cohort>/logs/represent_unpredicted/{way}/{sets}.log",
    benchmark:
        "<cohort>/benchmarks/represent_unpredicted/{way}/{sets}.txt"
    wildcard_constraints:
        way="per-gene|panel|probe",
    conda:
        "../envs/statistics.yaml"
    params:
        version=VERSION["enrichment"],
    script:
        "../scripts/represent_unpredicted.py"


rule compare_statuses:
    input:
        predictions="<cohort>/transcriptome/{way}/predictions.parquet",
        measured="<cohort>/transcriptome/{way}/measured.parquet",
        clinical="<cohort>/sheets/clinical.parquet",
        sheets=list(STUDY.panels.values()),
    output:
        table="<cohort>/tables/statuses-{way}.tsv",
        samples="<cohort>/transcriptome/{way}/statuses.parquet",
    log:
        "<cohort>/logs/compare_statuses/{way}.log",
    benchmark:
        "<cohort>/benchmarks/compare_statuses/{way}.txt"
    wildcard_constraints:
        way="per-gene|panel|probe",
    conda:
        "../envs/statistics.yaml"
    params:
        statuses=STUDY.statuses,
        panels=STUDY.panels,
        version=VERSION["statuses"],
    script:
        "../scripts/compare_statuses.py"


# Of tables alone, as contrasts are: a target to be asked for.
rule cluster_measured:
    input:
        expression="<cohort>/sheets/expression.parquet",
        sheet=sheet_of_panel,
        clinical=clinical_of_cohort,
    output:
        clusters="<cohort>/clusters/{panel}/measured.tsv",
        summary="<cohort>/clusters/{panel}/measured.json",
    log:
        "<cohort>/logs/cluster_measured/{panel}.log",
    benchmark:
        "<cohort>/benchmarks/cluster_measured/{panel}.txt"
    conda:
        "../envs/statistics.yaml"
    params:
        subtype=STUDY.subtype,
        seed=STUDY.seed,
        version=VERSION["panels"],
    script:
        "../scripts/cluster_measured.py"
