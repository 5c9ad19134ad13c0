"""Store a slide's predictions as SpatialData."""

from histocarta.logs import recorded
from histocarta.spot_export import export_spatialdata

with recorded(snakemake.log[0]):
    export_spatialdata(
        **snakemake.input,
        **snakemake.output,
    )
