"""Open one slide: resolution, thumbnail, tissue mask."""

from histocarta.logs import recorded
from histocarta.survey import survey_slide

with recorded(snakemake.log[0]):
    survey_slide(
        **snakemake.input,
        **snakemake.output,
        **snakemake.params.row,
    )
