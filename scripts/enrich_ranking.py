"""Find the gene sets at the ends of a ranking."""

from histocarta.enrichment import enrich_ranking
from histocarta.logs import recorded

with recorded(snakemake.log[0]):
    enrich_ranking(
        **snakemake.input,
        **snakemake.output,
        by=snakemake.params.by,
        seed=snakemake.params.seed,
    )
