"""Find the gene sets of which many genes vary and are not predicted."""

from histocarta.logs import recorded
from histocarta.overrepresentation import represent_unpredicted

with recorded(snakemake.log[0]):
    represent_unpredicted(**snakemake.input, **snakemake.output)
