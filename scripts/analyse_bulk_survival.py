"""Relate bulk expression alone to survival."""

from histocarta.bulk_survival import analyse_bulk_survival
from histocarta.logs import recorded

with recorded(snakemake.log[0]):
    analyse_bulk_survival(
        **snakemake.input,
        **snakemake.output,
        **snakemake.params.settings,
        traits=snakemake.params.traits,
    )
