"""How the rounds' scores become one where tiles have labels of their own, and how well that tells them apart."""

import numpy as np
import pandas as pd

from histocarta.averaging import TILE_COLUMNS, average
from histocarta.evaluation import auc, bootstrap_auc
from histocarta.files import read_json, read_table, write_json, write_table
from histocarta.rounds import begin_record, check_scored, read_fates, with_fates
from histocarta.scored import read_rounds, tested_in, voters_by_slide, with_parts
from histocarta.splits import PARTS
from histocarta.values import UNSCALED

THRESHOLD = 0.5  # of sensitivity and specificity


def average_tiles(
    *,
    manifest: str,
    labels: str,
    summary: str,
    splits: list[str],
    rounds: list[str],
    sidecars: list[str],
    scores: str,
    slides: str,
    metrics: str,
    trait: str,
    unit: str,
    seed: int,
) -> None:
    """Average the rounds' scores per tile and evaluate them on the labelled tiles.

    A slide without a labelled tile is scored by all rounds, another by those that :func:`scored.voters_by_slide` names.

    labels : a row per tile (slide, patient, row, col, label). ``rounds``, ``sidecars``, ``scores`` : as of
    :func:`histocarta.averaging.average_rounds`. ``slides``: slide, patient, part, n_tiles, score (the mean of its
    tiles') and how many tiles are labelled 1 (n_high) and 0 (n_low). ``metrics``: AUC of tiles per round on validation
    and test; of the average on the test tiles AUC with its interval by resampling units, sensitivity and specificity.
    A trait that is excluded, or has no model, gets empty tables and the reason.
    """
    facts = read_json(summary)
    fates = read_fates(sidecars)
    head = begin_record("average_tiles", facts, fates, splits=splits, trait=trait, unit=unit)
    table = read_table(labels)
    cohort, parts = with_parts(table[["slide", "patient"]].drop_duplicates("slide"), splits)
    tiles = read_rounds(rounds, slides=cohort["slide"], manifest=manifest) if facts["status"] == "ok" else None
    if tiles:
        check_scored(fates, scored=[score is not None for score in tiles.scores])
    columns = ["slide", "patient", "part", "n_tiles", "n_high", "n_low", "score"]
    averaged, scored = pd.DataFrame(columns=list(TILE_COLUMNS)), cohort.iloc[:0].reindex(columns=columns)
    if head["status"] == "ok":
        usable = [score is not None for score in tiles.scores]
        marked = cohort["slide"].isin(table.loc[table["label"].notna(), "slide"]).to_numpy()
        voters = voters_by_slide(tested_in(parts), chosen=np.flatnonzero(usable), usable=usable)
        voters |= ~marked[:, None] & np.asarray(usable)  # who is not annotated has taught nobody anything
        averaged, scored = average(tiles, cohort, parts=parts, scale=UNSCALED, voters=voters)
        known = averaged.merge(table, on=["slide", "row", "col"], how="left", validate="one_to_one")
        place = pd.Categorical(known["slide"], categories=cohort["slide"]).codes
        label = known["label"].to_numpy(float)
        per_round = [
            _evaluate_round(number, label, score, part=parts[place, number])
            for number, score in enumerate(tiles.scores)
        ]
        tested = tested_in(parts).any(axis=1)[place]
        head["rounds"] = with_fates(per_round, fates)
        head["test"] = _evaluate(
            np.where(tested, label, np.nan), known["score"].to_numpy(float), cohort["unit"].to_numpy()[place], seed=seed
        )
        counts = known.assign(high=label == 1, low=label == 0).groupby("slide")[["high", "low"]].sum()
        counts = counts.reindex(scored["slide"])
        scored = scored.assign(n_high=counts["high"].to_numpy(), n_low=counts["low"].to_numpy())[columns]
    write_table(averaged, scores)
    write_table(scored, slides)
    write_json(head, metrics)


def _evaluate_round(number: int, label: np.ndarray, score: np.ndarray | None, *, part: np.ndarray) -> dict:
    """AUC of one round's tiles on its validation and test parts."""
    row: dict = {"round": number + 1, "reason": "no model" if score is None else ""}
    for name in ("validation", "test"):
        here = np.where(part == PARTS.index(name), label, np.nan)
        found = auc(here, np.full(len(label), np.nan) if score is None else score)
        row |= {f"{name}_auc": found.auc, f"{name}_n_high": found.n_high, f"{name}_n_low": found.n_low}
        if found.reason and not row["reason"]:
            row["reason"] = f"{name}: {found.reason}"
    return row


def _evaluate(label: np.ndarray, score: np.ndarray, unit: np.ndarray, *, seed: int) -> dict:
    """What the average is worth on tiles with a ``label`` that is not NaN."""
    found = auc(label, score)
    low, high, missing = bootstrap_auc(label, score, unit, seed=seed)
    label = np.where(np.isnan(score), np.nan, label)  # by no model: neither right nor wrong
    positive = score >= THRESHOLD
    sensitivity, specificity = (
        float(np.mean(hit[label == side])) if (label == side).any() else float("nan")
        for side, hit in ((1, positive), (0, ~positive))
    )
    return {
        "auc": found.auc, "low": low, "high": high, "n_high": found.n_high, "n_low": found.n_low,
        "reason": found.reason, "interval_reason": missing if found.n_high * found.n_low else "",
        "sensitivity": sensitivity, "specificity": specificity, "threshold": THRESHOLD,
        "n_units": len(np.unique(unit[~np.isnan(label)])),
    }  # fmt: skip
