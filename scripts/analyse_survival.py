"""Relate heterogeneity to survival."""

from histocarta.logs import recorded
from histocarta.survival import analyse_survival

with recorded(snakemake.log[0]):
    analyse_survival(
        **snakemake.input,
        **snakemake.output,
        **snakemake.params.settings,
        **snakemake.params.choices,
        traits=snakemake.params.traits,
        seed=snakemake.params.seed,
    )
