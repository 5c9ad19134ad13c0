"""How much of a trait each tile is predicted to express: scores in colour over the grey slide, one scale per cohort."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib import colormaps
from PIL import Image

from histocarta.cartography import STATE_NAMES, tensor_cartography
from histocarta.files import read_json, read_table
from histocarta.overlays import GLASS, NEGATIVE, UNSCORED, WHITE, Picture, blank_map, paint, with_legend, write_picture

STEPS = 15
LEGEND = (GLASS, NEGATIVE + 1, NEGATIVE + 1 + STEPS // 2, NEGATIVE + STEPS)  # glass, and three of the colours
RANGE = (0.01, 0.99)  # quantiles of all the cohort's tiles: a few extreme ones would leave the others one colour


def score_range(scores: str) -> tuple[float, float]:
    """Lowest and highest value of the colours, of consensus/scores.parquet; two NaN where nothing is scored."""
    values = pd.read_parquet(scores, columns=["score"])["score"].dropna()
    return tuple(float(bound) for bound in np.quantile(values, RANGE)) if len(values) else (np.nan, np.nan)


def value_states(sites: pd.DataFrame, scores: pd.DataFrame, *, low: float, high: float) -> np.ndarray:
    """State per grid cell (rows, cols): GLASS, UNSCORED, or NEGATIVE + 1 + the step of the tile's score, 0 … STEPS - 1.

    ``scores``: row, col, score of the slide's tiles. Raises InputError where a score has no kept tile.
    """
    placed = tensor_cartography(sites, [scores.assign(positive=True)])
    value = np.full(placed.scored.shape, np.nan)
    value[scores["row"], scores["col"]] = scores["score"]
    share = (value - low) / (high - low) if high > low else np.where(np.isnan(value), np.nan, 0.5)
    step = np.clip(np.nan_to_num(share) * STEPS, 0, STEPS - 1).astype(np.int64)
    return np.where(placed.scored, NEGATIVE + 1 + step, np.where(placed.tissue, UNSCORED, GLASS))


def value_colours(states: np.ndarray) -> np.ndarray:
    """Colour of each state, uint8 (n, 3): viridis from low to high; what has no score is white."""
    ramp = np.rint(255 * colormaps["viridis"]((np.arange(STEPS) + 0.5) / STEPS)[:, :3])
    white = np.full((NEGATIVE + 1, 3), WHITE)
    return np.vstack([white, ramp])[states].astype(np.uint8)


def value_map(
    scores: str, *, sites: str, thumbnail: str, record: dict, bounds: tuple[float, float]
) -> tuple[np.ndarray, Picture]:
    """The states of one slide and its picture without a legend; ``record``: its slide.json, not excluded."""
    grid = read_table(sites)
    columns = ["row", "col", "score"]
    tiles = pd.read_parquet(scores, columns=columns, filters=[("slide", "==", record["slide"])])
    states = value_states(grid, tiles[tiles["score"].notna()], low=bounds[0], high=bounds[1])
    rgb = np.asarray(Image.open(thumbnail).convert("RGB"))
    origin, downsample = (record["x"], record["y"]), record["thumbnail_downsample"]
    picture = paint(
        states, sites=grid, thumbnail=rgb, origin=origin, downsample=downsample, colours=value_colours, always=LEGEND
    )
    return states, picture


def draw_value_map(*, scores: str, sites: str, survey: str, thumbnail: str, picture: str, trait: str) -> None:
    """Write the map of one trait's predicted values on one slide, with the values of its colours.

    ``scores``: consensus/scores.parquet of the trait; the other inputs are the slide's own.
    """
    record = read_json(survey)
    if record["status"] != "ok":
        write_picture(blank_map(record), picture)
        return
    bounds = score_range(scores)
    states, painted = value_map(scores, sites=sites, thumbnail=thumbnail, record=record, bounds=bounds)
    notes = [] if (states > NEGATIVE).any() else ["no scored tile"]
    labels = {GLASS: STATE_NAMES[GLASS]}
    if count := int((states == UNSCORED).sum()):
        labels[UNSCORED] = f"{STATE_NAMES[UNSCORED]} ({count})"
    labels |= dict(zip(LEGEND[1:], value_words(bounds), strict=True))
    title = f"{trait} on {record['slide']}, predicted expression"
    write_picture(with_legend(painted, title=title, notes=notes, labels=labels, mpp=record["mpp"]), picture)


def value_words(bounds: tuple[float, float]) -> Sequence[str]:
    """The lowest, middle and highest value of the colours, in words."""
    low, high = bounds
    if np.isnan(low):
        return ("low", "middle", "high")
    return (f"{low:.3g} or less", f"{(low + high) / 2:.3g}", f"{high:.3g} or more")
