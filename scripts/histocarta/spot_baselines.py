"""What the baselines predict for the spots that no fit has seen: one table per baseline, over all rounds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from histocarta.errors import InputError
from histocarta.files import read_json, read_table, write_json, write_table
from histocarta.scored import with_parts
from histocarta.splits import PARTS
from histocarta.spot_features import COLOUR, KEYS, NUCLEI
from histocarta.spot_predictors import PREDICTORS, Spots

BASELINES = tuple(PREDICTORS)
NEEDS = {"annotation": "annotation", "depth": "total"}  # columns of the table of spots
MIN_SPOTS = 10  # to fit on


@dataclass(frozen=True)
class Round:
    """One round of the split: which labelled spots are fitted and which tested, and the genes chosen in it (indices).

    Fitted is what is not tested: no baseline has a setting that a validation part would choose.
    """

    number: int
    fit: np.ndarray
    test: np.ndarray
    genes: np.ndarray
    reason: str


def predict_baselines(
    *,
    features: str,
    labels: str,
    summary: str,
    splits: list[str],
    scores: Sequence[str],
    record: str,
    seed: int,
    spots: str | None = None,
    threads: int = 1,
) -> None:
    """Write ``scores``, a table for each of BASELINES in their order: slide, row, col and a column per gene, float32.

    features : windows as :func:`histocarta.spot_features.measure_spots` writes them; labels, summary : of the task
    (target per spot; genes, and those chosen per round). spots : slide, row, col and, where known, annotation (class,
    "" for none) and total (counts); a baseline that lacks its column, or all of whose classes are blank, gets a table
    without rows and its reason in ``record``. A table holds the spots of all test parts in the order of ``labels``; of
    several rounds it holds the mean, and NaN for a gene that no round chose which tested the spot.
    """
    told = read_json(summary)
    genes = list(told.get("genes", []))
    kinds = dict(zip(KEYS, ("object", "int64", "int64"), strict=True)) | dict.fromkeys(genes, "float32")
    empty = pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in kinds.items()})
    tables = dict.fromkeys(BASELINES, empty)
    reasons = dict.fromkeys(BASELINES, told.get("reason") or "the trait has no labels")
    rounds: list[Round] = []
    if told["status"] == "ok":
        table = read_table(labels)
        table = table[table["target"].notna()].reset_index(drop=True)  # the others have no counts
        known, missing = gather_spots(table[KEYS], features=features, spots=spots)
        target = np.stack(table["target"]).astype(float)
        rounds = read_rounds(table, splits, chosen=told["chosen"])
        _check_finite(table, target, rounds, genes)
        for name in BASELINES:
            reasons[name] = missing.get(name, "")
            if not reasons[name]:
                values, tested = _over_rounds(name, known, target, rounds, seed=seed, threads=threads)
                wide = pd.DataFrame(values[tested].astype(np.float32), columns=genes, index=table.index[tested])
                tables[name] = pd.concat([table.loc[tested, KEYS], wide], axis=1)
                reasons[name] = "" if np.isfinite(wide.to_numpy()).any() else "no round predicts a spot"
    for path, name in zip(scores, BASELINES, strict=True):
        write_table(tables[name] if not reasons[name] else tables[name].iloc[:0], path)
    write_json({"baselines": _statuses(tables, reasons), "rounds": [_fate(one) for one in rounds]}, record)


def read_rounds(table: pd.DataFrame, splits: list[str], *, chosen: dict[str, list[int]]) -> list[Round]:
    """The rounds of ``splits`` over the labelled spots of ``table``; one that cannot be fitted or tested says why."""
    slides, parts = with_parts(table[["slide", "patient"]].drop_duplicates("slide"), splits)
    place = pd.Index(slides["slide"]).get_indexer(table["slide"])
    rounds = []
    for path, part in zip(splits, parts[place].T, strict=True):
        number = int(read_table(path)["round"].iloc[0])
        tested = part == PARTS.index("test")
        fit, test, genes = np.flatnonzero(~tested), np.flatnonzero(tested), chosen.get(str(number), [])
        reason = "" if len(test) else "no labelled spot is tested"
        reason = reason or ("" if len(fit) >= MIN_SPOTS else f"{len(fit)} spots to fit on, of at least {MIN_SPOTS}")
        reason = reason or ("" if genes else "no gene was chosen")
        rounds.append(Round(number, fit, test, np.asarray(genes, int), reason))
    return rounds


def gather_spots(keys: pd.DataFrame, *, features: str, spots: str | None) -> tuple[Spots, dict[str, str]]:
    """What is known of the spots ``keys`` (slide, row, col), and why a baseline has not what it needs."""
    found = keys.merge(read_table(features), on=KEYS, how="left", validate="one_to_one")
    _check_all_found(found, COLOUR[0], features, "measure the windows again")
    columns, missing = {}, {}
    said = read_table(spots).drop_duplicates(KEYS) if spots else pd.DataFrame(columns=KEYS)
    said = keys.merge(said.astype({"slide": str, "row": int, "col": int}), on=KEYS, how="left")
    for name, column in NEEDS.items():
        if column in said:
            columns[column] = said[column]
        else:
            missing[name] = f"{spots or 'the study'} has no column {column}"
    annotation, total = columns.get("annotation"), columns.get("total")
    if annotation is not None:
        annotation = annotation.fillna("").astype(str)
        if not (annotation != "").any():
            missing["annotation"] = "no labelled spot has an annotation"
    if total is not None:
        _check_all_found(said, "total", spots, "read the sections again")
        total = np.log(np.maximum(total.to_numpy(float), 1.0))
    return Spots(
        found[list(NUCLEI)].to_numpy(np.float32),
        found[list(COLOUR)].to_numpy(float),
        None if annotation is None else annotation.to_numpy(object),
        total,
    ), missing


def _over_rounds(
    name: str, spots: Spots, target: np.ndarray, rounds: list[Round], *, seed: int, threads: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean prediction of one baseline over the rounds (spots × genes, NaN where none), and which spots were tested."""
    total, count = np.zeros(target.shape), np.zeros(target.shape, np.int32)
    tested = np.zeros(len(target), bool)
    for one in (one for one in rounds if not one.reason):
        state = int(np.random.SeedSequence([seed, one.number]).generate_state(1)[0])
        fit, test = spots.take(one.fit), spots.take(one.test)
        values = PREDICTORS[name](fit, target[np.ix_(one.fit, one.genes)], test, seed=state, threads=threads)
        here = np.ix_(one.test, one.genes)
        total[here] += np.nan_to_num(values)
        count[here] += np.isfinite(values)
        tested[one.test] = True
    return np.where(count > 0, total / np.maximum(count, 1), np.nan), tested


