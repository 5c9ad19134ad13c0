"""Find the tiles of every region in which expression was measured."""

from histocarta.logs import recorded
from histocarta.rois import place_rois

with recorded(snakemake.log[0]):
    place_rois(
        **snakemake.input,
        **snakemake.output,
        slides=snakemake.params.slides,
        size=snakemake.params.tiling["size"],
        mpp=snakemake.params.tiling["mpp"],
    )
