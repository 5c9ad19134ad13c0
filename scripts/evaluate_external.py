"""Hold a cohort's models against an external cohort, and write down that it was opened for them."""

from histocarta.external import evaluate_external
from histocarta.logs import recorded

with recorded(snakemake.log[0]):
    evaluate_external(
        **snakemake.input,
        **snakemake.output,
        cohort=snakemake.wildcards.other,
        register=snakemake.params.register,
        centre=snakemake.params.centre,
        align=snakemake.params.align,
        reopen=snakemake.params.reopen,
    )
