"""How the rounds' models become one: which of them vote, on which slides they may, and what the vote is worth."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from histocarta.evaluation import NAN, auc, correlate, evaluate
from histocarta.files import read_json, write_json, write_table
from histocarta.rounds import begin_record, check_scored, read_fates, with_fates
from histocarta.scored import Tiles, is_fixed, read_labelled, read_rounds, tested_in, voters_by_slide
from histocarta.splits import PARTS

TILE_COLUMNS = ("slide", "row", "col", "votes", "positive", "score")
LABEL_COLUMNS = ("label", "above_median", "decile", "percentile", "ood")


@dataclass(frozen=True)
class Choice:
    """Rounds that vote (numbers from 0) and what is to be said about the choice."""

    rounds: list[int]
    reason: str


def choose_rounds(validation_auc: Sequence[float], *, usable: Sequence[bool], best: int) -> Choice:
    """The ``best`` usable rounds by slide-level validation AUC.

    Ties go to the lower round, as the released code's stable sort does; an undefined AUC (one class in validation)
    comes last. Fewer than ``best``, or a round chosen without an AUC, is said.
    """
    order = sorted(np.flatnonzero(usable), key=lambda k: (np.isnan(validation_auc[k]), -validation_auc[k], k))
    chosen = sorted(int(k) for k in order[:best])
    reasons = []
    if len(chosen) < best:
        reasons.append(f"{len(chosen)} of {best} rounds can vote")
    if blind := [str(k + 1) for k in chosen if np.isnan(validation_auc[k])]:
        reasons.append(f"no validation AUC in voting round {', '.join(blind)}")
    return Choice(chosen, "; ".join(reasons))


def majority(tiles: Tiles, *, voters: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Votes, majority and mean score of every tile over the rounds that vote on its slide.

    A round votes for a tile whose score is strictly above ``threshold``; an even vote is negative (as scipy.stats.mode
    decides in the released code). A tile on which nobody votes is negative, with a NaN score.
    """
    votes = np.zeros(len(tiles.slide), dtype=np.int8)
    total = np.zeros(len(tiles.slide), dtype=np.float32)
    for number in np.flatnonzero(voters.any(axis=0)):
        votes_here = voters[tiles.slide, number]
        votes += votes_here & (tiles.scores[number] > np.float32(threshold))
        total += np.where(votes_here, tiles.scores[number], np.float32(0))
    number_of_voters = voters.sum(axis=1)[tiles.slide]
    score = np.divide(total, number_of_voters, out=np.full(len(total), NAN, np.float32), where=number_of_voters > 0)
    return votes, 2 * votes.astype(int) > number_of_voters, score


def vote(
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
    best: int,
    threshold: float,
    seed: int,
    unit: str,
) -> None:
    """Choose the ``best`` rounds, let them vote per tile, score the slides and evaluate them (Levy-Jurgenson 2020).

    ``rounds`` holds a table of tile scores per split of ``splits``; one without rows is a round without a model, whose
    model.json in ``sidecars`` says why. A slide's score is its share of tiles voted positive. Writes the tile table
    ``scores``, the slide table ``slides`` and ``metrics``. A trait that is excluded, or has no model at all, gets empty
    tables and the reason.
    Raises InputError where scores, models, manifest and labels do not speak of the same rounds and tiles.
    """
    facts = read_json(summary)
    fates = read_fates(sidecars)
    head = begin_record("vote_consensus", facts, fates, splits=splits, trait=trait, unit=unit)
    head |= {"best": best, "threshold": threshold}
    cohort, parts = read_labelled(labels, splits)
    tiles = read_rounds(rounds, slides=cohort["slide"], manifest=manifest) if facts["status"] == "ok" else None
    if tiles:
        check_scored(fates, scored=[score is not None for score in tiles.scores])
    if head["status"] == "ok":
        voted, cohort, record = combine(tiles, cohort, parts=parts, best=best, threshold=threshold)
        record["rounds"] = with_fates(record["rounds"], fates)
        head |= record | _evaluate_consensus(cohort, tested=tested_in(parts), unit=unit, seed=seed)
    else:
        voted, cohort = pd.DataFrame(columns=list(TILE_COLUMNS)), cohort.iloc[:0]
    write_table(voted, scores)
    names = [f"score_{k + 1}" for k in range(len(rounds))]
    write_table(
        cohort.reindex(columns=["slide", "patient", "part", *LABEL_COLUMNS, *names, "score", "n_tiles"]), slides
    )
    write_json(head, metrics)


