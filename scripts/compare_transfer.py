"""Hold how well genes are predicted in another cohort against how well they are in their own."""

from histocarta.logs import recorded
from histocarta.spot_transfer import compare_transfer

with recorded(snakemake.log[0]):
    compare_transfer(
        **snakemake.input,
        **snakemake.output,
    )
