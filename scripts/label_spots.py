"""Label every window on a spot with the expression of a trait's genes."""

from histocarta.logs import recorded
from histocarta.spot_labels import label_spots

with recorded(snakemake.log[0]):
    label_spots(
        **snakemake.input,
        **snakemake.output,
        **snakemake.params.choice,
        **snakemake.params.settings,
        trait=snakemake.params.trait,
        selected_on=snakemake.params.selected_on,
        seed=snakemake.params.seed,
    )
