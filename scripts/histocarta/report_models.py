"""What the report shows of a task's models: their figures (Table 1), the scores behind them, and how they learnt."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from histocarta import figures
from histocarta.codes import LEDGER
from histocarta.files import read_json
from histocarta.report_page import (
    Block,
    Caution,
    Gallery,
    Note,
    Picture,
    Section,
    Table,
    data_uri,
    interval,
    number,
    p_text,
)

SHOWN = 12  # traits that have figures of their own, and excluded ones that are listed unfolded


def shown_traits(rows: pd.DataFrame, *, by: str) -> list[str]:
    """The traits that figures are drawn of: all, or those with the highest ``by`` (a column) where they are many."""
    tested = rows[rows["status"] == "ok"]
    best = pd.to_numeric(tested[by]).sort_values(ascending=False, kind="stable").index[:SHOWN]
    return tested.loc[sorted(best), "trait"].tolist()


def performance_section(
    rows: pd.DataFrame, scored: Mapping[str, pd.DataFrame], *, task: str, labels: Mapping[str, Any]
) -> Section:
    """What was left out, Table 1 and the score box plots (their Fig. 2).

    ``rows``: the cohort table as text; ``scored``: consensus/slides.parquet by trait shown; ``labels``: the task's
    settings of that name, which say why there may be no slides out of distribution.
    """
    tested = rows[rows["status"] == "ok"]
    # Sets that no slide of any trait is in are left out, as their empty frames and columns say nothing.
    sets = [name for name in figures.SETS if name == "test" or _counts(tested, name).any()]
    blocks = left_out(rows)
    if len(tested):
        blocks += [_table_one(tested, sets), *_table_notes(tested, sets, labels=labels)]
    if len(scored) < len(tested):
        blocks.append(Note(f"Figures below: the {len(scored)} of {len(tested)} traits with the highest test AUC."))
    if scored:
        picture = data_uri(figures.png(figures.score_boxes(scored, sets=sets)))
        caption = "Share of positive tiles of slides with expression below and above the median (their Fig. 2)"
        deciles = [
            Picture(data_uri(figures.png(figures.score_deciles(frame, trait=trait))), trait)
            for trait, frame in scored.items()
        ]
        blocks += [Picture(picture, caption), Gallery(deciles, "Score by decile of expression, slides not trained on")]
    return Section(f"Performance ({task})", blocks)


def learning_section(traits: Sequence[str], root: str, *, task: str) -> Section:
    """Loss and validation AUC of every round of ``traits``: those that metrics.json names, not all that lie there."""
    section = Section(f"Learning curves ({task})")
    for trait in traits:
        folder = Path(f"{root}/traits/{trait}/{task}")
        rounds = [record["round"] for record in read_json(folder / "consensus" / "metrics.json")["rounds"]]
        paths = {number: folder / f"round-{number}" / "history.csv" for number in rounds}
        section.blocks += learning_pictures(paths, what=trait)
    return section


def learning_pictures(histories: Mapping[int, Path], *, what: str) -> list[Block]:
    """The curves of the rounds' history.csv, by number, in one picture."""
    tables = {number: pd.read_csv(path) for number, path in sorted(histories.items())}
    drawn = {number: history for number, history in tables.items() if len(history)}
    if not drawn:
        return [Note(f"{what}: no model was trained")]
    picture = data_uri(figures.png(figures.learning_curves(drawn, trait=what)))
    return [Picture(picture, f"{what}: {len(drawn)} rounds")]


def left_out(rows: pd.DataFrame) -> list[Block]:
    """Traits without a figure and why, before all else: what is missing from a table is easily overlooked."""
    lost = rows[rows["status"] != "ok"]
    if lost.empty:
        return []
    why = [(row.trait, LEDGER.get(row.code, row.code), row.reason) for row in lost.itertuples()]
    count = f"{len(lost)} of {len(rows)} traits {'was' if len(lost) == 1 else 'were'} left out and not evaluated."
    return [Caution(count), Table(("trait", "left out", "why"), why, "Traits left out", folded=len(lost) > SHOWN)]


def _table_one(rows: pd.DataFrame, sets: Sequence[str]) -> Table:
    """Table 1 of the paper from the cohort table's text cells."""
    heads = [
        part
        for title in (figures.SETS[name] for name in sets)
        for part in (f"{title}: AUC (95 % CI)", "by patient", "slides high / low")
    ]
    columns = ["trait", "test: mean of rounds (range)", *heads, "test: Spearman ρ", "p", "FDR"]
    shown = [
        [
            row["trait"],
            interval(row["test_rounds_mean"], row["test_rounds_min"], row["test_rounds_max"]),
            *(part for name in sets for part in _of_set(row, name)),
            number(row["test_rho"]),
            p_text(row["test_p"]),
            p_text(row["test_fdr"]),
        ]
        for row in rows.to_dict("records")
    ]
    for column, title in (("test_identity_auc", "control: AUC of the patient alone"), ("reason", "remark")):
        if (rows[column] != "").any():
            columns.append(title)
            cells = rows[column] if column == "reason" else map(number, rows[column])
            shown = [[*row, text] for row, text in zip(shown, cells, strict=True)]
    return Table(columns, shown, "AUC per trait (their Table 1)")


def _of_set(row: Mapping[str, str], name: str) -> tuple[str, str, str]:
    """AUC with its interval or the reason why there is none, by patient, and the number of slides."""
    area = interval(row[f"{name}_auc"], row[f"{name}_low"], row[f"{name}_high"])
    # Of an AUC that is there the first thing to know: that its scores are all equal, or why it has no interval.
    remark = row[f"{name}_reason"] or ("" if row[f"{name}_low"] else row[f"{name}_interval_reason"])
    if remark:
        area = f"{area} ({remark})" if row[f"{name}_auc"] else remark
    counts = f"{number(row[f'{name}_n_high'], 0)} / {number(row[f'{name}_n_low'], 0)}"
    return area, number(row[f"{name}_patient_auc"]), counts


def _table_notes(rows: pd.DataFrame, sets: Sequence[str], *, labels: Mapping[str, Any]) -> list[Note]:
    """How to read Table 1, and why a set of slides is not in it."""
    notes = [
        "AUC: of a slide with high and one with low expression, how often the high one has the larger share of "
        "positive tiles; 0.5 is chance. First the mean over the rounds' models, then their vote, with the 95 % "
        "bootstrap interval over independent units. FDR: Benjamini–Hochberg over the traits."
    ]
    if ((rows["test_low"] != "") & (rows["test_low"] == rows["test_high"])).any():
        notes.append("An interval of one value: no resample differs, so resampling does not show how sure the AUC is.")
    if len(sets) > 1:
        notes.append("OOD: slides with expression between the training thresholds, judged against the median.")
    if absent := [title for name, title in figures.SETS.items() if name not in sets]:
        why = (
            f"labels are cut at one point (P{labels['low']:g}), so that every measured slide has one and none lies "
            "between the classes"
            if labels["low"] == labels["high"]
            else f"no slide lies there (labels: P{labels['low']:g} and P{labels['high']:g}, near: {labels['near']:g} %)"
        )
        notes.append(f"{' and '.join(absent)} (slides out of the training distribution) are not shown: {why}.")
    return [Note(text) for text in notes]


def _counts(rows: pd.DataFrame, name: str) -> pd.Series:
    """Slides of each trait in a set."""
    return sum(pd.to_numeric(rows[f"{name}_n_{side}"]).fillna(0) for side in ("high", "low"))
