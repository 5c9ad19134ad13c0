"""Relate genes in spots to the nuclei of their windows."""

from histocarta.logs import recorded
from histocarta.spot_nuclei import relate_nuclei

with recorded(snakemake.log[0]):
    relate_nuclei(
        **snakemake.input,
        **snakemake.output,
    )
