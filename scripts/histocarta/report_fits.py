"""What the report shows of a regression: how well each trait's expression is predicted, and the slides behind it."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from histocarta import figures
from histocarta.report_models import left_out
from histocarta.report_page import Gallery, Note, Picture, Section, Table, data_uri, number, p_text

_COLUMNS = (
    "trait",
    "slides",
    "Spearman ρ",
    "p",
    "FDR",
    "R²",
    "ρ, mean of rounds",
    "patients",
    "ρ by patient",
    "remark",
)


def fit_section(
    rows: pd.DataFrame, scored: Mapping[str, pd.DataFrame], *, task: str, labels: Mapping[str, Any]
) -> Section:
    """What was left out, the table of fits and a scatter of each trait in ``scored`` (consensus/slides.parquet).

    ``rows``: the cohort table as text; ``labels``: the task's settings of that name.
    """
    tested = rows[rows["status"] == "ok"]
    blocks = left_out(rows)
    if len(tested):
        cells = [
            [
                row["trait"], row["test_n"], number(row["test_rho"]), p_text(row["test_p"]), p_text(row["test_fdr"]),
                number(row["test_r2"]), number(row["test_rounds_rho"]), row["test_sample_n"],
                number(row["test_sample_rho"]), row["test_reason"] or row["reason"],
            ]
            for row in tested.to_dict("records")
        ]  # fmt: skip
        centred = " Values are centred within each patient first." if labels["centre"] else ""
        blocks += [
            Table(_COLUMNS, cells, "Measured against predicted expression, test slides"),
            Note(
                "A slide's prediction is the mean of its tiles', over the rounds' models. R² is 1 less the share of "
                "the variance that is left: below 0 the mean of the test slides would have been nearer. FDR: "
                f"Benjamini–Hochberg over all {tested['n_tests'].iloc[0]} traits that were tried.{centred}"
            ),
        ]
    if len(scored) < len(tested):
        blocks.append(Note(f"Figures below: the {len(scored)} of {len(tested)} traits with the highest test ρ."))
    if scored:
        pictures = [
            Picture(data_uri(figures.png(figures.fit_scatter(frame, trait=trait))), trait)
            for trait, frame in scored.items()
        ]
        blocks.append(Gallery(pictures, "Predicted against measured expression of the test slides; line: equality"))
    return Section(f"Performance ({task})", blocks)