def combine(
    tiles: Tiles, cohort: pd.DataFrame, *, parts: np.ndarray, best: int, threshold: float
) -> tuple[pd.DataFrame, pd.DataFrame, dict]:
    """The tile table, ``cohort`` with its scores (score, score_1 …, n_tiles), and what each round was worth.

    cohort : one row per slide, with ``label``; parts : index in PARTS of every slide in every round.
    """
    n_slides, n_rounds = parts.shape
    shares = _round_shares(tiles, threshold=threshold, n_slides=n_slides)
    per_round = [_evaluate_round(k, cohort["label"], parts[:, k], shares[:, k]) for k in range(n_rounds)]
    usable = [score is not None for score in tiles.scores]
    choice = choose_rounds([row["validation_auc"] for row in per_round], usable=usable, best=best)
    voters = voters_by_slide(tested_in(parts), chosen=choice.rounds, usable=usable)
    votes, positive, score = majority(tiles, voters=voters, threshold=threshold)
    columns = (cohort["slide"].to_numpy()[tiles.slide], tiles.row, tiles.col, votes, positive, score)
    share = tiles.share(positive, n_slides=n_slides)
    scored = cohort.assign(
        **{f"score_{k + 1}": shares[:, k] for k in range(n_rounds)},
        score=np.where(voters.any(axis=1), share, NAN),
        n_tiles=np.bincount(tiles.slide, minlength=n_slides),
    )
    fixed = is_fixed(tested_in(parts))
    record = {
        "rounds": per_round,
        "chosen": [int(k) + 1 for k in np.flatnonzero(voters.any(axis=0))],
        "voting": "the chosen rounds vote on every slide" if fixed else "each slide by the rounds that held it out",
        "reason": choice.reason if fixed else "",
        "test": _spread(per_round),
    }
    return pd.DataFrame(dict(zip(TILE_COLUMNS, columns, strict=True))), scored, record


def _round_shares(tiles: Tiles, *, threshold: float, n_slides: int) -> np.ndarray:
    """Every round's slide scores (slides × rounds): share of tiles above the threshold; NaN without a model."""
    shares = np.full((n_slides, len(tiles.scores)), NAN)
    for k, score in enumerate(tiles.scores):
        if score is not None:
            shares[:, k] = tiles.share(score > np.float32(threshold), n_slides=n_slides)
    return shares


def _evaluate_round(number: int, label: pd.Series, parts: np.ndarray, share: np.ndarray) -> dict:
    """Slide-level AUC of one round on its validation and test parts."""
    row: dict = {"round": number + 1}
    reasons = []
    for name in ("validation", "test"):
        found = auc(label.where(parts == PARTS.index(name)), share)
        row |= {f"{name}_auc": found.auc, f"n_{name}_high": found.n_high, f"n_{name}_low": found.n_low}
        reasons += [f"{name}: {found.reason}"] if found.reason else []
    return row | {"reason": "no model" if np.isnan(share).all() else "; ".join(reasons)}


def _spread(per_round: list[dict]) -> dict:
    """Mean and range of the rounds' test AUCs (Table 1, first column), and of how many."""
    areas = np.array([row["test_auc"] for row in per_round])
    areas = areas[~np.isnan(areas)]
    mean, least, most = (areas.mean(), areas.min(), areas.max()) if len(areas) else (NAN, NAN, NAN)
    return {"mean": mean, "min": least, "max": most, "n_rounds": len(areas)}


def _evaluate_consensus(cohort: pd.DataFrame, *, tested: np.ndarray, unit: str, seed: int) -> dict:
    """The vote's AUC and rank correlation on the test slides and the two out-of-distribution sets."""
    test = tested.any(axis=1)
    truth = {
        "test": cohort["label"].where(test),
        "ood_near": cohort["above_median"].where(cohort["ood"] == "near"),
        "ood_all": cohort["above_median"].where(cohort["ood"] != ""),
    }
    found = {
        "ensemble": {name: evaluate(cohort, truth=values, seed=seed) for name, values in truth.items()},
        "spearman": {name: correlate(cohort, chosen=values.notna()) for name, values in truth.items()},
        "control_patient_identity": None,
    }
    if unit != "patient":
        guess = identity_scores(cohort, tested=tested)
        found["control_patient_identity"] = {name: auc(values, guess).auc for name, values in truth.items()}
    return found


def identity_scores(cohort: pd.DataFrame, *, tested: np.ndarray) -> np.ndarray:
    """What knowing the patient alone would score: the mean label of the patient's slides outside the test part.

    The control for splits whose unit is not the patient; a patient unseen in training gets the mean of all.
    """
    guesses = np.full(tested.shape, NAN)
    for number, held in enumerate(tested.T):
        known = cohort["label"].where(~held)
        mean = known.groupby(cohort["patient"]).transform("mean").fillna(known.mean())
        guesses[:, number] = mean if is_fixed(tested) else mean.where(held)
    seen = ~np.isnan(guesses)
    return np.divide(
        np.nansum(guesses, axis=1), seen.sum(axis=1), out=np.full(len(cohort), NAN), where=seen.any(axis=1)
    )
