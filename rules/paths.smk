# Reads:  the study, as rules/common.smk has it.
# Writes: nothing. Holds the small functions that turn a task, a trait or a cohort into paths and settings.


def rounds_of_scheme(name):
    """Round numbers of a split scheme; leaving one patient out gives a round per patient."""
    scheme = STUDY.splits[name]
    if scheme.leave_out != "patient":
        return list(range(1, 1 + scheme.rounds))
    patients = {cohort: sheet["patient"].nunique() for cohort, sheet in SLIDES.items() if is_trained(cohort)}
    if len(set(patients.values())) > 1:
        raise InputError(f"Expected as many patients in each cohort for splits.{name} (leave_out), found {patients}")
    return list(range(1, 1 + next(iter(patients.values()))))


def manifest_of_task(wildcards):
    """The cohort manifest of the task's layout: the only slide-level input of a per-trait job."""
    return f"results/{wildcards.cohort}/{STUDY.tasks[wildcards.task].layout}/manifest.tsv"


def splits_of_scheme(cohort, scheme):
    """The split tables of a scheme, all rounds."""
    rounds = rounds_of_scheme(scheme)
    return collect("results/{cohort}/splits/{scheme}/round-{round}.tsv", cohort=cohort, scheme=scheme, round=rounds)


def splits_of_task(wildcards):
    """The split tables of the task's scheme, all rounds."""
    return splits_of_scheme(wildcards.cohort, STUDY.tasks[wildcards.task].scheme)


def training_call(name):
    """What :func:`histocarta.training.train_rounds` is told of a task."""
    task = STUDY.tasks[name]
    return {
        "model": task.model.model_dump(),
        "training": task.training.model_dump(),
        "task": name,
        **task.judging(),
        "pooling": task.model.pooling,
        "checkpoint_metric": STUDY.choice("checkpoint_metric"),
        "seed": STUDY.seed,
        "inner": STUDY.splits[task.scheme].inner,
    }


def unit_of_task(wildcards):
    """What the task's scheme splits by: patient, section or block."""
    return STUDY.splits[STUDY.tasks[wildcards.task].scheme].unit


def rounds_of_job(wildcards):
    """Round numbers that one training job is for: its path's round, or all where the job trains them together."""
    round = wildcards.get("round")
    return [int(round)] if round else rounds_of_scheme(STUDY.tasks[wildcards.task].scheme)


def sites_of_slide(wildcards):
    """Tile positions of one slide in the task's layout."""
    layout = STUDY.tasks[wildcards.task].layout
    return f"results/{wildcards.cohort}/slides/{wildcards.slide}/{layout}/sites.parquet"


def traits_joined(wildcards):
    """The traits of a ``A+B`` path."""
    return wildcards.traits.split("+")


def traits_of_task(wildcards):
    """The traits that the study asks of a task; any other can still be asked for by its path."""
    return TRAITS[wildcards.task]


def manifest_to_split(layout):
    """An input function: the manifest by which a cohort is split, which one that nothing is fitted on is not."""

    def path(wildcards):
        own = STUDY.cohorts[wildcards.cohort].external_to
        if own:
            raise InputError(
                f"Expected a file of a cohort that is trained on, found one of {wildcards.cohort}, which is "
                f"external to {own}: see results/{own}/tables/external-{wildcards.cohort}-….tsv"
            )
        return f"results/{wildcards.cohort}/{layout}/manifest.tsv"

    return path


def one_slide_of_cohort(wildcards):
    """Whether a patient keeps one slide only; where a layout keeps to a region, it is chosen by the tiles in that."""
    sources = {layout.of for layout in STUDY.layouts.values()}
    return STUDY.cohorts[wildcards.cohort].one_slide and wildcards.layout not in sources


def sheet_of_batches(wildcards):
    """The cohort's slide sheet, where batches are brought to one scale by it."""
    reference = STUDY.tasks["regression"].labels.reference_batch
    return f"results/{wildcards.cohort}/sheets/slides.tsv" if reference else []


def is_trained(cohort):
    """Whether models are trained on a cohort; to those of another it may be external."""
    return STUDY.cohorts[cohort].external_to is None


def of_every_task(pattern, *, tasks=tuple(TASKS)):
    """An input function: ``pattern`` filled with every trait, task and layout of the study."""

    def paths(wildcards):
        if not is_trained(wildcards.cohort):
            return []
        return sorted(
            {
                pattern.format(cohort=wildcards.cohort, task=name, layout=task.layout, trait=trait)
                for name, task in STUDY.tasks.items()
                if name in tasks
                for trait in TRAITS[name]
            }
        )

    return paths


def manifests_of_cohort(wildcards):
    """The cohort's manifest in each layout that a task reads."""
    layouts = sorted({task.layout for task in STUDY.tasks.values()})
    return collect("results/{cohort}/{layout}/manifest.tsv", cohort=wildcards.cohort, layout=layouts)


def tables_of_cohort(wildcards):
    """The tables of performance that the study asks for."""
    names = [table for task in STUDY.tasks.values() for table in task.tables()]
    return collect("results/{cohort}/tables/{name}.tsv", cohort=wildcards.cohort, name=names)


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
    stained = [name for name, layout in STUDY.layouts.items() if layout.stain != "none" and not layout.of]
    return of_every_slide("stain.json", layouts=stained)(wildcards)


def heterogeneity_of_cohort(name):
    """An input function: one file of each set of traits that the study asks heterogeneity of."""

    def paths(wildcards):
        if not is_trained(wildcards.cohort):
            return []
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
