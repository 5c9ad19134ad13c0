"""What many genes are predicted to be in every slide: one form of it for the three ways, beside what was measured."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from histocarta.files import read_json, read_table, write_table
from histocarta.rounds import read_fates
from histocarta.scored import part_of_all, read_labelled, tested_in, voters_by_slide
from histocarta.splits import PARTS
from histocarta.values import UNSCALED

KEYS = ("slide", "patient", "sample", "unit", "round", "part")  # the other columns are genes
MEAN = 0  # «round» of what all rounds' models say together


def predict_genes(
    *,
    features: list[str],
    heads: list[str],
    sidecars: list[str],
    labels: str,
    genes: str,
    splits: list[str],
    predictions: str,
    measured: str,
    fates: str,
    standardise: bool,
) -> None:
    """Predict all genes that could be learnt, by the rounds' linear ``heads`` on the slides' mean features.

    features : one file for all rounds, or one of each. ``predictions``: a row per slide and round, round 0 the mean of
    the rounds' models (where the test part changes from round to round, of those that held the slide out), a column per
    gene on the scale of the expression. ``measured``: slide, and a column per gene. ``fates``: a row per gene with
    status, code and reason; where no round has a model, all have its code.
    """
    told, rounds = read_table(genes), read_fates(sidecars)
    told[["mean", "sd"]] = told[["mean", "sd"]].apply(pd.to_numeric)
    cohort, parts = read_labelled(labels, splits)
    known = told[told["status"] == "ok"]
    scale = known if standardise else known.assign(**UNSCALED)
    scores = [
        None if fate.code else predict_round(cohort, path, head, scale=scale)
        for fate, path, head in zip(rounds, features * (len(heads) if len(features) == 1 else 1), heads, strict=True)
    ]
    if all(score is None for score in scores):
        reason = "; ".join(sorted({f"{fate.code} {fate.reason}" for fate in rounds}))
        lost = told["status"] == "ok"
        told.loc[lost, ["status", "code", "reason"]] = ["excluded", "E-NO-MODEL", reason]
        cohort, parts = cohort.iloc[:0], parts[:0]
    write_predictions(cohort, scores, parts=parts, names=known["trait"], path=predictions)
    values = np.stack(cohort["value"]) if len(cohort) else np.zeros((0, len(known)))
    write_table(_wide(cohort[["slide"]], values, names=known["trait"]), measured)
    write_table(told, fates)


def gather_jobs(
    *,
    scores: list[str],
    told: list[str],
    labels: str,
    genes: str,
    splits: list[str],
    predictions: str,
    measured: str,
    fates: str,
    standardise: bool,
) -> None:
    """The same three tables from jobs of many genes each: their ``scores`` and fates (``told``), of
    :func:`histocarta.gene_scores.score_genes`.

    A gene is predicted by the rounds in which it has a model; where that is none, it is excluded with their reasons.
    """
    every = read_table(genes)
    every[["mean", "sd"]] = every[["mean", "sd"]].apply(pd.to_numeric)
    cohort, parts = read_labelled(labels, splits)
    known = every[every["status"] == "ok"]
    order = pd.Series(range(len(known)), index=known["trait"])
    scale = known if standardise else known.assign(**UNSCALED)
    found = np.full((len(splits), len(cohort), len(known)), np.nan)
    reasons: dict[str, list[str]] = {}
    for path, fate in zip(scores, told, strict=True):
        for number, table in read_table(path).groupby("round"):
            names = [name for name in table.columns if name in order.index]
            found[number - 1][:, order[names]] = table.set_index("slide").loc[cohort["slide"], names]
        for gene in read_json(fate)["genes"]:
            if gene["status"] != "ok":
                reasons.setdefault(gene["trait"], []).append(f"{gene['code']} {gene['reason']}")
    found = found * scale["sd"].to_numpy() + scale["mean"].to_numpy()
    lost = known.index[np.isnan(found).all(axis=(0, 1))]
    every.loc[lost, ["status", "code"]] = ["excluded", "E-NO-MODEL"]
    every.loc[lost, "reason"] = ["; ".join(sorted({*reasons[name]})) for name in known.loc[lost, "trait"]]
    left = ~known.index.isin(lost)
    names = known.loc[left, "trait"]
    if names.empty:
        cohort, parts, found = cohort.iloc[:0], parts[:0], found[:, :0]
    rounds = [score[:, left] if left.any() else None for score in found]
    write_predictions(cohort, rounds, parts=parts, names=names, path=predictions)
    values = np.stack(cohort["value"])[:, left] if len(cohort) else np.zeros((0, len(names)))
    write_table(_wide(cohort[["slide"]], values, names=names), measured)
    write_table(every, fates)


def gather_genes(
    *, metrics: list[str], slides: list[str], splits: list[str], predictions: str, measured: str, fates: str
) -> None:
    """The same three tables from traits with a model each: their metrics.json and slides.parquet, in the same order."""
    records, tables = [read_json(path) for path in metrics], []
    for record, path in zip(records, slides, strict=True):
        if record["status"] == "ok":
            tables.append(read_table(path).assign(trait=record["trait"]))
    told = [{key: record[key] for key in ("trait", "status", "code", "reason")} for record in records]
    names = [row["trait"] for row in told if row["status"] == "ok"]
    every = pd.concat(tables) if tables else pd.DataFrame(columns=["slide", "trait", "value", "patient", "sample"])
    order = sorted(every["slide"].unique())
    first = every.drop_duplicates("slide").set_index("slide").reindex(order).rename_axis("slide").reset_index()

    def matrix(column: str) -> np.ndarray:
        return (
            every.pivot(index="slide", columns="trait", values=column)
            .reindex(index=order, columns=names)
            .to_numpy(float)
        )

    rounds = [read_table(path).set_index("slide").reindex(order) for path in splits]
    parts = np.stack([pd.Categorical(split["part"], categories=PARTS).codes for split in rounds], axis=1)
    cohort = first.assign(unit=rounds[0]["unit"].to_numpy())
    scores = [matrix(f"score_{number + 1}") for number in range(len(splits))] if tables else [None] * len(splits)
    mean = matrix("score") if tables else None
    write_predictions(cohort, scores, parts=parts, names=names, path=predictions, mean=mean)
    write_table(_wide(cohort[["slide"]], matrix("value") if tables else np.zeros((0, 0)), names=names), measured)
    write_table(pd.DataFrame(told, columns=["trait", "status", "code", "reason"]), fates)


def write_predictions(
    cohort: pd.DataFrame,
    scores: Sequence[np.ndarray | None],
    *,
    parts: np.ndarray,
    names: Sequence[str],
    path: str,
    mean: np.ndarray | None = None,
) -> None:
    """Write a row per slide of ``cohort`` and round with a model, after those of the rounds' ``mean``.

    scores : slides × genes of each round. mean : likewise; None: made here.
    """
    if mean is None:
        mean = average_rounds(scores, parts=parts)
    words = np.asarray(PARTS, object)[parts]
    tables = []
    for number, (score, part) in enumerate(zip([mean, *scores], [part_of_all(parts), *words.T], strict=True)):
        if score is not None:
            keys = cohort[["slide", "patient", "sample", "unit"]].assign(round=number, part=part)
            tables.append(_wide(keys, score.astype(np.float32), names=names))
    write_table(pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(KEYS)), path)


def average_rounds(scores: Sequence[np.ndarray | None], *, parts: np.ndarray) -> np.ndarray | None:
    """The mean of the rounds that may speak of a slide (:func:`scored.voters_by_slide`) and have a score of the gene;
    NaN where none is left."""
    usable = [score is not None for score in scores]
    if not any(usable):
        return None
    heard = voters_by_slide(tested_in(parts), chosen=np.flatnonzero(usable), usable=usable)
    said = {k: heard[:, [k]] & ~np.isnan(score) for k, score in enumerate(scores) if score is not None}
    total = sum(np.where(use, scores[k], 0.0) for k, use in said.items())
    count = sum(use.astype(int) for use in said.values())
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def predict_round(cohort: pd.DataFrame, features: str, head: str, *, scale: pd.DataFrame) -> np.ndarray:
    """Slides × genes on the scale of the expression, by a round's linear ``head`` on the slides' mean ``features``."""
    found = read_table(features).set_index("slide")["features"].reindex(cohort["slide"])
    with np.load(head) as arrays:
        score = np.stack(found) @ arrays["weights"].astype(float) + arrays["intercept"]
    return score * scale["sd"].to_numpy() + scale["mean"].to_numpy()


def _wide(keys: pd.DataFrame, values: np.ndarray, *, names: Sequence[str]) -> pd.DataFrame:
    """``keys`` with a column per gene."""
    genes = pd.DataFrame(values, columns=pd.Index(names, name=None), index=keys.index)
    return pd.concat([keys, genes], axis=1)


def gene_matrix(table: pd.DataFrame, names: Sequence[str]) -> np.ndarray:
    """float64, rows × genes, of a table of predictions or of what was measured."""
    return table[list(names)].to_numpy(float)
