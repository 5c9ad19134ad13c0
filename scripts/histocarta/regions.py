"""Which tiles lie inside a marked region and which outside, for a classifier to learn from."""

import numpy as np
import pandas as pd

from histocarta.annotations import PLACE, columns_of
from histocarta.errors import InputError
from histocarta.files import read_table, write_json, write_table
from histocarta.splits import tuning_part
from histocarta.versions import VERSION

MOST = 0.5  # a tile is of the class that covers at least half of it


def label_regions(
    *,
    placed: str,
    manifest: str,
    split: str | list[str],
    labels: str,
    summary: str,
    trait: str,
    unmarked: str,
) -> None:
    """Label every tile by what was marked on it: labels.parquet has a row per tile, in the order of the shards.

    placed : of :func:`histocarta.annotations.place_annotations`. label : 1 where the region covers at least half of the
    tile, 0 where other classes do, or, with ``unmarked`` "outside", where the slide is annotated; NaN for what nobody
    marked. A region is excluded (B-FEW) where in no round the training slides have tiles of both sides and those that
    choose the weights have any. Raises InputError for a region that is marked nowhere.
    """
    every, slides = read_table(placed), read_table(manifest)
    slides = slides.loc[slides["n_tiles"].astype(int) > 0, ["slide", "patient"]]
    inside, outside = (every[column].to_numpy() >= MOST for column in columns_of(trait))
    if not (every[columns_of(trait)[0]] > 0).any():
        known = [name for name in every if name not in PLACE and not name.startswith(("in ", "outside "))]
        raise InputError(
            f"Expected annotations of region {trait} on the cohort's tiles, found only {', '.join(known) or 'none'}; "
            "name the region's classes (tasks.regions.classes)"
        )
    outside |= every["annotated"].to_numpy() & (unmarked == "outside")
    table = every[["slide", "row", "col"]].assign(label=np.select([inside, outside], [1.0, 0.0], default=np.nan))
    table = table.merge(slides, on="slide")[["slide", "patient", "row", "col", "label"]]
    rounds = [read_table(path) for path in ([split] if isinstance(split, str) else split)]
    code, reason = _fault(table, rounds)
    counts = {
        "inside": int((table["label"] == 1).sum()),
        "outside": int((table["label"] == 0).sum()),
        "unmarked": int(table["label"].isna().sum()),
    }
    write_table(table.iloc[:0] if code else table, labels)
    record = {
        "trait": trait, "rule": {"unmarked": unmarked}, "fitted_on": "", "n": counts,
        "annotated": int(every.loc[every["annotated"], "slide"].nunique()),
        "status": "excluded" if code else "ok", "code": code, "reason": reason, "version": VERSION["regions"],
    }  # fmt: skip
    write_json(record, summary)


def _fault(table: pd.DataFrame, rounds: list[pd.DataFrame]) -> tuple[str, str]:
    """Code and reason why no round can learn from the labels; two blanks where one can.

    Splits are drawn before anybody looks at who is annotated, so a round may have no annotated slide in a part.
    """
    known = table[table["label"].notna()]
    sides = known.groupby("slide")["label"].agg(lambda label: frozenset(label))
    for split in rounds:
        parts = split.set_index("slide")["part"].reindex(sides.index)
        learnt = frozenset().union(*sides[parts == "train"])
        if learnt == {0.0, 1.0} and (parts == tuning_part(split)).any():
            return "", ""
    return "B-FEW", (
        f"in none of {len(rounds)} rounds do training slides have tiles inside and outside, and validation slides any: "
        f"{len(sides)} slides with marked tiles; annotate more, or draw more of them for validation"
    )
