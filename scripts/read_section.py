"""Bring a slide's spots and counts into one form, and hold them against its tissue."""

from histocarta.logs import recorded
from histocarta.sections import read_section

with recorded(snakemake.log[0]):
    read_section(
        survey=snakemake.input.survey,
        tissue=snakemake.input.tissue,
        thumbnail=snakemake.input.thumbnail,
        **snakemake.output,
        slide=snakemake.wildcards.slide,
        **snakemake.params.row,
    )
