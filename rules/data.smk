# Reads:  the GDC (slides named by a manifest), the cohort's sheets.
# Writes: slides, fetched by the machine on which Snakemake runs (compute nodes often have no way out), and
#         results/{cohort}/sheets/: slides, expression and clinical tables, cleaned once, with every row left out and why.


rule download_slide:
    output:
        file=kept_or_temporary(ensure("{folder}/{uuid}/{filename}", md5=gdc_md5)),
    log:
        "results/logs/download_slide/{folder}/{uuid}/{filename}.log",
    benchmark:
        "results/benchmarks/download_slide/{folder}/{uuid}/{filename}.txt"
    wildcard_constraints:
        uuid=r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
        filename=r"[A-Za-z0-9._-]+",
    localrule: True
    conda:
        "../envs/downloads.yaml"
    resources:
        downloads=1,
    params:
        url=STUDY.downloads.url,
        md5=gdc_md5,
        size=gdc_size,
        token_file=STUDY.downloads.token_file,
    script:
        "../scripts/download_slide.py"


rule prepare_cohort:
    input:
        unpack(sheets_of_cohort),
    output:
        slides="<cohort>/sheets/slides.tsv",
        expression="<cohort>/sheets/expression.parquet",
        clinical="<cohort>/sheets/clinical.parquet",
        exclusions="<cohort>/sheets/exclusions.tsv",
    log:
        "<cohort>/logs/prepare_cohort.log",
    benchmark:
        "<cohort>/benchmarks/prepare_cohort.txt"
    conda:
        "../envs/statistics.yaml"
    resources:
        mem_mb=16000,
    params:
        cohort=cohort_settings,
        version=VERSION["sheets"],
    script:
        "../scripts/prepare_cohort.py"
