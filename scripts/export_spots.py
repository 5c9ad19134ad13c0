"""Write a slide's predictions in the form that Scanpy and Squidpy plot."""

from histocarta.logs import recorded
from histocarta.spot_export import export_spots

with recorded(snakemake.log[0]):
    export_spots(
        **snakemake.input,
        **snakemake.output,
        slide=snakemake.params.slide,
    )
