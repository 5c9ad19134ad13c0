# Reads:  everything of a cohort.
# Writes: ledger.tsv (who was left out and why; totals reconcile or the run fails), flow.png, report.html.


def spot_agreements_of_cohort(wildcards):
    """Comparisons of every trait's map with measured spots, where the cohort has any."""
    pattern = "results/{cohort}/traits/{trait}/{task}/consensus/spots.json"
    return of_every_task(pattern)(wildcards) if spots_of_cohort(wildcards) else []


def of_every_slide(name, *, layouts=tuple(STUDY.layouts)):
    """An input function: one file of every slide in each of the ``layouts`` that a task reads."""
    used = sorted({task.layout for task in STUDY.tasks.values()} & set(layouts))

    def paths(wildcards):
        return collect(
            "results/{cohort}/slides/{slide}/{layout}/{name}",
            cohort=wildcards.cohort,
            slide=SLIDES[wildcards.cohort].index,
            layout=used,
            name=name,
        )

    return paths


def stains_of_cohort(wildcards):
    """Stain records of the layouts that normalise colours."""
    stained = [name for name, layout in STUDY.layouts.items() if layout.stain != "none"]
    return of_every_slide("stain.json", layouts=stained)(wildcards)


def of_every_task(pattern):
    """An input function: ``pattern`` filled with every trait, task and layout of the study."""

    def paths(wildcards):
        return sorted(
            {
                pattern.format(cohort=wildcards.cohort, task=name, layout=task.layout, trait=trait)
                for name, task in STUDY.tasks.items()
                for trait in TRAITS[name]
            }
        )

    return paths


def heterogeneity_of_cohort(name):
    """An input function: one file of each set of traits that the study asks heterogeneity of."""

    def paths(wildcards):
        return [
            f"results/{wildcards.cohort}/heterogeneity/{item.task}/{'+'.join(item.traits)}/{name}"
            for item in STUDY.heterogeneity
        ]

    return paths


def has_survival(cohort):
    """Whether the cohort has a clinical sheet, without which there is no survival analysis."""
    return STUDY.cohorts[cohort].clinical is not None


def survival_of_cohort(wildcards):
    """Survival analyses of a cohort with a clinical sheet, none of another."""
    return heterogeneity_of_cohort("survival.json")(wildcards) if has_survival(wildcards.cohort) else []


def folder_of_report(wildcards, output):
    """The cohort's folder, where the report looks up pictures beside the tables that it is given."""
    return str(Path(output.report).parent)


rule write_ledger:
    input:
        slides="<cohort>/sheets/slides.tsv",
        exclusions="<cohort>/sheets/exclusions.tsv",
        manifests=of_every_task("results/{cohort}/{layout}/manifest.tsv"),
        summaries=of_every_slide("tiles.json"),
        stains=stains_of_cohort,
        labels=of_every_task("results/{cohort}/traits/{trait}/{task}/labels.json"),
        metrics=of_every_task("results/{cohort}/traits/{trait}/{task}/consensus/metrics.json"),
    output:
        ledger=report("<cohort>/ledger.tsv", caption="captions/ledger.rst", category="Cohort"),
        flow=report("<cohort>/flow.png", caption="captions/flow.rst", category="Cohort"),
    log:
        "<cohort>/logs/write_ledger.log",
    conda:
        "../envs/statistics.yaml"
    params:
        layouts={name: task.layout for name, task in STUDY.tasks.items()},
        max_excluded=STUDY.max_excluded,
    script:
        "../scripts/write_ledger.py"


rule write_report:
    input:
        ledger="<cohort>/ledger.tsv",
        flow="<cohort>/flow.png",
        manifests=of_every_task("results/{cohort}/{layout}/manifest.tsv"),
        tables=of_every_task("results/{cohort}/tables/{task}.tsv"),
        heterogeneity=heterogeneity_of_cohort("hti.tsv"),
        survival=survival_of_cohort,
        spots=spot_agreements_of_cohort,
    output:
        report="<cohort>/report.html",
    log:
        "<cohort>/logs/write_report.log",
    benchmark:
        "<cohort>/benchmarks/write_report.tsv"
    conda:
        "../envs/statistics.yaml"
    params:
        call={"study": SETTINGS},
        root=folder_of_report,
        version=VERSION["report"],
    script:
        "../scripts/write_report.py"
