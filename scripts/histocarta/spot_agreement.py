"""How far a cartography agrees with expression measured in place: tiles against the spots that lie on them."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from histocarta.errors import InputError
from histocarta.evaluation import spearman
from histocarta.files import read_json, read_table, write_json, write_table

PLACE = ["slide", "section", "x_px", "y_px"]


def place_spots(*, spots: str, slides: list[str], sites: list[str], placed: str) -> None:
    """Find the tile under each spot's centre and write ``placed``: slide, section, row, col, total and the traits.

    ``spots`` is a table with slide, section, x_px, y_px (level-0 px), total (counts) and a column per trait; ``slides``
    and ``sites`` are ids and sites.parquet of the same slides. A spot on no kept tile is left out.
    """
    table = read_table(spots)
    if missing := {*PLACE, "total"} - set(table):
        raise InputError(f"Expected the columns {', '.join(sorted(missing))} in {spots}, found {', '.join(table)}")
    table = table.astype({name: float for name in table.columns if name not in ("slide", "section")})
    grids = dict(zip(slides, sites, strict=True))
    found = [on_tiles(rows, read_table(grids[slide])) for slide, rows in table.groupby("slide") if slide in grids]
    if not found:
        raise InputError(
            f"Expected spots of the cohort's slides ({slides[0]}, …) in {spots}, found {len(table)} spots of other "
            f"slides ({table['slide'].iloc[0] if len(table) else 'none'}, …); name slides in both alike"
        )
    write_table(pd.concat(found, ignore_index=True).drop(columns=["x_px", "y_px"]), placed)


def on_tiles(spots: pd.DataFrame, sites: pd.DataFrame) -> pd.DataFrame:
    """The spots of one slide (x_px, y_px) that lie on a kept tile of ``sites``, with its row and col."""
    if sites.empty:
        return spots.iloc[:0].assign(row=0, col=0)
    width, corner = int(sites["width_px"].iloc[0]), sites[["x", "y"]].min()
    spots = spots.assign(
        row=np.floor((spots["y_px"] - corner["y"]) / width).astype(int),
        col=np.floor((spots["x_px"] - corner["x"]) / width).astype(int),
    )
    kept = sites.loc[sites["kept"], ["row", "col"]].astype(int)
    return spots.merge(kept, on=["row", "col"])


def compare_spots(*, placed: str, scores: str, slides: str, metrics: str, agreement: str, trait: str) -> None:
    """Write Spearman of the mean tile score against the measured expression of ``trait``, per section and part.

    Slides of the test part were not trained on. Beside it stand the score against the spots' total counts (what depth
    and cell density alone would give), and the partial rank correlation with the total held constant.
    """
    status = read_json(metrics)
    table = read_table(placed)
    if status["status"] != "ok" or trait not in table:
        reason = status["reason"] if status["status"] != "ok" else f"{trait} was not measured in the spots"
        write_json({"trait": trait, "status": "excluded", "reason": reason, "sections": []}, agreement)
        return
    parts = read_table(slides)[["slide", "part"]]
    joined = table.merge(read_table(scores), on=["slide", "row", "col"]).merge(parts, on="slide")
    rows = [
        _agreement(group, trait) | {"section": section, "part": part}
        for part in ("test", "all")
        for section, group in joined[joined["part"].eq(part) | (part == "all")].groupby("section")
    ]
    write_json({"trait": trait, "status": "ok", "reason": "", "sections": rows}, agreement)


def _agreement(spots: pd.DataFrame, column: str) -> dict[str, float | int | str]:
    score, value, total = (spots[name].to_numpy(float) for name in ("score", column, "total"))
    found, depth = spearman(score, value), spearman(score, total)
    return {
        "n_spots": len(spots),
        "rho": found.rho,
        "p": found.p,
        "reason": found.reason,
        "rho_total_counts": depth.rho,
        "partial_rho": partial_rank_correlation(score, value, total),
    }


def partial_rank_correlation(x: Sequence[float], y: Sequence[float], given: Sequence[float]) -> float:
    """First-order partial Spearman correlation of ``x`` and ``y`` with ``given`` held constant; NaN where undefined."""
    ranks = np.vstack([rankdata(values) for values in (x, y, given)])
    if ranks.shape[1] < 4 or (np.ptp(ranks, axis=1) == 0).any():
        return float("nan")
    xy, xz, yz = np.corrcoef(ranks)[[0, 0, 1], [1, 2, 2]]
    rest = (1 - xz**2) * (1 - yz**2)
    return float((xy - xz * yz) / np.sqrt(rest)) if rest > 0 else float("nan")
