# Reads:  the study, as rules/common.smk has it.
# Writes: nothing. Holds the small functions that say where a slide's spots were measured, and what is made of them.


def section_files_of_slide(wildcards):
    """What a slide's section is read from; nothing where none was measured."""
    row = row_of_section(wildcards)
    return section_files(row) if row["counts"] and slide_file(wildcards) else []


def row_of_section(wildcards):
    """What the sheet of sections says of a slide; blanks where it does not name it."""
    sheet = SECTIONS[wildcards.cohort]
    if sheet is None or wildcards.slide not in set(sheet["slide"]):
        return NO_SECTION
    return section_row(sheet, slide=wildcards.slide)


def windows_of_layout(wildcards):
    """A layout's settings, to be held against those that models of spots learnt from."""
    return STUDY.layouts[wildcards.layout].model_dump()


def windows_of_spots(wildcards):
    """The settings of the layout that models of spots learn from."""
    return STUDY.layouts[STUDY.tasks["spots"].layout].model_dump()


def genes_of_trait(wildcards):
    """Which genes a trait of the task spots stands for."""
    return STUDY.tasks["spots"].choice(wildcards.trait)


def spots_of_cohort(wildcards):
    """The cohort's table of expression measured in place."""
    return STUDY.cohorts[wildcards.cohort].spots


def placed_spots_of_task(wildcards):
    """The cohort's spots on the tiles of the task's layout."""
    return f"results/{wildcards.cohort}/{STUDY.tasks[wildcards.task].layout}/spots.parquet"


def spot_agreements_of_cohort(wildcards):
    """Comparisons of every trait's map with measured spots, where the cohort has any."""
    pattern = "results/{cohort}/traits/{trait}/{task}/consensus/spots.json"
    measured = [name for name in TASKS if not TASKS[name].tile_labels]
    return of_every_task(pattern, tasks=measured)(wildcards) if spots_of_cohort(wildcards) else []


def slides_with_sections(cohort):
    """The cohort's slides that the sheet of sections names, in the order of the slide sheet."""
    sheet = SECTIONS[cohort]
    named = [] if sheet is None else list(sheet["slide"])
    known = SLIDES[cohort].index
    if strange := [slide for slide in named if slide not in known]:
        raise InputError(
            f"Expected slides of the slide sheet in {STUDY.cohorts[cohort].sections}, found {strange[0]!r}"
            f"{nearest(strange[0], known)}; correct the name, or add the slide"
        )
    return [slide for slide in known if slide in set(named)]


def who_has_sections(wildcards):
    """These slides and their patients."""
    slides = slides_with_sections(wildcards.cohort)
    return {"slides": slides, "patients": SLIDES[wildcards.cohort].loc[slides, "patient"].tolist()}


def of_every_section(patterns):
    """An input function: ``patterns`` filled with every slide that has a section, and every trait but the controls."""

    def paths(wildcards):
        if "spots" not in STUDY.tasks or not is_trained(wildcards.cohort):
            return []
        slides = slides_with_sections(wildcards.cohort)
        traits = [trait for trait in TRAITS["spots"] if not is_control(trait)]
        return list(dict.fromkeys(collect(patterns, cohort=wildcards.cohort, slide=slides, trait=traits)))

    return paths


def shown_in_spots(wildcards):
    """Pictures and tables of genes in spots that the report shows; of controls there are figures only."""
    if "spots" not in STUDY.tasks or not is_trained(wildcards.cohort):
        return []
    of_trait = "results/{cohort}/traits/{trait}/spots/"
    files = [
        "consensus/curve.png",
        "consensus/baselines.tsv",
        "consensus/against-baselines.tsv",
        "baselines/record.json",
    ]
    if "extremes" in STUDY.tasks:
        files.append("consensus/cartography.tsv")
    if STUDY.tasks["spots"].colocation:
        files += ["consensus/colocation.json"]
    for gene in STUDY.tasks["spots"].attributions:
        files += [f"explained/gene-{gene}.png", f"explained/gene-{gene}.tsv"]
    if STUDY.tasks["spots"].nuclei:
        files += ["explained/nuclei.tsv"]
    if STUDY.tasks["spots"].latent:
        files += ["latent/latent.json"]
    files += [f"consensus/enrichment-{name}.tsv" for name in STUDY.gene_sets]
    measured = [other for other in others_of_cohort(wildcards.cohort) if SECTIONS[other] is not None]
    for name in ("transfer.png", "transfer.tsv", "evaluation.json", "scores.json"):
        pattern = f"elsewhere/{{other}}/{{layout}}/{name}"
        files += collect(pattern, other=measured, layout=STUDY.tasks["spots"].layout)
    whole = STUDY.tasks["spots"].slides_layout
    with_bulk = [other for other in others_of_cohort(wildcards.cohort) if whole and STUDY.cohorts[other].expression]
    clinical = [other for other in with_bulk if STUDY.cohorts[other].clinical and STUDY.tasks["spots"].subtypes]
    for name, others in (("bulk.json", with_bulk), ("subtypes.tsv", clinical)):
        files += collect(f"elsewhere/{{other}}/{{layout}}/{name}", other=others, layout=whole)
    maps = [f"consensus/maps/{{slide}}/{place}.png" for place in ("first", "second", "last")]
    of_all = [f"{of_trait}{name}" for name in (*files, *maps)]
    return [
        f"results/{wildcards.cohort}/sections.png",
        *collect(f"{of_trait}consensus/evaluation.json", cohort=wildcards.cohort, trait=TRAITS["spots"]),
        *of_every_section(of_all)(wildcards),
    ]
