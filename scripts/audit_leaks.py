"""Fail where a unit is in two parts or thresholds saw the test part."""

from histocarta.leaks import audit_leaks
from histocarta.logs import recorded

with recorded(snakemake.log[0]):
    audit_leaks(
        **snakemake.input,
        **snakemake.output,
        **snakemake.params,
    )
