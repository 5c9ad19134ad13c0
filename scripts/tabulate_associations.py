"""Gather all traits' fits in one table."""

from histocarta.associations import tabulate_associations
from histocarta.logs import recorded

with recorded(snakemake.log[0]):
    tabulate_associations(
        **snakemake.input,
        **snakemake.output,
        unit=snakemake.params.unit,
        itself=snakemake.params.itself,
        selection=snakemake.params.selection,
        register=snakemake.params.register,
        reopen=snakemake.params.reopen,
    )
