"""Average the rounds' predictions per tile and slide, and evaluate them."""

from histocarta.averaging import average_rounds
from histocarta.logs import recorded

with recorded(snakemake.log[0]):
    average_rounds(
        **snakemake.input,
        **snakemake.output,
        **snakemake.params.call,
        trait=snakemake.params.trait,
    )
