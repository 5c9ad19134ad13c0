"""Chart the latent space of each patient left out."""

from histocarta.latent_charts import chart_latent
from histocarta.logs import recorded

with recorded(snakemake.log[0]):
    chart_latent(
        **snakemake.input,
        **snakemake.output,
        **snakemake.params.call,
    )
