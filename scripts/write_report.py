"""Write the cohort's report, one file that opens offline."""

from histocarta.logs import recorded
from histocarta.report import write_report

with recorded(snakemake.log[0]):
    write_report(
        **snakemake.input,
        **snakemake.output,
        **snakemake.params.call,
        cohort=snakemake.wildcards.cohort,
        root=snakemake.params.root,
    )
