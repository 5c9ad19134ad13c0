# Reads:  a cohort's table of regions in which expression was measured, the tiles' features and the heads of probe and panel.
# Writes: tables/spatial-{way}: how far genes are predicted in place; tables/variability-{way}: in which slides predictions vary
#         most. (What is predicted by a network for each gene: single_genes.smk.)


rule validate_probe:
    input:
        rois=rois_of_cohort,
        placed=f"<cohort>/{REGRESSION.layout}/rois.parquet",
        places=["<cohort>/transcriptome/probe/features/places.parquet"],
        tiles=["<cohort>/transcriptome/probe/features/tiles.npy"],
        heads=collect("<cohort>/transcriptome/probe/round-{round}/head.npz", round=ROUNDS, allow_missing=True),
        sidecars=collect("<cohort>/transcriptome/probe/round-{round}/model.json", round=ROUNDS, allow_missing=True),
        genes="<cohort>/transcriptome/genes.tsv",
        splits=SPLITS,
    output:
        table=report(
            "<cohort>/tables/spatial-probe.tsv",
            caption="captions/spatial.rst",
            category="Spatial validation",
            labels={"way": "probe"},
        ),
        parquet_table="<cohort>/tables/spatial-probe.parquet",
        markers="<cohort>/transcriptome/probe/markers.parquet",
    log:
        "<cohort>/logs/validate_rois/probe.log",
    benchmark:
        "<cohort>/benchmarks/validate_rois/probe.txt"
    conda:
        "../envs/statistics.yaml"
    resources:
        mem_mb=8000,
    params:
        standardise=REGRESSION.labels.standardise,
        values=roi_values_of_cohort,
        probe_sum=STUDY.choice("probe_sum"),
        version=VERSION["rois"],
    script:
        "../scripts/validate_rois.py"


use rule validate_probe as validate_panel with:
    input:
        rois=rois_of_cohort,
        placed=f"<cohort>/{REGRESSION.layout}/rois.parquet",
        places=collect(
            "<cohort>/transcriptome/panel/round-{round}/features/places.parquet", round=ROUNDS, allow_missing=True
        ),
        tiles=collect("<cohort>/transcriptome/panel/round-{round}/features/tiles.npy", round=ROUNDS, allow_missing=True),
        heads=collect("<cohort>/transcriptome/panel/round-{round}/features/head.npz", round=ROUNDS, allow_missing=True),
        sidecars=collect("<cohort>/transcriptome/panel/round-{round}/model.json", round=ROUNDS, allow_missing=True),
        genes="<cohort>/transcriptome/genes.tsv",
        splits=SPLITS,
    output:
        table=report(
            "<cohort>/tables/spatial-panel.tsv",
            caption="captions/spatial.rst",
            category="Spatial validation",
            labels={"way": "panel"},
        ),
        parquet_table="<cohort>/tables/spatial-panel.parquet",
        markers="<cohort>/transcriptome/panel/markers.parquet",
    log:
        "<cohort>/logs/validate_rois/panel.log",
    benchmark:
        "<cohort>/benchmarks/validate_rois/panel.txt"


rule rank_probe:
    input:
        places=["<cohort>/transcriptome/probe/features/places.parquet"],
        tiles=["<cohort>/transcriptome/probe/features/tiles.npy"],
        heads=collect("<cohort>/transcriptome/probe/round-{round}/head.npz", round=ROUNDS, allow_missing=True),
        sidecars=collect("<cohort>/transcriptome/probe/round-{round}/model.json", round=ROUNDS, allow_missing=True),
        genes="<cohort>/transcriptome/genes.tsv",
        splits=SPLITS,
    output:
        table="<cohort>/tables/variability-probe.tsv",
    log:
        "<cohort>/logs/rank_slides/probe.log",
    benchmark:
        "<cohort>/benchmarks/rank_slides/probe.txt"
    conda:
        "../envs/statistics.yaml"
    resources:
        mem_mb=8000,
    params:
        wanted=GENES.variability,
        version=VERSION["rois"],
    script:
        "../scripts/rank_slides.py"


use rule rank_probe as rank_panel with:
    input:
        places=collect(
            "<cohort>/transcriptome/panel/round-{round}/features/places.parquet", round=ROUNDS, allow_missing=True
        ),
        tiles=collect("<cohort>/transcriptome/panel/round-{round}/features/tiles.npy", round=ROUNDS, allow_missing=True),
        heads=collect("<cohort>/transcriptome/panel/round-{round}/features/head.npz", round=ROUNDS, allow_missing=True),
        sidecars=collect("<cohort>/transcriptome/panel/round-{round}/model.json", round=ROUNDS, allow_missing=True),
        genes="<cohort>/transcriptome/genes.tsv",
        splits=SPLITS,
    output:
        table="<cohort>/tables/variability-panel.tsv",
    log:
        "<cohort>/logs/rank_slides/panel.log",
    benchmark:
        "<cohort>/benchmarks/rank_slides/panel.txt"
