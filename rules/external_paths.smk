# Reads:  the study, as rules/common.smk has it.
# Writes: nothing. Holds the small functions that say which models a test set is opened for, and where external cohorts lie.


def others_of_cohort(cohort):
    """The cohorts that are external to one."""
    return [name for name, other in STUDY.cohorts.items() if other.external_to == cohort]


def models_of_gene(wildcards):
    """One gene's own models, all rounds."""
    rounds = rounds_of_scheme(STUDY.tasks["regression"].scheme)
    pattern = "results/{cohort}/traits/{trait}/regression/round-{round}/model.keras"
    return collect(pattern, cohort=wildcards.cohort, trait=wildcards.trait, round=rounds)


def models_of_way(wildcards):
    """The files that decide what a way predicts: heads, networks, or what names those of many genes by their SHA-256."""
    call = {"cohort": wildcards.cohort, "round": rounds_of_scheme(STUDY.tasks["regression"].scheme)}
    if wildcards.way == "probe":
        network = f"results/{wildcards.cohort}/transcriptome/probe/features/network.json"
        return [network, *collect("results/{cohort}/transcriptome/probe/round-{round}/head.npz", **call)]
    if wildcards.way == "panel":
        return collect("results/{cohort}/transcriptome/panel/round-{round}/model.keras", **call)
    if STUDY.tasks["regression"].one_by_one():
        pattern = "results/{cohort}/traits/{trait}/regression/round-{round}/model.keras"
        return collect(pattern, trait=TRAITS["regression"], **call)
    pattern = "results/{cohort}/transcriptome/per-gene/scores/job-{job}.json"
    return collect(pattern, cohort=wildcards.cohort, job=jobs_of_genes())


def external_scores_of_genes(wildcards):
    """What genes with models of their own predict of an external cohort."""
    call = {"cohort": wildcards.cohort, "other": wildcards.other}
    if STUDY.tasks["regression"].one_by_one():
        pattern = "results/{cohort}/traits/{trait}/regression/external/{other}/scores.parquet"
        return collect(pattern, trait=TRAITS["regression"], **call)
    pattern = "results/{cohort}/transcriptome/per-gene/external/{other}/scores/job-{job}.parquet"
    return collect(pattern, job=jobs_of_genes(), **call)


def models_that_open_the_test(wildcards):
    """The models that the test part is opened for, where the validation part has chosen nothing and brings genes forward."""
    return models_of_way(wildcards) if selection_of_regression() else []


def register_of_test(wildcards):
    """Where it stands when the test part was opened, and for which models."""
    return "results/{cohort}/openings/test-{way}.json".format(**wildcards)


def register_of_opening(wildcards):
    """Where it stands when an external cohort was opened, and for which models."""
    return "results/{cohort}/openings/external-{other}-{way}.json".format(**wildcards)


def external_tables_of_cohort(wildcards):
    """How far the models hold in the cohorts that are external to this one, in each way."""
    ways = STUDY.tasks["regression"].ways() if "regression" in STUDY.tasks else []
    pattern = "results/{cohort}/tables/external-{other}-{way}.tsv"
    return collect(pattern, cohort=wildcards.cohort, other=others_of_cohort(wildcards.cohort), way=ways)


def ledgers_of_others(wildcards):
    """Who was left out of the cohorts that are external to this one."""
    return collect("results/{other}/ledger.tsv", other=others_of_cohort(wildcards.cohort))
