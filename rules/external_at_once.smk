# Reads:  the heads of probe and panel, and the manifests of cohorts that are external to the one that was trained on.
# Writes: transcriptome/{probe,panel}/external/{other}/: features of the external slides, and all genes' predictions.
# Included where external cohorts meet a regression of all genes at once.
# GPU rules: extract_external_probe, extract_external_panel.


use rule extract_probe_features as extract_external_probe with:
    input:
        manifest=OF_OTHER,
        model=GENES.features or [],
    output:
        tiles="<cohort>/transcriptome/probe/external/{other}/features/tiles.npy",
        places="<cohort>/transcriptome/probe/external/{other}/features/places.parquet",
        slides="<cohort>/transcriptome/probe/external/{other}/features/slides.parquet",
        head="<cohort>/transcriptome/probe/external/{other}/features/head.npz",
        record="<cohort>/transcriptome/probe/external/{other}/features/network.json",
    log:
        "<cohort>/logs/extract_features/external-{other}-probe.log",
    benchmark:
        "<cohort>/benchmarks/extract_features/external-{other}-probe.txt"


use rule extract_probe_features as extract_external_panel with:
    input:
        manifest=OF_OTHER,
        model="<cohort>/transcriptome/panel/round-{round}/model.keras",
    output:
        tiles="<cohort>/transcriptome/panel/external/{other}/round-{round}/tiles.npy",
        places="<cohort>/transcriptome/panel/external/{other}/round-{round}/places.parquet",
        slides="<cohort>/transcriptome/panel/external/{other}/round-{round}/slides.parquet",
        head="<cohort>/transcriptome/panel/external/{other}/round-{round}/head.npz",
        record="<cohort>/transcriptome/panel/external/{other}/round-{round}/network.json",
    log:
        "<cohort>/logs/extract_features/external-{other}-panel-{round}.log",
    benchmark:
        "<cohort>/benchmarks/extract_features/external-{other}-panel-{round}.txt"


rule score_external_probe:
    input:
        features=["<cohort>/transcriptome/probe/external/{other}/features/slides.parquet"],
        heads=collect("<cohort>/transcriptome/probe/round-{round}/head.npz", round=ROUNDS, allow_missing=True),
        sidecars=collect("<cohort>/transcriptome/probe/round-{round}/model.json", round=ROUNDS, allow_missing=True),
        genes="<cohort>/transcriptome/genes.tsv",
    output:
        scores="<cohort>/transcriptome/probe/external/{other}/scores.parquet",
    log:
        "<cohort>/logs/score_external/{other}-probe.log",
    benchmark:
        "<cohort>/benchmarks/score_external/{other}-probe.txt"
    conda:
        "../envs/statistics.yaml"
    params:
        standardise=REGRESSION.labels.standardise,
        version=VERSION["external"],
    script:
        "../scripts/score_external.py"


use rule score_external_probe as score_external_panel with:
    input:
        features=collect(
            "<cohort>/transcriptome/panel/external/{other}/round-{round}/slides.parquet",
            round=ROUNDS,
            allow_missing=True,
        ),
        heads=collect("<cohort>/transcriptome/panel/round-{round}/features/head.npz", round=ROUNDS, allow_missing=True),
        sidecars=collect("<cohort>/transcriptome/panel/round-{round}/model.json", round=ROUNDS, allow_missing=True),
        genes="<cohort>/transcriptome/genes.tsv",
    output:
        scores="<cohort>/transcriptome/panel/external/{other}/scores.parquet",
    log:
        "<cohort>/logs/score_external/{other}-panel.log",
    benchmark:
        "<cohort>/benchmarks/score_external/{other}-panel.txt"
