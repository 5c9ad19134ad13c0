"""What the report shows of differential expression and of gene sets (Wang 2021, Fig. 3 and Tables S7, S8)."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from histocarta import figures
from histocarta.contrasts import Q
from histocarta.files import read_table
from histocarta.gene_sets import read_gmt, read_ranking
from histocarta.report_page import Note, Picture, Section, Table, data_uri, number, p_text

BEST = 20
SETS = 15


def contrast_section(table: str) -> Section:
    """How many genes differ, and those that do most: contrasts/{contrast}/measured.tsv."""
    rows, name = read_table(table), Path(table).parent.name
    numbers = rows[["effect", "p", "fdr"]].apply(pd.to_numeric)
    small = numbers["fdr"] < Q
    counts = [
        ("tested", int(numbers["p"].notna().sum())),
        (f"higher, FDR < {Q}", int((small & (numbers["effect"] > 0)).sum())),
        (f"lower, FDR < {Q}", int((small & (numbers["effect"] < 0)).sum())),
    ]
    best = rows.loc[numbers["p"].sort_values(kind="stable").index[:BEST]]
    cells = [
        [
            row["trait"],
            f"{number(row['effect'])} ({number(row['low'])} to {number(row['high'])})",
            p_text(row["p"]),
            p_text(row["fdr"]),
        ]
        for row in best.to_dict("records")
    ]
    first = rows.iloc[0]
    note = (
        f"{first['n_high']} patients against {first['n_low']}; a linear model of every gene with the study's "
        "covariates. Effect: how much higher the expression is in the first group, on the table's scale. FDR: "
        "Benjamini–Hochberg."
    )
    columns = ("gene", "effect (95 % CI)", "p", "FDR")
    blocks = [Note(note), Table(("genes", "number"), counts), Table(columns, cells, "The smallest p")]
    return Section(f"Differential expression ({name})", blocks)


def common_section(table: str) -> Section:
    """The contrast on the test part, of predicted and of measured genes: contrasts/{contrast}/{way}.tsv."""
    rows, path = read_table(table), Path(table)
    fdr = rows[["predicted_fdr", "measured_fdr"]].apply(pd.to_numeric)
    counts = [
        (f"as measured, FDR < {Q}", int((fdr["measured_fdr"] < Q).sum())),
        (f"as predicted, FDR < {Q}", int((fdr["predicted_fdr"] < Q).sum())),
        ("both, with the same sign", int((rows["common"] == "True").sum())),
    ]
    said = f"Of {len(rows)} genes, on the samples of the test part ({rows['measured_n_high'].iloc[0]} against "
    said += f"{rows['measured_n_low'].iloc[0]})."
    return Section(
        f"Differential expression ({path.parent.name}, {path.stem})", [Note(said), Table(("genes", "number"), counts)]
    )


def enrichment_section(table: str, sets: Mapping[str, str]) -> Section:
    """Gene sets at the ends of a ranking, and how far they stand from its middle; of predicted genes, their members' ρ.

    ``sets`` : the study's GMT files by name.
    """
    rows, path = read_table(table), Path(table)
    ranked = path.parent.name if path.parent.name != "tables" else "predicted genes"
    best = rows.head(SETS)
    cells = [
        [row["set"], row["genes"], number(row["nes"]), p_text(row["p"]), p_text(row["fdr"])]
        for row in best.to_dict("records")
    ]
    small = int((pd.to_numeric(rows["fdr"]) < Q).sum())
    note = (
        f"Pre-ranked GSEA, 1,000 permutations of the genes: {small} of {len(rows)} sets have an FDR below {Q}. NES "
        "above 0: the set's genes stand at the high end."
    )
    pictures = [Picture(data_uri(figures.png(_bars(best))), "Normalised enrichment score; dark: FDR < 0.05")]
    name = path.stem.removeprefix("enrichment-")
    if path.parent.name == "tables":
        way, file = next((name.removesuffix(f"-{key}"), file) for key, file in sets.items() if name.endswith(f"-{key}"))
        rho = read_ranking(str(path.with_name(f"regression-{way}.tsv")), by="test_rho")
        pictures.append(Picture(data_uri(figures.png(_boxes(best, rho, read_gmt(file)))), "ρ of the sets' genes"))
    table = Table(("set", "ranked genes", "NES", "p", "FDR"), cells)
    return Section(f"Gene sets ({ranked}, {name})", [Note(note), table, *pictures])


def unpredicted_section(table: str) -> Section:
    """Gene sets of which many genes vary and are not predicted: tables/unpredicted-{way}-{sets}.tsv."""
    rows = read_table(table)
    name = Path(table).stem.removeprefix("unpredicted-").replace("per-gene", "per gene")
    way, _, sets = name.partition("-")
    small = int((pd.to_numeric(rows["fdr"]) < Q).sum())
    cells = [
        [row["set"], row["genes"], row["unpredicted"], number(row["expected"]), p_text(row["p"]), p_text(row["fdr"])]
        for row in rows.head(SETS).to_dict("records")
    ]
    note = (
        f"Genes whose variance is above the median and whose FDR is above {Q}: of which sets they are more than chance "
        f"gives (hypergeometric, one-sided). {small} of {len(rows)} sets have an FDR below {Q}."
    )
    columns = ("set", "genes tried", "not predicted", "expected", "p", "FDR")
    return Section(f"Genes that are not predicted ({way}, {sets})", [Note(note), Table(columns, cells)])


def _boxes(sets: pd.DataFrame, rho: pd.Series, members: Mapping[str, set[str]]) -> Figure:
    """ρ of each set's genes (Wang 2021, Fig. 3), the sets from top to bottom, beside the median of all genes."""
    figure = Figure(figsize=(7, 0.26 * len(sets) + 0.7), layout="constrained")
    axes = figure.subplots()
    values = [rho[rho.index.isin(members[name])].to_numpy() for name in sets["set"]]
    places = np.arange(len(sets))[::-1]
    axes.boxplot(values, positions=places, orientation="horizontal", widths=0.6, showfliers=False, manage_ticks=False)
    axes.set_yticks(places, sets["set"].str[:45], fontsize=7)
    axes.axvline(rho.median(), color="0.5", linewidth=0.8)
    axes.set_xlabel("ρ of the genes on the test slides; line: median of all")
    return figure


def _bars(sets: pd.DataFrame) -> Figure:
    nes, fdr = (pd.to_numeric(sets[name]).to_numpy() for name in ("nes", "fdr"))
    places = np.arange(len(sets))[::-1]
    figure = Figure(figsize=(7, 0.26 * len(sets) + 0.7), layout="constrained")
    axes = figure.subplots()
    axes.barh(places, nes, color=[figures.LOW if small else "0.75" for small in fdr < Q])
    axes.set_yticks(places, sets["set"].str[:45], fontsize=7)
    axes.axvline(0, color="0.5", linewidth=0.8)
    axes.set_xlabel("normalised enrichment score")
    return figure
