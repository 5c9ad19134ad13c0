"""Label slides by the values of one trait."""

from histocarta.logs import recorded
from histocarta.values import label_regression

with recorded(snakemake.log[0]):
    label_regression(
        **snakemake.input,
        **snakemake.output,
        **snakemake.params.settings,
        trait=snakemake.params.trait,
        fitted_on=snakemake.params.fitted_on,
        test_shift=snakemake.params.test_shift,
    )
