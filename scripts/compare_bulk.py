"""Hold the mean of predictions over tiles against bulk expression."""

from histocarta.logs import recorded
from histocarta.spot_bulk import compare_bulk

with recorded(snakemake.log[0]):
    compare_bulk(
        **snakemake.input,
        **snakemake.output,
    )
