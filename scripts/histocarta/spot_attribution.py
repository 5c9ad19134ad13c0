"""Where in windows a gene's prediction comes from: those with the highest and the lowest, by held-out models."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.ndimage import gaussian_filter

from histocarta import models as networks
from histocarta import pipeline
from histocarta.attribution import integrated_gradients
from histocarta.backends import backend_in_use, check_gpus
from histocarta.figures import png
from histocarta.files import read_json, read_table, replacing, write_table
from histocarta.tilestore import read_shard

PLACE = ["slide", "row", "col"]
EACH = 4  # windows with the highest prediction, and with the lowest
SMOOTHED = 0.02  # of a window's side: sd of what blurs the pictures of attributions
COLUMNS = [*PLACE, "round", "kind", "predicted", "output", "baseline", "attributed", "error"]


def attribute_gene(
    *,
    manifest: str,
    summary: str,
    scores: str,
    models: list[str],
    splits: list[str],
    table: str,
    picture: str,
    gene: str,
    steps: int,
    gpus: int = 1,
    require_gpu: bool = True,
    threads: int | None = None,
) -> None:
    """Attribute ``gene`` in the ``EACH`` windows with its highest predictions and the ``EACH`` with its lowest.

    scores : consensus/scores.parquet. Each window is attributed by the first round that tests its slide, chose the gene
    and has a model: one that did not learn from its patient. ``table``: COLUMNS; error is by how much the attributions
    miss output - baseline. ``output`` is of the window as it is, ``predicted`` the mean over its symmetries and rounds.
    A gene that the trait does not have, or that was predicted nowhere, gives an empty table and a picture that says so:
    which genes are among the highest is known only after the counts were read.
    """
    backend_in_use().limit(gpus=gpus, threads=threads)
    check_gpus(gpus=gpus, required=require_gpu)
    facts = read_json(summary)
    number_of = facts["genes"].index(gene) if gene in facts["genes"] else -1
    known = read_table(scores)
    known = known.assign(predicted=known.get(gene, np.nan))[[*PLACE, "predicted"]].dropna()
    chosen = ends_of(known)
    parts, maps, tiles = [], [], []
    for number, (path, split) in enumerate(zip(models, splits, strict=True), start=1):
        tested = set(read_table(split).query("part == 'test'")["slide"])
        own = chosen[chosen["slide"].isin(tested) & ~chosen.index.isin([name for part in parts for name in part.index])]
        column = facts["chosen"].get(str(number), [])
        if own.empty or number_of not in column or not networks.holds_model(path):
            continue
        model = networks.load_model(path, precision="float32")
        pixels = read_tiles(own, read_table(manifest), size=model.input_shape[1])
        found = integrated_gradients(model, pixels, output=column.index(number_of), steps=steps)
        figures = {"output": found.output, "baseline": found.baseline, "error": found.error}
        attributed = found.values.sum(axis=(1, 2, 3))
        parts.append(own.assign(round=number, attributed=attributed, **figures))
        maps.append(found.values.sum(axis=3))
        tiles.append(pixels)
    whole = pd.concat(parts) if parts else pd.DataFrame(columns=COLUMNS)
    write_table(whole.reindex(columns=COLUMNS), table)
    figure = attribution_figure(
        whole.reset_index(drop=True),
        tiles=np.concatenate(tiles) if tiles else np.zeros(0),
        maps=np.concatenate(maps) if maps else np.zeros(0),
        gene=gene,
    )
    with replacing(picture) as draft:
        Path(draft).write_bytes(png(figure))


def ends_of(known: pd.DataFrame) -> pd.DataFrame:
    """The windows with the highest and the lowest predictions, kind "high" or "low"; of few windows half each."""
    order = known.sort_values(["predicted", *PLACE], kind="stable", ignore_index=True)
    number = min(EACH, len(order) // 2)
    return pd.concat([order.tail(number).iloc[::-1].assign(kind="high"), order.head(number).assign(kind="low")])


def read_tiles(windows: pd.DataFrame, manifest: pd.DataFrame, *, size: int) -> np.ndarray:
    """The pixels of ``windows`` as the model takes them: uint8, n × size × size × 3, in their order."""
    shards, found = manifest.set_index("slide")["shard"], {}
    for slide, own in windows.groupby("slide"):
        wanted = set(zip(own["row"].astype(int), own["col"].astype(int), strict=True))
        for row, col, jpeg in read_shard(shards[slide]):
            if (row, col) in wanted:
                found[slide, row, col] = pipeline.decode_tile(jpeg, size=size).numpy()
    places = windows[PLACE].itertuples(index=False, name=None)
    return np.stack([found[slide, int(row), int(col)] for slide, row, col in places])


def attribution_figure(windows: pd.DataFrame, *, tiles: np.ndarray, maps: np.ndarray, gene: str) -> Figure:
    """Windows above their attributions (summed over colours, smoothed), all on one scale: red raises, blue lowers."""
    figure = Figure(figsize=(1.9 * max(EACH, 1) * 1.1, 8.4 if len(windows) else 1.2), layout="constrained")
    if windows.empty:
        figure.text(0.02, 0.5, f"{gene}: predicted in no window, or not among the genes of this trait")
        return figure
    blurred = np.stack([gaussian_filter(one, SMOOTHED * one.shape[0]) for one in maps])
    top = float(np.quantile(np.abs(blurred), 0.995)) or 1.0
    axes = figure.subplots(4, EACH, squeeze=False)
    for axis in axes.ravel():
        axis.axis("off")
    for block, kind in enumerate(("high", "low")):
        for place, number in enumerate(windows.index[windows["kind"] == kind]):
            spot = windows.loc[number]
            above, below = axes[2 * block, place], axes[2 * block + 1, place]
            above.imshow(tiles[number])
            above.set_title(f"{spot['slide']} {spot['row']}×{spot['col']}: {spot['output']:.2f}", fontsize=8)
            shown = below.imshow(blurred[number], cmap="RdBu_r", vmin=-top, vmax=top)
    figure.colorbar(shown, ax=axes[1::2], label="attribution per pixel (ln expression)", shrink=0.7)
    figure.suptitle(f"{gene}: highest (above) and lowest predictions, baseline white", fontsize=10)
    return figure
