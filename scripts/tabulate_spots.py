"""Tabulate all traits' genes."""

from histocarta.logs import recorded
from histocarta.spot_results import tabulate_spots

with recorded(snakemake.log[0]):
    tabulate_spots(
        **snakemake.input,
        **snakemake.output,
    )
