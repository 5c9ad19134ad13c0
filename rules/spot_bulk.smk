# Reads:  predictions of genes in all tiles of a cohort (spot_transfer.smk), its bulk expression and its clinical sheet.
# Writes: <trait>/elsewhere/{other}/{layout}/: how the means of predictions follow bulk expression, and tell subtypes apart.
# Included where the study has the task spots. Asked for by path, and by the report where an external cohort has bulk.

OF_BULK = "results/{cohort}/traits/{trait}/spots"


rule compare_bulk:
    input:
        scores=f"{ELSEWHERE}/scores.parquet",
        slides="results/{other}/sheets/slides.tsv",
        expression="results/{other}/sheets/expression.parquet",
    output:
        table=f"{ELSEWHERE}/bulk.tsv",
        record=f"{ELSEWHERE}/bulk.json",
        picture=f"{ELSEWHERE}/bulk.png",
    log:
        "<cohort>/logs/compare_bulk/{other}/{trait}/{layout}.log",
    benchmark:
        "<cohort>/benchmarks/compare_bulk/{other}/{trait}/{layout}.txt"
    pathvars:
        trait=OF_BULK,
    conda:
        "../envs/statistics.yaml"
    params:
        version=VERSION["spot_bulk"],
    script:
        "../scripts/compare_bulk.py"


rule classify_subtypes:
    input:
        scores=f"{ELSEWHERE}/scores.parquet",
        slides="results/{other}/sheets/slides.tsv",
        expression="results/{other}/sheets/expression.parquet",
        clinical="results/{other}/sheets/clinical.parquet",
    output:
        table=f"{ELSEWHERE}/subtypes.tsv",
    log:
        "<cohort>/logs/classify_subtypes/{other}/{trait}/{layout}.log",
    benchmark:
        "<cohort>/benchmarks/classify_subtypes/{other}/{trait}/{layout}.txt"
    pathvars:
        trait=OF_BULK,
    conda:
        "../envs/statistics.yaml"
    params:
        call={"column": STUDY.subtype, "values": SPOTS.subtypes, "seed": STUDY.seed},
        version=VERSION["spot_bulk"],
    script:
        "../scripts/classify_subtypes.py"
