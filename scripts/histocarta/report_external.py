"""What the report shows of models held against another cohort: when it was opened, what holds, the best genes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from histocarta import figures, fit_figures
from histocarta.associations import Q
from histocarta.files import read_json, read_table
from histocarta.predictions import MEAN
from histocarta.report_page import Block, Caution, Gallery, Note, Picture, Section, Table, data_uri, number, p_text

BEST, MANY = 25, 30  # Wang 2021, Fig. 2E; genes from which on two sets are drawn against each other
FEW = 4  # genes that are drawn where none holds


def external_section(table: str, root: str) -> Section:
    """The opening, counts, the genes with the smallest p and their scatters: all of one tables/external-….tsv."""
    other, way = Path(table).stem.removeprefix("external-").rsplit("-", 1)
    if other.endswith("-per"):  # the way per-gene
        other, way = other.removesuffix("-per"), "per-gene"
    folder = Path(root) / "transcriptome" / way / "external" / other
    rows, record = read_table(table), read_json(folder / "opened.json")
    tried = rows[rows["p"] != ""]
    blocks: list[Block] = [*opening_blocks(record), *_setting(record), Table(("genes", "number"), _counts(rows, tried))]
    if len(tried):
        best = tried.loc[pd.to_numeric(tried["p"]).sort_values(kind="stable").index[:BEST]]
        columns = ("gene", "n", "ρ", "p", "FDR", "R²", "added to what was measured")
        cells = [
            [row["trait"], row["n"], number(row["rho"]), p_text(row["p"]), p_text(row["fdr"]), number(row["r2"]),
             number(row["offset"])]
            for row in best.to_dict("records")
        ]  # fmt: skip
        title = f"The {len(cells)} genes with the smallest p" if len(tried) > len(cells) else "The genes"
        blocks += [Table(columns, cells, title, folded=len(cells) > BEST // 2)]
        blocks += _concordance(tried, Path(table).with_name(f"regression-{way}.tsv"), other=other)
        firm = best.loc[pd.to_numeric(best["fdr"]) < Q, "trait"].tolist()
        blocks += [_scatters(folder, firm or best["trait"].tolist()[:FEW], firm=bool(firm))]
    return Section(f"External cohort {other} (regression, {way})", blocks)


def opening_blocks(record: Mapping[str, Any]) -> list[Block]:
    """When a test set was opened, and for which models."""
    if not record["openings"]:
        return [Note("Not opened: there is no model, or no gene of one, to be held against it.")]
    first, *more = record["openings"]
    last = record["openings"][-1]
    note = Note(f"Opened on {last['on']} (models with SHA-256 {last['models_sha256'][:12]}…).")
    if not more:
        return [note]
    caution = Caution(
        f"opened {1 + len(more)} times, for other models each time: first on {first['on']}, last on {last['on']}. A "
        "set that models were chosen by tests none."
    )
    return [caution, note]


def _setting(record: Mapping[str, Any]) -> list[Block]:
    """What is to be known of the cohort's patients and values."""
    aligned = "Measured values are as they are: where the two cohorts' scales differ, R² says nothing."
    if record["align"]:
        whose = "outside its test part" if record["align"] == "non_test" else "all of it, as each slide is tested once"
        aligned = (
            "To each gene's measured values was added what their median lacks of that of the training cohort "
            f"({whose}): R² depends on it, ρ does not."
        )
    blocks: list[Block] = [Note(f"{record['slides']} slides that no fit has seen. {aligned}")]
    if shared := record["shared_patients"]:
        names = ", ".join(shared[:5]) + ", …" * (len(shared) > 5)
        blocks.insert(0, Caution(f"not independent: {len(shared)} patients stand in both cohorts ({names})"))
    return blocks


def _counts(rows: pd.DataFrame, tried: pd.DataFrame) -> list[tuple[str, int]]:
    p, rho = (pd.to_numeric(tried[name]) for name in ("fdr", "rho"))
    counts = [
        ("asked for", len(rows)),
        ("not measured here", int((rows["code"] == "B-NOTRAIT").sum())),
        ("tried", len(tried)),
        (f"ρ > 0, FDR < {Q}", int(((p < Q) & (rho > 0)).sum())),
    ]
    if "brought_forward" in rows:
        forward = rows["brought_forward"] == "True"
        counts += [
            ("brought forward by the training cohort's validation part", int(forward.sum())),
            ("of these measured here", int((forward & (rows["bonferroni"] != "")).sum())),
            (f"of these ρ > 0, Bonferroni p < {Q}", int((rows["validated"] == "True").sum())),
        ]
    return counts


def _concordance(tried: pd.DataFrame, own: Path, *, other: str) -> list[Block]:
    """The genes' rho in the training cohort's test part and here, where they are many."""
    pairs = read_table(own)[["trait", "test_rho"]].merge(tried[["trait", "rho"]], on="trait")
    pairs = pairs[["test_rho", "rho"]].apply(pd.to_numeric).dropna()
    if len(pairs) < MANY:
        return []
    figure = fit_figures.concordance(pairs["test_rho"], pairs["rho"], names=("test part", other))
    return [Picture(data_uri(figures.png(figure)), f"The same genes on the training cohort's test part and in {other}")]


def _scatters(folder: Path, names: list[str], *, firm: bool) -> Gallery:
    """Scatters of ``names``, which hold (``firm``), or are the nearest to it."""
    scores, values = read_table(folder / "scores.parquet"), read_table(folder / "measured.parquet")
    both = scores[scores["round"] == MEAN].merge(values, on="slide", suffixes=("_score", "_value"))
    pictures = []
    for name in names:
        slides = pd.DataFrame({"part": "test", "score": both[f"{name}_score"], "value": both[f"{name}_value"]})
        pictures.append(Picture(data_uri(figures.png(fit_figures.fit_scatter(slides, trait=name))), name))
    which = (
        f"the genes with an FDR below {Q} and the smallest p" if firm else "the genes with the smallest p; none holds"
    )
    return Gallery(pictures, f"Predicted against measured expression, {which}; line: equality")
