# Reads:  genes measured and predicted in spots, and files of gene sets.
# Writes: <trait>/consensus/: whether pairs of gene sets lie together, and which sets hold the genes that are predicted.
# Included where the study has the task spots.


rule colocate_sets:
    input:
        scores="<trait>/consensus/scores.parquet",
        labels="<trait>/labels.parquet",
        summary="<trait>/labels.json",
    output:
        table="<trait>/consensus/colocation.tsv",
        record="<trait>/consensus/colocation.json",
    log:
        "<cohort>/logs/colocate_sets/{trait}.log",
    benchmark:
        "<cohort>/benchmarks/colocate_sets/{trait}.txt"
    pathvars:
        trait="results/{cohort}/traits/{trait}/spots",
    conda:
        "../envs/statistics.yaml"
    resources:
        mem_mb=8000,
    params:
        call={
            "pairs": [pair.model_dump() for pair in SPOTS.colocation],
            "draws": SPOTS.permutations,
            "seed": STUDY.seed,
        },
        version=VERSION["spot_sets"],
    script:
        "../scripts/colocate_sets.py"


rule represent_predicted:
    input:
        genes="<trait>/consensus/genes.tsv",
        sets=gene_sets_file,
    output:
        table="<trait>/consensus/enrichment-{sets}.tsv",
    log:
        "<cohort>/logs/represent_predicted/{trait}/{sets}.log",
    benchmark:
        "<cohort>/benchmarks/represent_predicted/{trait}/{sets}.txt"
    pathvars:
        trait="results/{cohort}/traits/{trait}/spots",
    conda:
        "../envs/statistics.yaml"
    params:
        version=VERSION["enrichment"],
    script:
        "../scripts/represent_predicted.py"
