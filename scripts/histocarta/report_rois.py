"""What the report shows of genes predicted in place, against what was measured in regions of the slides."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from histocarta import figures
from histocarta.associations import Q
from histocarta.files import read_table
from histocarta.report_markers import marker_blocks
from histocarta.report_page import Note, Picture, Section, Table, data_uri, number, p_text

BEST = 25
_COLUMNS = ("gene", "slope (95 % CI)", "p", "FDR", "ρ within sections", "sections with ρ > 0", "remark")


def spatial_section(table: str, root: str) -> Section:
    """Counts, the genes with the smallest p and their coefficients (Wang 2021, Fig. 4B, C), and markers (Fig. 5)."""
    rows, way = read_table(table), Path(table).stem.removeprefix("spatial-")
    title = f"Spatial validation (regression, {way})"
    tried = rows[rows["p"] != ""]
    if tried.empty:
        why = rows["reason"].value_counts().index[0] if len(rows) else "none was predicted"
        return Section(title, [Note(f"No gene could be held against what was measured in place: {why}.")])
    numbers = tried[["slope", "low", "high", "p", "fdr", "section_rho"]].apply(pd.to_numeric)
    found = numbers["fdr"] < Q
    counts = [
        (f"tried, in {tried['n'].iloc[0]} regions of {tried['groups'].iloc[0]} sections", len(tried)),
        (f"positive slope, FDR < {Q}", int((found & (numbers["slope"] > 0)).sum())),
        (f"negative slope, FDR < {Q}: not validated", int((found & (numbers["slope"] < 0)).sum())),
        ("fit singular: no difference between sections is seen", int((tried["singular"] == "True").sum())),
    ]
    best = tried.loc[numbers["p"].sort_values(kind="stable").index[:BEST]]
    cells = [
        [
            row["trait"],
            f"{number(row['slope'])} ({number(row['low'])} to {number(row['high'])})",
            p_text(row["p"]),
            p_text(row["fdr"]),
            number(row["section_rho"]),
            f"{row['sections_positive']} of {row['sections']}",
            "singular" if row["singular"] == "True" else "",
        ]
        for row in best.to_dict("records")
    ]
    note = (
        "Measured ~ predicted + (1 | section), by maximum likelihood, in regions of slides that no model trained on; p "
        "of the likelihood-ratio test, FDR by Benjamini–Hochberg over all genes tried. Regions of one section are "
        "neighbours, so p is too small."
    )
    picture = Picture(data_uri(figures.png(_coefficients(best))), "Slopes with their 95 % interval, smallest p first")
    blocks = [Note(note), Table(("genes", "number"), counts), Table(_COLUMNS, cells), picture]
    return Section(title, [*blocks, *marker_blocks(read_table(f"{root}/transcriptome/{way}/markers.parquet"))])


def variability_section(table: str) -> Section:
    """The slides whose predictions vary most: tables/variability-{way}.tsv (Wang 2021 chose tumours so)."""
    rows, way = read_table(table), Path(table).stem.removeprefix("variability-")
    genes = list(rows.columns[list(rows.columns).index("variability") + 1 :])
    ranked = rows[rows["variability"] != ""].head(BEST)
    cells = [
        [row["slide"], row["part"], row["tiles"], *(number(row[name]) for name in ("variability", *genes))]
        for row in ranked.to_dict("records")
    ]
    note = (
        "Standard deviation of the tiles' predictions within a slide, in units of that over all tiles, and its mean "
        "over the genes: where expression measured in place has most to find. Slides trained on are ranked too."
    )
    columns = ("slide", "part", "tiles", "mean", *genes)
    return Section(
        f"Slides that vary most (regression, {way})",
        [Note(note), Table(columns, cells, f"The {len(cells)} slides that vary most", folded=True)],
    )


def _coefficients(genes: pd.DataFrame) -> Figure:
    """Slope and interval of each gene, in standard errors of its own scale: genes' units differ."""
    values = genes[["slope", "se"]].apply(pd.to_numeric)
    places = np.arange(len(genes))[::-1]
    figure = Figure(figsize=(5, 0.22 * len(genes) + 0.8), layout="constrained")
    axes = figure.subplots()
    t = values["slope"] / values["se"]
    axes.errorbar(t, places, xerr=1.96, fmt="o", color=figures.LOW, markersize=4, linewidth=1)
    axes.axvline(0, color="0.6", linewidth=0.8)
    axes.set_yticks(places, genes["trait"], fontsize=8)
    axes.set_xlabel("slope / standard error")
    return figure
