# Reads:  manifest, splits, and the values of all genes (transcriptome.smk).
# Writes: transcriptome/controls/: what colour, nuclei, size, an untrained network and shuffled values would predict, which every
#         way of a regression is held against.
# GPU rules: extract_untrained_features.


rule measure_slides:
    input:
        manifest=MANIFEST,
    output:
        plain="<cohort>/transcriptome/controls/plain.parquet",
    log:
        "<cohort>/logs/measure_slides.log",
    benchmark:
        "<cohort>/benchmarks/measure_slides.txt"
    conda:
        "../envs/slides.yaml"
    threads: 2
    params:
        version=VERSION["controls"],
    script:
        "../scripts/measure_slides.py"


use rule extract_probe_features as extract_untrained_features with:
    input:
        manifest=MANIFEST,
        model=[],
    output:
        tiles=temp("<cohort>/transcriptome/controls/features/tiles.npy"),
        places=temp("<cohort>/transcriptome/controls/features/places.parquet"),
        slides="<cohort>/transcriptome/controls/features/slides.parquet",
        head="<cohort>/transcriptome/controls/features/head.npz",
        record="<cohort>/transcriptome/controls/features/network.json",
    log:
        "<cohort>/logs/extract_features/untrained.log",
    benchmark:
        "<cohort>/benchmarks/extract_features/untrained.txt"
    params:
        call=features_call() | {"network": REGRESSION.model.model_dump() | {"weights": None}},
        version=VERSION["features"],


rule predict_controls:
    input:
        plain="<cohort>/transcriptome/controls/plain.parquet",
        features="<cohort>/transcriptome/probe/features/slides.parquet",
        # The study's own network may be an untrained one: it is then asked once.
        untrained=(
            "<cohort>/transcriptome/controls/features/slides.parquet"
            if GENES.features or REGRESSION.model.weights
            else "<cohort>/transcriptome/probe/features/slides.parquet"
        ),
        labels="<cohort>/transcriptome/labels.parquet",
        genes="<cohort>/transcriptome/genes.tsv",
        summary="<cohort>/transcriptome/labels.json",
        splits=SPLITS,
    output:
        controls="<cohort>/transcriptome/controls/predictions.parquet",
    log:
        "<cohort>/logs/predict_controls.log",
    benchmark:
        "<cohort>/benchmarks/predict_controls.txt"
    conda:
        "../envs/statistics.yaml"
    resources:
        mem_mb=8000,
    params:
        penalties=GENES.penalties,
        standardise=REGRESSION.labels.standardise,
        seed=STUDY.seed,
        version=VERSION["controls"],
    script:
        "../scripts/predict_controls.py"
