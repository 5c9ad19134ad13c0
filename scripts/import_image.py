"""Turn a plain image into a pyramidal tiled TIFF that carries its resolution."""

from histocarta.images import import_image
from histocarta.logs import recorded

with recorded(snakemake.log[0]):
    import_image(
        image=snakemake.input.image,
        output=snakemake.output.pyramid,
        mpp=snakemake.params.mpp,
        quality=snakemake.params.quality,
    )
