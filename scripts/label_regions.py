"""Label tiles by whether they were marked inside a region or outside."""

from histocarta.logs import recorded
from histocarta.regions import label_regions

with recorded(snakemake.log[0]):
    label_regions(
        **snakemake.input,
        **snakemake.output,
        **snakemake.params.settings,
        trait=snakemake.params.trait,
    )
