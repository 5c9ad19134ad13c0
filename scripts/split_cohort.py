"""Draw the rounds of a split scheme, before any trait is looked at."""

from histocarta.logs import recorded
from histocarta.splits import split_cohort

with recorded(snakemake.log[0]):
    split_cohort(
        **snakemake.input,
        **snakemake.output,
        **snakemake.params.settings,
        scheme=snakemake.params.scheme,
        seed=snakemake.params.seed,
    )
