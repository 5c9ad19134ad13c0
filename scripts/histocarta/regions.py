"""Which tiles lie inside a marked region and which outside: labels of tiles, and the tiles that a layout keeps to."""

import sys

import numpy as np
import pandas as pd

from histocarta.annotations import PLACE
from histocarta.errors import InputError, nearest
from histocarta.files import read_json, read_table, sha256, write_json, write_table
from histocarta.tilestore import read_shard, write_shard
from histocarta.tiling import draw_sites
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


def choose_tiles(
    *,
    scores: str,
    metrics: str,
    source_sites: str,
    source_shard: str,
    source_summary: str,
    survey: str,
    thumbnail: str,
    sites: str,
    shard: str,
    summary: str,
    picture: str,
    region: str,
    min_score: float,
) -> None:
    """Write a slide's tiles that lie in a region, of those of another layout (``source_…``): the same pixels, copied.

    scores : slide, row, col and score of the region's classifier. metrics : whether there is one.
    A kept tile that scores less than ``min_score`` becomes "elsewhere"; a slide without any other is left out
    (T-REGION). Copies, so that whoever reads a layout finds a shard of all its tiles and nothing else.
    Raises InputError where the region has no classifier, or a tile has no score.
    """
    told = read_json(metrics)
    if told["status"] != "ok":
        raise InputError(
            f"Expected a classifier of region {region}, found it excluded ({told['code']}: {told['reason']}); annotate "
            "more slides, or let the tasks read a layout of all tissue"
        )
    facts, record, grid = read_json(source_summary), read_json(survey), read_table(source_sites)
    found = read_table(scores)
    found = found.loc[found["slide"] == facts["slide"], ["row", "col", "score"]]
    grid = grid.merge(found, on=["row", "col"], how="left", validate="one_to_one")
    score, kept = grid["score"].to_numpy(), grid["kept"].to_numpy()
    if (kept & np.isnan(score)).any() and len(found):
        raise InputError(
            f"Expected a score of all {int(kept.sum())} tiles of {facts['slide']} in {scores}, found "
            f"{int((kept & ~np.isnan(score)).sum())}; score the tiles again"
        )
    here = kept & (score >= min_score)  # a slide that was excluded after tiling has no scores
    grid = grid.assign(kept=here, reason=np.where(kept & ~here, "elsewhere", grid["reason"]))
    wanted = set(zip(grid.loc[here, "row"], grid.loc[here, "col"], strict=True))
    n_tiles = write_shard(shard, (tile for tile in read_shard(source_shard) if tile[:2] in wanted))
    counts = facts["counts"] | {"elsewhere": int((kept & ~here).sum())}
    if facts["status"] == "ok" and not n_tiles:
        why = f"{facts['slide']}: no tile is scored, as the layout that they are taken from leaves it out"
        if len(found):
            best = f"{min_score:g} or more, the best scores {np.nanmax(score):.2g}"
            why = f"{facts['slide']}: none of {facts['n_tiles']} tiles is in region {region} ({best})"
        facts |= {"status": "excluded", "code": "T-REGION", "reason": why}
        print(f"T-REGION {why}", file=sys.stderr)
    write_table(grid, sites)
    draw_sites({name: grid[name].to_numpy() for name in grid}, record, thumbnail=thumbnail, picture=picture)
    facts |= {"n_tiles": n_tiles, "counts": counts, "sha256": sha256(shard), "region": region, "min_score": min_score}
    write_json(facts, summary)
