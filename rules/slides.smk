# Reads:  slide files named in the sheet.
# Writes: results/{cohort}/slides/{slide}/…: survey, tissue mask, stain, sites and tiles; results/{cohort}/{layout}/manifest.tsv.
# Pixels are read and encoded once, without labels: every trait, round and task joins its labels to the same shards.


rule import_image:
    input:
        image=plain_image,
    output:
        pyramid="<cohort>/images/{image}.tif",
    log:
        "<cohort>/logs/import_image/{image}.log",
    benchmark:
        "<cohort>/benchmarks/import_image/{image}.txt"
    conda:
        "../envs/slides.yaml"
    resources:
        mem_mb=4000,
    params:
        mpp=plain_image_mpp,
        quality=90,
        version=VERSION["image"],
    script:
        "../scripts/import_image.py"


rule survey_slide:
    input:
        file=slide_file,
    output:
        survey="<cohort>/slides/{slide}/slide.json",
        thumbnail="<cohort>/slides/{slide}/thumbnail.png",
        tissue="<cohort>/slides/{slide}/tissue.png",
    log:
        "<cohort>/logs/survey_slide/{slide}.log",
    benchmark:
        "<cohort>/benchmarks/survey_slide/{slide}.txt"
    conda:
        "../envs/slides.yaml"
    params:
        row=slide_row,
        version=VERSION["survey"],
    script:
        "../scripts/survey_slide.py"


rule estimate_stain:
    input:
        file=slide_file,
        survey="<cohort>/slides/{slide}/slide.json",
        tissue="<cohort>/slides/{slide}/tissue.png",
    output:
        stain="<cohort>/slides/{slide}/{layout}/stain.json",
    log:
        "<cohort>/logs/estimate_stain/{slide}/{layout}.log",
    benchmark:
        "<cohort>/benchmarks/estimate_stain/{slide}/{layout}.txt"
    conda:
        "../envs/slides.yaml"
    params:
        layout=staining_settings,
        seed=STUDY.seed,
        version=VERSION["stain"],
    script:
        "../scripts/estimate_stain.py"


rule tile_slide:
    input:
        file=slide_file,
        survey="<cohort>/slides/{slide}/slide.json",
        tissue="<cohort>/slides/{slide}/tissue.png",
        thumbnail="<cohort>/slides/{slide}/thumbnail.png",
        stain=branch(
            lookup("{layout}/stain", within=SETTINGS["layouts"]),
            cases={"none": []},
            otherwise="<cohort>/slides/{slide}/{layout}/stain.json",
        ),
        section=branch(
            lookup("{layout}/sites", within=SETTINGS["layouts"]),
            cases={"spots": "<cohort>/slides/{slide}/section/section.json"},
            otherwise=[],
        ),
        spots=branch(
            lookup("{layout}/sites", within=SETTINGS["layouts"]),
            cases={"spots": "<cohort>/slides/{slide}/section/spots.parquet"},
            otherwise=[],
        ),
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
        "<cohort>/logs/tile_slide/{slide}/{layout}.log",
    benchmark:
        "<cohort>/benchmarks/tile_slide/{slide}/{layout}.txt"
    conda:
        "../envs/slides.yaml"
    params:
        layout=tiling_settings,
        version=VERSION["tile"],
    script:
        "../scripts/tile_slide.py"


# Apart from the manifest: for each job that reads a file, Snakemake walks the list of inputs of the job that writes it.
# All jobs of all traits read the manifest; thousands of slides must not be in that list.
rule gather_summaries:
    input:
        summaries=collect("<cohort>/slides/{slide}/{layout}/tiles.json", slide=slides_of_cohort, allow_missing=True),
        shards=collect("<cohort>/slides/{slide}/{layout}/tiles.tfrecord", slide=slides_of_cohort, allow_missing=True),
    output:
        gathered="<cohort>/{layout}/summaries.json",
    log:
        "<cohort>/logs/gather_summaries/{layout}.log",
    benchmark:
        "<cohort>/benchmarks/gather_summaries/{layout}.txt"
    conda:
        "../envs/slides.yaml"
    params:
        version=VERSION["manifest"],
    script:
        "../scripts/gather_summaries.py"


rule collect_manifest:
    input:
        slides="<cohort>/sheets/slides.tsv",
        gathered="<cohort>/{layout}/summaries.json",
    output:
        manifest="<cohort>/{layout}/manifest.tsv",
        exclusions="<cohort>/{layout}/exclusions.tsv",
    log:
        "<cohort>/logs/collect_manifest/{layout}.log",
    benchmark:
        "<cohort>/benchmarks/collect_manifest/{layout}.txt"
    conda:
        "../envs/slides.yaml"
    params:
        one_slide=one_slide_of_cohort,
        version=VERSION["manifest"],
    script:
        "../scripts/collect_manifest.py"
