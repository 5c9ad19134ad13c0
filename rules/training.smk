# Reads:  the manifest (through it the shards), labels, splits.
# Writes: per trait and round a model, its history and its tile scores; per trait the consensus and its metrics, which
#         also say why a round has no model.
# The number of rounds is the task's, so these rules are laid out per task; one script and one function stand behind each.
# GPU rules: train_<task>, score_<task>.


for TASK, SETTING in STUDY.tasks.items():
    LAYOUT, SCHEME, ROUNDS = SETTING.layout, SETTING.scheme, rounds_of_scheme(SETTING.scheme)
    UNIT = STUDY.splits[SCHEME].unit
    OWN = f"results/{{cohort}}/traits/{{trait}}/{{task,{TASK}}}"  # see labels.smk
    # How one score is made of the rounds': by vote, or by averaging. (Not in a script's name: Snakemake looks that up when
    # the job runs, and would find the last task's.)
    COMBINE = TASKS[TASK].combination

    # One process for all rounds of a trait is worth it where starting TensorFlow and tracing the network cost more than a
    # round's steps (small tiles, small cohorts). A cluster wants a job per round.
    ROUNDS_PER_JOB = ROUNDS if SETTING.training.all_rounds_in_one_job else ["{round}"]
    JOB = "rounds" if SETTING.training.all_rounds_in_one_job else "round-{round}"

    rule:
        name:
            f"train_{TASK}"
        input:
            manifest=f"<cohort>/{LAYOUT}/manifest.tsv",
            labels="<trait>/labels.parquet",
            summary="<trait>/labels.json",
            audit="<trait>/leaks.json",
            splits=collect(f"<cohort>/splits/{SCHEME}/round-{{round}}.tsv", round=ROUNDS_PER_JOB, allow_missing=True),
        output:
            models=collect("<trait>/round-{round}/model.keras", round=ROUNDS_PER_JOB, allow_missing=True),
            sidecars=collect("<trait>/round-{round}/model.json", round=ROUNDS_PER_JOB, allow_missing=True),
            histories=collect("<trait>/round-{round}/history.csv", round=ROUNDS_PER_JOB, allow_missing=True),
        log:
            f"<cohort>/logs/train/{{trait}}/{{task}}/{JOB}.log",
        benchmark:
            f"<cohort>/benchmarks/train/{{trait}}/{{task}}/{JOB}.txt"
        pathvars:
            trait=OWN,
        conda:
            TENSORFLOW_ENV
        threads: 8
        resources:
            gpu=SETTING.training.gpus,
            mem_mb=training_mb(size=SETTING.model.size, batch=SETTING.training.batch, network=SETTING.model.network),
        params:
            call=training_call(TASK),
            rounds=rounds_of_job,
            state_dir="state/{cohort}/{trait}/{task}",
            version=VERSION["train"],
        script:
            "../scripts/train_rounds.py"

    rule:
        name:
            f"score_{TASK}"
        input:
            manifest=f"<cohort>/{LAYOUT}/manifest.tsv",
            summary="<trait>/labels.json",
            models=collect("<trait>/round-{round}/model.keras", round=ROUNDS, allow_missing=True),
            splits=(
                collect(f"<cohort>/splits/{SCHEME}/round-{{round}}.tsv", round=ROUNDS, allow_missing=True)
                if TASKS[TASK].many
                else []
            ),
        output:
            scores=collect("<trait>/round-{round}/scores.parquet", round=ROUNDS, allow_missing=True),
        log:
            "<cohort>/logs/score_tiles/{trait}/{task}.log",
        benchmark:
            "<cohort>/benchmarks/score_tiles/{trait}/{task}.txt"
        pathvars:
            trait=OWN,
        conda:
            TENSORFLOW_ENV
        threads: 8
        resources:
            gpu=min(1, SETTING.training.gpus),  # one process scores on one card
            mem_mb=scoring_mb(size=SETTING.model.size, batch=SETTING.training.batch),
        params:
            call=SETTING.training.model_dump(include={"gpus", "require_gpu", "batch", "precision"})
            | {"symmetric": TASKS[TASK].symmetric},
            version=VERSION["predict"],
        script:
            "../scripts/score_tiles.py"

    rule:
        name:
            f"{COMBINE.split('_')[0]}_{TASK}"
        input:
            manifest=f"<cohort>/{LAYOUT}/manifest.tsv",
            labels="<trait>/labels.parquet",
            summary="<trait>/labels.json",
            splits=collect(f"<cohort>/splits/{SCHEME}/round-{{round}}.tsv", round=ROUNDS, allow_missing=True),
            rounds=collect("<trait>/round-{round}/scores.parquet", round=ROUNDS, allow_missing=True),
            sidecars=collect("<trait>/round-{round}/model.json", round=ROUNDS, allow_missing=True),
        output:
            scores="<trait>/consensus/scores.parquet",
            slides="<trait>/consensus/slides.parquet",
            metrics="<trait>/consensus/metrics.json",
        log:
            f"<cohort>/logs/{COMBINE}/{{trait}}/{{task}}.log",
        benchmark:
            f"<cohort>/benchmarks/{COMBINE}/{{trait}}/{{task}}.txt"
        pathvars:
            trait=OWN,
        conda:
            "../envs/statistics.yaml"
        resources:
            mem_mb=8000,
        params:
            trait="{trait}",
            call=SETTING.combining(seed=STUDY.seed) | {"task": TASK, "unit": UNIT},
            version=VERSION[COMBINE],
        script:
            "../scripts/combine_rounds.py"
