"""Measure heterogeneity over two or more traits."""

from histocarta.heterogeneity import measure_heterogeneity
from histocarta.logs import recorded

with recorded(snakemake.log[0]):
    measure_heterogeneity(
        **snakemake.input,
        **snakemake.output,
        **snakemake.params.settings,
        traits=snakemake.params.traits,
        seed=snakemake.params.seed,
    )
