"""Find how much of every tile each annotated class covers."""

from histocarta.annotations import place_annotations
from histocarta.logs import recorded

with recorded(snakemake.log[0]):
    place_annotations(
        **snakemake.input,
        **snakemake.output,
        slides=snakemake.params.slides,
        regions=snakemake.params.regions,
    )
