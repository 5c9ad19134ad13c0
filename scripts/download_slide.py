"""Download one slide from the GDC, verified by its MD5."""

from histocarta.download import download
from histocarta.logs import recorded

with recorded(snakemake.log[0]):
    download(
        **snakemake.output,
        **snakemake.params,
    )
