"""How a spot model's predictions and the cartography of a gene, learnt from bulk, agree on the same tissue."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import rankdata

from histocarta.evaluation import spearman
from histocarta.figures import png
from histocarta.files import read_json, read_table, replacing, write_table
from histocarta.spot_agreement import on_tiles, partial_rank_correlation

TILE = ["slide", "row", "col"]
PAIRS = {  # figures by name: which two of a tile's values they correlate
    "rho_maps": ("predicted", "cartography"),
    "rho_predicted": ("predicted", "measured"),
    "rho_cartography": ("cartography", "measured"),
}
COLUMNS = ["gene", "patient", "n_slides", "n_tiles", *PAIRS, *(f"{name}_partial" for name in PAIRS), "reason"]


def compare_cartography(
    *,
    scores: str,
    labels: str,
    summary: str,
    windows: list[str],
    tiles: list[str],
    slides: list[str],
    sheet: str,
    metrics: list[str],
    tile_scores: list[str],
    slide_scores: list[str],
    table: str,
    picture: str,
) -> None:
    """Compare both maps of every gene that both learnt, and with the measured spots, tile by tile; a row per patient.

    scores, labels, summary : of a trait of the task spots. windows, tiles : sites.parquet of ``slides`` on the spots
    and in the layout of the task extremes. metrics, tile_scores, slide_scores : of each trait of that task, in the same
    order. A tile's values are the means over the spots whose centres lie on it; both models held the tile's patient
    out. Figures are Spearman's over a patient's tiles, by themselves and with the spots' total counts held constant
    (``_partial``): neighbours are alike, so that no p is given. picture : the gene whose maps agree best on one image.
    """
    facts = read_json(summary)
    spots = place_windows(read_table(labels), windows=windows, slides=slides)
    under = spots_on_tiles(spots, tiles=tiles, slides=slides)
    predicted = read_table(scores).set_index(TILE)
    rows, shown = [], {}
    for told, of_tiles, of_slides in zip(metrics, tile_scores, slide_scores, strict=True):
        record = read_json(told)
        gene = record["trait"]
        reason = "" if record["status"] == "ok" else f"no cartography: {record['code']} {record['reason']}"
        if gene not in facts["genes"]:
            reason = "not among the genes predicted in spots"
        if reason:
            rows.append({"gene": gene, "reason": reason})
            continue
        held_out = read_table(of_slides).query("part == 'test'")["slide"]
        joined = gene_on_tiles(under, predicted[gene], number=facts["genes"].index(gene))
        both = joined.merge(read_table(of_tiles)[[*TILE, "score"]], on=TILE).rename(columns={"score": "cartography"})
        both = both[both["slide"].isin(held_out)].dropna(subset=["predicted", "measured", "cartography"])
        rows += [{"gene": gene, "patient": name} | agreement(own) for name, own in both.groupby("patient")]
        rows += [] if len(both) else [{"gene": gene, "reason": "no tile with a spot that both held out"}]
        shown[gene] = both
    found = pd.DataFrame(rows, columns=COLUMNS).astype({"reason": object}).fillna({"reason": "", "patient": ""})
    write_table(found, table)
    images = read_table(sheet).set_index("slide")["file"]
    with replacing(picture) as draft:
        draft.write_bytes(png(three_maps(*_best(found, shown, images=images))))


def place_windows(labels: pd.DataFrame, *, windows: Sequence[str], slides: Sequence[str]) -> pd.DataFrame:
    """``labels`` with every window's centre, x_px and y_px (level-0 px), by ``windows`` (sites) of ``slides``."""
    places = []
    for slide, path in zip(slides, windows, strict=True):
        sites = read_table(path)
        half = sites["width_px"] / 2
        found = sites[["row", "col"]].assign(slide=slide, x_px=sites["x"] + half, y_px=sites["y"] + half)
        places.append(found)
    return labels.merge(pd.concat(places, ignore_index=True), on=TILE, validate="one_to_one")


