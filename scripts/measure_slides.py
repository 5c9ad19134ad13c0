"""Measure every slide's colour, nuclei and size."""

from histocarta.logs import recorded
from histocarta.plain_features import measure_slides

with recorded(snakemake.log[0]):
    measure_slides(**snakemake.input, **snakemake.output, threads=snakemake.threads)
