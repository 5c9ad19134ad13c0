"""Tell two kinds of a disease apart by predicted genes, and by their bulk expression."""

from histocarta.logs import recorded
from histocarta.spot_subtypes import classify_subtypes

with recorded(snakemake.log[0]):
    classify_subtypes(
        **snakemake.input,
        **snakemake.output,
        **snakemake.params.call,
    )