def spots_on_tiles(spots: pd.DataFrame, *, tiles: Sequence[str], slides: Sequence[str]) -> pd.DataFrame:
    """The spots that lie on kept tiles, their row and col those of the tile, spot_row and spot_col their own."""
    own = spots.rename(columns={"row": "spot_row", "col": "spot_col"})
    grids = dict(zip(slides, tiles, strict=True))
    found = [on_tiles(rows, read_table(grids[slide])) for slide, rows in own.groupby("slide", observed=True)]
    return pd.concat(found, ignore_index=True) if found else own.assign(row=0, col=0)


def gene_on_tiles(under: pd.DataFrame, predicted: pd.Series, *, number: int) -> pd.DataFrame:
    """One gene's means over the spots of each tile: slide, row, col, patient, x_px, y_px, total, measured, predicted.

    predicted : by slide, row and col of the spot. number : of the gene in the lists of the column target.
    """
    spots = under[under["target"].notna()]
    place = pd.MultiIndex.from_frame(spots[["slide", "spot_row", "spot_col"]])
    values = spots[[*TILE, "patient", "x_px", "y_px", "total"]].assign(
        measured=[float(target[number]) for target in spots["target"]], predicted=predicted.reindex(place).to_numpy()
    )
    return values.groupby([*TILE, "patient"], observed=True, as_index=False).mean()


def agreement(tiles: pd.DataFrame) -> dict[str, float | int | str]:
    """Spearman's correlations of ``PAIRS``, plain and given the total, of one patient's tiles."""
    row: dict[str, float | int | str] = {"n_slides": tiles["slide"].nunique(), "n_tiles": len(tiles), "reason": ""}
    for name, (first, second) in PAIRS.items():
        x, y, total = (tiles[column].to_numpy(float) for column in (first, second, "total"))
        found = spearman(x, y)
        row |= {name: found.rho, f"{name}_partial": partial_rank_correlation(x, y, total)}
        row["reason"] = row["reason"] or found.reason
    return row


def three_maps(gene: str, tiles: pd.DataFrame) -> Figure:
    """One gene as measured, as a model of spots has it and as the cartography has it, each tile in its place.

    tiles : x_px, y_px and the three values. Their scales differ (ln counts, ln counts, score), so that each is coloured
    by rank: 0 its lowest tile, 1 its highest. Without tiles the figure says so.
    """
    names = {"measured": "measured in spots", "predicted": "model of spots", "cartography": "cartography (bulk labels)"}
    figure = Figure(figsize=(11, 4), layout="constrained")
    if tiles.empty:
        figure.text(0.02, 0.5, "no gene that both models held out on the same tissue", fontsize=11)
        return figure
    axes = figure.subplots(1, len(names), sharex=True, sharey=True)
    for axis, (column, title) in zip(axes, names.items(), strict=True):
        share = (rankdata(tiles[column]) - 1) / max(len(tiles) - 1, 1)
        dots = axis.scatter(tiles["x_px"], tiles["y_px"], c=share, s=14, cmap="viridis", vmin=0, vmax=1)
        axis.set(title=title, aspect="equal", xticks=[], yticks=[])
    axes[0].invert_yaxis()
    figure.colorbar(dots, ax=axes, label="rank among the tiles", shrink=0.8)
    figure.suptitle(f"{gene}, {len(tiles)} tiles")
    return figure


def _best(found: pd.DataFrame, shown: dict[str, pd.DataFrame], *, images: pd.Series) -> tuple[str, pd.DataFrame]:
    """The gene with the highest median agreement of its maps, and its tiles on the image that has most of them."""
    medians = found.groupby("gene")["rho_maps"].median().dropna()
    if medians.empty:
        return "", pd.DataFrame(columns=["x_px", "y_px", "measured", "predicted", "cartography"])
    gene = str(medians.idxmax())
    tiles = shown[gene]
    image = images.reindex(tiles["slide"]).to_numpy()
    names, counts = np.unique(image.astype(str), return_counts=True)
    return gene, tiles[image.astype(str) == names[counts.argmax()]]
