"""What the report shows of a task's models: their figures (Table 1), the scores behind them, and how they learnt."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from histocarta import figures
from histocarta.report_page import Caution, Gallery, Note, Picture, Section, Table, data_uri, interval, number, p_text

NOT_INDEPENDENT = "not independent: the same patients stand on both sides of the split"


def performance_section(rows: pd.DataFrame, scored: Mapping[str, pd.DataFrame], *, task: str) -> Section:
    """Table 1 and the score box plots (their Fig. 2); ``rows``: the cohort table, ``scored``: slides by trait."""
    section = Section(f"Performance ({task})")
    section.blocks.append(
        Note(
            "AUC by slide with the 95 % bootstrap interval over independent units; OOD: expression between the "
            "training thresholds, judged against the median. FDR: Benjamini–Hochberg over the traits."
        )
    )
    if set(rows["independent"]) - {"True", "true", "1"}:
        section.blocks.append(Caution(NOT_INDEPENDENT))
    if scored:
        picture = data_uri(figures.png(figures.score_boxes(scored)))
        section.blocks.append(Picture(picture, "Slide score below and above the median (their Fig. 2)"))
    deciles = [
        Picture(data_uri(figures.png(figures.score_deciles(frame, trait=trait))), f"{trait}: score by decile")
        for trait, frame in scored.items()
    ]
    section.blocks += [_performance(rows), Gallery(deciles)]
    return section


def learning_section(traits: Sequence[str], root: str, *, task: str) -> Section:
    """Loss and validation AUC of every round."""
    section = Section(f"Learning curves ({task})")
    for trait in traits:
        paths = sorted(Path(f"{root}/traits/{trait}/{task}").glob("round-*/history.csv"))
        histories = {int(path.parent.name.removeprefix("round-")): pd.read_csv(path) for path in paths}
        drawn = {number: history for number, history in histories.items() if len(history)}
        if drawn:
            picture = data_uri(figures.png(figures.learning_curves(drawn, trait=trait)))
            section.blocks.append(Picture(picture, trait))
        else:
            section.blocks.append(Note(f"{trait}: no model was trained"))
    return section


def _performance(rows: pd.DataFrame) -> Table:
    """Table 1 of the paper from the cohort table's text cells."""
    shown = []
    for row in rows.to_dict("records"):
        cells = [row["trait"], row["reason"] or row["status"]]
        cells.append(interval(row["test_rounds_mean"], row["test_rounds_min"], row["test_rounds_max"]))
        for name in figures.SETS:
            counts = f"{number(row[f'{name}_n_high'], 0)} / {number(row[f'{name}_n_low'], 0)}"
            cells += [
                interval(row[f"{name}_auc"], row[f"{name}_low"], row[f"{name}_high"]),
                number(row[f"{name}_patient_auc"]),
                counts,
            ]
        cells += [number(row["test_rho"]), p_text(row["test_p"]), p_text(row["test_fdr"])]
        shown.append(cells)
    heads = [
        part for title in figures.SETS.values() for part in (f"{title}: AUC (95 % CI)", "by patient", "high / low")
    ]
    return Table(("trait", "status", "test: mean of rounds (range)", *heads, "Spearman ρ", "p", "FDR"), shown)
