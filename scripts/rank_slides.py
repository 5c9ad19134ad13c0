"""Rank slides by how much predicted expression varies within them."""

from histocarta.logs import recorded
from histocarta.variability import rank_slides

with recorded(snakemake.log[0]):
    rank_slides(**snakemake.input, **snakemake.output, wanted=snakemake.params.wanted)
