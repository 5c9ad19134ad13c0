# Reads:  models of the task spots, the windows that they were tested on, and the nuclei in those.
# Writes: <trait>/explained/: which pixels a gene's predictions come from, and which genes go with nuclei of which kind.
# Included where the study has the task spots. Asked for by path, and by the report where the study names genes.
# GPU rules: attribute_gene.

EXPLAINED = "<trait>/explained"
EXPLAINED_TRAIT = "results/{cohort}/traits/{trait}/spots"


rule attribute_gene:
    input:
        manifest=f"<cohort>/{SPOTS.layout}/manifest.tsv",
        summary="<trait>/labels.json",
        scores="<trait>/consensus/scores.parquet",
        models=collect("<trait>/round-{round}/model.keras", round=rounds_of_scheme(SPOTS.scheme), allow_missing=True),
        splits=collect(
            f"<cohort>/splits/{SPOTS.scheme}/round-{{round}}.tsv",
            round=rounds_of_scheme(SPOTS.scheme),
            allow_missing=True,
        ),
    output:
        table=f"{EXPLAINED}/gene-{{gene}}.tsv",
        picture=f"{EXPLAINED}/gene-{{gene}}.png",
    log:
        "<cohort>/logs/attribute_gene/{trait}/{gene}.log",
    benchmark:
        "<cohort>/benchmarks/attribute_gene/{trait}/{gene}.txt"
    pathvars:
        trait=EXPLAINED_TRAIT,
    conda:
        TENSORFLOW_ENV
    threads: 8
    resources:
        gpu=min(1, SPOTS.training.gpus),
        mem_mb=scoring_mb(size=SPOTS.model.size, batch=SPOTS.training.batch) + 4000,  # of the gradients' activations
    params:
        call=SPOTS.training.model_dump(include={"gpus", "require_gpu"}) | {"steps": 64},
        version=VERSION["spot_explained"],
    script:
        "../scripts/attribute_gene.py"


rule relate_nuclei:
    input:
        features=f"<cohort>/{SPOTS.layout}/features.parquet",
        scores="<trait>/consensus/scores.parquet",
        labels="<trait>/labels.parquet",
        summary="<trait>/labels.json",
    output:
        table=f"{EXPLAINED}/nuclei.tsv",
    log:
        "<cohort>/logs/relate_nuclei/{trait}.log",
    benchmark:
        "<cohort>/benchmarks/relate_nuclei/{trait}.txt"
    pathvars:
        trait=EXPLAINED_TRAIT,
    conda:
        "../envs/statistics.yaml"
    params:
        version=VERSION["spot_explained"],
    script:
        "../scripts/relate_nuclei.py"
