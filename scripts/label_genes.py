"""Label slides by the values of all genes at once."""

from histocarta.genes import label_genes
from histocarta.logs import recorded

with recorded(snakemake.log[0]):
    label_genes(
        **snakemake.input,
        **snakemake.output,
        **snakemake.params.settings,
        wanted=snakemake.params.wanted,
        fitted_on=snakemake.params.fitted_on,
        test_shift=snakemake.params.test_shift,
    )
