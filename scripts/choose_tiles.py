"""Keep those tiles of a slide that lie in a region."""

from histocarta.logs import recorded
from histocarta.region_tiles import choose_tiles

with recorded(snakemake.log[0]):
    choose_tiles(
        **snakemake.input,
        **snakemake.output,
        **snakemake.params.choice,
    )
