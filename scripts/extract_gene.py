"""Take one gene's model out of its job's archive."""

from histocarta.logs import recorded
from histocarta.model_archives import extract_model

with recorded(snakemake.log[0]):
    extract_model(**snakemake.input, **snakemake.output, trait=snakemake.params.trait)
