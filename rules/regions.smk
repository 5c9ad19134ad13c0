# Reads:  a cohort's annotations, the sites, shards and manifest of the layout on which regions are told, and their models.
# Writes: {layout}/annotations.parquet; labels of tiles; and of a layout that keeps to a region each slide's sites and tiles: the
#         same pixels, copied, so that all that reads a layout finds a shard of its own tiles.
# Included where the study has the task regions. Other cohorts' tiles are scored by the models of the one they are external to.
# GPU rules: score_external_tiles.

REGIONS = STUDY.tasks["regions"]
OF_REGION = "results/{cohort}/traits/{trait}/{task,regions}"  # see labels.smk


rule place_annotations:
    input:
        annotations=annotations_of_cohort,
        files=annotation_files_of_cohort,
        sites=collect(
            f"<cohort>/slides/{{slide}}/{REGIONS.layout}/sites.parquet", slide=slides_of_cohort, allow_missing=True
        ),
    output:
        placed=f"<cohort>/{REGIONS.layout}/annotations.parquet",
    log:
        "<cohort>/logs/place_annotations.log",
    benchmark:
        "<cohort>/benchmarks/place_annotations.txt"
    conda:
        "../envs/statistics.yaml"
    resources:
        mem_mb=4000,
    params:
        slides=slides_of_cohort,
        regions=REGIONS.members(),
        version=VERSION["regions"],
    script:
        "../scripts/place_annotations.py"


rule label_regions:
    input:
        placed=f"<cohort>/{REGIONS.layout}/annotations.parquet",
        manifest=manifest_of_task,
        split=splits_of_task,
    output:
        labels="<trait>/labels.parquet",
        summary="<trait>/labels.json",
    log:
        "<cohort>/logs/label_regions/{trait}/{task}.log",
    benchmark:
        "<cohort>/benchmarks/label_regions/{trait}/{task}.txt"
    pathvars:
        trait=OF_REGION,
    conda:
        "../envs/statistics.yaml"
    params:
        trait="{trait}",
        settings=labelling_of_region,
        version=VERSION["regions"],
    script:
        "../scripts/label_regions.py"


rule score_external_tiles:
    input:
        manifest=f"results/{{other}}/{REGIONS.layout}/manifest.tsv",
        models=collect("<trait>/round-{round}/model.keras", round=rounds_of_scheme(REGIONS.scheme), allow_missing=True),
    output:
        scores="<trait>/external/{other}/scores.parquet",
    log:
        "<cohort>/logs/score_external_tiles/{other}/{trait}.log",
    benchmark:
        "<cohort>/benchmarks/score_external_tiles/{other}/{trait}.txt"
    pathvars:
        trait="results/{cohort}/traits/{trait}/regions",
    conda:
        TENSORFLOW_ENV
    threads: 8
    resources:
        gpu=min(1, REGIONS.training.gpus),
        mem_mb=scoring_mb(size=REGIONS.model.size, batch=REGIONS.training.batch),
    params:
        call=REGIONS.training.model_dump(include={"gpus", "require_gpu", "batch", "precision"}),
        version=VERSION["predict"],
    script:
        "../scripts/score_external_tiles.py"


# Both make a slide's tiles: of a layout that takes another's, this one does.
ruleorder: choose_tiles > tile_slide


rule choose_tiles:
    input:
        scores=scores_of_region,
        metrics=metrics_of_region,
        source_manifest=manifest_of_source,
        source_sites=f"<cohort>/slides/{{slide}}/{REGIONS.layout}/sites.parquet",
        source_shard=f"<cohort>/slides/{{slide}}/{REGIONS.layout}/tiles.tfrecord",
        source_summary=f"<cohort>/slides/{{slide}}/{REGIONS.layout}/tiles.json",
        survey="<cohort>/slides/{slide}/slide.json",
        thumbnail="<cohort>/slides/{slide}/thumbnail.png",
    output:
        sites="<cohort>/slides/{slide}/{layout}/sites.parquet",
        shard="<cohort>/slides/{slide}/{layout}/tiles.tfrecord",
        summary="<cohort>/slides/{slide}/{layout}/tiles.json",
        picture=report(
            "<cohort>/slides/{slide}/{layout}/tiles.png",
            caption="captions/tiles.rst",
            category="Slides",
            labels={"slide": "{slide}", "layout": "{layout}"},
        ),
    log:
        "<cohort>/logs/choose_tiles/{slide}/{layout}.log",
    benchmark:
        "<cohort>/benchmarks/choose_tiles/{slide}/{layout}.txt"
    wildcard_constraints:
        layout="|".join(name for name, layout in STUDY.layouts.items() if layout.of) or "-",  # no layout is called so
    conda:
        "../envs/slides.yaml"
    params:
        choice=choice_of_layout,
        version=VERSION["regions"],
    script:
        "../scripts/choose_tiles.py"
