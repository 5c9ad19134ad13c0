"""What the report shows of predicted expression by clinical status: tests, and violins beside those of the measured."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from histocarta import figures
from histocarta.files import read_table
from histocarta.panels import ENDS
from histocarta.report_page import Gallery, Note, Picture, Section, Table, data_uri, p_text


def status_section(table: str, root: str) -> Section:
    """One row per gene or panel of tables/statuses-{way}.tsv (Wang 2021, Fig. 1E-L and 5)."""
    rows, way = read_table(table), Path(table).stem.removeprefix("statuses-")
    samples = read_table(Path(root) / "transcriptome" / way / "statuses.parquet")
    columns = (
        "gene or panel",
        "clinical column",
        "statuses",
        "test samples",
        "p as measured",
        "p as predicted",
        "remark",
    )
    cells = [
        [row["name"], row["column"], row["statuses"], row["n"], p_text(row["measured_p"]), p_text(row["predicted_p"]),
         row["test"] or row["reason"]]
        for row in rows.to_dict("records")
    ]  # fmt: skip
    note = "Expression of the test samples by what the clinic found. Points are samples, the bar is the median."
    pictures = [
        Picture(
            data_uri(figures.png(violins(samples[samples["name"] == row.name_], name=row.name_, column=row.column))),
            f"{row.name_} by {row.column}",
        )
        for row in rows.rename(columns={"name": "name_"}).itertuples()
        if not row.reason
    ]
    blocks = [Gallery(pictures)] if pictures else []
    return Section(f"Clinical status (regression, {way})", [Note(note), Table(columns, cells), *blocks])


def violins(samples: pd.DataFrame, *, name: str, column: str) -> Figure:
    """Measured and predicted expression of each status: a density, its samples and their median."""
    statuses = sorted(samples["status"].unique())
    figure = Figure(figsize=(1.6 + 1.3 * len(statuses), 2.6), layout="constrained")
    axes = figure.subplots(1, 2)
    for ax, end, colour in zip(axes, reversed(ENDS), (figures.LOW, figures.HIGH), strict=True):
        parts = [samples.loc[samples["status"] == status, end].to_numpy() for status in statuses]
        places = range(len(statuses))
        varying = [(place, part) for place, part in zip(places, parts, strict=True) if np.ptp(part) > 0]
        if varying:
            bodies = ax.violinplot(
                [part for _, part in varying], positions=[place for place, _ in varying], showextrema=False, widths=0.8
            )
            for body in bodies["bodies"]:
                body.set(facecolor=colour, alpha=0.4)
        for place, part in zip(places, parts, strict=True):
            spread = np.linspace(-0.12, 0.12, len(part))
            ax.scatter(place + spread, np.sort(part), s=6, color="0.2", alpha=0.6, linewidths=0)
            ax.hlines(np.median(part), place - 0.25, place + 0.25, color="black", linewidth=1.4)
        ax.set_xticks(places, statuses, fontsize=8, rotation=30 if len(statuses) > 3 else 0)
        ax.set_title(end, fontsize=9)
        ax.tick_params(labelsize=8)
    axes[0].set_ylabel(name)
    figure.supxlabel(column, fontsize=9)
    return figure
