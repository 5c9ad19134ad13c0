"""List a cohort's shards: the one slide-level input of every later job."""

from histocarta.logs import recorded
from histocarta.manifest import collect_manifest

with recorded(snakemake.log[0]):
    collect_manifest(
        **snakemake.input,
        **snakemake.output,
        one_slide=snakemake.params.one_slide,
    )
