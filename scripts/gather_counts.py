"""Join the counts of all sections' windows."""

from histocarta.logs import recorded
from histocarta.spot_counts import gather_counts

with recorded(snakemake.log[0]):
    gather_counts(
        **snakemake.input,
        **snakemake.output,
        slides=snakemake.params.slides,
    )
