"""How the rounds' models become one: which of them vote, on which slides they may, and what the vote is worth."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow.parquet as parquet

from histocarta.errors import InputError
from histocarta.evaluation import NAN, auc, correlate, evaluate
from histocarta.files import read_json, read_table, write_json, write_table
from histocarta.rounds import check_scored, read_fates, with_fates, without_model
from histocarta.splits import PARTS, patients_on_both_sides
from histocarta.versions import VERSION

TILE_COLUMNS = ("slide", "row", "col", "votes", "positive", "score")
LABEL_COLUMNS = ("label", "above_median", "decile", "percentile", "ood")


@dataclass(frozen=True)
class Tiles:
    """The tiles of a cohort and every round's score of them; a round without a model has None.

    slide : number of the slide in the cohort's table; row, col : place in the grid; scores : float32, one per round.
    """

    slide: np.ndarray
    row: np.ndarray
    col: np.ndarray
    scores: list[np.ndarray | None]

    def share(self, positive: np.ndarray, *, n_slides: int) -> np.ndarray:
        """Share of ``positive`` tiles of every slide; NaN where it has none."""
        count = np.bincount(self.slide, minlength=n_slides)
        chosen = np.bincount(self.slide[positive], minlength=n_slides)
        return np.divide(chosen, count, out=np.full(n_slides, NAN), where=count > 0)


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


def voters_by_slide(tested: np.ndarray, *, chosen: Sequence[int], usable: Sequence[bool]) -> np.ndarray:
    """Which rounds vote on which slides (bool, slides × rounds).

    tested : whether the slide is in the round's test part (slides × rounds). With one test part for all rounds the
    chosen rounds vote on every slide. Where the test part changes (leave-one-out), a round that trained on a slide must
    not vote on it, so only the rounds that held it out do.
    """
    if is_fixed(tested):
        voters = np.zeros(tested.shape, dtype=bool)
        voters[:, list(chosen)] = True
        return voters
    return tested & np.asarray(usable)


def is_fixed(tested: np.ndarray) -> bool:
    """Whether all rounds have the same test part."""
    return bool((tested == tested[:, :1]).all())


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
    head = {"trait": trait, "unit": unit, "version": VERSION["consensus"]}
    head["independent"] = not any(patients_on_both_sides(read_table(path)) for path in splits)
    head |= {"best": best, "threshold": threshold, **{key: facts[key] for key in ("status", "code", "reason")}}
    cohort, parts = _cohort(labels, splits)
    tiles = read_rounds(rounds, slides=cohort["slide"], manifest=manifest) if facts["status"] == "ok" else None
    fates = read_fates(sidecars)
    if tiles:
        check_scored(fates, scored=[score is not None for score in tiles.scores])
    head["rounds"] = with_fates([{"round": fate.number, "reason": ""} for fate in fates], fates)
    if tiles and all(score is None for score in tiles.scores):
        head |= {"status": "excluded", "code": "E-NO-MODEL", "reason": without_model(fates)}
    if head["status"] == "ok":
        voted, cohort, record = combine(tiles, cohort, parts=parts, best=best, threshold=threshold)
        record["rounds"] = with_fates(record["rounds"], fates)
        head |= record | _evaluate_consensus(cohort, tested=_tested(parts), unit=unit, seed=seed)
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
    voters = voters_by_slide(_tested(parts), chosen=choice.rounds, usable=usable)
    votes, positive, score = majority(tiles, voters=voters, threshold=threshold)
    columns = (cohort["slide"].to_numpy()[tiles.slide], tiles.row, tiles.col, votes, positive, score)
    share = tiles.share(positive, n_slides=n_slides)
    scored = cohort.assign(
        **{f"score_{k + 1}": shares[:, k] for k in range(n_rounds)},
        score=np.where(voters.any(axis=1), share, NAN),
        n_tiles=np.bincount(tiles.slide, minlength=n_slides),
    )
    fixed = is_fixed(_tested(parts))
    record = {
        "rounds": per_round,
        "chosen": [int(k) + 1 for k in np.flatnonzero(voters.any(axis=0))],
        "voting": "the chosen rounds vote on every slide" if fixed else "each slide by the rounds that held it out",
        "reason": choice.reason if fixed else "",
        "test": _spread(per_round),
    }
    return pd.DataFrame(dict(zip(TILE_COLUMNS, columns, strict=True))), scored, record


def read_rounds(paths: list[str], *, slides: pd.Series, manifest: str) -> Tiles:
    """Tile scores of all rounds; InputError unless all hold the manifest's tiles of ``slides``, in one order."""
    place, scores = None, []
    for path in paths:
        if parquet.read_metadata(path).num_rows == 0:
            scores.append(None)
            continue
        frame = parquet.read_table(path, read_dictionary=["slide"]).to_pandas()
        code = pd.Categorical(frame["slide"], categories=slides).codes.astype(np.int32)
        here = (code, frame["row"].to_numpy(), frame["col"].to_numpy())
        place = here if place is None else place
        if not all(np.array_equal(mine, first) for mine, first in zip(here, place, strict=True)):
            raise InputError(f"Expected the same tiles in all rounds, found others in {path}; score the tiles again.")
        if not np.isfinite(frame["score"]).all():
            raise InputError(f"Expected a score for every tile, found NaN in {path}; train that round again.")
        scores.append(frame["score"].to_numpy(np.float32))
    if place is None:
        return Tiles(*(np.zeros(0, dtype=np.int32) for _ in range(3)), scores=scores)
    table = read_table(manifest).set_index("slide")["n_tiles"].astype(int)
    found = pd.Series(np.bincount(place[0][place[0] >= 0], minlength=len(slides)), index=slides)
    wrong = found.index[found != table.reindex(slides).fillna(0)]
    if len(wrong) or (place[0] < 0).any():
        which = f"{wrong[0]!r} has {found[wrong[0]]} scored tiles" if len(wrong) else "slides without a label row"
        raise InputError(f"Expected scores for the tiles of {manifest}, found others: {which}; score the tiles again.")
    return Tiles(*place, scores=scores)


def _cohort(labels: str, splits: list[str]) -> tuple[pd.DataFrame, np.ndarray]:
    """The label table with each slide's unit and part, and its part in every round (slides × rounds, as in PARTS)."""
    table = read_table(labels).sort_values("slide", ignore_index=True)
    tables = [read_table(path).set_index("slide").reindex(table["slide"]) for path in splits]
    parts = np.stack([pd.Categorical(split["part"], categories=PARTS).codes for split in tables], axis=1)
    if (parts < 0).any():
        slide = table["slide"][(parts < 0).any(axis=1)].iloc[0]
        raise InputError(
            f"Expected every labelled slide in every round of the split, found {slide!r} missing; redraw it."
        )
    # One word for all rounds and all traits: who is ever tested is a test slide, who ever trains is a training slide.
    tested, trained = ((parts == PARTS.index(name)).any(axis=1) for name in ("test", "train"))
    part = np.select([tested, trained], ["test", "train"], default="validation")
    return table.assign(unit=tables[0]["unit"].to_numpy(), part=part), parts


def _tested(parts: np.ndarray) -> np.ndarray:
    return parts == PARTS.index("test")


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
