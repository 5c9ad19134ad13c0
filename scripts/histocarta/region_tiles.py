"""Which of a layout's tiles another keeps to: those that the classifier of a region scores high enough."""

import sys

import numpy as np

from histocarta.errors import InputError
from histocarta.files import read_json, read_table, sha256, write_json, write_table
from histocarta.tilestore import read_shard, write_shard
from histocarta.tiling import draw_sites


def choose_tiles(
    *,
    scores: str,
    metrics: str,
    source_manifest: str,
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

    scores : slide, row, col and score of the region's classifier. metrics : whether there is one. source_manifest : of
    the layout that they are taken from. A kept tile that scores less than ``min_score``, or has no score, becomes
    "elsewhere"; a slide without any other is left out (T-REGION), and so is one that the source leaves out, for its
    reason. Copies, so that whoever reads a layout finds a shard of all its tiles and nothing else.
    Raises InputError where the region has no classifier, or a tile has no score.
    """
    told = read_json(metrics)
    if told["status"] != "ok":
        raise InputError(
            f"Expected a classifier of region {region}, found it excluded ({told['code']}: {told['reason']}); annotate "
            "more slides, or let the tasks read a layout of all tissue"
        )
    facts, record, grid = read_json(source_summary), read_json(survey), read_table(source_sites)
    used = read_table(source_manifest).set_index("slide").loc[facts["slide"]]
    found = read_table(scores)
    found = found.loc[found["slide"] == facts["slide"], ["row", "col", "score"]]
    grid = grid.merge(found.assign(scored=True), on=["row", "col"], how="left", validate="one_to_one")
    score, kept = grid["score"].to_numpy(), grid["kept"].to_numpy()
    scored = grid.pop("scored").eq(True).to_numpy()
    if used["status"] == "ok" and (kept & ~scored).any():
        raise InputError(
            f"Expected a score of all {int(kept.sum())} tiles of {facts['slide']} in {scores}, found "
            f"{int((kept & scored).sum())}; score the tiles again"
        )
    here = kept & (score >= min_score)
    grid = grid.assign(kept=here, reason=np.where(kept & ~here, "elsewhere", grid["reason"]))
    wanted = set(zip(grid.loc[here, "row"], grid.loc[here, "col"], strict=True))
    n_tiles = write_shard(shard, (tile for tile in read_shard(source_shard) if tile[:2] in wanted))
    counts = facts["counts"] | {"elsewhere": int((kept & ~here).sum())}
    if used["status"] != "ok":
        facts |= {key: used[key] for key in ("status", "code", "reason")}
    elif not n_tiles:
        best = f"{min_score:g} or more, the best scores {np.nanmax(score):.2g}" if not np.isnan(score).all() else ""
        why = f"none of {facts['n_tiles']} tiles is in region {region} ({best})"
        why = why if best else f"no model of region {region} that did not learn from it has scored it"
        facts |= {"status": "excluded", "code": "T-REGION", "reason": f"{facts['slide']}: {why}"}
        print(f"T-REGION {facts['reason']}", file=sys.stderr)
    write_table(grid, sites)
    draw_sites({name: grid[name].to_numpy() for name in grid}, record, thumbnail=thumbnail, picture=picture)
    facts |= {"n_tiles": n_tiles, "counts": counts, "sha256": sha256(shard), "region": region, "min_score": min_score}
    write_json(facts, summary)
