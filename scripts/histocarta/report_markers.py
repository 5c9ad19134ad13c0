"""What the report shows of a marker counted on tissue beside the score that is predicted for it (Wang 2021, Fig. 5)."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from histocarta import figures
from histocarta.marker_scores import BOUNDS, classes_by_quantile, slide_agreement
from histocarta.report_page import Block, Gallery, Legend, Note, Picture, Swatch, Table, data_uri, number, p_text

SHOWN = 4  # slides: the two with the highest and the two with the lowest marker
COLOURS = ((49, 104, 189), (250, 205, 60), (205, 40, 45))  # blue, yellow and red, as in their Fig. 5


def marker_blocks(table: pd.DataFrame) -> list[Block]:
    """Per marker the agreement of slides, and maps of the slides with the highest and the lowest of it."""
    if table.empty:
        return []
    rows, blocks = [], []
    for marker, own in table.groupby("marker"):
        rho, p, n = slide_agreement(own)
        rows.append((marker, len(own), n, number(rho), p_text(p)))
        measured, predicted = classes_by_quantile(own["percent"].to_numpy(), own["predicted"].to_numpy())
        own = own.assign(measured_class=measured, predicted_class=predicted)
        mean = own.groupby("slide")["percent"].mean().sort_values(kind="stable", ascending=False)
        chosen = list(dict.fromkeys([*mean.index[: SHOWN // 2], *mean.index[-(SHOWN // 2) :]]))
        maps = [
            Picture(
                data_uri(figures.png(draw_marker(own[own["slide"] == slide], marker=marker))),
                f"{slide}: {mean[slide]:.0f} % on average",
            )
            for slide in chosen
        ]
        words = (f"below {BOUNDS[0]:g} %", f"{BOUNDS[0]:g} to {BOUNDS[1]:g} %", f"{BOUNDS[1]:g} % and more")
        swatches = [Swatch(colour, text) for colour, text in zip(COLOURS, words, strict=True)]
        blocks += [Legend(swatches, f"{marker}, measured and predicted"), Gallery(maps)]
    note = Note(
        "A marker in percent of nuclei beside the mean of its panel's predicted genes. The mixed model above takes "
        "log2(1 + percent). Colours of predictions are mapped by quantiles: as many regions of all test slides have "
        "each colour as by the marker."
    )
    head = ("marker", "regions", "slides", "ρ of slides' means", "p")
    return [Table(head, rows, "Markers counted on tissue"), note, *blocks]


def draw_marker(regions: pd.DataFrame, *, marker: str) -> Figure:
    """The regions of one slide (x_px, y_px, measured_class, predicted_class) in the colours of their classes."""
    x, y = regions["x_px"].to_numpy(float), regions["y_px"].to_numpy(float)
    side = _spacing(np.stack([x, y], axis=1))
    figure = Figure(figsize=(5.2, 2.7), layout="constrained")
    for axes, column, title in zip(
        figure.subplots(1, 2, sharex=True, sharey=True),
        ("measured_class", "predicted_class"),
        (f"{marker}, measured", "predicted score"),
        strict=True,
    ):
        for left, top, label in zip(x - side / 2, y - side / 2, regions[column], strict=True):
            axes.add_patch(Rectangle((left, top), side, side, color=np.array(COLOURS[label]) / 255))
        axes.set_xlim(x.min() - side, x.max() + side)
        axes.set_ylim(y.max() + side, y.min() - side)
        axes.set_aspect("equal")
        axes.set_title(title, fontsize=9)
        axes.set_axis_off()
    return figure


def _spacing(places: np.ndarray) -> float:
    """Distance from a region to the nearest other, the median of all; 1 where there is one only."""
    if len(places) < 2:
        return 1.0
    distance = np.sqrt(((places[:, None] - places[None]) ** 2).sum(axis=2))
    np.fill_diagonal(distance, np.inf)
    return float(max(np.median(distance.min(axis=1)), 1.0))