def _check_finite(table: pd.DataFrame, target: np.ndarray, rounds: list[Round], genes: list[str]) -> None:
    """Every gene chosen in a round has a value in each spot that the round fits."""
    for one in (one for one in rounds if not one.reason):
        bad = np.argwhere(~np.isfinite(target[np.ix_(one.fit, one.genes)]))
        if len(bad):
            slide, row, col = table[KEYS].iloc[one.fit[bad[0][0]]]
            raise InputError(
                f"Expected a value of every gene chosen in round {one.number} in each spot it is fitted on, found none "
                f"of {genes[one.genes[bad[0][1]]]} (slide {slide}, row {row}, column {col}); label the spots again."
            )


def _check_all_found(found: pd.DataFrame, column: str, path: str | None, mend: str) -> None:
    if len(lost := found[found[column].isna()]):
        slide, row, col = lost[KEYS].iloc[0]
        raise InputError(
            f"Expected all {len(found)} labelled spots with {column} in {path}, found {len(lost)} without (slide "
            f"{slide}, row {row}, column {col}); {mend}."
        )


def _statuses(tables: dict[str, pd.DataFrame], reasons: dict[str, str]) -> dict[str, dict]:
    return {
        name: {
            "status": "excluded" if reason else "ok",
            "reason": reason,
            "n_spots": 0 if reason else len(tables[name]),
        }
        for name, reason in reasons.items()
    }


def _fate(one: Round) -> dict:
    counts = {"n_fit": len(one.fit), "n_test": len(one.test), "n_genes": len(one.genes)}
    return {"round": one.number, "reason": one.reason} | counts
