"""Put the tile summaries of a cohort's slides into one file."""

from histocarta.logs import recorded
from histocarta.manifest import gather_summaries

with recorded(snakemake.log[0]):
    gather_summaries(
        **snakemake.input,
        **snakemake.output,
    )
