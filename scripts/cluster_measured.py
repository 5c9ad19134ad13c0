"""Group patients by what a panel of genes measures in them."""

from histocarta.logs import recorded
from histocarta.measured_clusters import cluster_measured

with recorded(snakemake.log[0]):
    cluster_measured(
        **snakemake.input,
        **snakemake.output,
        subtype=snakemake.params.subtype,
        seed=snakemake.params.seed,
    )
