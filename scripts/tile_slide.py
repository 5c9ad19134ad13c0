"""Cut one slide into tiles, judge each, and store the kept ones."""

from histocarta.logs import recorded
from histocarta.tiling import tile_slide

with recorded(snakemake.log[0]):
    tile_slide(
        **snakemake.input,
        **snakemake.output,
        **snakemake.params.layout,
    )
