# histocarta: H&E whole-slide images + expression -> per-trait models, molecular cartographies, heterogeneity, survival, report.
#   snakemake --profile profiles/local --configfile config/demo.yaml         everything that the study asks for
#   snakemake --profile slurm --configfile config/mine.yaml                   the same on a cluster
#   snakemake … results/mine/traits/MKI67/extremes/consensus/metrics.json     one trait, and only what it needs
from snakemake.utils import min_version

min_version("9.27")


# Without --configfile. (A default that is merged with the chosen study would leave the demo's cohorts in everybody's runs.)
if "cohorts" not in config:

    configfile: "config/demo.yaml"


pathvars:
    cohort="results/{cohort}",
    trait="results/{cohort}/traits/{trait}/{task}",


# Patterns, never joined lists of names: a list of 17,000 genes in a regular expression slows every match.
wildcard_constraints:
    cohort=r"[A-Za-z0-9._-]+",
    slide=r"[A-Za-z0-9._-]+",
    image=r"[A-Za-z0-9._-]+",
    layout=r"[a-z][a-z0-9-]*",
    task=r"[a-z]+",
    trait=r"[^/+]+",
    traits=r"[^/]+\+[^/]+",
    scheme=r"[a-z0-9-]+",
    round=r"\d+",
    job=r"\d+",
    way=r"[a-z-]+",
    other=r"[A-Za-z0-9._-]+",
    panel=r"[A-Za-z0-9-]+",


include: "rules/common.smk"
include: "rules/paths.smk"
include: "rules/gene_paths.smk"
include: "rules/external_paths.smk"
include: "rules/region_paths.smk"
include: "rules/spot_paths.smk"
include: "rules/data.smk"
include: "rules/slides.smk"
include: "rules/labels.smk"
include: "rules/training.smk"
include: "rules/maps.smk"
include: "rules/statistics.smk"
include: "rules/genes.smk"
include: "rules/contrasts.smk"
include: "rules/report.smk"
include: "rules/run.smk"


rule all:
    default_target: True
    input:
        collect("results/{cohort}/report.html", cohort=[name for name in STUDY.cohorts if is_trained(name)]),
    localrule: True
