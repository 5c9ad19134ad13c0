"""Which tiles lie inside a marked region and which outside, for a classifier to learn from."""

import numpy as np
import pandas as pd

from histocarta.annotations import PLACE
from histocarta.errors import InputError, nearest
from histocarta.files import read_table, write_json, write_table
from histocarta.versions import VERSION

MOST = 0.5  # a tile is of the class that covers at least half of it
MIN_SLIDES = 2  # outside the test part, of each side: one to learn from and one to validate on


def label_regions(
    *,
    placed: str,
    manifest: str,
    split: str | list[str],
    labels: str,
    summary: str,
    trait: str,
    classes: list[str],
    unmarked: str,
) -> None:
    """Label every tile by what was marked on it: labels.parquet has a row per tile, in the order of the shards.

    placed : of :func:`histocarta.annotations.place_annotations`. label : 1 where ``classes`` cover at least half of the
    tile, 0 where other classes do, or, with ``unmarked`` "outside", where the slide is annotated; NaN for what nobody
    marked. Where fewer than MIN_SLIDES slides that are not tested have tiles of a side the region is excluded (B-FEW).
    Raises InputError for a class that the annotations lack.
    """
    every, slides = read_table(placed), read_table(manifest)
    slides = slides.loc[slides["n_tiles"].astype(int) > 0, ["slide", "patient"]]
    known = [name for name in every if name not in PLACE]
    for name in classes:
        if name not in known:
            raise InputError(
                f"Expected the class {name!r} of region {trait} among the annotations ({', '.join(known) or 'none'}), "
                f"found no tile under it{nearest(name, known)}"
            )
    others = [name for name in known if name not in classes]
    inside, outside = (every[names].sum(axis=1).to_numpy() >= MOST for names in (classes, others))
    outside |= every["annotated"].to_numpy() & (unmarked == "outside")
    table = every[["slide", "row", "col"]].assign(label=np.select([inside, outside], [1.0, 0.0], default=np.nan))
    table = table.merge(slides, on="slide")[["slide", "patient", "row", "col", "label"]]
    rounds = pd.concat([read_table(path) for path in ([split] if isinstance(split, str) else split)])
    tested = set(rounds.loc[rounds["part"] == "test", "slide"])
    if set(table["slide"]) <= tested:  # leaving one out: each slide is tested once, and learnt from otherwise
        tested = set()
    learnt = table[~table["slide"].isin(tested)]
    code, reason = "", ""
    for side, label in (("inside", 1.0), ("outside", 0.0)):
        found = learnt.loc[learnt["label"] == label, "slide"].nunique()
        if found < MIN_SLIDES and not code:
            code = "B-FEW"
            reason = f"{found} slides outside the test part with tiles {side} the region, need {MIN_SLIDES}"
    counts = {
        "inside": int((table["label"] == 1).sum()),
        "outside": int((table["label"] == 0).sum()),
        "unmarked": int(table["label"].isna().sum()),
    }
    write_table(table.iloc[:0] if code else table, labels)
    record = {
        "trait": trait, "rule": {"classes": classes, "unmarked": unmarked}, "fitted_on": "", "n": counts,
        "annotated": int(every.loc[every["annotated"], "slide"].nunique()),
        "status": "excluded" if code else "ok", "code": code, "reason": reason, "version": VERSION["regions"],
    }  # fmt: skip
    write_json(record, summary)
