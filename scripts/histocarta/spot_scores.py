"""Who predicted which spot: the rounds' scores of the slides that each tests, as one table."""

import numpy as np
import pandas as pd

from histocarta.errors import InputError
from histocarta.files import read_json, read_table, write_json, write_table
from histocarta.rounds import begin_record, check_scored, read_fates

PLACE = ["slide", "row", "col"]


def join_spots(
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
    """Put the rounds' predictions of the slides that each tests into one table, with a column per gene.

    rounds : slide, row, col, score (a list, in the order of labels.json's chosen of the round). A window that several
    rounds test gets their mean; a gene that a round did not choose has NaN there. ``slides``: slide, patient, part,
    n_tiles. ``metrics``: status, and what became of the rounds. An excluded trait gets empty tables.
    """
    facts, table = read_json(summary), read_table(labels)
    fates = read_fates(sidecars)
    head = begin_record("join_spots", facts, fates, splits=splits, trait=trait, unit=unit)
    head["genes_saw_test"] = facts["genes_saw_test"]
    genes = facts["genes"]
    total, count = (np.zeros((len(table), len(genes)), np.float32) for _ in range(2))
    if head["status"] == "ok":
        place = pd.MultiIndex.from_frame(table[PLACE])
        for fate, path, split in zip(fates, rounds, splits, strict=True):
            found = read_table(path)
            tested = bool(len(_tested(table, split)))
            check_scored([fate], scored=[bool(len(found)) or not (tested or fate.code)])
            if len(found):
                at = place.get_indexer(pd.MultiIndex.from_frame(found[PLACE]))
                if (at < 0).any():
                    raise InputError(f"Expected scores of labelled windows in {path}, found others; score them again.")
                here = np.ix_(at, facts["chosen"][str(fate.number)])
                total[here] += np.stack(found["score"]).reshape(len(found), -1)
                count[here] += 1
    values = np.divide(total, count, out=np.full(total.shape, np.nan, np.float32), where=count > 0)
    known = (count > 0).any(axis=1)
    predicted = pd.DataFrame(values[known], columns=genes)
    write_table(pd.concat([table.loc[known, PLACE].reset_index(drop=True), predicted], axis=1), scores)
    counted = table.loc[known].groupby(["slide", "patient"], sort=True, observed=True).size()
    write_table(counted.rename("n_tiles").reset_index().assign(part="test"), slides)
    write_json(head, metrics)


def _tested(labels: pd.DataFrame, split: str) -> pd.DataFrame:
    parts = read_table(split).set_index("slide")["part"]
    return labels[labels["slide"].map(parts).eq("test")]
