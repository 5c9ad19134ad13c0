"""Make one score of the rounds' per tile and slide, by vote or by averaging, and evaluate it."""

from histocarta.combination import combine_rounds
from histocarta.logs import recorded

with recorded(snakemake.log[0]):
    combine_rounds(
        **snakemake.input,
        **snakemake.output,
        **snakemake.params.call,
        trait=snakemake.params.trait,
    )
