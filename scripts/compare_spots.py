"""Compare one trait's tile scores with expression measured in place."""

from histocarta.logs import recorded
from histocarta.spot_agreement import compare_spots

with recorded(snakemake.log[0]):
    compare_spots(
        **snakemake.input,
        **snakemake.output,
        trait=snakemake.wildcards.trait,
    )
