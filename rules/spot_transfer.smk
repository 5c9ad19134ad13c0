# Reads:  models of the task spots, and tiles, spots and counts of other cohorts, or of other layouts of their own.
# Writes: <trait>/elsewhere/{other}/{layout}/: predictions of every tile by models that did not learn from its patient, and how
#         far they hold against the spots there; nothing reaches back into a fit.
# Included where the study has the task spots. Asked for by path, and by the report where a cohort is external.
# GPU rules: score_elsewhere.

ELSEWHERE = "<trait>/elsewhere/{other}/{layout}"
SPOTS_ELSEWHERE = "results/{cohort}/traits/{trait}/spots"
SPOT_ROUNDS = rounds_of_scheme(SPOTS.scheme)


rule score_elsewhere:
    input:
        manifest="results/{other}/{layout}/manifest.tsv",
        summary="<trait>/labels.json",
        models=collect("<trait>/round-{round}/model.keras", round=SPOT_ROUNDS, allow_missing=True),
        sidecars=collect("<trait>/round-{round}/model.json", round=SPOT_ROUNDS, allow_missing=True),
        splits=collect(f"<cohort>/splits/{SPOTS.scheme}/round-{{round}}.tsv", round=SPOT_ROUNDS, allow_missing=True),
    output:
        scores=f"{ELSEWHERE}/scores.parquet",
        record=f"{ELSEWHERE}/scores.json",
    log:
        "<cohort>/logs/score_elsewhere/{other}/{trait}/{layout}.log",
    benchmark:
        "<cohort>/benchmarks/score_elsewhere/{other}/{trait}/{layout}.txt"
    pathvars:
        trait=SPOTS_ELSEWHERE,
    conda:
        TENSORFLOW_ENV
    threads: 8
    resources:
        gpu=min(1, SPOTS.training.gpus),
        mem_mb=scoring_mb(size=SPOTS.model.size, batch=SPOTS.training.batch),
    params:
        call=SPOTS.training.model_dump(include={"gpus", "require_gpu", "batch", "precision"}) | {"symmetric": True},
        windows=windows_of_layout,
        learnt=windows_of_spots,
        version=VERSION["predict"],
    script:
        "../scripts/score_elsewhere.py"


rule label_elsewhere:
    input:
        counts="results/{other}/{layout}/counts.h5ad",
        learnt="<trait>/labels.json",
    output:
        labels=f"{ELSEWHERE}/labels.parquet",
        summary=f"{ELSEWHERE}/labels.json",
    log:
        "<cohort>/logs/label_elsewhere/{other}/{trait}/{layout}.log",
    benchmark:
        "<cohort>/benchmarks/label_elsewhere/{other}/{trait}/{layout}.txt"
    pathvars:
        trait=SPOTS_ELSEWHERE,
    conda:
        "../envs/statistics.yaml"
    resources:
        mem_mb=16000,
    params:
        version=VERSION["spot_labels"],
    script:
        "../scripts/label_elsewhere.py"


use rule evaluate_spots as evaluate_elsewhere with:
    input:
        scores=f"{ELSEWHERE}/scores.parquet",
        labels=f"{ELSEWHERE}/labels.parquet",
        summary=f"{ELSEWHERE}/labels.json",
    output:
        genes=f"{ELSEWHERE}/genes.tsv",
        sections=f"{ELSEWHERE}/sections.tsv",
        patients=f"{ELSEWHERE}/patients.tsv",
        curve=f"{ELSEWHERE}/curve.tsv",
        evaluation=f"{ELSEWHERE}/evaluation.json",
    log:
        "<cohort>/logs/evaluate_elsewhere/{other}/{trait}/{layout}.log",
    benchmark:
        "<cohort>/benchmarks/evaluate_elsewhere/{other}/{trait}/{layout}.txt"
    pathvars:
        trait=SPOTS_ELSEWHERE,
    params:
        settings={"permutations": SPOTS.permutations, "classes": {}, "seed": STUDY.seed},
        version=VERSION["spot_evaluation"],


rule compare_transfer:
    input:
        here="<trait>/consensus/genes.tsv",
        there=f"{ELSEWHERE}/genes.tsv",
    output:
        table=f"{ELSEWHERE}/transfer.tsv",
        picture=f"{ELSEWHERE}/transfer.png",
    log:
        "<cohort>/logs/compare_transfer/{other}/{trait}/{layout}.log",
    benchmark:
        "<cohort>/benchmarks/compare_transfer/{other}/{trait}/{layout}.txt"
    pathvars:
        trait=SPOTS_ELSEWHERE,
    conda:
        "../envs/statistics.yaml"
    params:
        version=VERSION["spot_pictures"],
    script:
        "../scripts/compare_transfer.py"
