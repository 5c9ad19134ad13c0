"""Choose the best rounds, vote per tile, score slides, evaluate."""

from histocarta.consensus import vote
from histocarta.logs import recorded

with recorded(snakemake.log[0]):
    vote(
        **snakemake.input,
        **snakemake.output,
        **snakemake.params.call,
        trait=snakemake.params.trait,
    )
