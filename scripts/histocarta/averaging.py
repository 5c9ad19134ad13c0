"""How the rounds' predictions of expression become one per tile and slide, and how well it fits what was measured."""

import numpy as np
import pandas as pd

from histocarta.evaluation import associate
from histocarta.files import read_json, write_json, write_table
from histocarta.rounds import begin_record, check_scored, read_fates, with_fates
from histocarta.scored import Tiles, read_labelled, read_rounds, tested_in, voters_by_slide
from histocarta.splits import PARTS

TILE_COLUMNS = ("slide", "row", "col", "score")
SLIDE_COLUMNS = ("slide", "patient", "part", "sample", "value")


def average_rounds(
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
) -> None:
    """Average the rounds' predictions per tile and the tiles' per slide (Wang 2021, EMO-average), and evaluate them.

    ``rounds`` holds a table of tile scores per split of ``splits``; one without rows is a round without a model, whose
    model.json in ``sidecars`` says why. Scores are put back on the scale of the expression. Writes the tile table
    ``scores``, the slide table ``slides`` and ``metrics``: Spearman and R² per round on validation and test, and of the
    average on the test part. A trait that is excluded, or has no model, gets empty tables and the reason.
    Raises InputError where scores, models, manifest and labels do not speak of the same rounds and tiles.
    """
    facts = read_json(summary)
    fates = read_fates(sidecars)
    head = begin_record("average_rounds", facts, fates, splits=splits, trait=trait, unit=unit)
    cohort, parts = read_labelled(labels, splits)
    tiles = read_rounds(rounds, slides=cohort["slide"], manifest=manifest) if facts["status"] == "ok" else None
    if tiles:
        check_scored(fates, scored=[score is not None for score in tiles.scores])
    names = [f"score_{number + 1}" for number in range(len(rounds))]
    averaged, cohort = pd.DataFrame(columns=list(TILE_COLUMNS)), cohort if head["status"] == "ok" else cohort.iloc[:0]
    if head["status"] == "ok":
        averaged, cohort = average(tiles, cohort, parts=parts, scale=facts["scale"])
        per_round = [_evaluate_round(number, cohort, parts[:, number]) for number in range(len(rounds))]
        test = tested_in(parts).any(axis=1)
        head |= {"rounds": with_fates(per_round, fates), "test": associate(cohort[test])}
    write_table(averaged, scores)
    write_table(cohort.reindex(columns=[*SLIDE_COLUMNS, *names, "score", "n_tiles"]), slides)
    write_json(head, metrics)


def average(
    tiles: Tiles,
    cohort: pd.DataFrame,
    *,
    parts: np.ndarray,
    scale: dict[str, float],
    voters: np.ndarray | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tile table, and ``cohort`` with its scores (score, score_1 …, n_tiles).

    cohort : one row per slide; parts : index in PARTS of every slide in every round; scale : mean and sd of the values
    that were learnt in units of sd. Every round with a model counts alike; where the test part changes from round to
    round (leave-one-out), a slide is scored by the rounds that held it out; or by those that ``voters`` names (bool,
    slides × rounds).
    """
    n_slides, n_rounds = parts.shape
    usable = [score is not None for score in tiles.scores]
    if voters is None:
        voters = voters_by_slide(tested_in(parts), chosen=np.flatnonzero(usable), usable=usable)
    put_back = [None if score is None else score * scale["sd"] + scale["mean"] for score in tiles.scores]
    heard = voters[tiles.slide]
    total = sum(np.where(heard[:, k], score, 0.0) for k, score in enumerate(put_back) if score is not None)
    count = heard.sum(axis=1)
    score = np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)
    columns = (cohort["slide"].to_numpy()[tiles.slide], tiles.row, tiles.col, score.astype(np.float32))
    by_round = [np.full(n_slides, np.nan) if one is None else tiles.mean(one, n_slides=n_slides) for one in put_back]
    scored = cohort.assign(
        **{f"score_{k + 1}": by_round[k] for k in range(n_rounds)},
        score=tiles.mean(score, n_slides=n_slides),
        n_tiles=np.bincount(tiles.slide, minlength=n_slides),
    )
    return pd.DataFrame(dict(zip(TILE_COLUMNS, columns, strict=True))), scored


def _evaluate_round(number: int, cohort: pd.DataFrame, part: np.ndarray) -> dict:
    """Fit of one round on its validation and test parts."""
    scored = cohort.assign(score=cohort[f"score_{number + 1}"])
    row: dict = {"round": number + 1}
    reasons = []
    for name in ("validation", "test"):
        found = associate(scored[part == PARTS.index(name)])
        row |= {f"{name}_{key}": found[key] for key in ("rho", "r2", "n")}
        reasons += [f"{name}: {found['reason']}"] if found["reason"] else []
    return row | {"reason": "no model" if scored["score"].isna().all() else "; ".join(reasons)}
