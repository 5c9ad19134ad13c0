# Reads:  models of the task spots, and the windows, classes and values of the patients that they are tested on.
# Writes: <trait>/latent/: what the network sees in every window, and each patient's space as plane, clusters and neighbours.
# Included where the study has the task spots. Asked for by path, and by the report where the task's `latent` is on.
# GPU rules: embed_spots.

LATENT = "<trait>/latent"
SEEN_IN_SPOTS = "results/{cohort}/traits/{trait}/spots"


rule embed_spots:
    input:
        manifest=f"<cohort>/{SPOTS.layout}/manifest.tsv",
        summary="<trait>/labels.json",
        models=collect("<trait>/round-{round}/model.keras", round=rounds_of_scheme(SPOTS.scheme), allow_missing=True),
        splits=collect(
            f"<cohort>/splits/{SPOTS.scheme}/round-{{round}}.tsv",
            round=rounds_of_scheme(SPOTS.scheme),
            allow_missing=True,
        ),
    output:
        latent=f"{LATENT}/features.parquet",
    log:
        "<cohort>/logs/embed_spots/{trait}.log",
    benchmark:
        "<cohort>/benchmarks/embed_spots/{trait}.txt"
    pathvars:
        trait=SEEN_IN_SPOTS,
    conda:
        TENSORFLOW_ENV
    threads: 8
    resources:
        gpu=min(1, SPOTS.training.gpus),
        mem_mb=scoring_mb(size=SPOTS.model.size, batch=SPOTS.training.batch),
    params:
        call=SPOTS.training.model_dump(include={"gpus", "require_gpu", "batch", "precision"}),
        version=VERSION["predict"],
    script:
        "../scripts/embed_spots.py"


rule chart_latent:
    input:
        latent=f"{LATENT}/features.parquet",
        labels="<trait>/labels.parquet",
        summary="<trait>/labels.json",
        genes="<trait>/consensus/genes.tsv",
        manifest=f"<cohort>/{SPOTS.layout}/manifest.tsv",
    output:
        table=f"{LATENT}/spots.parquet",
        of_genes=f"{LATENT}/genes.tsv",
        record=f"{LATENT}/latent.json",
        picture=f"{LATENT}/plane.png",
        patches=f"{LATENT}/windows.png",
    log:
        "<cohort>/logs/chart_latent/{trait}.log",
    benchmark:
        "<cohort>/benchmarks/chart_latent/{trait}.txt"
    pathvars:
        trait=SEEN_IN_SPOTS,
    conda:
        "../envs/statistics.yaml"
    resources:
        mem_mb=8000,
    params:
        call={"classes": SPOTS.classes, "seed": STUDY.seed},
        version=VERSION["spot_latent"],
    script:
        "../scripts/chart_latent.py"
