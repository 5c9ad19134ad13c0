"""Hold pairs of gene sets in spots against chance."""

from histocarta.logs import recorded
from histocarta.spot_sets import colocate_sets

with recorded(snakemake.log[0]):
    colocate_sets(
        **snakemake.input,
        **snakemake.output,
        **snakemake.params.call,
    )
