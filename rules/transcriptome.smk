# Reads:  the genes' labels, the cohort's manifest and splits.
# Writes: transcriptome/: by each way of predicting all genes at once (probe: ridge regression on frozen features; panel: one
#         network with an output per gene), predictions.parquet, measured.parquet and fates.tsv.
# Included where the study's regression has a section `transcriptome`. The third way, per-gene, is training.smk's, or that of
# gene_jobs.smk.
# GPU rules: train_panel, extract_panel_features, extract_probe_features.

GENES = REGRESSION.transcriptome


use rule train_regression as train_panel with:
    input:
        manifest=MANIFEST,
        labels="<cohort>/transcriptome/labels.parquet",
        summary="<cohort>/transcriptome/labels.json",
        audit="<cohort>/transcriptome/leaks.json",
        splits=[f"<cohort>/splits/{REGRESSION.scheme}/round-{{round}}.tsv"],
    output:
        models=["<cohort>/transcriptome/panel/round-{round}/model.keras"],
        sidecars=["<cohort>/transcriptome/panel/round-{round}/model.json"],
        histories=["<cohort>/transcriptome/panel/round-{round}/history.csv"],
    log:
        "<cohort>/logs/train_panel/round-{round}.log",
    benchmark:
        "<cohort>/benchmarks/train_panel/round-{round}.txt"
    params:
        call=training_call("regression"),
        rounds=rounds_of_job,
        state_dir="state/{cohort}/transcriptome/panel",
        version=VERSION["train"],


rule extract_probe_features:
    input:
        manifest=MANIFEST,
        model=GENES.features or [],
    output:
        tiles="<cohort>/transcriptome/probe/features/tiles.npy",
        places="<cohort>/transcriptome/probe/features/places.parquet",
        slides="<cohort>/transcriptome/probe/features/slides.parquet",
        head="<cohort>/transcriptome/probe/features/head.npz",
        record="<cohort>/transcriptome/probe/features/network.json",
    log:
        "<cohort>/logs/extract_features/probe.log",
    benchmark:
        "<cohort>/benchmarks/extract_features/probe.txt"
    conda:
        TENSORFLOW_ENV
    threads: 8
    resources:
        gpu=min(1, REGRESSION.training.gpus),
        mem_mb=scoring_mb(size=REGRESSION.model.size, batch=REGRESSION.training.batch),
    params:
        call=features_call(),
        version=VERSION["features"],
    script:
        "../scripts/extract_features.py"


use rule extract_probe_features as extract_panel_features with:
    input:
        manifest=MANIFEST,
        model="<cohort>/transcriptome/panel/round-{round}/model.keras",
    output:
        tiles="<cohort>/transcriptome/panel/round-{round}/features/tiles.npy",
        places="<cohort>/transcriptome/panel/round-{round}/features/places.parquet",
        slides="<cohort>/transcriptome/panel/round-{round}/features/slides.parquet",
        head="<cohort>/transcriptome/panel/round-{round}/features/head.npz",
        record="<cohort>/transcriptome/panel/round-{round}/features/network.json",
    log:
        "<cohort>/logs/extract_features/panel-{round}.log",
    benchmark:
        "<cohort>/benchmarks/extract_features/panel-{round}.txt"


rule fit_probes:
    input:
        features="<cohort>/transcriptome/probe/features/slides.parquet",
        labels="<cohort>/transcriptome/labels.parquet",
        summary="<cohort>/transcriptome/labels.json",
        audit="<cohort>/transcriptome/leaks.json",
        splits=SPLITS,
    output:
        heads=collect("<cohort>/transcriptome/probe/round-{round}/head.npz", round=ROUNDS, allow_missing=True),
        sidecars=collect("<cohort>/transcriptome/probe/round-{round}/model.json", round=ROUNDS, allow_missing=True),
    log:
        "<cohort>/logs/fit_probes.log",
    benchmark:
        "<cohort>/benchmarks/fit_probes.txt"
    conda:
        "../envs/statistics.yaml"
    resources:
        mem_mb=8000,
    params:
        penalties=GENES.penalties,
        version=VERSION["probe"],
    script:
        "../scripts/fit_probes.py"


rule predict_probe:
    input:
        features=["<cohort>/transcriptome/probe/features/slides.parquet"],
        heads=collect("<cohort>/transcriptome/probe/round-{round}/head.npz", round=ROUNDS, allow_missing=True),
        sidecars=collect("<cohort>/transcriptome/probe/round-{round}/model.json", round=ROUNDS, allow_missing=True),
        labels="<cohort>/transcriptome/labels.parquet",
        genes="<cohort>/transcriptome/genes.tsv",
        splits=SPLITS,
    output:
        predictions="<cohort>/transcriptome/probe/predictions.parquet",
        measured="<cohort>/transcriptome/probe/measured.parquet",
        fates="<cohort>/transcriptome/probe/fates.tsv",
    log:
        "<cohort>/logs/predict_genes/probe.log",
    benchmark:
        "<cohort>/benchmarks/predict_genes/probe.txt"
    conda:
        "../envs/statistics.yaml"
    resources:
        mem_mb=8000,
    params:
        standardise=REGRESSION.labels.standardise,
        version=VERSION["genes_predicted"],
    script:
        "../scripts/predict_genes.py"


use rule predict_probe as predict_panel with:
    input:
        features=collect(
            "<cohort>/transcriptome/panel/round-{round}/features/slides.parquet", round=ROUNDS, allow_missing=True
        ),
        heads=collect("<cohort>/transcriptome/panel/round-{round}/features/head.npz", round=ROUNDS, allow_missing=True),
        sidecars=collect("<cohort>/transcriptome/panel/round-{round}/model.json", round=ROUNDS, allow_missing=True),
        labels="<cohort>/transcriptome/labels.parquet",
        genes="<cohort>/transcriptome/genes.tsv",
        splits=SPLITS,
    output:
        predictions="<cohort>/transcriptome/panel/predictions.parquet",
        measured="<cohort>/transcriptome/panel/measured.parquet",
        fates="<cohort>/transcriptome/panel/fates.tsv",
    log:
        "<cohort>/logs/predict_genes/panel.log",
    benchmark:
        "<cohort>/benchmarks/predict_genes/panel.txt"
